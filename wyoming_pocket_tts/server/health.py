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
"""Between two test words while there are no requests."""
DOUBT_SECONDS: Final = 30.0
"""The same while requests make no progress, or after a word failed."""
MAX_FAILURES: Final = 3
"""Failed words in a row, with no progress in between, after which speech counts as impossible."""

_POLL_SECONDS: Final = 10.0
_WORD: Final = "OK."
"""A word in every language that has a voice."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    text: str
    at: float
    """On the probe's clock."""
    ok: bool = False


class ReadinessProbe:
    """Synthesises a word through the scheduler of the requests, one probe at a time. Event loop only.

    A result holds for ``fresh_seconds``, and callers during a probe share its result, so calls are cheap.
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

        ``reserve`` takes a place beside those for clients; otherwise their limits hold.
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
        if self._last is not None and self._now() - self._last.at < self._fresh_seconds:
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
            result = ProbeResult("no voice is installed", self._now())
            installed = [voice for voice in self._workers.synthesizer.voices() if voice.installed]
            for voice in (*installed[:1], *(voice for voice in installed[1:] if voice.name == self._fallback)):
                result = await self._try(voice)
                if result.ok:
                    break
        finally:
            self._running = None
        self._last = result
        return result

    async def _try(self, voice: Voice) -> ProbeResult:
        began = self._now()
        samples, has_sound = 0, False
        try:
            async with (
                asyncio.timeout(self._limit_seconds),
                self._workers.synthesize(SynthesisRequest(text=_WORD, voice=voice), reserve=self._reserve) as blocks,
            ):
                async for block in blocks:
                    samples += block.size
                    has_sound = has_sound or bool(block.any())
        except TimeoutError:
            return ProbeResult(f"{voice.name} made no audio within {self._limit_seconds:g} s", self._now())
        except TtsError as error:
            return ProbeResult(f"{error.code}: {error}", self._now())
        made = f"{samples / voice.sample_rate_hz:.2f} s of {'speech' if has_sound else 'silence'}"
        text = f"made {made} in {self._now() - began:.2f} s" if samples else "made no audio"
        return ProbeResult(f"{voice.name} {text}", self._now(), ok=has_sound)


class LivenessMonitor:
    """Whether speech is possible: requests make progress or, without any, the probe does. Event loop only."""

    def __init__(self, workers: Scheduler, probe: ReadinessProbe, *, now: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._probe = probe
        self._now = now
        self._blocks = 0
        self._sure_at = now()
        self._failures = 0

    @property
    def is_alive(self) -> bool:
        return self._failures < MAX_FAILURES

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                await self.check()
        finally:
            await self._probe.aclose()

    async def check(self) -> None:
        if not self._has_progressed():
            in_doubt = self._failures or self._workers.active or self._workers.waiting
            if self._now() - self._sure_at < (DOUBT_SECONDS if in_doubt else QUIET_SECONDS):
                return
            try:
                result = await self._probe.run()
            except Exception as error:  # noqa: BLE001  (a monitor that ended would report good health for ever)
                result = ProbeResult(f"{type(error).__name__}, an error of the server's own", self._now())
            if not (self._has_progressed() or result.ok):
                self._fail(result.text)
                return
        if not self.is_alive:
            _LOGGER.info("Speech is possible again")
        self._failures, self._sure_at = 0, self._now()

    def _has_progressed(self) -> bool:
        before, self._blocks = self._blocks, self._workers.blocks_made
        return self._blocks != before

    def _fail(self, text: str) -> None:
        self._failures, self._sure_at = self._failures + 1, self._now()
        _LOGGER.warning("No audio is made for clients, and a test word failed: %s", text)
        if self._failures == MAX_FAILURES:
            _LOGGER.error("Speech is not possible: %d test words in a row failed", MAX_FAILURES)
