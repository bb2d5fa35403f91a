"""Voices of the user's own as one model can speak with them: taken in once, kept by what their files hold.

Knows nothing about who drops files or asks for voices. What is kept is a file of ours: whatever becomes of the user's,
a voice that is spoken with stays as it is.
"""

import hashlib
import secrets
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

from wyoming_pocket_tts.errors import Cancelled, VoiceError, VoiceOutOfReach
from wyoming_pocket_tts.pocket.fit import check_voice
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.heard import hear
from wyoming_pocket_tts.voices.contents import LARGEST_BYTES, too_large
from wyoming_pocket_tts.voices.state import read_state, write_state
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX, is_exported
from wyoming_pocket_tts.voices.tensor_file import looks_whole

_BLOCK_BYTES = 1 << 20
_ABANDONED_SECONDS = 24 * 3600.0


class Shelf:
    """Keeps the voices of one model.

    Args:
        bundle: the model.
        directory: where they are kept; made when it is needed.
        stop: gives up what is under way when it is set.
    """

    def __init__(self, bundle: Bundle, directory: Path, *, stop: Event) -> None:
        self._bundle = bundle
        self._directory = directory
        self._stop = stop

    def take_in(self, file: Path) -> Path:
        """Make a voice of a recording or an exported voice, unless one was made of the same content before.

        Returns:
            The voice's file. It is never changed.

        Raises:
            Cancelled: the event was set.
            VoiceError: the file is no voice, or of another model.
            SpeechError: it cannot be taken in now.
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
            raise VoiceOutOfReach(f"{file}: is gone") from error
        except OSError as error:
            if isinstance(error, VoiceError):  # some of these are both
                raise
            raise VoiceOutOfReach(f"{error.filename or file}: {error.strerror or error}") from error
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
                hear(self._bundle, str(copy), kept, local_files_only=True, stop=self._stop)
                return
            voice = read_state(copy)
            check_voice(voice, self._bundle.config, fingerprint=self._bundle.fingerprint, label=str(copy))
            write_state(voice, kept)
        except VoiceError as error:  # about the file that people know
            raise type(error)(str(error).replace(str(copy), str(file))) from error

    def _clear_leftovers(self) -> None:
        """Delete copies that were left when a process was killed."""
        for path in self._directory.glob(".*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
