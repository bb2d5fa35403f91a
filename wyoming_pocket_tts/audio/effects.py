"""Streaming effects: time stretch (WSOLA), resample (soxr), gain + limiter."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.types import SILENT_DB, Pcm, Pending, SynthesisOptions, close

Samples = NDArray[np.float64]
"""Mono samples [n] in steps of 16 bit: full scale is 32767, and what comes from a voice are whole numbers."""


class AudioEffect(Protocol):
    """Changes a stream of sound. However the stream is cut, the same comes out, to the last bit."""

    def push(self, samples: Samples) -> Samples:
        """Take over the next samples [n] and give all that can be given [m], perhaps nothing yet."""
        ...

    def finish(self) -> Samples:
        """Give what is left; nothing may be pushed afterwards."""
        ...


LOWEST_HZ: Final = 4_000
HIGHEST_HZ: Final = 192_000

_QUALITY = "HQ"
"""20 bits exact, four more than ours. The next better one holds back twice as much, for nothing that 16 bits keep."""


class Resampler:
    """Brings a stream to another rate; the same, to the bit, as resampling all of it at once."""

    def __init__(self, rate_hz: int, target_hz: int) -> None:
        """Raises ``ConfigError`` if the target is out of range."""
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


SLOWEST: Final = 0.5
FASTEST: Final = 2.0

_HOP_SECONDS = 0.012
"""As long as the longest period of a voice; at 20 ms, half tempo sounds like an echo."""
_REACH_SECONDS = 0.010
"""How far a hop may be from where the tempo wants it: to both sides, so that any period of a voice has room."""
_COARSE_HZ = 6_000
"""Enough to see which periods are alike; the exact place is then looked for at the full rate."""


class TimeStretcher:
    """Changes the tempo of a stream of whole numbers. Gives the first 12 ms as soon as it has them, or 24 at most.

    The result has ``round(n / speed)`` samples. It begins with the first sample of the speech and ends with the last.
    """

    def __init__(self, speed: float, rate_hz: int) -> None:
        """Speed 2 takes half the time; raises ``ConfigError`` if it is out of range."""
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


LOUDEST_DB: Final = 40.0

_FULL_SCALE = 32767.0
_BLOCK_SECONDS = 0.005
_RELEASE_DB_PER_SECOND = 40.0
"""Slow against the periods of a voice, fast against its syllables: 6 dB take 150 ms to come back."""


class GainLimiter:
    """A gain with a limiter. Holds back at most 10 ms.

    Time is cut into blocks of 5 ms. Each has a gain that keeps its peak within full scale; where two meet, the smaller
    of theirs holds, and between such places the gain moves on a straight line, which is then never above what a block
    allows. It falls within a block and rises slowly. From this follow the limiter's properties: nothing exceeds full
    scale, no sample changes its sign, none becomes softer because more gain is asked for, and what is far from loud
    places gets exactly the gain.
    """

    def __init__(self, gain_db: float, rate_hz: int) -> None:
        """``SILENT_DB`` or less makes zeros; raises ``ConfigError`` if the gain is out of range."""
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


_LIMITS = np.iinfo(np.int16)


@overload
def shape(blocks: Iterator[Pcm], rate_hz: int, options: SynthesisOptions) -> Iterator[Pcm]: ...
@overload
def shape(blocks: Iterator[Pcm | Pending], rate_hz: int, options: SynthesisOptions) -> Iterator[Pcm | Pending]: ...
def shape(blocks: Iterator[Pcm | Pending], rate_hz: int, options: SynthesisOptions) -> Iterator[Pcm | Pending]:
    """Apply speed, sample rate and volume; the result does not depend on how the blocks are cut.

    Returns ``blocks`` itself if nothing changes, else an iterator that closes them with itself. Raises ``ConfigError``.
    """
    effects = _effects(rate_hz, options)
    return _shaped(blocks, effects) if effects else blocks


def silence(seconds: float, rate_hz: int) -> Pcm:
    return np.zeros(round(seconds * rate_hz), np.int16)


def _effects(rate_hz: int, options: SynthesisOptions) -> list[AudioEffect]:
    effects: list[AudioEffect] = []
    if options.speed != 1:
        effects.append(TimeStretcher(options.speed, rate_hz))
    target_hz = rate_hz if options.rate_hz is None else options.rate_hz
    if target_hz != rate_hz:
        effects.append(Resampler(rate_hz, target_hz))
    if options.volume_db != 0:
        effects.append(GainLimiter(options.volume_db, target_hz))
    return effects


def _shaped(blocks: Iterator[Pcm | Pending], effects: list[AudioEffect]) -> Iterator[Pcm | Pending]:
    try:
        for block in blocks:
            if isinstance(block, Pending):
                yield block
                continue
            samples = block.astype(np.float64)
            for effect in effects:
                samples = effect.push(samples)
            if len(samples):
                yield _pcm(samples)
        if len(samples := _rest(effects)):
            yield _pcm(samples)
    finally:
        close(blocks)


def _rest(effects: list[AudioEffect]) -> Samples:
    """Empty the chain from its beginning: what one has kept goes through all that follow."""
    samples: Samples = np.zeros(0)
    for effect in effects:
        samples = np.concatenate([effect.push(samples), effect.finish()])
    return samples


def _pcm(samples: Samples) -> Pcm:
    return np.rint(samples).clip(_LIMITS.min, _LIMITS.max).astype(np.int16)
