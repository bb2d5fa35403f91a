"""Models, download, convert, export-onnx."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.console import ProgressDisplay, StatusLine, Tell, table, teller
from wyoming_pocket_tts.cli.model_choice import ModelSelection, install_model, is_none
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.pocket.hub import fetch, is_here
from wyoming_pocket_tts.pocket.loading import find_model
from wyoming_pocket_tts.pocket.model_spec import default_voice_of_own_models, is_config, model_label
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import find_converted
from wyoming_pocket_tts.pocket.registry import (
    default_voice,
    language,
    load_config,
    model_names,
    ordered_voices,
    released_model,
    voice_audio_source,
    voice_names,
)
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_store import (
    VOICE_SUFFIX,
    download_voices,
    encode_voice,
    encoded_voice_directory,
    missing_voices,
)
from wyoming_pocket_tts.pocket.weights import expected_tensors

_ENCODER = ("mimi.encoder", "mimi.downsample", "flow_lm.speaker_proj")
_MILLION = 1e6
_MEGABYTE = 1e6

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """What is needed to choose a model."""

    name: str
    language: str
    parameters: int
    """Without the codec's encoder, which only recordings need."""
    layers: int
    """Of the language model's transformer."""
    type: str
    """Of the sampler."""
    default_voice: str
    installed: bool
    """Whether this machine has the weights and the tokenizer, or a model bundle, which needs neither."""
    voice_cloning: bool
    """Whether what is installed can make voices from recordings."""
    converted: tuple[str, ...]
    """Precisions of its model bundles."""


@app.command()
def models(*, as_json: options.JsonFlag = False, data_dir: options.DataDirOption = None) -> None:
    """List released models, and which are on this machine."""
    settings = read_settings(None, {"data_dir": data_dir}, log_level="warning")
    listed = released_models(settings.data_dir)
    if as_json:
        found = {"models": [asdict(model) for model in listed], "voices": voice_names()}
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        typer.echo(models_table(listed))


def released_models(data_dir: Path | None = None) -> list[ReleasedModel]:
    return [_described(name, data_dir) for name in model_names()]


def models_table(models: Sequence[ReleasedModel]) -> str:
    rows = [("NAME", "LANGUAGE", "PARAMETERS", "TYPE", "VOICE", "INSTALLED", "CONVERTED")]
    for model in models:
        size = f"{model.parameters / _MILLION:.0f} M"
        installed = "no" if not model.installed else "yes" if model.voice_cloning else "yes, without cloning"
        converted = ", ".join(model.converted)
        rows.append((model.name, model.language, size, model.type, model.default_voice, installed, converted))
    return f"{table(*rows)}\n\nVoices of each model: {', '.join(voice_names())}"


def _described(name: str, data_dir: Path | None) -> ReleasedModel:
    config = released_model(name)
    tokenizer, reduced_weights = config.flow_lm.lookup_table.tokenizer_path, config.weights_path_without_voice_cloning
    cloning = config.weights_path is not None and is_here(config.weights_path)
    weights = cloning or (reduced_weights is not None and is_here(reduced_weights))
    found = [find_converted(name, config, data_dir=data_dir, precision=each) for each in Precision] if data_dir else []
    bundles = [bundle for bundle in found if bundle is not None]
    sizes = {tensor: math.prod(shape) for tensor, shape in expected_tensors(config).items()}
    return ReleasedModel(
        name=name,
        language=language(name),
        parameters=sum(size for tensor, size in sizes.items() if not tensor.startswith(_ENCODER)),
        layers=config.flow_lm.transformer.num_layers,
        type=config.flow_lm.flow.type,
        default_voice=default_voice(name),
        installed=bool(bundles) or (weights and is_here(tokenizer)),
        voice_cloning=cloning or any(bundle.has_voice_cloning for bundle in bundles),
        converted=tuple(str(bundle.precision) for bundle in bundles),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """How models are downloaded and converted."""

    data_dir: Path
    given_data_dir: Path | None = None
    """For the advice to pass it to ``serve`` as well, as the settings file; None if it was not given."""
    given_settings: Path | None = None
    precision: Precision = Precision.INT8
    steps: int | None = None
    """Of the sampler; None for the model's own number."""
    voices: Sequence[str] = ()
    """Predefined voices beside the default one; each text may hold several names with commas."""
    all_voices: bool = False
    local_files_only: bool = False
    anew: bool = False

    @classmethod
    def of(cls, settings: Settings, *, file: Path | None, data_dir: Path | None, **more: Any) -> "DownloadOptions":  # noqa: ANN401
        in_environment = settings.data_dir if "data_dir" in settings.model_fields_set else None
        return cls(
            data_dir=settings.data_dir,
            given_data_dir=data_dir if file else in_environment,
            given_settings=file,
            precision=Precision(settings.models.precision),
            local_files_only=settings.models.local_files_only,
            **more,
        )


@app.command()
def download(
    model: options.ModelNamesArgument = None,
    *,
    voices: options.VoiceNamesOption = None,
    all_voices: options.AllVoicesFlag = False,
    precision: options.PrecisionOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    force: options.AnewFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Download and convert models and voices ahead of time.

    For container images and machines without a network.
    """
    flags = {
        "data_dir": data_dir,
        "models.names": model or None,
        "models.precision": precision,
        "models.voices": "all" if all_voices else "default" if voices else None,
        "models.local_files_only": local_files_only or None,
    }
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    all_voices = settings.models.voices == "all"
    how = DownloadOptions.of(
        settings, file=settings_file, data_dir=data_dir, voices=voices or (), all_voices=all_voices, anew=force
    )
    download_models(settings.models.names, how, quiet=quiet, tell=typer.echo)


@app.command()
def convert(
    *,
    config: options.OwnModelOption,
    sampler_decode_steps: options.StepsOption = None,
    precision: options.PrecisionOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    force: options.AnewFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Convert a model of your own ahead of time."""
    flags = {"data_dir": data_dir, "models.precision": precision, "models.local_files_only": local_files_only or None}
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    if not is_config(config):
        raise ConfigError(f"{config}: a model's config is a YAML file, with a name that ends with .yaml")
    how = DownloadOptions.of(settings, file=settings_file, data_dir=data_dir, steps=sampler_decode_steps, anew=force)
    download_models([config], how, quiet=quiet, tell=typer.echo)


def download_models(models: Sequence[str], how: DownloadOptions, *, quiet: bool, tell: Tell) -> None:
    """Download and convert models, download voices of released ones, and say what to do next.

    Bundles and voices that are complete stay as they are. ``models`` are names of released models and configs of custom
    ones: paths or addresses of YAML files.
    """
    if is_none(models):
        raise ConfigError("there is nothing to do: the settings name no model (models.names is 'none')")
    chosen = [part.strip().lower() for name in how.voices for part in name.split(",") if part.strip()]
    for voice in chosen:
        voice_audio_source(voice)
    found = {label: _find(label, how) for label in models}  # all of them, before the first is downloaded
    for label, (name, config) in found.items():
        voices: list[str] = []
        missing: str | None = None
        with StatusLine(quiet=quiet) as status:
            display = ProgressDisplay(label, status, (lambda _: None) if quiet else tell)
            bundle = install_model(
                name,
                config,
                data_dir=how.data_dir,
                precision=how.precision,
                steps=how.steps,
                local_files_only=how.local_files_only,
                anew=how.anew,
                report=display,
            )
            if name is None:
                missing = _encode_voice(label, bundle, how, display)
            else:
                predefined = ordered_voices(name)
                voices = predefined if how.all_voices else list(dict.fromkeys([predefined[0], *chosen]))
                only_local = how.local_files_only
                download_voices(name, voices, data_dir=how.data_dir, local_files_only=only_local, report=display)
        tell(_summary(label, bundle, voices))
        if missing is not None:
            tell(f"{label}: its voice is not here yet ({missing}); serve will try again")
    tell(_how_to_use(models, how))


def _find(label: str, how: DownloadOptions) -> tuple[str | None, ModelConfig]:
    """Name and config of a released model; the name of a custom one is None."""
    if is_config(label):
        return None, load_config(fetch(label, local_files_only=how.local_files_only))
    return label, released_model(label)


def _encode_voice(label: str, bundle: ModelBundle, how: DownloadOptions, display: ProgressDisplay) -> str | None:
    """Encode the default voice for a custom model; return why that failed."""
    voice = default_voice_of_own_models()
    target = encoded_voice_directory(how.data_dir, model_label(label), bundle) / f"{voice}{VOICE_SUFFIX}"
    if not bundle.has_voice_cloning:
        return "its weights cannot encode a recording"
    if missing_voices(target.parent, [voice]):
        recording = voice_audio_source(voice)
        try:
            encode_voice(bundle, recording, target, local_files_only=how.local_files_only, report=display)
        except TtsError as error:
            return str(error)
    return None


def _summary(label: str, bundle: ModelBundle, voices: Sequence[str]) -> str:
    kind = f"{bundle.precision}" if bundle.has_voice_cloning else f"{bundle.precision}, without voice cloning"
    with_voices = f"; voices: {', '.join(voices)}" if voices else ""
    return f"{label}: {bundle.size_bytes / _MEGABYTE:.0f} MB in {bundle.directory} ({kind}){with_voices}"


def _how_to_use(models: Sequence[str], how: DownloadOptions) -> str:
    words = ["wyoming-pocket-tts", "serve"]
    if how.given_settings is not None:
        words += ["--config", str(how.given_settings)]
    for model in models:
        words += ["--model", model]
    if how.precision is not Precision.INT8:
        words += ["--precision", str(how.precision)]
    if how.given_data_dir is not None:
        words += ["--data-dir", str(how.given_data_dir)]
    return f"Use it: {shlex.join(words)}"


@app.command("export-onnx")
def export_onnx(
    output: options.PortableArgument,
    *,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    checkpoint: options.CheckpointOption = None,
    quantize: options.PortableQuantizeFlag = False,
    voice: options.PortableVoicesOption = None,
    quiet: options.QuietFlag = False,
) -> None:
    """Write a Pocket TTS model as portable ONNX files.

    For browsers and other programs.
    """
    read_settings(None, {}, log_level="error" if quiet else "warning")
    model = ModelSelection(language=language, config=config, checkpoint=checkpoint)
    from wyoming_pocket_tts.pocket.onnx.portable import MANIFEST, export_portable  # noqa: PLC0415  (the package onnx)

    name, model_config = find_model(model.language, model.config, model.checkpoint)
    with StatusLine(quiet=quiet) as status:
        voices = tuple(voice or ())
        exported = export_portable(
            name, model_config, output, quantize=quantize, voices=voices, report=lambda line: status.show(f"{line} ...")
        )
    tell = teller(quiet=quiet)
    for graph, size in exported.file_bytes.items():
        tell(f"{output / graph}.onnx: {_megabytes(size)}")
    total = _megabytes(sum(exported.file_bytes.values()))
    precision = "int8" if quantize else "fp32"
    tell(f"{len(exported.file_bytes)} models ({precision}, {total}), described in {output / MANIFEST}")
    if not exported.has_voice_cloning:
        tell(
            "These weights cannot clone voices, so there is no mimi_encoder: export a voice with the models (--voice"
            " alba), or get access to the weights that can (docs/pocket-tts.md)."
        )
    tell("Next: docs/onnx-export.md has a short program that uses them, with onnxruntime and numpy alone.")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.1f} MB"
