"""Clone, export-voice: voices from recordings."""

import shlex
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
import yaml

from wyoming_pocket_tts.audio.recordings import TRUNCATED_SECONDS, QualityIssueKind, assess, read_audio, resample
from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.console import ProgressDisplay, StatusLine, Tell, print_error, teller
from wyoming_pocket_tts.cli.model_choice import ModelSelection, install_model, is_none, load
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError, VoiceError, quote_untrusted
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.kokoro.synthesizer import voice_names
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import find_model, open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.model_spec import is_config, model_label
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.voice_state import VoiceState, write_state
from wyoming_pocket_tts.pocket.voice_store import (
    LONGEST_NAME,
    VOICE_SUFFIX,
)
from wyoming_pocket_tts.voices.resolver import name_owner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONSENT_NOTE: Final = "A voice belongs to its speaker: clone it only with the consent of that person."
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"})
"""What a folder is searched for; a single file may have any name."""

_EXPORTED, _KEPT, _FAILED = "exported", "kept (newer than the recording)", "failed"
_NOTE_SHOWN: Final = "consent-note-shown.txt"
_LONGEST_NAME_BYTES: Final = 200
"""A file name may have 255, and a suffix follows."""

app = typer.Typer(rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneOptions:
    """The recording (a path or an address) and the voice that is made of it."""

    recording: str
    name: str
    data_dir: Path
    given_data_dir: Path | None = None
    """For the advice to pass it to ``serve`` as well; None if it was not given."""
    precision: Precision = Precision.INT8
    force: bool = False
    local_files_only: bool = False
    service_models: Sequence[str] | None = None
    """``models.names`` of the service; None if unknown."""


@app.command()
def clone(
    recording: options.ClonedArgument,
    *,
    name: options.VoiceNameOption,
    language: options.ClonedForOption = None,
    config: options.ModelConfigOption = None,
    precision: options.PrecisionOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    force: options.ReplaceFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Make a voice for the service from a recording.

    Clone a voice only with the consent of its speaker.
    """
    flags = {"data_dir": data_dir, "models.precision": precision, "models.local_files_only": local_files_only or None}
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    check_name_is_free(name, settings, embedded=voice_names())
    wanted = CloneOptions(
        recording=recording,
        name=name,
        data_dir=settings.data_dir,
        given_data_dir=data_dir,
        precision=Precision(settings.models.precision),
        force=force,
        local_files_only=settings.models.local_files_only,
        service_models=settings.models.names,
    )
    model = model_of_service(ModelSelection(language=language, config=config), settings.models.names)
    clone_voice(wanted, model, quiet=quiet, tell=teller(quiet=quiet))


def clone_voice(what: CloneOptions, model: ModelSelection, *, quiet: bool, tell: Tell) -> None:
    """Make a voice file where the service finds it. The name and the recording are checked before any download."""
    target = _free_path(what)
    _show_consent_note(what.data_dir, quiet=quiet, tell=tell)
    if unused := _unused(what, model):
        tell(f"Note: {unused}")
    samples, rate_hz = _recording(what, tell)
    with StatusLine(quiet=quiet) as status:
        display = ProgressDisplay(str(model.config or model.released), status, (lambda _: None) if quiet else tell)
        name, config = find_model(model.language, model.config)
        only_local = what.local_files_only
        bundle = install_model(
            name, config, data_dir=what.data_dir, precision=what.precision, local_files_only=only_local, report=display
        )
        loaded = TTSModel(open_for_onnx(bundle))
        status.show(f"Encoding {what.recording} ...")
        prompt = resample(samples, rate_hz, loaded.sample_rate)[None]
        _write_voice(loaded.get_state_for_audio_prompt(prompt), target)  # type: ignore[arg-type]  # an array
    for line in _next_steps(what, model, target):
        tell(line)


def model_of_service(model: ModelSelection, names: Sequence[str]) -> ModelSelection:
    """The selection; if it is empty, the first model of the service, or else the default one."""
    if model.language is not None or model.config is not None or is_none(names):
        return model
    return replace(model, config=names[0]) if is_config(names[0]) else replace(model, language=names[0])


def check_name_is_free(name: str, settings: Settings, *, embedded: Collection[str]) -> None:
    """Check that the service would accept a voice of this name."""
    owner = name_owner(checked_name(name), settings, embedded=embedded)
    if owner:
        raise ConfigError(f"--name {quote_untrusted(name)}: is the name of {owner} already: choose another name")


def checked_name(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    allowed = all(each.isalnum() or each in " -_." or unicodedata.category(each).startswith("M") for each in composed)
    problem = ""
    if not allowed or not composed[:1].isalnum() or composed[-1] in " .":
        problem = (
            "a voice's name has letters, digits, spaces, hyphens, underscores and dots, begins with a letter or a"
            " digit, and ends with neither a space nor a dot"
        )
    elif len(composed) > LONGEST_NAME:
        problem = f"is too long: {LONGEST_NAME} characters at most"
    elif len(composed.encode()) > _LONGEST_NAME_BYTES:
        problem = f"is too long: {_LONGEST_NAME_BYTES} bytes at most"
    if problem:
        raise ConfigError(f"--name {quote_untrusted(name)}: {problem}")
    return composed


def _free_path(what: CloneOptions) -> Path:
    """Path of the new voice. Case does not distinguish names, as in clients."""
    folder = what.data_dir / "voices"
    target = folder / f"{checked_name(what.name)}{VOICE_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = sorted(folder.iterdir())
    except OSError as error:
        place = error.filename or folder
        advice = "choose another place with --data-dir, or make it writable"
        raise ConfigError(f"{place}: {error.strerror or error}: {advice}") from error
    for path in entries:
        if path == target and not path.is_dir():
            if not what.force:
                raise ConfigError(f"{path}: there is such a voice already: choose another name, or add --force")
        elif _voice_name(path).casefold() == _voice_name(target).casefold():
            raise ConfigError(f"{path}: would be the same voice: choose another name, or remove it")
    return target


def _voice_name(path: Path) -> str:
    return unicodedata.normalize("NFC", path.name if path.is_dir() else path.stem)


def _show_consent_note(data_dir: Path, *, quiet: bool, tell: Tell) -> None:
    """Once for each data directory; with ``quiet`` it is left to the next time."""
    shown_before = data_dir / _NOTE_SHOWN
    if quiet or shown_before.exists():
        return
    tell(CONSENT_NOTE)
    try:
        shown_before.write_text(f"{CONSENT_NOTE}\nShown by 'wyoming-pocket-tts clone'.\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{shown_before}: {error.strerror or error}: choose another place with --data-dir") from error


def _recording(what: CloneOptions, tell: Tell) -> "tuple[NDArray[np.float32], int]":
    path = fetch(what.recording, local_files_only=what.local_files_only)
    samples, rate_hz = read_audio(path)
    seconds = len(samples) / rate_hz
    used = samples[: TRUNCATED_SECONDS * rate_hz]
    findings = assess(used, rate_hz)
    for finding in findings:
        if finding.kind is QualityIssueKind.SILENT:
            raise VoiceError(f"{what.recording}: {finding.message}")
        tell(f"Advice: {finding.message}")
    if len(used) < len(samples):
        tell(f"Advice: The recording is {seconds:.0f} s long, of which the first {TRUNCATED_SECONDS} s are used.")
    elif not findings:
        tell(f"The recording is good: {seconds:.0f} s, clear and even.")
    return used, rate_hz


def _write_voice(voice: VoiceState, target: Path) -> None:
    try:
        with atomic_path(target) as aside:
            write_state(voice, aside)
    except OSError as error:
        raise VoiceError(f"{target}: the voice cannot be written ({error.strerror or error})") from error


def _next_steps(what: CloneOptions, model: ModelSelection, target: Path) -> list[str]:
    name = target.stem
    entry = yaml.safe_dump({name: {"from": str(target.resolve())}}, allow_unicode=True, width=1000)
    place = f" with --data-dir {shlex.quote(str(what.given_data_dir))}" if what.given_data_dir else ""
    condition = " and speaks with that model" if _unused(what, model) else ""
    return [
        f"{what.recording} -> {target}",
        "Try it: " + shlex.join(["wyoming-pocket-tts", "generate", *model.options, "--voice", str(target)]),
        f"A service that runs{place}{condition} takes the voice up by itself, as '{name}'. In its settings:",
        "voices:",
        *(f"  {line}" for line in entry.splitlines()),
    ]


def _unused(what: CloneOptions, model: ModelSelection) -> str:
    """Why the service does not use the voice, as far as known; empty if it does."""
    names, label = what.service_models, model_label(model.config or model.released or "")
    if names is None or label in map(model_label, names):
        return ""
    models = "no model (models.names is 'none')" if is_none(names) else ", ".join(map(model_label, names))
    return (
        f"the settings let the service speak with {models}, and so not with this voice, which is for {label}: set"
        " models.names"
    )


@app.command("export-voice")
def export_voice(
    audio: options.RecordingArgument,
    output: options.ExportArgument,
    *,
    quiet: options.QuietFlag = False,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    no_truncate: options.NoTruncateFlag = False,
    force: options.ForceFlag = False,
) -> None:
    """Turn recordings into voice files for Pocket TTS.

    Takes a recording, or a folder of them. Pocket TTS loads such a file at once.
    """
    read_settings(None, {}, log_level="error" if quiet else "warning")
    model = ModelSelection(language=language, config=config)
    tell = teller(quiet=quiet)
    is_folder = Path(audio).is_dir()
    pairs = _pairs(Path(audio), output) if is_folder else []
    voice = output if is_folder else _single_target(audio, output)
    with StatusLine(quiet=quiet) as status:
        status.show("Loading the model ...")
        loaded = load(model, quiet=quiet, exact=True)
        if is_folder:
            results = _export_folder(loaded, pairs, truncate=not no_truncate, force=force, status=status, tell=tell)
        else:
            status.show(f"Encoding {audio} ...")
            export_model_state(loaded.get_state_for_audio_prompt(audio, truncate=not no_truncate), voice)
    if not is_folder:
        tell(f"{audio} -> {voice}")
        tell(_how_to_use(voice, model))
        return
    tell(f"{output}: {', '.join(f'{len(files)} {result}' for result, files in results.items() if files)}")
    if usable := [*results[_EXPORTED], *results[_KEPT]]:
        tell(_how_to_use(usable[0], model))
    if failed := results[_FAILED]:
        raise VoiceError(f"{len(failed)} of {len(pairs)} recordings could not be exported")


def _export_folder(
    model: TTSModel, pairs: list[tuple[Path, Path]], *, truncate: bool, force: bool, status: StatusLine, tell: Tell
) -> dict[str, list[Path]]:
    """Export each recording of the pairs; voice files by result."""
    results: dict[str, list[Path]] = {_EXPORTED: [], _KEPT: [], _FAILED: []}
    for number, (recording, voice) in enumerate(pairs, 1):
        place = f"[{number}/{len(pairs)}]"
        status.show(f"{place} Encoding {recording.name} ...")
        try:
            if not force and _is_current(model, recording, voice):
                results[_KEPT].append(voice)
                continue
            export_model_state(model.get_state_for_audio_prompt(str(recording), truncate=truncate), voice)
        except TtsError as error:
            if not model.has_voice_cloning:  # every recording would fail
                raise
            results[_FAILED].append(voice)
            status.show("")
            print_error(f"{place} {error}" if recording.name in str(error) else f"{place} {recording}: {error}")
        else:
            results[_EXPORTED].append(voice)
            status.show("")
            tell(f"{place} {recording.name} -> {voice}")
    return results


def _is_current(model: TTSModel, recording: Path, voice: Path) -> bool:
    """Whether the voice exists, is newer than its recording, and was made with these weights."""
    try:
        if voice.stat().st_mtime_ns < recording.stat().st_mtime_ns:
            return False
        model.get_state_for_audio_prompt(voice)
    except (OSError, VoiceError):
        return False
    return True


def _pairs(folder: Path, target: Path) -> list[tuple[Path, Path]]:
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{target}: is a file; the voices of the folder {folder} need a folder")
    recordings = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not recordings:
        raise ConfigError(f"{folder}: holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))})")
    sources: dict[str, Path] = {}
    for path in recordings:
        if (other := sources.setdefault(path.stem, path)) is not path:
            raise ConfigError(f"{folder}: {other.name} and {path.name} would both become {path.stem}{VOICE_SUFFIX}")
    _make_folder(target)
    return [(path, target / f"{name}{VOICE_SUFFIX}") for name, path in sources.items()]


def _single_target(source: str, target: Path) -> Path:
    if target.is_dir():
        return target / f"{Path(source.rpartition('@')[0] or source).stem}{VOICE_SUFFIX}"
    if target.suffix != VOICE_SUFFIX:
        raise ConfigError(f"{target}: the name of a voice's file ends with {VOICE_SUFFIX}, by which it is known as one")
    _make_folder(target.parent)
    return target


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be made: {error.strerror or error}") from error


def _how_to_use(voice: Path, model: ModelSelection) -> str:
    return f'Use it: {" ".join(["wyoming-pocket-tts", "generate", *model.options, "--voice", str(voice)])} "Hello."'
