"""Finds out whether the service speaks, by having it speak: a word, through the same workers as everybody's texts.

Asking is cheap however often it is done: an answer holds for some seconds, and whoever asks while one is being found
gets the same one. Knows nothing about HTTP.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.speech import Request, Voice

_WORD: Final = "OK."
"""Short, and a word in every language that there is a voice for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether the service spoke."""

    speaks: bool
    text: str
    """How it went, for people."""
    found_seconds: float
    """When, on the probe's clock."""


class Probe:
    """Asks for speech, one at a time. Belongs to the event loop; ``aclose`` ends what is under way."""

    def __init__(
        self,
        workers: Workers,
        *,
        otherwise: str | None = None,
        reserve: bool = False,
        limit_seconds: float = 10.0,
        fresh_seconds: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who speaks.

        Args:
            workers: the same that speak for clients.
            otherwise: the name of who speaks where the default voice, which is asked first, does not; None for nobody.
            reserve: take one of the places that are kept beside those for clients. Otherwise their limits hold.
            limit_seconds: time for each of them to speak the word, the wait for its turn included.
            fresh_seconds: how long a finding holds.
            now: a clock that counts seconds.
        """
        self._workers = workers
        self._otherwise = otherwise
        self._reserve = reserve
        self._limit_seconds = limit_seconds
        self._fresh_seconds = fresh_seconds
        self._now = now
        self._last: Finding | None = None
        self._asking: asyncio.Task[Finding] | None = None

    async def ask(self) -> Finding:
        """Return what was found last, if that was just now, or else find out."""
        if self._last is not None and self._now() - self._last.found_seconds < self._fresh_seconds:
            return self._last
        if self._asking is None:
            self._asking = asyncio.create_task(self._find_out(), name="readiness")
        return await asyncio.shield(self._asking)  # one who leaves does not take the answer from the others

    async def aclose(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def _find_out(self) -> Finding:
        try:
            found = Finding(speaks=False, text="no voice is installed", found_seconds=self._now())
            for voice in self._those_to_ask():
                found = await self._hear(voice)
                if found.speaks:
                    break
        finally:
            self._asking = None
        self._last = found
        return found

    def _those_to_ask(self) -> list[Voice]:
        installed = [voice for voice in self._workers.synthesizer.voices() if voice.installed]
        return [*installed[:1], *(voice for voice in installed[1:] if voice.name == self._otherwise)]

    async def _hear(self, voice: Voice) -> Finding:
        began = self._now()
        try:
            async with asyncio.timeout(self._limit_seconds):
                speaks, text = await self._speak(voice, began)
        except TimeoutError:
            speaks, text = False, f"{voice.name} said nothing within {self._limit_seconds:g} s"
        except SpeechError as error:
            speaks, text = False, f"{error.code}: {error}"
        return Finding(speaks, text, self._now())

    async def _speak(self, voice: Voice, began: float) -> tuple[bool, str]:
        samples, sounds = 0, False
        async with self._workers.stream(Request(text=_WORD, voice=voice), reserve=self._reserve) as blocks:
            async for block in blocks:
                samples += block.size
                sounds = sounds or bool(block.any())
        return sounds, self._described(voice, samples, sounds=sounds, took_seconds=self._now() - began)

    @staticmethod
    def _described(voice: Voice, samples: int, *, sounds: bool, took_seconds: float) -> str:
        if not samples:
            return f"{voice.name} said nothing"
        made = f"{samples / voice.sample_rate_hz:.2f} s of {'speech' if sounds else 'silence'}"
        return f"{voice.name} made {made} in {took_seconds:.2f} s"
