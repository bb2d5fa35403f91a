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

_LOGGER = logging.getLogger(__name__)

QUIET_SECONDS: Final = 600.0
"""How often a word is synthesised while there are no requests."""
DOUBT_SECONDS: Final = 30.0
"""The same while requests make no progress, or after a word failed."""
MAX_FAILURES: Final = 3
"""Words in a row that fail with no progress in between: more than a busy machine's mishap."""

_POLL_SECONDS: Final = 10.0
_WORD: Final = "OK."
"""Short, and a word in every language that has a voice."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    speaks: bool
    text: str
    """For people."""
    found_at: float
    """On the probe's clock."""


class ReadinessProbe:
    """Synthesises a word through the same workers as requests, one probe at a time. Belongs to the event loop.

    A result holds for ``fresh_seconds``, and callers that come while a probe runs get the same one, so asking is cheap.
    """

    def __init__(
        self,
        workers: Scheduler,
        *,
        fallback: str | None = None,
        reserve: bool = False,
        limit_seconds: float = 10.0,
        fresh_seconds: float = 5.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fallback`` names a voice to try if the default one fails; ``limit_seconds`` is for each, queue included.

        ``reserve`` takes one of the places that are kept beside those for clients; otherwise their limits hold.
        """
        self._workers = workers
        self._fallback = fallback
        self._reserve = reserve
        self._limit_seconds = limit_seconds
        self._fresh_seconds = fresh_seconds
        self._now = now
        self._last: ProbeResult | None = None
        self._running: asyncio.Task[ProbeResult] | None = None

    async def run(self) -> ProbeResult:
        """Return the last result if it is fresh, or a new one."""
        if self._last is not None and self._now() - self._last.found_at < self._fresh_seconds:
            return self._last
        if self._running is None:
            self._running = asyncio.create_task(self._probe(), name="readiness")
        return await asyncio.shield(self._running)  # a caller that is cancelled does not end it for the others

    async def aclose(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _probe(self) -> ProbeResult:
        try:
            result = ProbeResult(speaks=False, text="no voice is installed", found_at=self._now())
            for voice in self._voices():
                result = await self._try(voice)
                if result.speaks:
                    break
        finally:
            self._running = None
        self._last = result
        return result

    def _voices(self) -> list[Voice]:
        installed = [voice for voice in self._workers.synthesizer.voices() if voice.installed]
        return [*installed[:1], *(voice for voice in installed[1:] if voice.name == self._fallback)]

    async def _try(self, voice: Voice) -> ProbeResult:
        began = self._now()
        samples, speaks = 0, False
        try:
            async with (
                asyncio.timeout(self._limit_seconds),
                self._workers.synthesize(SynthesisRequest(text=_WORD, voice=voice), reserve=self._reserve) as blocks,
            ):
                async for block in blocks:
                    samples += block.size
                    speaks = speaks or bool(block.any())
        except TimeoutError:
            return ProbeResult(False, f"{voice.name} said nothing within {self._limit_seconds:g} s", self._now())  # noqa: FBT003  (three fields)
        except TtsError as error:
            return ProbeResult(False, f"{error.code}: {error}", self._now())  # noqa: FBT003  (as above)
        made = f"{samples / voice.sample_rate_hz:.2f} s of {'speech' if speaks else 'silence'}"
        took = f"made {made} in {self._now() - began:.2f} s" if samples else "said nothing"
        return ProbeResult(speaks, f"{voice.name} {took}", self._now())


class LivenessMonitor:
    """Watches whether speech is possible: by the blocks made for requests or, without any, by a probe.

    Belongs to the event loop. ``run`` closes the probe.
    """

    def __init__(self, workers: Scheduler, probe: ReadinessProbe, *, now: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._probe = probe
        self._now = now
        self._blocks = 0
        self._sure_at = now()
        self._failures = 0

    @property
    def is_alive(self) -> bool:
        """Whether speech is possible, as far as is known."""
        return self._failures < MAX_FAILURES

    async def run(self) -> None:
        """Check for ever; cancel it to end."""
        try:
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                await self.check()
        finally:
            await self._probe.aclose()

    async def check(self) -> None:
        """Check once."""
        if self._has_progressed():
            self._succeed()
            return
        in_doubt = self._failures or self._workers.active or self._workers.waiting
        if self._now() - self._sure_at < (DOUBT_SECONDS if in_doubt else QUIET_SECONDS):
            return
        try:
            result = await self._probe.run()
            speaks, text = result.speaks, result.text
        except Exception as error:  # noqa: BLE001  (a monitor that ended would report that all is well for ever)
            speaks, text = False, f"{type(error).__name__}, an error of the server's own"
        progressed = self._has_progressed()
        if speaks or progressed:
            self._succeed()
        else:
            self._fail(text)

    def _has_progressed(self) -> bool:
        before, self._blocks = self._blocks, self._workers.blocks_made
        return self._blocks != before

    def _succeed(self) -> None:
        if not self.is_alive:
            _LOGGER.info("Speech is possible again")
        self._failures, self._sure_at = 0, self._now()

    def _fail(self, text: str) -> None:
        self._failures, self._sure_at = self._failures + 1, self._now()
        _LOGGER.warning("No speech is made for clients, and a test word failed: %s", text)
        if self._failures == MAX_FAILURES:
            _LOGGER.error("Speech is not possible: %d test words in a row failed", MAX_FAILURES)
