"""Another sample rate, by soxr, which is loaded for the first sound that needs it. Knows nothing about speech."""

from typing import Any, Final

import numpy as np

from wyoming_pocket_tts.audio.effect import Samples
from wyoming_pocket_tts.errors import ConfigError

LOWEST_HZ: Final = 4_000
HIGHEST_HZ: Final = 192_000

_QUALITY = "HQ"
"""20 bits exact, four more than ours. The next better one holds back twice as much, for nothing that 16 bits keep."""


class Rate:
    """Brings a stream to another rate; the same, to the bit, as resampling all of it at once."""

    def __init__(self, rate_hz: int, target_hz: int) -> None:
        """Prepare a stream.

        Raises:
            ConfigError: nobody can mean the target.
        """
        if not LOWEST_HZ <= target_hz <= HIGHEST_HZ:
            raise ConfigError(f"the sample rate {target_hz} is out of range: {LOWEST_HZ} to {HIGHEST_HZ} Hz")
        self._rate_hz = rate_hz
        self._target_hz = target_hz
        self._stream: Any = None

    def push(self, samples: Samples) -> Samples:
        return self._resample(samples, last=False)

    def finish(self) -> Samples:
        return self._resample(np.zeros(0), last=True)

    def _resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._stream is None:
            import soxr  # noqa: PLC0415  (only what is resampled needs it)

            self._stream = soxr.ResampleStream(self._rate_hz, self._target_hz, 1, dtype="float64", quality=_QUALITY)
        resampled: Samples = self._stream.resample_chunk(samples, last=last)
        return resampled
