"""Voices, clone, export-voice."""

import json
import shlex
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
import yaml

from wyoming_pocket_tts.audio.recordings import TRUNCATED_SECONDS, QualityIssueKind, assess, read_audio, resample
from wyoming_pocket_tts.cli.console import ProgressDisplay, StatusLine, Tell, print_error, table, teller
from wyoming_pocket_tts.cli.model_choice import ModelSelection, install_model, is_none, load
from wyoming_pocket_tts.cli.options import (
    ClonedArgument,
    ClonedForOption,
    ConfigOption,
    DataDirOption,
    EngineOption,
    ExportArgument,
    ForceFlag,
    JsonFlag,
    LanguageOption,
    LocalFilesOnlyFlag,
    ModelConfigOption,
    NoTruncateFlag,
    PrecisionOption,
    QuietFlag,
    RecordingArgument,
    ReplaceFlag,
    SettingsOption,
    VoiceNameOption,
)
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError, VoiceError, quote_untrusted
from wyoming_pocket_tts.core.system import sync
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.kokoro.synthesizer import voice_names
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import find_model, open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.model_spec import ModelSpec, is_config, model_label, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import find_converted
from wyoming_pocket_tts.pocket.voice_state import VoiceState, check_voice_matches_model, write_state
from wyoming_pocket_tts.pocket.voice_store import (
    LONGEST_NAME,
    VOICE_SUFFIX,
    about,
    content_of,
    listed_voices,
    missing_voices,
    ready_made_directory,
    style_files,
)
from wyoming_pocket_tts.server.components import EmbeddedEngine, embedded_voices
from wyoming_pocket_tts.voices.library import RejectedVoice, accepted, models_for, user_voices
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, name_owner, resolve_voices

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


@app.command()
def voices(
    *,
    as_json: JsonFlag = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = EmbeddedEngine.KOKORO,
) -> None:
    """List the service's voices, and what is wrong with them."""
    settings = read_settings(config, {"data_dir": data_dir}, log_level="warning")
    listing = list_voices(settings, embedded=embedded_voices(engine))
    if as_json:
        typer.echo(json.dumps([asdict(voice) for voice in listing.voices], ensure_ascii=False, indent=2))
    else:
        typer.echo(table(("NAME", "LANGUAGES", "SPEAKERS", "DESCRIPTION"), *map(_row, listing.voices)))
    for problem in listing.problems:
        print_error(problem)


def _row(voice: Voice) -> tuple[str, str, str, str]:
    description = voice.description if voice.installed else f"{voice.description} (not installed)"
    return voice.name, ", ".join(voice.languages), ", ".join(voice.speakers) or "-", description


@dataclass(frozen=True, slots=True)
class VoiceListing:
    """All voices of a service, the default one first, and a line for each problem of a voice."""

    voices: list[Voice]
    problems: list[str]


def list_voices(settings: Settings, *, embedded: Sequence[Voice]) -> VoiceListing:
    """Find all voices that a service with these settings would list; loads and downloads nothing."""
    wanted = model_specs(settings.models.names, languages=settings.models.languages)
    precision = Precision(settings.models.precision)
    models = [
        _Model(each, find_converted(each.name, each.config, data_dir=settings.data_dir, precision=precision))
        for each in wanted
    ]
    labels = [model.label for model in wanted]
    found = list(user_voices(settings.data_dir, labels))
    casting = resolve_voices(
        settings, embedded=[voice.name for voice in embedded], dropped=[each.name for each in found]
    )
    predefined = [voice for model in models for voice in _predefined(model, settings)]
    problems: list[str] = []
    taken = {*casting.names(), *(voice.name for voice in (*predefined, *embedded))}
    of_settings = [source.path for source in casting.sources() if source.path is not None]
    listed = predefined
    for each in accepted(found, labels=labels, taken=taken, elsewhere=of_settings):
        if isinstance(each, RejectedVoice) or not models:
            why = each.reason if isinstance(each, RejectedVoice) else "no model can speak it: models.names is 'none'"
            problems.append(f"{each.origin}: {why}")
        else:
            usable = models_for(each, labels)
            candidates = [model for model in models if model.wanted.label in usable]
            listed.append(_custom(each.name, each.styles, candidates, problems))
    listed += _of_settings(casting, models, problems)
    return VoiceListing(casting.cast(lambda: [*listed, *embedded]).voices(), problems)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model of the settings, and its bundle if it is installed."""

    wanted: ModelSpec
    bundle: ModelBundle | None

    def problem(self, content: VoiceState | VoiceError | None, file: Path) -> str:
        """Why the model cannot use a voice file, as far as the model is known; else empty."""
        if isinstance(content, VoiceError):
            return about(file, str(content))
        if content is not None:
            fingerprint = None if self.bundle is None else self.bundle.fingerprint
            try:
                check_voice_matches_model(content, self.wanted.config, fingerprint=fingerprint, label=str(file))
            except VoiceError as error:
                return str(error)
        return ""


def _of_settings(casting: ResolvedVoices, models: Sequence[_Model], problems: list[str]) -> Iterator[Voice]:
    for source in casting.sources():
        model = next((model for model in models if model.wanted.label == source.model), None)
        if source.path is not None and model is not None:
            files = style_files(source.path)
            if not files:
                problems.append(f"voices.{source.name}: {source.path}: there is no recording")
            yield _custom(source.voice_name, files, [model], problems)


def _custom(name: str, files: Mapping[str, Path], candidates: Sequence[_Model], problems: list[str]) -> Voice:
    """A voice of the first model that can use one of its styles, or else of the last one; adds to ``problems``."""
    contents = {style: _content(file) for style, file in files.items()}
    for model in candidates:
        errors = {style: model.problem(content, files[style]) for style, content in contents.items()}
        usable = tuple(style for style, error in errors.items() if not error)
        if usable:
            break
    problems += filter(None, errors.values())
    styles = usable or tuple(files)
    return Voice(
        name=name,
        description=f"{name} ({model.wanted.label})",
        languages=(model.wanted.language,),
        sample_rate_hz=model.wanted.config.mimi.sample_rate,
        speakers=styles if len(styles) > 1 else (),
        installed=bool(usable) and model.bundle is not None,
    )


def _content(file: Path) -> VoiceState | VoiceError | None:
    """An exported voice, or why the file cannot be read; None for a recording."""
    try:
        return content_of(file)
    except VoiceError as error:
        return error


def _predefined(model: _Model, settings: Settings) -> list[Voice]:
    wanted = model.wanted
    there: set[str] = set()
    if model.bundle is not None:
        missing: Sequence[str] = ()
        if wanted.name is not None:
            missing = missing_voices(ready_made_directory(settings.data_dir, wanted.name), wanted.voices)
        there = set(wanted.voices) - set(missing)
    rate_hz = wanted.config.mimi.sample_rate
    return listed_voices(wanted.label, wanted.voices, language=wanted.language, rate_hz=rate_hz, there=there)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneOptions:
    """The recording and the voice that is made of it."""

    recording: str
    """A path or an address."""
    name: str
    data_dir: Path
    given_data_dir: Path | None = None
    """For the advice to pass it to ``serve`` as well; None if it was not given."""
    precision: Precision = Precision.INT8
    """Of the service: its model bundle is used."""
    force: bool = False
    """Replace a voice of that name."""
    local_files_only: bool = False
    service_models: Sequence[str] | None = None
    """``models.names`` of the service; None if unknown."""


@app.command()
def clone(
    recording: ClonedArgument,
    *,
    name: VoiceNameOption,
    language: ClonedForOption = None,
    config: ModelConfigOption = None,
    precision: PrecisionOption = None,
    local_files_only: LocalFilesOnlyFlag = False,
    force: ReplaceFlag = False,
    quiet: QuietFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
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
    if not _is_used(what, model):
        tell(f"Note: {_not_used(what, model)}")
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
    """The name in composed form (NFC), as most systems write file names."""
    composed = unicodedata.normalize("NFC", name)
    allowed = all(
        character.isalnum() or character in " -_." or unicodedata.category(character).startswith("M")
        for character in composed
    )
    if not allowed or not composed[:1].isalnum() or composed[-1] in " .":
        raise ConfigError(
            f"--name {quote_untrusted(name)}: a voice's name has letters, digits, spaces, hyphens, underscores and "
            "dots, begins with a letter or a digit, and ends with neither a space nor a dot"
        )
    if len(composed) > LONGEST_NAME:
        raise ConfigError(f"--name {quote_untrusted(name)}: is too long: {LONGEST_NAME} characters at most")
    if len(composed.encode()) > _LONGEST_NAME_BYTES:
        raise ConfigError(f"--name {quote_untrusted(name)}: is too long: {_LONGEST_NAME_BYTES} bytes at most")
    return composed


def _free_path(what: CloneOptions) -> Path:
    """Path of the new voice. Case does not distinguish names, as in clients."""
    folder = what.data_dir / "voices"
    target = folder / f"{checked_name(what.name)}{VOICE_SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(
            f"{error.filename or folder}: {error.strerror or error}: choose another place with --data-dir, or make it"
            " writable"
        ) from error
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
    """The used part of the recording [N] and its rate; gives advice on its quality."""
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
    """Write a temporary file, sync it and rename it, so that the service never sees an incomplete voice."""
    aside = target.with_name(f".{target.name}.partial")
    try:
        write_state(voice, aside)
        sync(aside)
        aside.replace(target)
        sync(target.parent)
    except OSError as error:
        raise VoiceError(f"{target}: the voice cannot be written ({error.strerror or error})") from error
    finally:
        aside.unlink(missing_ok=True)


def _next_steps(what: CloneOptions, model: ModelSelection, target: Path) -> list[str]:
    name = target.stem
    entry = yaml.safe_dump({name: {"from": str(target.resolve())}}, allow_unicode=True, width=1000)
    place = f" with --data-dir {shlex.quote(str(what.given_data_dir))}" if what.given_data_dir else ""
    condition = "" if _is_used(what, model) else " and speaks with that model"
    return [
        f"{what.recording} -> {target}",
        "Try it: " + shlex.join(["wyoming-pocket-tts", "generate", *model.options, "--voice", str(target)]),
        f"A service that runs{place}{condition} takes the voice up by itself, as '{name}'. In its settings:",
        "voices:",
        *(f"  {line}" for line in entry.splitlines()),
    ]


def _is_used(what: CloneOptions, model: ModelSelection) -> bool:
    """Whether the service has the model of the voice, as far as known."""
    return what.service_models is None or _label(model) in map(model_label, what.service_models)


def _not_used(what: CloneOptions, model: ModelSelection) -> str:
    names = what.service_models or ()
    models = "no model (models.names is 'none')" if is_none(names) else ", ".join(map(model_label, names))
    return (
        f"the settings let the service speak with {models}, and so not with this voice, which is for {_label(model)}: "
        "set models.names"
    )


def _label(model: ModelSelection) -> str:
    return model_label(model.config or model.released or "")


@app.command("export-voice")
def export_voice(
    audio: RecordingArgument,
    output: ExportArgument,
    *,
    quiet: QuietFlag = False,
    language: LanguageOption = None,
    config: ModelConfigOption = None,
    no_truncate: NoTruncateFlag = False,
    force: ForceFlag = False,
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
    """Recordings of a folder, and the voice file of each."""
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
