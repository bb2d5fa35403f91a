"""Plays audio through whatever program this machine has for it. Knows nothing about where the audio comes from."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.wav import Format

_PLAYERS: dict[str, Callable[[Format], list[str]]] = {
    "aplay": lambda audio: ["-q", "-t", "raw", "-f", "S16_LE", f"-r{audio.rate_hz}", f"-c{audio.channels}", "-"],
    "paplay": lambda audio: ["--raw", "--format=s16le", f"--rate={audio.rate_hz}", f"--channels={audio.channels}"],
    "ffplay": lambda audio: [
        "-nodisp",
        "-autoexit",
        "-loglevel",
        "error",
        "-f",
        "s16le",
        "-ar",
        str(audio.rate_hz),
        "-",
    ],
}


class Player:
    """Plays samples as they come. Leaving ``open_player`` waits until the last one is heard."""

    def __init__(self, name: str, program: str) -> None:
        self._name = name
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, audio: bytes, audio_format: Format) -> None:
        """Play samples after those before; blocks while the program has enough of them.

        Raises:
            SpeechError: the program cannot play them.
        """
        if self._process is None:
            command = [self._program, *_PLAYERS[self._name](audio_format)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603  (a fixed list of programs)
        assert self._process.stdin is not None  # noqa: S101  (it was asked for)
        try:
            self._process.stdin.write(audio)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise SpeechError(f"{self._name} gave up; --output FILE writes a WAV file instead") from error

    def close(self) -> None:
        """End the input and wait for the program.

        Raises:
            SpeechError: the program failed.
        """
        if self._process is None:
            return
        self._process.communicate()
        if self._process.returncode:
            raise SpeechError(f"{self._name} failed (exit code {self._process.returncode}); --output FILE writes a WAV")


@contextmanager
def open_player() -> Iterator[Player]:
    """Find a program that plays, and close it at the end.

    Raises:
        SpeechError: there is none.
    """
    for name in _PLAYERS:
        if program := shutil.which(name):
            player = Player(name, program)
            break
    else:
        raise SpeechError(f"nothing here plays sound ({', '.join(_PLAYERS)}); --output FILE writes a WAV file instead")
    try:
        yield player
    finally:
        player.close()
