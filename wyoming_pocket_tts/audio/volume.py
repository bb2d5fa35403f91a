"""Louder or softer, and never too loud: a gain with a limiter that looks ahead. Knows nothing about speech.

What would be louder than full scale is turned down as a whole, gently and ahead of time, rather than cut off: waves
keep their form, so that loud speech stays clear. The rest gets the gain and nothing else.
"""

import math
from itertools import pairwise
from typing import Final

import numpy as np

from wyoming_pocket_tts.audio.effect import Samples
from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.speech import SILENT_DB

LOUDEST_DB: Final = 40.0

_FULL_SCALE = 32767.0
_BLOCK_SECONDS = 0.005
_RELEASE_DB_PER_SECOND = 40.0
"""Slow against the periods of a voice, fast against its syllables: 6 dB take 150 ms to come back."""


class Volume:
    """A gain with a limiter. Holds back at most 10 ms.

    Time is cut into blocks of 5 ms. Each has a gain that keeps its peak within full scale; where two meet, the smaller
    of theirs holds, and between such places the gain moves on a straight line, which is then never above what a block
    allows. It falls within a block and rises slowly. From this follow the limiter's properties: nothing exceeds full
    scale, no sample changes its sign, none becomes softer because more gain is asked for, and what is far from loud
    places gets exactly the gain.
    """

    def __init__(self, gain_db: float, rate_hz: int) -> None:
        """Prepare a stream; ``SILENT_DB`` or less makes it zeros.

        Raises:
            ConfigError: the gain is out of range.
        """
        if not gain_db <= LOUDEST_DB:  # nor is it, if it is no number
            raise ConfigError(f"the volume {gain_db} is out of range: at most {LOUDEST_DB:.0f} dB")
        self._gain = 10 ** (gain_db / 20) if gain_db > SILENT_DB else 0.0
        self._block = max(1, round(_BLOCK_SECONDS * rate_hz))
        self._ramp = np.arange(self._block) / self._block  # [block]
        self._release = 10 ** (_RELEASE_DB_PER_SECOND * self._block / rate_hz / 20)
        self._waiting: Samples = np.zeros(0)
        self._limit = math.inf  # where the first waiting block begins; infinite ahead of the stream

    def push(self, samples: Samples) -> Samples:
        loud = np.concatenate([self._waiting, samples * self._gain])
        blocks = len(loud) // self._block
        if not blocks:
            self._waiting = loud
            return np.zeros(0)
        done = (blocks - 1) * self._block  # the last one needs to know what follows
        self._waiting = loud[done:]
        return self._limited(loud[: done + self._block].reshape(blocks, self._block))[:done]

    def finish(self) -> Samples:
        length = len(self._waiting)
        blocks = -(-length // self._block)
        padded = np.zeros((blocks + 1) * self._block)
        padded[:length] = self._waiting
        return self._limited(padded.reshape(blocks + 1, self._block))[:length]

    def _limited(self, blocks: Samples) -> Samples:
        """Limit [blocks, block] but for the last block, with which the next call begins; give the samples, flat."""
        peaks = np.abs(blocks).max(axis=1)
        allowed = np.minimum(1.0, _FULL_SCALE / np.maximum(peaks, 1.0)).tolist()
        if math.isinf(self._limit):
            self._limit = allowed[0]
        limits = [self._limit]  # where blocks meet [blocks]
        for before, after in pairwise(allowed):
            limits.append(min(before, after, limits[-1] * self._release))
        self._limit = limits[-1]
        here, there = np.array(limits[:-1])[:, None], np.array(limits[1:])[:, None]
        return np.asarray(blocks[:-1] * (here + (there - here) * self._ramp)).reshape(-1)
