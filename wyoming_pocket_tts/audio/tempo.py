"""Faster or slower speech of the same pitch, by overlapping similar waves (WSOLA). Knows nothing about volume.

Our own, since no library qualifies: docs/audio.md says what was looked at. The result is cut into hops. Each begins at
the place of the speech that is most like what would have followed the last one, near to where the tempo wants it, and
is faded in over that. Waves meet in the same phase, so pitch and voice stay. Where what would have followed is near
enough, it simply follows: at ordinary tempos most of the speech is its own samples, untouched.

All sums are of whole numbers below 2**53, exact in any order: how the speech is cut cannot change what is chosen.
"""

import math
from typing import Final

import numpy as np

from wyoming_pocket_tts.audio.effect import Samples
from wyoming_pocket_tts.errors import ConfigError

SLOWEST: Final = 0.5
FASTEST: Final = 2.0

_HOP_SECONDS = 0.012
"""As long as the longest period of a voice; at 20 ms, half tempo sounds like an echo."""
_REACH_SECONDS = 0.010
"""How far a hop may be from where the tempo wants it: to both sides, so that any period of a voice has room."""
_COARSE_HZ = 6_000
"""Enough to see which periods are alike; the exact place is then looked for at the full rate."""


class Tempo:
    """Changes the tempo of a stream of whole numbers. Gives the first 12 ms as soon as it has them, or 24 at most.

    The result has ``round(n / speed)`` samples. It begins with the first sample of the speech and ends with the last.
    """

    def __init__(self, speed: float, rate_hz: int) -> None:
        """Prepare a stream; speed 2 takes half the time.

        Raises:
            ConfigError: the speed is out of range.
        """
        if not SLOWEST <= speed <= FASTEST:
            raise ConfigError(f"the speed {speed} is out of range: {SLOWEST} to {FASTEST}")
        self._speed = speed
        self._hop = round(_HOP_SECONDS * rate_hz)
        self._reach = round(_REACH_SECONDS * rate_hz)
        self._coarse = max(1, rate_hz // _COARSE_HZ)
        self._fade = _fade_in(self._hop)
        self._speech: Samples = np.zeros(0)  # from sample number _first on
        self._first = 0
        self._hops = 0  # made so far
        self._place = -self._hop  # where the last one begins in the speech

    def push(self, samples: Samples) -> Samples:
        self._speech = np.concatenate([self._speech, samples])
        made = []
        while self._end >= self._needed():
            made.append(self._next_hop(self._ideal() + self._reach))
        self._forget()
        return np.concatenate([np.zeros(0), *made])

    def finish(self) -> Samples:
        end, hop = self._end, self._hop
        total = round(end / self._speed)
        self._speech = np.concatenate([self._speech, np.zeros(2 * hop)])  # what would follow the last place
        made = []
        while total - self._hops * hop >= 2 * hop:
            made.append(self._next_hop(min(self._ideal() + self._reach, end - hop)))
        made.append(self._last_piece(end, total - self._hops * hop))
        return np.concatenate(made)

    @property
    def _end(self) -> int:
        """How many samples of speech there have been."""
        return self._first + len(self._speech)

    def _ideal(self) -> int:
        """Where the tempo wants the next hop to begin."""
        return round(self._hops * self._hop * self._speed)

    def _needed(self) -> int:
        """How many samples the next hop takes: all that it looks at, and the result must not become too long."""
        if not self._hops:
            return max(self._hop, math.ceil(self._hop * self._speed))
        left_for_the_end = math.ceil((self._hops + 2) * self._hop * self._speed)
        return max(self._ideal() + self._reach + self._hop, self._place + 2 * self._hop, left_for_the_end)

    def _next_hop(self, latest: int) -> Samples:
        """Make a hop that begins at ``latest`` or earlier."""
        following = self._place + self._hop
        earliest = min(max(0, self._ideal() - self._reach), latest)
        self._hops += 1
        if earliest <= following <= latest:
            self._place = following
            return self._cut(following)
        goal = self._cut(following)
        self._place = earliest + self._most_similar(goal, self._cut(earliest, latest - earliest + self._hop))
        return goal + (self._cut(self._place) - goal) * self._fade

    def _last_piece(self, end: int, length: int) -> Samples:
        """The last samples of the speech, less than two hops, faded in over what would have followed."""
        piece = self._cut(max(0, end - length), length)
        fading = min(length, self._hop)
        goal = self._cut(self._place + self._hop, fading)
        piece[:fading] = goal + (piece[:fading] - goal) * _fade_in(fading)
        return piece

    def _cut(self, start: int, length: int | None = None) -> Samples:
        """A copy of the speech from sample number ``start`` on [length], or [hop]."""
        start -= self._first
        return self._speech[start : start + (self._hop if length is None else length)].copy()

    def _most_similar(self, goal: Samples, region: Samples) -> int:
        """Where in a region [hop + m] the waves are most like those of ``goal`` [hop]: 0 to m."""
        last = len(region) - self._hop
        if not goal.any():
            return last // 2  # silence is like nothing
        guess = self._coarse * int(_similarity(_summed(goal, self._coarse), _summed(region, self._coarse)).argmax())
        low, high = max(0, guess - self._coarse), min(last, guess + self._coarse)
        return low + int(_similarity(goal, region[low : high + self._hop]).argmax())

    def _forget(self) -> None:
        """Let go of the speech that nothing looks at any more."""
        looked_at = min(self._place + self._hop, self._ideal() - 2 * self._hop)  # the last piece reaches far back
        kept = min(max(self._first, looked_at), self._end)
        self._speech = self._speech[kept - self._first :]
        self._first = kept


def _fade_in(length: int) -> Samples:
    """Half a wave, from 0 to 1 [length]."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(1, length)))


def _summed(samples: Samples, factor: int) -> Samples:
    """A coarse picture: the sums of ``factor`` neighbours each."""
    whole = len(samples) // factor
    return np.asarray(samples[: whole * factor].reshape(whole, factor).sum(axis=1))


def _similarity(goal: Samples, region: Samples) -> Samples:
    """The correlation of ``goal`` [n] with each part of ``region`` [n + m], against the part's level: [m + 1]."""
    energy = np.concatenate([[0.0], np.cumsum(region * region)])
    return np.asarray(np.correlate(region, goal, "valid") / np.sqrt(energy[len(goal) :] - energy[: -len(goal)] + 1))
