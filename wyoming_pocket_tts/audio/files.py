"""WAV writer for files and pipes, playback through an installed player."""

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.core.system import atomic_path

_UNKNOWN_LENGTH_BYTES = 0x7FFF_F000
"""Stands in the header while the length is not known; players then read to the end of the pipe."""
_RIFF_OVERHEAD_BYTES = 36


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Layout of samples: signed little-endian integers."""

    rate_hz: int
    width_bytes: int = 2
    channels: int = 1

    @property
    def bytes_per_second(self) -> int:
        return self.rate_hz * self.width_bytes * self.channels


_PLAYERS: dict[str, Callable[[AudioFormat], list[str]]] = {
    "aplay": lambda audio: ["-q", "-t", "raw", "-f", "S16_LE", f"-r{audio.rate_hz}", f"-c{audio.channels}", "-"],
    "paplay": lambda audio: ["--raw", "--format=s16le", f"--rate={audio.rate_hz}", f"--channels={audio.channels}"],
    "ffplay": lambda audio: f"-nodisp -autoexit -loglevel error -f s16le -ar {audio.rate_hz} -".split(),
}


class WavWriter:
    """Writes to a binary file that it does not close; the first audio decides the format."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._can_rewrite_header = file.seekable() and file.tell() == 0
        self._format: AudioFormat | None = None
        self._data_bytes = 0

    def write(self, audio: bytes, audio_format: AudioFormat) -> None:
        """Raises ``TtsError`` if the format changed within one file."""
        if self._format is None:
            self._format = audio_format
            self._file.write(_header(audio_format, _UNKNOWN_LENGTH_BYTES))
        elif audio_format != self._format:
            raise TtsError(f"the audio changed from {self._format} to {audio_format}; one WAV file cannot hold both")
        self._file.write(audio)
        self._file.flush()
        self._data_bytes += len(audio)

    @property
    def seconds(self) -> float:
        return self._data_bytes / self._format.bytes_per_second if self._format else 0.0

    def finish(self, if_empty: AudioFormat) -> None:
        """Write the real length if the file is seekable; a file without audio gets a header of format ``if_empty``."""
        if self._format is None:
            self._file.write(_header(if_empty, 0))
        elif self._can_rewrite_header:
            self._file.seek(0)
            self._file.write(_header(self._format, self._data_bytes))
            self._file.seek(0, os.SEEK_END)
        self._file.flush()


@contextmanager
def open_wav(name: str) -> Iterator[WavWriter]:
    """Open a WAV file, ``-`` for standard output; it gets its name only when it is complete. Raises ``TtsError``."""
    path = Path(name)
    try:
        if name == "-":
            yield WavWriter(sys.stdout.buffer)
            return
        if path.exists() and not path.is_file():  # a pipe or a device: nothing to replace
            with path.open("wb") as file:
                yield WavWriter(file)
            return
        with atomic_path(path, durable=False) as aside, aside.open("xb") as file:
            yield WavWriter(file)
    except OSError as error:
        where = "standard output" if name == "-" else name
        raise TtsError(f"cannot write {where}: {error.strerror or error}") from error


def _header(audio: AudioFormat, data_bytes: int) -> bytes:
    block_bytes = audio.width_bytes * audio.channels
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", _RIFF_OVERHEAD_BYTES + data_bytes, b"WAVE"),
        *(b"fmt ", 16, 1, audio.channels, audio.rate_hz, audio.bytes_per_second, block_bytes, 8 * audio.width_bytes),
        *(b"data", data_bytes),
    )


class AudioPlayer:
    """Plays samples as they arrive, through a program that starts with the first of them."""

    def __init__(self, name: str, program: str) -> None:
        self._name = name
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, audio: bytes, audio_format: AudioFormat) -> None:
        """Append samples; blocks while the program's buffer is full."""
        if self._process is None:
            command = [self._program, *_PLAYERS[self._name](audio_format)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603  (a fixed list of programs)
        assert self._process.stdin is not None  # noqa: S101  (it was asked for)
        try:
            self._process.stdin.write(audio)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise TtsError(f"{self._name} ended too early; --output FILE writes a WAV file instead") from error

    def close(self) -> None:
        if self._process is None:
            return
        self._process.communicate()
        if self._process.returncode:
            raise TtsError(f"{self._name} failed (exit code {self._process.returncode}); --output FILE writes a WAV")


@contextmanager
def open_player() -> Iterator[AudioPlayer]:
    """Start playback through the first installed program; leaving the block waits until everything is played."""
    name, program = next(((name, found) for name in _PLAYERS if (found := shutil.which(name))), ("", ""))
    if not program:
        raise TtsError(f"nothing here plays sound ({', '.join(_PLAYERS)}); --output FILE writes a WAV file instead")
    player = AudioPlayer(name, program)
    try:
        yield player
    finally:
        player.close()
