"""Voices, clone, export-voice."""

import shlex
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wyoming_pocket_tts.audio.recordings import TRUNCATED_SECONDS, QualityIssueKind, assess, read_audio, resample
from wyoming_pocket_tts.cli.model_choice import ModelSelection, load
from wyoming_pocket_tts.cli.progress import ProgressDisplay, StatusLine
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError, DownloadError, TtsError, VoiceError, quote_untrusted
from wyoming_pocket_tts.core.system import sync
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import find_model, open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.model_spec import NONE, ModelSpec, is_config, model_label, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted, find_converted
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
from wyoming_pocket_tts.voices.library import RejectedVoice, accepted, speakers_of, user_voices
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, owner_of, resolve_voices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class VoiceListing:
    """Everybody, and a line for each thing that keeps somebody from speaking."""

    voices: list[Voice]
    problems: list[str]


def listing(settings: Settings, *, embedded: Sequence[Voice]) -> VoiceListing:
    """Find everybody that a service with these settings would list.

    Raises:
        ConfigError: the settings name a model that there is not.
    """
    wanted = model_specs(settings.models.names, languages=settings.models.languages)
    models = [_Model(model, _bundle(model, settings)) for model in wanted]
    labels = [model.label for model in wanted]
    found = list(user_voices(settings.data_dir, labels))
    casting = resolve_voices(
        settings, embedded=[voice.name for voice in embedded], dropped=[each.name for each in found]
    )
    ready_made = [voice for model in models for voice in _ready_made(model, settings)]
    problems: list[str] = []
    taken = {*casting.names(), *(voice.name for voice in (*ready_made, *embedded))}
    of_settings = [source.path for source in casting.sources() if source.path is not None]
    voices = ready_made
    for each in accepted(found, labels=labels, taken=taken, elsewhere=of_settings):
        if isinstance(each, RejectedVoice) or not models:
            why = each.reason if isinstance(each, RejectedVoice) else "no model can speak it: models.names is 'none'"
            problems.append(f"{each.origin}: {why}")
        else:
            may_speak = speakers_of(each, labels)
            speakers = [model for model in models if model.wanted.label in may_speak]
            voices.append(_own(each.name, each.styles, speakers, problems))
    voices += _of_settings(casting, models, problems)
    return VoiceListing(casting.cast(lambda: [*voices, *embedded]).voices(), problems)


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that the service is to speak with."""

    wanted: ModelSpec
    bundle: ModelBundle | None
    """The converted model; None while it is not here."""

    def check(self, voice: VoiceState, file: Path) -> None:
        """Raise ``VoiceError`` for an exported voice of another model, as far as this one is known."""
        fingerprint = None if self.bundle is None else self.bundle.fingerprint
        check_voice_matches_model(voice, self.wanted.config, fingerprint=fingerprint, label=str(file))


def _of_settings(casting: ResolvedVoices, models: Sequence[_Model], problems: list[str]) -> Iterator[Voice]:
    """The voices that the service would make for those of the settings."""
    for source in casting.sources():
        model = next((model for model in models if model.wanted.label == source.model), None)
        if source.path is not None and model is not None:
            files = style_files(source.path)
            if not files:
                problems.append(f"voices.{source.name}: {source.path}: there is no recording")
            yield _own(source.voice_name, files, [model], problems)


def _own(name: str, files: Mapping[str, Path], candidates: Sequence[_Model], problems: list[str]) -> Voice:
    """A voice by the first model that can speak one of its styles, or else the last; what is wrong is noted."""
    contents = {style: _content(file) for style, file in files.items()}
    for model in candidates:
        complaints = {style: _complaint(content, files[style], model) for style, content in contents.items()}
        styles = tuple(style for style, complaint in complaints.items() if not complaint)
        if styles:
            break
    problems += filter(None, complaints.values())
    shown = styles or tuple(files)
    return Voice(
        name=name,
        description=f"{name} ({model.wanted.label})",
        languages=(model.wanted.language,),
        sample_rate_hz=model.wanted.config.mimi.sample_rate,
        speakers=shown if len(shown) > 1 else (),
        installed=bool(styles) and model.bundle is not None,
    )


def _content(file: Path) -> VoiceState | VoiceError | None:
    """An exported voice, or why the file cannot be read; None for a recording."""
    try:
        return content_of(file)
    except VoiceError as error:
        return error


def _complaint(content: VoiceState | VoiceError | None, file: Path, model: _Model) -> str:
    """Why a model cannot speak with a file; nothing if it can."""
    if isinstance(content, VoiceError):
        return about(file, str(content))
    if content is not None:
        try:
            model.check(content, file)
        except VoiceError as error:
            return str(error)
    return ""


def _bundle(model: ModelSpec, settings: Settings) -> ModelBundle | None:
    precision = Precision(settings.models.precision)
    return find_converted(model.name, model.config, data_dir=settings.data_dir, precision=precision)


def _ready_made(model: _Model, settings: Settings) -> list[Voice]:
    there: set[str] = set()
    wanted = model.wanted
    if model.bundle is not None:
        missing: Sequence[str] = ()
        if wanted.name is not None:
            missing = missing_voices(ready_made_directory(settings.data_dir, wanted.name), wanted.voices)
        there = set(wanted.voices) - set(missing)
    rate_hz = wanted.config.mimi.sample_rate
    return listed_voices(wanted.label, wanted.voices, language=wanted.language, rate_hz=rate_hz, there=there)


CONSENT_NOTE: Final = "A voice belongs to the person who speaks with it: clone only voices whose speaker agreed."

_NOTE_SHOWN: Final = "consent-note-shown.txt"
_LONGEST_NAME_BYTES: Final = 200
"""A file's name may have 255, and a suffix comes behind it."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneOptions:
    """What is to be cloned, and how.

    Attributes:
        recording: a path or an address.
        name: what the voice is to be called.
        data_dir: where the service keeps its data; voices lie below it, in ``voices``.
        given_data_dir: what somebody said about that, to be said to ``serve`` as well; None for nothing.
        precision: what the service computes in, whose converted model is used.
        force: replace a voice of that name.
        local_files_only: download nothing.
        service_models: the models that the service speaks with, as its settings name them; None if nobody knows.
    """

    recording: str
    name: str
    data_dir: Path
    given_data_dir: Path | None = None
    precision: Precision = Precision.INT8
    force: bool = False
    local_files_only: bool = False
    service_models: Sequence[str] | None = None


def clone(what: CloneOptions, choice: ModelSelection, *, quiet: bool, tell: Tell) -> None:
    """Make a voice of a recording and put it where the service finds it. It appears when it is complete.

    Args:
        what: the recording, and what becomes of it.
        choice: the model that the voice is for; nothing but which one it is counts.
        quiet: show no progress.
        tell: is given lines for people: advice, and what to do next.

    Raises:
        ConfigError: the name will not do or is taken, there is no such model, or the data cannot be written.
        VoiceError: the recording cannot be used, or the weights cannot hear.
        ModelError: the model cannot be had or used.
    """
    target = _free_place(what)
    _show_consent_note(what.data_dir, quiet=quiet, tell=tell)
    if not _is_heard(what, choice):
        tell(f"Note: {_not_heard(what, choice)}")
    samples, rate_hz = _recording(what, tell)
    with StatusLine(quiet=quiet) as status:
        display = ProgressDisplay(str(choice.config or choice.released), status, (lambda _: None) if quiet else tell)
        model = _model(what, choice, display)
        status.show(f"Listening to {what.recording} ...")
        voice = model.get_state_for_audio_prompt(resample(samples, rate_hz, model.sample_rate)[None])  # type: ignore[arg-type]  # an array
        _keep(voice, target)
    for line in _next_steps(what, choice, target):
        tell(line)


def model_of_service(choice: ModelSelection, names: Sequence[str]) -> ModelSelection:
    """What was chosen; where nothing was, the first model that the service speaks with, or else the default one."""
    if choice.language is not None or choice.config is not None or _is_none(names):
        return choice
    return replace(choice, config=names[0]) if is_config(names[0]) else replace(choice, language=names[0])


def check_name_is_free(name: str, settings: "Settings", *, embedded: Collection[str]) -> None:
    """Make sure that a voice of this name would be one of the service's.

    Args:
        name: what the voice is to be called.
        settings: the service's.
        embedded: names of the embedded voices.

    Raises:
        ConfigError: somebody else is called so; the service would pass the voice over.
    """
    owner = owner_of(checked_name(name), settings, embedded=embedded)
    if owner:
        raise ConfigError(f"--name {quote_untrusted(name)}: is the name of {owner} already: choose another name")


def checked_name(name: str) -> str:
    """Give the name as a file can have it, composed as most systems write it.

    Raises:
        ConfigError: it is no name of a voice.
    """
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


def _free_place(what: CloneOptions) -> Path:
    """Where the voice will lie; clients do not tell upper case from lower, so neither does this."""
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
        elif _voice_of(path).casefold() == _voice_of(target).casefold():
            raise ConfigError(f"{path}: would be the same voice: choose another name, or remove it")
    return target


def _voice_of(path: Path) -> str:
    """How the voice is called that lies there."""
    return unicodedata.normalize("NFC", path.name if path.is_dir() else path.stem)


def _show_consent_note(data_dir: Path, *, quiet: bool, tell: Tell) -> None:
    """Once for each data directory; who wants to be told nothing is told next time."""
    shown_before = data_dir / _NOTE_SHOWN
    if quiet or shown_before.exists():
        return
    tell(CONSENT_NOTE)
    try:
        shown_before.write_text(f"{CONSENT_NOTE}\nShown by 'wyoming-pocket-tts clone'.\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{shown_before}: {error.strerror or error}: choose another place with --data-dir") from error


def _recording(what: CloneOptions, tell: Tell) -> "tuple[NDArray[np.float32], int]":
    """What is used of the recording [N], and its rate; say what would make the voice worse."""
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


def _model(what: CloneOptions, choice: ModelSelection, display: ProgressDisplay) -> TTSModel:
    """The model as the service has it, converted first if it has not been."""
    name, config = find_model(choice.language, choice.config)
    here = find_converted(name, config, data_dir=what.data_dir, precision=what.precision)
    if here and not here.has_voice_cloning and config.weights_path and not what.local_files_only:
        with suppress(DownloadError):  # perhaps the terms have been accepted since; if not, the model says what to do
            fetch(config.weights_path)
    bundle = ensure_converted(
        name,
        config,
        data_dir=what.data_dir,
        precision=what.precision,
        local_files_only=what.local_files_only,
        report=display,
    )
    return TTSModel(open_for_onnx(bundle))


def _keep(voice: VoiceState, target: Path) -> None:
    """Write the voice beside its place, bring it to the disk, and rename it: the service never sees half of one."""
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


def _next_steps(what: CloneOptions, choice: ModelSelection, target: Path) -> list[str]:
    import yaml  # noqa: PLC0415  (for one line)

    model = ["--language", choice.language] if choice.language else ["--config", choice.config] if choice.config else []
    name = target.stem
    entry = yaml.safe_dump({name: {"from": str(target.resolve())}}, allow_unicode=True, width=1000)
    place = f" with --data-dir {shlex.quote(str(what.given_data_dir))}" if what.given_data_dir else ""
    if _is_heard(what, choice):
        taken_up = f"A service that runs{place} takes the voice up by itself, as '{name}'."
    else:
        taken_up = f"A service that runs{place} and speaks with that model takes the voice up by itself, as '{name}'."
    return [
        f"{what.recording} -> {target}",
        "Try it: " + shlex.join(["wyoming-pocket-tts", "generate", *model, "--voice", str(target)]),
        f"{taken_up} To say how it speaks, in its settings:",
        "voices:",
        *(f"  {line}" for line in entry.splitlines()),
    ]


def _is_heard(what: CloneOptions, choice: ModelSelection) -> bool:
    """Whether the service speaks with the model that the voice is for, as far as anybody knows."""
    return what.service_models is None or _label(choice) in map(model_label, what.service_models)


def _not_heard(what: CloneOptions, choice: ModelSelection) -> str:
    model, names = _label(choice), what.service_models or ()
    spoken = (
        "speak with no model (models.names is 'none')"
        if _is_none(names)
        else f"speak with {', '.join(map(model_label, names))}"
    )
    return f"the settings let the service {spoken}, and so not with this voice, which is for {model}: set models.names"


def _label(choice: ModelSelection) -> str:
    return model_label(choice.config or choice.released or "")


def _is_none(names: Sequence[str]) -> bool:
    return [name.lower() for name in names] == [NONE]


AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"})
"""What a folder is searched for; a single file may be called anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is to be exported, and how.

    Attributes:
        source: a recording as path or address, or a folder.
        target: the voice's file; for a folder, a folder.
        truncate: use the first 30 s only.
        force: make the voices of a folder anew that are there already.
    """

    source: str
    target: Path
    truncate: bool = True
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Pair:
    """A recording and the voice that it becomes."""

    recording: Path
    voice: Path


@dataclass(slots=True)
class _Tally:
    """What became of a folder's recordings."""

    exported: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    failed: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [(self.exported, "exported"), (self.kept, "kept (newer than the recording)"), (self.failed, "failed")]
        return ", ".join(f"{len(paths)} {what}" for paths, what in parts if paths)


def export(what: ExportOptions, choice: ModelSelection, *, quiet: bool, tell: Tell, complain: Tell) -> None:
    """Export a voice, or one for each recording of a folder. Files appear when they are complete.

    Args:
        what: from where to where.
        choice: the model that the voices are for; they belong to its weights.
        quiet: show no progress.
        tell: is given lines for people as things are done.
        complain: is given lines about recordings that cannot be used, while the others go on.

    Raises:
        ConfigError: source and target do not fit together.
        SpeechError: the model or the recording cannot be used; of a folder, at least one recording.
    """
    if Path(what.source).is_dir():
        pairs = _pairs(Path(what.source), what.target)
        with StatusLine(quiet=quiet) as status:
            status.show("Loading the model ...")
            model = load(choice, quiet=quiet, exact=True)
            tally = _export_folder(model, pairs, what, status=status, tell=tell, complain=complain)
        example = next(iter([*tally.exported, *tally.kept]), None)
        tell(f"{what.target}: {tally}")
        if example is not None:
            tell(_how_to_use(example, choice))
        if tally.failed:
            raise VoiceError(f"{len(tally.failed)} of {len(pairs)} recordings could not be exported")
        return
    voice = _single_target(what.source, what.target)
    with StatusLine(quiet=quiet) as status:
        status.show("Loading the model ...")
        model = load(choice, quiet=quiet, exact=True)
        status.show(f"Listening to {what.source} ...")
        _export_one(model, what.source, voice, truncate=what.truncate)
    tell(f"{what.source} -> {voice}")
    tell(_how_to_use(voice, choice))


def _export_folder(
    model: "TTSModel", pairs: list[_Pair], what: ExportOptions, *, status: StatusLine, tell: Tell, complain: Tell
) -> _Tally:
    tally = _Tally()
    for number, pair in enumerate(pairs, 1):
        place = f"[{number}/{len(pairs)}]"
        status.show(f"{place} Listening to {pair.recording.name} ...")
        try:
            if not what.force and _is_current(model, pair):
                tally.kept.append(pair.voice)
                continue
            _export_one(model, str(pair.recording), pair.voice, truncate=what.truncate)
        except TtsError as error:
            if not model.has_voice_cloning:  # none of them will do
                raise
            tally.failed.append(pair.recording)
            status.show("")
            complain(f"{place} {_naming(pair.recording, error)}")
        else:
            tally.exported.append(pair.voice)
            status.show("")
            tell(f"{place} {pair.recording.name} -> {pair.voice}")
    return tally


def _export_one(model: "TTSModel", source: str, voice: Path, *, truncate: bool) -> None:
    from wyoming_pocket_tts.pocket.model import export_model_state  # noqa: PLC0415  (what downloads)

    state = model.get_state_for_audio_prompt(source, truncate=truncate)
    export_model_state(state, voice)


def _is_current(model: "TTSModel", pair: _Pair) -> bool:
    """Tell whether the voice is there, newer than its recording, and made with these weights."""
    try:
        if pair.voice.stat().st_mtime_ns < pair.recording.stat().st_mtime_ns:
            return False
        model.get_state_for_audio_prompt(pair.voice)
    except (OSError, VoiceError):
        return False
    return True


def _pairs(folder: Path, target: Path) -> list[_Pair]:
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
    return [_Pair(path, target / f"{name}{VOICE_SUFFIX}") for name, path in sources.items()]


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


def _naming(recording: Path, error: TtsError) -> str:
    text = str(error)
    return text if recording.name in text else f"{recording}: {text}"


def _how_to_use(voice: Path, choice: ModelSelection) -> str:
    model = (
        f" --language {choice.language}" if choice.language else f" --config {choice.config}" if choice.config else ""
    )
    return f'Use it: wyoming-pocket-tts generate{model} --voice {voice} "Hello."'
