"""Models, download, convert, export-onnx."""

import math
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.cli.model_choice import ModelSelection
from wyoming_pocket_tts.cli.progress import ProgressDisplay, StatusLine
from wyoming_pocket_tts.core.errors import ConfigError, DownloadError, TtsError
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.model_spec import default_voice_of_own_models, is_config, model_label
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted, find_converted
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

_HEAD = ("NAME", "LANGUAGE", "PARAMETERS", "TYPE", "VOICE", "INSTALLED", "CONVERTED")
_HEARING = ("mimi.encoder", "mimi.downsample", "flow_lm.speaker_proj")
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """What a person needs to choose one.

    Attributes:
        name: what ``--language`` takes.
        language: two letters.
        parameters: how many numbers its weights are, without the codec's encoder: that one only hears recordings.
        layers: of the language model's transformer.
        type: how its sampler works.
        default_voice: who speaks when nobody else is asked for.
        installed: whether weights and tokenizer are on this machine, or a converted model, which needs neither.
        voice_cloning: whether what is there can make voices from recordings.
        converted: the precisions that it has been converted to, for the service.
    """

    name: str
    language: str
    parameters: int
    layers: int
    type: str
    default_voice: str
    installed: bool
    voice_cloning: bool
    converted: tuple[str, ...]


def released_models(data_dir: Path | None = None) -> list[ReleasedModel]:
    """Describe all of them, in the order of the registry; converted ones are looked for in ``data_dir``."""
    return [_described(name, data_dir) for name in model_names()]


def as_dict(models: Sequence[ReleasedModel]) -> dict[str, Any]:
    """Make what JSON can hold: the models, and the names of the voices that each of them has."""
    return {"models": [asdict(model) for model in models], "voices": list(voice_names())}


def as_table(models: Sequence[ReleasedModel]) -> str:
    """Lay the models out in columns, and name the voices below."""
    rows = [_HEAD, *(_row(model) for model in models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    table = "\n".join(line.rstrip() for line in lines)
    return f"{table}\n\nVoices of each model: {', '.join(voice_names())}"


def _described(name: str, data_dir: Path | None) -> ReleasedModel:
    config = released_model(name)
    cloning = _is_here(config.weights_path)
    bundles = _bundles(name, config, data_dir) if data_dir else []
    weights = cloning or _is_here(config.weights_path_without_voice_cloning)
    return ReleasedModel(
        name=name,
        language=language(name),
        parameters=sum(
            math.prod(shape) for tensor, shape in expected_tensors(config).items() if not tensor.startswith(_HEARING)
        ),
        layers=config.flow_lm.transformer.num_layers,
        type=config.flow_lm.flow.type,
        default_voice=default_voice(name),
        installed=bool(bundles) or (weights and _is_here(config.flow_lm.lookup_table.tokenizer_path)),
        voice_cloning=cloning or any(bundle.has_voice_cloning for bundle in bundles),
        converted=tuple(str(bundle.precision) for bundle in bundles),
    )


def _bundles(name: str, config: ModelConfig, data_dir: Path) -> list[ModelBundle]:
    """The model as it has been converted, in each precision."""
    found = (find_converted(name, config, data_dir=data_dir, precision=precision) for precision in Precision)
    return [bundle for bundle in found if bundle is not None]


def _is_here(source: str | None) -> bool:
    if source is None:
        return False
    try:
        fetch(source, local_files_only=True)
    except DownloadError:
        return False
    return True


def _row(model: ReleasedModel) -> tuple[str, ...]:
    installed = "yes" if model.voice_cloning else "yes, without cloning"
    return (
        model.name,
        model.language,
        f"{model.parameters / _MILLION:.0f} M",
        model.type,
        model.default_voice,
        installed if model.installed else "no",
        ", ".join(model.converted),
    )


Tell = Callable[[str], None]

_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions:
    """How models are to be provided.

    Attributes:
        data_dir: where to.
        given_data_dir: what somebody said about that, to be said to ``serve`` as well; None for nothing.
        given_settings: the settings' file, likewise.
        precision: what to compute in.
        steps: of the sampler; None for what a model needs.
        voices: ready-made voices of released models, beside the default one; a name may be several with commas.
        all_voices: all of them.
        local_files_only: download nothing.
        anew: convert even what is there.
    """

    data_dir: Path
    given_data_dir: Path | None = None
    given_settings: Path | None = None
    precision: Precision = Precision.INT8
    steps: int | None = None
    voices: Sequence[str] = ()
    all_voices: bool = False
    local_files_only: bool = False
    anew: bool = False


def download_models(models: Sequence[str], how: DownloadOptions, *, quiet: bool, tell: Tell) -> None:
    """Download and convert models, and fetch the voices of released ones; say what to do next.

    Args:
        models: names of released models, and configs of one's own: paths or addresses of YAML files.
        how: how, and where to.
        quiet: show no progress.
        tell: is given lines for people.

    Raises:
        ConfigError: there is no such model, or its config is wrong.
        VoiceError: there is no such voice.
        SpeechError: something could not be had or used.
    """
    if list(models) == ["none"]:
        raise ConfigError("there is nothing to do: the settings name no model (models.names is 'none')")
    chosen = _named_voices(how.voices)
    wanted = {label: _find(label, how) for label in models}  # before the first of them takes its time
    for label, (name, config) in wanted.items():
        with StatusLine(quiet=quiet) as status:
            display = ProgressDisplay(label, status, (lambda _: None) if quiet else tell)
            bundle = _install(name, config, how, display)
            voices = _bring_voices(name, chosen, how, display) if name else []
            lacking = None if name else _hear_voice(label, bundle, how, display)
        tell(_summary(label, bundle, voices))
        if lacking is not None:
            tell(f"{label}: its voice is not here yet ({lacking}); serve will try again")
    tell(_how_to_use(models, how))


def convert_custom_model(config: str, how: DownloadOptions, *, quiet: bool, tell: Tell) -> None:
    """Convert a model of one's own; what ``provide`` does, for nothing but a config.

    Raises:
        ConfigError: it is no YAML file, or wrong.
        SpeechError: something could not be had or used.
    """
    if not is_config(config):
        raise ConfigError(f"{config}: a model's config is a YAML file, whose name ends with .yaml")
    download_models([config], how, quiet=quiet, tell=tell)


def _find(label: str, how: DownloadOptions) -> tuple[str | None, ModelConfig]:
    """The released model's name, or None for one's own, and its config."""
    if is_config(label):
        return None, load_config(fetch(label, local_files_only=how.local_files_only))
    return label, released_model(label)


def _install(name: str | None, config: ModelConfig, how: DownloadOptions, display: ProgressDisplay) -> ModelBundle:
    here = find_converted(name, config, data_dir=how.data_dir, precision=how.precision, steps=how.steps)
    if here and not here.has_voice_cloning and config.weights_path and not how.local_files_only:
        with suppress(DownloadError):  # perhaps the terms have been accepted since
            fetch(config.weights_path)
    return ensure_converted(
        name,
        config,
        data_dir=how.data_dir,
        precision=how.precision,
        steps=how.steps,
        local_files_only=how.local_files_only,
        anew=how.anew,
        report=display,
    )


def _bring_voices(name: str, chosen: Sequence[str], how: DownloadOptions, display: ProgressDisplay) -> list[str]:
    ready_made = ordered_voices(name)
    voices = ready_made if how.all_voices else list(dict.fromkeys([ready_made[0], *chosen]))
    download_voices(name, voices, data_dir=how.data_dir, local_files_only=how.local_files_only, report=display)
    return voices


def _hear_voice(label: str, bundle: ModelBundle, how: DownloadOptions, display: ProgressDisplay) -> str | None:
    """Let a model of one's own hear the recording of its voice; return why it could not."""
    voice = default_voice_of_own_models()
    target = encoded_voice_directory(how.data_dir, model_label(label), bundle) / f"{voice}{VOICE_SUFFIX}"
    if not bundle.has_voice_cloning:
        return "its weights cannot hear a recording"
    if missing_voices(target.parent, [voice]):
        try:
            encode_voice(
                bundle, voice_audio_source(voice), target, local_files_only=how.local_files_only, report=display
            )
        except TtsError as error:
            return str(error)
    return None


def _named_voices(names: Sequence[str]) -> list[str]:
    chosen = [part.strip().lower() for name in names for part in name.split(",") if part.strip()]
    for voice in chosen:
        voice_audio_source(voice)
    return chosen


def _summary(label: str, bundle: ModelBundle, voices: Sequence[str]) -> str:
    kind = f"{bundle.precision}" if bundle.has_voice_cloning else f"{bundle.precision}, without voice cloning"
    spoken = f"; voices: {', '.join(voices)}" if voices else ""
    return f"{label}: {bundle.size_bytes / _MEGABYTE:.0f} MB in {bundle.directory} ({kind}){spoken}"


def _how_to_use(models: Sequence[str], how: DownloadOptions) -> str:
    """The command that serves what was provided."""
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


_EXPORT_ONNX_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxExportOptions:
    """What is to be exported, and how.

    Attributes:
        target: the directory.
        quantize: multiply 8-bit numbers.
        voices: to go with the models: ready-made ones, or voice files.
    """

    target: Path
    quantize: bool = False
    voices: tuple[str, ...] = ()


def export_onnx(what: OnnxExportOptions, choice: ModelSelection, *, quiet: bool, tell: Callable[[str], None]) -> None:
    """Write the set; it appears when it is complete.

    Args:
        what: from what to what.
        choice: the model; nothing but which one it is counts.
        quiet: show no progress.
        tell: is given lines for people: what was written, and what to do next.

    Raises:
        ConfigError: the directory holds something else.
        SpeechError: the model or a voice cannot be had or used.
    """
    from wyoming_pocket_tts.pocket.loading import find_model  # noqa: PLC0415  (what downloads)
    from wyoming_pocket_tts.pocket.onnx.portable import MANIFEST, export_portable  # noqa: PLC0415  (the package onnx)

    name, config = find_model(choice.language, choice.config, choice.checkpoint)
    with StatusLine(quiet=quiet) as status:
        exported = export_portable(
            name,
            config,
            what.target,
            quantize=what.quantize,
            voices=what.voices,
            report=lambda line: status.show(f"{line} ..."),
        )
    total = sum(exported.file_bytes.values())
    for model, size in exported.file_bytes.items():
        tell(f"{what.target / model}.onnx: {_megabytes(size)}")
    precision = "int8" if what.quantize else "fp32"
    tell(f"{len(exported.file_bytes)} models ({precision}, {_megabytes(total)}), described in {what.target / MANIFEST}")
    if not exported.has_voice_cloning:
        tell(
            "These weights cannot clone voices, so there is no mimi_encoder: export a voice with the models (--voice"
            " alba), or get access to the weights that can (docs/pocket-tts.md)."
        )
    tell("Next: docs/onnx-export.md has a program of one page that speaks with them, with onnxruntime and numpy alone.")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _EXPORT_ONNX_MEGABYTE:.1f} MB"
