"""Readiness probe by synthesis, liveness."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.core.types import SynthesisRequest, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler

_WORD: Final = "OK."
"""Short, and a word in every language that there is a voice for."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Whether the service spoke."""

    speaks: bool
    text: str
    """How it went, for people."""
    found_seconds: float
    """When, on the probe's clock."""


class ReadinessProbe:
    """Asks for speech, one at a time. Belongs to the event loop; ``aclose`` ends what is under way."""

    def __init__(
        self,
        workers: Scheduler,
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
        self._last: ProbeResult | None = None
        self._asking: asyncio.Task[ProbeResult] | None = None

    async def ask(self) -> ProbeResult:
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

    async def _find_out(self) -> ProbeResult:
        try:
            found = ProbeResult(speaks=False, text="no voice is installed", found_seconds=self._now())
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

    async def _hear(self, voice: Voice) -> ProbeResult:
        began = self._now()
        try:
            async with asyncio.timeout(self._limit_seconds):
                speaks, text = await self._speak(voice, began)
        except TimeoutError:
            speaks, text = False, f"{voice.name} said nothing within {self._limit_seconds:g} s"
        except TtsError as error:
            speaks, text = False, f"{error.code}: {error}"
        return ProbeResult(speaks, text, self._now())

    async def _speak(self, voice: Voice, began: float) -> tuple[bool, str]:
        samples, sounds = 0, False
        async with self._workers.stream(SynthesisRequest(text=_WORD, voice=voice), reserve=self._reserve) as blocks:
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


_LOGGER = logging.getLogger(__name__)

QUIET_SECONDS: Final = 600.0
"""So long nothing is asked where nobody wants anything."""
DOUBT_SECONDS: Final = 30.0
"""The same where somebody has asked for speech and nothing is made, or where a word was not spoken."""
FAILURES: Final = 3
"""Words in a row that are not spoken, with nothing made for anybody meanwhile: more than a busy machine's mishap."""

_LOOK_SECONDS: Final = 10.0


class LivenessMonitor:
    """Looks now and then whether anything is spoken. Belongs to the event loop.

    Args:
        workers: speak.
        probe: has a word spoken; closed by ``run``.
        now: a clock that counts seconds.
    """

    def __init__(self, workers: Scheduler, probe: ReadinessProbe, *, now: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._probe = probe
        self._now = now
        self._blocks = 0
        self._sure_at = now()
        self._failures = 0

    @property
    def beats(self) -> bool:
        """Whether speech is possible, as far as is known."""
        return self._failures < FAILURES

    async def run(self) -> None:
        """Look for ever; cancel it to end."""
        try:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                await self.look()
        finally:
            await self._probe.aclose()

    async def look(self) -> None:
        """Look once."""
        if self._is_progress():
            self._is_well()
            return
        in_doubt = self._failures or self._workers.active or self._workers.waiting
        if self._now() - self._sure_at < (DOUBT_SECONDS if in_doubt else QUIET_SECONDS):
            return
        try:
            found = await self._probe.ask()
            speaks, text = found.speaks, found.text
        except Exception as error:  # noqa: BLE001  (whoever ends here looks no more, and finds everything well for ever)
            speaks, text = False, f"{type(error).__name__}, an error of the server's own"
        progressed = self._is_progress()
        if speaks or progressed:
            self._is_well()
        else:
            self._fails(text)

    def _is_progress(self) -> bool:
        before, self._blocks = self._blocks, self._workers.blocks_made
        return self._blocks != before

    def _is_well(self) -> None:
        if not self.beats:
            _LOGGER.info("There is speech again")
        self._failures, self._sure_at = 0, self._now()

    def _fails(self, text: str) -> None:
        self._failures, self._sure_at = self._failures + 1, self._now()
        _LOGGER.warning("Nothing is spoken for anybody, and a word was not either: %s", text)
        if self._failures == FAILURES:
            _LOGGER.error("Speech is not possible: %d words in a row were not spoken", FAILURES)
