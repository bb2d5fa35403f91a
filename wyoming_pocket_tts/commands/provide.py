"""Downloads and converts models ahead of time, for images of containers and machines without a network. Knows no graph.

What is there and whole is left as it is, so that it can be run again at any time.
"""

import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.commands.stages import StageDisplay
from wyoming_pocket_tts.errors import ConfigError, DownloadError, SpeechError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.heard import hear, heard_directory
from wyoming_pocket_tts.pocket.onnx.install import install, installed
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.ready_made import bring_voices, missing_voices, ordered_voices
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX
from wyoming_pocket_tts.wanted import default_voice_of_own_models, is_config, label_of

Tell = Callable[[str], None]

_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
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


def provide(models: Sequence[str], how: Provision, *, quiet: bool, tell: Tell) -> None:
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
            display = StageDisplay(label, status, (lambda _: None) if quiet else tell)
            bundle = _install(name, config, how, display)
            voices = _bring_voices(name, chosen, how, display) if name else []
            lacking = None if name else _hear_voice(label, bundle, how, display)
        tell(_summary(label, bundle, voices))
        if lacking is not None:
            tell(f"{label}: its voice is not here yet ({lacking}); serve will try again")
    tell(_how_to_use(models, how))


def provide_own(config: str, how: Provision, *, quiet: bool, tell: Tell) -> None:
    """Convert a model of one's own; what ``provide`` does, for nothing but a config.

    Raises:
        ConfigError: it is no YAML file, or wrong.
        SpeechError: something could not be had or used.
    """
    if not is_config(config):
        raise ConfigError(f"{config}: a model's config is a YAML file, whose name ends with .yaml")
    provide([config], how, quiet=quiet, tell=tell)


def _find(label: str, how: Provision) -> tuple[str | None, ModelConfig]:
    """The released model's name, or None for one's own, and its config."""
    if is_config(label):
        return None, configs.load_config(fetch(label, local_files_only=how.local_files_only))
    return label, configs.released_model(label)


def _install(name: str | None, config: ModelConfig, how: Provision, display: StageDisplay) -> Bundle:
    here = installed(name, config, data_dir=how.data_dir, precision=how.precision, steps=how.steps)
    if here and not here.has_voice_cloning and config.weights_path and not how.local_files_only:
        with suppress(DownloadError):  # perhaps the terms have been accepted since
            fetch(config.weights_path)
    return install(
        name,
        config,
        data_dir=how.data_dir,
        precision=how.precision,
        steps=how.steps,
        local_files_only=how.local_files_only,
        anew=how.anew,
        report=display,
    )


def _bring_voices(name: str, chosen: Sequence[str], how: Provision, display: StageDisplay) -> list[str]:
    ready_made = ordered_voices(name)
    voices = ready_made if how.all_voices else list(dict.fromkeys([ready_made[0], *chosen]))
    bring_voices(name, voices, data_dir=how.data_dir, local_files_only=how.local_files_only, report=display)
    return voices


def _hear_voice(label: str, bundle: Bundle, how: Provision, display: StageDisplay) -> str | None:
    """Let a model of one's own hear the recording of its voice; return why it could not."""
    voice = default_voice_of_own_models()
    target = heard_directory(how.data_dir, label_of(label), bundle) / f"{voice}{VOICE_SUFFIX}"
    if not bundle.has_voice_cloning:
        return "its weights cannot hear a recording"
    if missing_voices(target.parent, [voice]):
        try:
            hear(
                bundle, configs.voice_audio_source(voice), target, local_files_only=how.local_files_only, report=display
            )
        except SpeechError as error:
            return str(error)
    return None


def _named_voices(names: Sequence[str]) -> list[str]:
    chosen = [part.strip().lower() for name in names for part in name.split(",") if part.strip()]
    for voice in chosen:
        configs.voice_audio_source(voice)
    return chosen


def _summary(label: str, bundle: Bundle, voices: Sequence[str]) -> str:
    kind = f"{bundle.precision}" if bundle.has_voice_cloning else f"{bundle.precision}, without voice cloning"
    spoken = f"; voices: {', '.join(voices)}" if voices else ""
    return f"{label}: {bundle.size_bytes / _MEGABYTE:.0f} MB in {bundle.directory} ({kind}){spoken}"


def _how_to_use(models: Sequence[str], how: Provision) -> str:
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
