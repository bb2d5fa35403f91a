"""Looks whether a sentence comes back as sound, through a socket: from a running service, or from one made for it."""

import asyncio
from array import array
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from wyoming_pocket_tts.client import Timing, say
from wyoming_pocket_tts.commands.doctor.cures import LOG, cure_of
from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.serving.server import Server
from wyoming_pocket_tts.speech import Synthesizer
from wyoming_pocket_tts.wav import Format

_TEXT = "This is a test of the voice."
_QUIETEST_PEAK = 300
"""Of 32768: below this nobody hears anything."""
_SHORTEST_SECONDS = 0.4
_LATEST_FIRST_SECONDS = 2.0
_LIMIT_SECONDS = 30.0
_HOSTNAME = "tcp://127.0.0.1:0"
_LOOPBACK = "this machine cannot reach itself at 127.0.0.1: 'sudo ip link set lo up', and look at the firewall"


@dataclass
class _Heard:
    """What came."""

    samples: "array[int]" = field(default_factory=lambda: array("h"))
    width_bytes: int = 0

    def take(self, audio: bytes, form: Format) -> None:
        self.width_bytes = form.width_bytes
        if form.width_bytes == self.samples.itemsize:
            self.samples.frombytes(audio[: len(audio) // 2 * 2])

    @property
    def peak(self) -> int:
        return max(map(abs, self.samples), default=0)


@dataclass(frozen=True)
class Speech:
    """Whether somebody speaks."""

    title: ClassVar[str] = "speech"
    limit_seconds: ClassVar[float] = 60.0
    running: str | None
    """Where the service runs; None to try the embedded voice at an address of its own."""
    load_embedded: Callable[[], Synthesizer]
    waiting_seconds: float = _LIMIT_SECONDS

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        where = self.running or "a service of its own with the embedded voice"
        heard = _Heard()
        try:
            timing = asyncio.run(self._speak(heard))
        except TimeoutError:
            yield problem(f"{where} does not finish a short sentence within {self.waiting_seconds:g} s", _advice(where))
            return
        except (SpeechError, ValueError, KeyError, TypeError) as error:  # the last three: an answer that is none
            unreachable = isinstance(error.__cause__, OSError) and self.running is None
            cure = _LOOPBACK if unreachable else _cure(error, where)
            yield problem(str(error) if where in str(error) else f"{where}: {error}", cure)
            return
        yield _judged(timing, heard, where)

    async def _speak(self, heard: _Heard) -> Timing:
        async with asyncio.timeout(self.waiting_seconds):
            if self.running is not None:
                return await say(self.running, _words(), voice=None, sink=heard.take)
            async with _own_service(self.load_embedded) as uri:
                return await say(uri, _words(), voice=None, sink=heard.take)


@asynccontextmanager
async def _own_service(load: Callable[[], Synthesizer]) -> AsyncIterator[str]:
    synthesizer = await asyncio.to_thread(load)
    async with Workers(synthesizer) as workers:
        server = Server(workers, uris=[_HOSTNAME])
        await server.start()
        try:
            yield server.addresses[0]
        finally:
            await server.aclose(deadline_seconds=0)


async def _words() -> AsyncIterator[str]:
    yield _TEXT


def _judged(timing: Timing, heard: _Heard, where: str) -> Finding:
    first = timing.first_audio_seconds
    if first is None or timing.audio_seconds < _SHORTEST_SECONDS:
        return problem(f"{where} answers a sentence with {timing.audio_seconds:.2f} s of audio", _advice(where))
    if heard.width_bytes == heard.samples.itemsize and heard.peak < _QUIETEST_PEAK:
        return problem(f"{where} answers a sentence with silence", _advice(where))
    text = f"{where}: {timing.audio_seconds:.1f} s of speech, the first after {first * 1000:.0f} ms"
    if timing.total_seconds > timing.audio_seconds or first > _LATEST_FIRST_SECONDS:
        return warning(
            f"{text}, all after {timing.total_seconds:.1f} s: too slow to be listened to",
            "look what keeps the machine busy; 'wyoming-pocket-tts benchmark' tells which model it carries",
        )
    return ok(text)


def _cure(error: Exception, where: str) -> str:
    return cure_of(error, otherwise=_advice(where)) if isinstance(error, SpeechError) else _advice(where)


def _advice(where: str) -> str:
    if "://" in where:
        return f"look at the service's log ({LOG}), then restart it"
    return "install the program anew; if that does not help, please report this"
