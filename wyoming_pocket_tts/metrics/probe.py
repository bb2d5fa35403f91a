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
        voice: str | None = None,
        reserve: bool = False,
        limit_seconds: float = 10.0,
        fresh_seconds: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who speaks.

        Args:
            workers: the same that speak for clients.
            voice: the name of who is to speak; None, or while that one is not installed: the first who is.
            reserve: take one of the places that are kept beside those for clients. Otherwise their limits hold.
            limit_seconds: time for the word to be spoken, the wait for its turn included.
            fresh_seconds: how long a finding holds.
            now: a clock that counts seconds.
        """
        self._workers = workers
        self._voice = voice
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
        began = self._now()
        try:
            async with asyncio.timeout(self._limit_seconds):
                speaks, text = await self._speak(began)
        except TimeoutError:
            speaks, text = False, f"nothing was spoken within {self._limit_seconds:g} s"
        except SpeechError as error:
            speaks, text = False, f"{error.code}: {error}"
        finally:
            self._asking = None
        self._last = Finding(speaks, text, self._now())
        return self._last

    async def _speak(self, began: float) -> tuple[bool, str]:
        installed = [voice for voice in self._workers.synthesizer.voices() if voice.installed]
        if not installed:
            return False, "no voice is installed"
        voice = next((voice for voice in installed if voice.name == self._voice), installed[0])
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
