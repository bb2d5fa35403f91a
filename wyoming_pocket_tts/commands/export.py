"""Turns recordings into voice files for Pocket TTS, one or a folder of them. Knows nothing about how models work."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wyoming_pocket_tts.commands.pocket_model import ModelChoice, load
from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.errors import ConfigError, SpeechError, VoiceError
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX

if TYPE_CHECKING:
    from wyoming_pocket_tts.pocket.tts_model import TTSModel

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf"})
"""What a folder is searched for; a single file may be called anything."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
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


def export(what: Export, choice: ModelChoice, *, quiet: bool, tell: Tell, complain: Tell) -> None:
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
    model: "TTSModel", pairs: list[_Pair], what: Export, *, status: StatusLine, tell: Tell, complain: Tell
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
        except SpeechError as error:
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
    from wyoming_pocket_tts.pocket.tts_model import export_model_state  # noqa: PLC0415  (what downloads)

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


def _naming(recording: Path, error: SpeechError) -> str:
    text = str(error)
    return text if recording.name in text else f"{recording}: {text}"


def _how_to_use(voice: Path, choice: ModelChoice) -> str:
    model = (
        f" --language {choice.language}" if choice.language else f" --config {choice.config}" if choice.config else ""
    )
    return f'Use it: wyoming-pocket-tts generate{model} --voice {voice} "Hello."'
