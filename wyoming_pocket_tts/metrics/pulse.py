"""Tells whether speech is possible: by what is made for anybody or, where nothing is, by having a word spoken.

Knows nothing about systemd, HTTP or models. Asking costs next to nothing: in a quiet house a word is spoken every ten
minutes.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.metrics.probe import Probe

_LOGGER = logging.getLogger(__name__)

QUIET_SECONDS: Final = 600.0
"""So long nothing is asked where nobody wants anything."""
DOUBT_SECONDS: Final = 30.0
"""The same where somebody has asked for speech and nothing is made, or where a word was not spoken."""
FAILURES: Final = 3
"""Words in a row that are not spoken, with nothing made for anybody meanwhile: more than a busy machine's mishap."""

_LOOK_SECONDS: Final = 10.0


class Pulse:
    """Looks now and then whether anything is spoken. Belongs to the event loop.

    Args:
        workers: speak.
        probe: has a word spoken; closed by ``run``.
        now: a clock that counts seconds.
    """

    def __init__(self, workers: Workers, probe: Probe, *, now: Callable[[], float] = time.monotonic) -> None:
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
