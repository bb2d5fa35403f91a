"""Voice files of one model: released, cloned, styles."""

import hashlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Final

from wyoming_pocket_tts.audio.recordings import read_audio
from wyoming_pocket_tts.core.errors import Cancelled, ModelError, VoiceError, VoiceUnavailable
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.registry import released_model, voice_names, voice_state_source
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import looks_whole
from wyoming_pocket_tts.pocket.voice_state import VoiceState, check_voice_matches_model, read_state, write_state
from wyoming_pocket_tts.pocket.worker_client import Message, Report, WorkerTask, run_task

_LOGGER = logging.getLogger(__name__)


def voice_name(model: str, voice: str) -> str:
    """What clients call a voice of a model. It stays the same whatever else is installed."""
    return f"{model}-{voice}"


def listed_voices(
    model: str, voices: Sequence[str], *, language: str, rate_hz: int, there: set[str], directory: Path | None = None
) -> list[Voice]:
    """Describe the predefined voices of a model, the default one first; ``there`` are those that are installed.

    ``voices`` are names without the model's; ``directory`` holds their files, None before the model is there.
    """
    return [
        Voice(
            name=voice_name(model, voice),
            description=f"{voice.replace('_', ' ').title()} ({model})",
            languages=(language,),
            sample_rate_hz=rate_hz,
            installed=voice in there,
            files={} if directory is None else {"": directory / f"{voice}{VOICE_SUFFIX}"},
            attribution_name="Kyutai, CC-BY-4.0",
        )
        for voice in voices
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomVoice:
    """A voice of the user's own."""

    name: str
    description: str
    styles: Mapping[str, Path]
    """A file for each style, the default one first; copies of ours, which never change."""
    language: str | None = None
    """A tag; None for the model's language."""


class ModelVoices:
    """The voices of one Pocket TTS model: predefined ones, each installed once its file is there, and custom ones.

    ``voices`` are the names of all predefined ones, the default one first; ``directory`` holds ``NAME.safetensors`` of
    those that are there, and others may come at any time. ``on_change`` is called after each change.
    """

    def __init__(
        self,
        *,
        name: str,
        voices: Sequence[str],
        language: str,
        rate_hz: int,
        directory: Path,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._names = tuple(voices)
        self._language = language
        self._rate_hz = rate_hz
        self._directory = directory
        self._on_change = on_change
        self._predefined: tuple[Voice, ...] = ()
        self._custom: tuple[Voice, ...] = ()
        self._listed: tuple[Voice, ...] = ()
        self._lock = Lock()
        self.refresh()

    def refresh(self) -> None:
        with self._lock:  # else an older look could have the last word
            there = {name for name in self._names if looks_whole(self._directory / f"{name}{VOICE_SUFFIX}")}
            self._predefined = tuple(
                listed_voices(
                    self._name,
                    self._names,
                    language=self._language,
                    rate_hz=self._rate_hz,
                    there=there,
                    directory=self._directory,
                )
            )
            self._listed = (*self._predefined, *self._custom)
        self._on_change()

    def set_custom_voices(self, custom: Sequence[CustomVoice]) -> None:
        """List these from now on, in place of those before; requests for one that goes still have its files."""
        with self._lock:
            self._custom = tuple(
                Voice(
                    name=voice.name,
                    description=voice.description,
                    languages=(voice.language or self._language,),
                    sample_rate_hz=self._rate_hz,
                    speakers=tuple(voice.styles) if len(voice.styles) > 1 else (),
                    files=voice.styles,
                )
                for voice in custom
            )
            self._listed = (*self._predefined, *self._custom)
        self._on_change()

    def voices(self) -> Sequence[Voice]:
        """The predefined voices, the default one first, and the custom ones; the same object until they change."""
        return self._listed

    def discard(self, path: Path) -> None:
        """Delete a file that cannot be used. What lies here is ours alone, and can be made again."""
        path.unlink(missing_ok=True)
        self.refresh()
        _LOGGER.warning(
            "%s: the voice is damaged and was deleted; it is brought again, at the latest at the next start", path
        )


_BLOCK_BYTES = 1 << 20
_ABANDONED_SECONDS = 24 * 3600.0


class EncodedVoiceStore:
    """Keeps the encoded voices of one model in ``directory``; cancels when ``stop`` is set."""

    def __init__(self, bundle: ModelBundle, directory: Path, *, stop: Event) -> None:
        self._bundle = bundle
        self._directory = directory
        self._stop = stop

    def take_in(self, file: Path) -> Path:
        """The file, which never changes, of a recording's or exported voice's state; encoded once for the same content.

        Raises ``Cancelled``, and ``VoiceError`` if the file is no voice or of another model.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._clear_leftovers()
            copy = self._directory / f".{secrets.token_hex(8)}{file.suffix.lower()}"
            try:
                kept = self._directory / f"{self._copy(file, copy)}{VOICE_SUFFIX}"
                if not looks_whole(kept):
                    self._make(file, copy, kept)
            finally:
                copy.unlink(missing_ok=True)
        except FileNotFoundError as error:
            raise VoiceUnavailable(f"{file}: is gone") from error
        except OSError as error:
            if isinstance(error, VoiceError):  # some of these are both
                raise
            raise VoiceUnavailable(f"{error.filename or file}: {error.strerror or error}") from error
        return kept

    def _copy(self, file: Path, copy: Path) -> str:
        """Copy the file, which its owner may change at any time; return the hash of what was copied."""
        digest = hashlib.sha256()
        size = 0
        with file.open("rb") as source, copy.open("wb") as target:
            while block := source.read(_BLOCK_BYTES):
                if self._stop.is_set():
                    raise Cancelled("the service is stopping")
                size += len(block)
                if size > LARGEST_BYTES:
                    raise VoiceError(too_large(file))
                digest.update(block)
                target.write(block)
        return digest.hexdigest()

    def _make(self, file: Path, copy: Path, kept: Path) -> None:
        try:
            if not is_exported(copy):
                encode_voice(self._bundle, str(copy), kept, local_files_only=True, stop=self._stop)
                return
            voice = read_state(copy)
            check_voice_matches_model(voice, self._bundle.config, fingerprint=self._bundle.fingerprint, label=str(copy))
            write_state(voice, kept)
        except VoiceError as error:  # about the file that people know
            raise type(error)(str(error).replace(str(copy), str(file))) from error

    def _clear_leftovers(self) -> None:
        for path in self._directory.glob(".*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()


_READY_MADE_ABANDONED_SECONDS = 3600.0

Tell = Callable[[Message], None]


def ready_made_directory(data_dir: Path, model: str) -> Path:
    """The directory of a released model's predefined voices; those of another revision have another one."""
    sources = [voice_state_source(model, voice) for voice in voice_names()]
    revision = hashlib.sha256("\n".join(sources).encode()).hexdigest()[:12]
    return data_dir / "ready-made" / f"{model}-{revision}"


def missing_voices(directory: Path, voices: Sequence[str]) -> list[str]:
    return [voice for voice in voices if not looks_whole(directory / f"{voice}{VOICE_SUFFIX}")]


def download_voices(
    model: str,
    voices: Sequence[str],
    *,
    data_dir: Path,
    local_files_only: bool = False,
    report: Report = lambda _: None,
    stop: Event | None = None,
) -> None:
    """Download those of the voices that are not there; each appears when it is complete.

    Raises ``Cancelled`` when ``stop`` is set, and a ``ModelError`` that names those that failed; the others are there.
    """
    config = released_model(model)
    directory = ready_made_directory(data_dir, model)
    missing = missing_voices(directory, voices)
    if not missing:
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(directory)
    except OSError as error:
        raise ModelError(f"{directory}: {error.strerror or error}: choose another place with --data-dir") from error
    order = _order(model, config, directory, missing, local_files_only=local_files_only)
    run_task(order, report=report, stop=stop or Event())


def _clear_leftovers(directory: Path) -> None:
    """Delete what was left aside by downloads that were killed, which no process still writes to."""
    for path in directory.glob(".*"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - path.stat().st_mtime > _READY_MADE_ABANDONED_SECONDS:
                path.unlink()


def _order(
    model: str, config: ModelConfig, directory: Path, voices: Sequence[str], *, local_files_only: bool
) -> WorkerTask:
    return WorkerTask(
        task="voices",
        directory=directory,
        key="",
        name=model,
        config=config,
        precision=Precision.FP32,
        steps=1,
        voices=tuple(voices),
        local_files_only=local_files_only,
    )


_LONGEST_SECONDS = 300.0
"""For half a minute of speech on the slowest of machines, or for a download."""


def encoded_voice_directory(data_dir: Path, label: str, bundle: ModelBundle) -> Path:
    """Where the voices lie that a model heard. Named by its weights as well: no others can speak with them."""
    return data_dir / "heard" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', label)}-{bundle.fingerprint[:12]}"


def encode_voice(
    bundle: ModelBundle,
    recording: str,
    target: Path,
    *,
    local_files_only: bool = False,
    report: Report = lambda _: None,
    stop: Event | None = None,
) -> None:
    """Encode a recording (a path or an address) into the file ``target`` in the worker process.

    Raises ``Cancelled`` when ``stop`` is set, ``VoiceError`` if the recording or the model cannot be used for that, and
    ``ModelError`` if the download or writing fails.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"{target.parent}: {error.strerror or error}: choose another place with --data-dir") from error
    if not bundle.has_voice_cloning:
        raise VoiceError(
            f"the weights of {bundle.name or 'this model'} cannot hear a recording: accept the terms on the model's "
            "page, log in with `hf auth login` or set HF_TOKEN, and start the service again"
        )
    order = WorkerTask(
        task="hear",
        directory=bundle.directory,
        key=bundle.key,
        name=bundle.name,
        config=bundle.config,
        precision=bundle.precision,
        steps=bundle.steps,
        recording=recording,
        target=target,
        local_files_only=local_files_only,
    )
    limit = _Limit(stop or Event(), time.monotonic() + _LONGEST_SECONDS)
    try:
        run_task(order, report=report, stop=limit)
    except Cancelled:
        if limit.stop.is_set():
            raise
        raise ModelError(f"{recording}: was not heard within {_LONGEST_SECONDS:g} s") from None


class _Limit(Event):
    """Is set when another event is, or when time has run out."""

    def __init__(self, stop: Event, until_seconds: float) -> None:
        super().__init__()
        self.stop = stop
        self._until_seconds = until_seconds

    def is_set(self) -> bool:
        return self.stop.is_set() or time.monotonic() > self._until_seconds


VOICE_SUFFIX = ".safetensors"
"""Of an exported voice, by which its file is known as one."""
DEFAULT = "default"
"""The style that comes first, if a folder has it."""
MOST_STYLES = 20
"""Of a voice; a folder of more recordings is a collection of something else, of which the first count."""
LONGEST_NAME = 64
"""Characters of the name of a voice or style."""

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", VOICE_SUFFIX, ".wav")
"""Of recordings and exported voices, lower-cased."""


def is_voice_file(path: Path) -> bool:
    """Whether a file is a recording or an exported voice that can be a voice of its name."""
    return path.suffix.lower() in SUFFIXES and can_be_name(path.stem) and os.path.isfile(path)  # noqa: PTH113  (it never raises)


def is_exported(path: Path) -> bool:
    return path.suffix.lower() == VOICE_SUFFIX


def can_be_name(name: str) -> bool:
    """Whether people and clients can be shown a name: printable, not hidden, of moderate length."""
    return not name.startswith(".") and name.isprintable() and 0 < len(name) <= LONGEST_NAME and name == name.strip()


def style_files(path: Path) -> dict[str, Path]:
    """The file of each style of a folder, the default one first: ``default`` if there is one, else the first by name.

    A single file has the style ``""``. Nothing if the path cannot be read. Of files that differ in their suffix alone
    an exported voice counts.
    """
    if os.path.isfile(path):  # noqa: PTH113  (it never raises)
        return {"": path}
    try:
        found = sorted(path.iterdir(), key=lambda file: (file.stem.casefold(), not is_exported(file)))
    except OSError:
        return {}
    files: dict[str, Path] = {}
    for file in found:
        if len(files) < MOST_STYLES and is_voice_file(file):
            files.setdefault(file.stem, file)
    return dict(sorted(files.items(), key=lambda style: style[0].casefold() != DEFAULT))


LARGEST_BYTES: Final = 200 << 20
"""Five minutes of music in the best quality have 120 MB; more than this is no recording of a voice."""


def content_of(file: Path) -> VoiceState | None:
    """An exported voice; None for a recording, of which the first 30 s are read. Otherwise a ``VoiceError``."""
    if _size_bytes(file) > LARGEST_BYTES:
        raise VoiceError(too_large(file))
    if is_exported(file):
        return read_state(file)
    read_audio(file, truncate=True)
    return None


def complaint_about(file: Path) -> str:
    """Why a file is no voice for any model, beginning with its path; nothing if it may be one."""
    try:
        content_of(file)
    except VoiceError as error:
        return about(file, str(error))
    return ""


def too_large(file: Path) -> str:
    return f"{file}: is larger than {LARGEST_BYTES >> 20} MB; 10 to 30 s of speech make a voice"


def about(file: Path, reason: str) -> str:
    return reason if str(file) in reason else f"{file}: {reason}"


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # reading it raises a better error
        return 0
