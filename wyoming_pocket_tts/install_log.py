"""Says in the log how far a model on its way is. Knows nothing about how models are brought."""

import logging
from collections.abc import Callable

from wyoming_pocket_tts.pocket.onnx.protocol import Progress

logger = logging.getLogger(__name__)

_STAGES = {
    "wait": "another process is converting it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "downloading voices",
    "hear": "hearing the recording of its voice",
}


class InstallLog:
    """Writes a line to the log when a stage begins, and at each quarter of it that had not been reached before."""

    def __init__(self, label: str, *, then: Callable[[], None] = lambda: None) -> None:
        self._label = label
        self._then = then
        self._stage = ""
        self._quarter = 0

    def __call__(self, progress: Progress) -> None:
        quarter = int(4 * (progress.done or 0))
        if progress.stage != self._stage:
            logger.info("%s: %s", self._label, _STAGES[progress.stage])
            self._stage, self._quarter = progress.stage, quarter
        elif quarter > self._quarter:
            logger.info("%s: %s, %d %%", self._label, _STAGES[progress.stage], 25 * quarter)
            self._quarter = quarter
        self._then()
