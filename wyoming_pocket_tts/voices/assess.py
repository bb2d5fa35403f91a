"""Says what of a recording would make a poor voice, and what to do about it. Knows nothing about files or models.

A model speaks as it was prompted: with the recording's noise, its distortion, its distance to the microphone. Every
limit below leaves ordinary speech alone; a finding is advice, not an error.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SHORTEST_SECONDS: Final = 3.0
"""Less speech than this does not hold all the sounds by which a voice is known."""
LONGEST_SECONDS: Final = 30.0
"""The models were trained with prompts up to here; what is beyond costs time and brings nothing."""
SILENT_DB: Final = -60.0
"""If no frame is louder, 16 bits leave fewer than seven for the voice: it is lost in rounding."""
FLAT_SECONDS: Final = 150e-6
"""A peak that stays the same for so long was cut off; that of a 50 Hz tone stays for 90 microseconds."""
FLAT_TOLERANCE: Final = 1e-4
NOISE_MARGIN_DB: Final = 20.0
"""Noise that is not so far below the voice is heard in every pause, and cloned."""
LEVEL_SPREAD_DB: Final = 8.0
"""Seconds of one speaker at one place differ by less; two recordings or a turned head by more."""

_FRAME_SECONDS: Final = 0.02
_SPEECH_RANGE_DB: Final = 35.0  # frames this far below the loudest are no speech; the same as at a prompt's end
_STEADY_DB: Final = 4.0  # noise differs by less than 2 dB from frame to frame, the ends of words by ten
_NOTHING_DB: Final = -100.0  # below the last of 16 bits: nothing was recorded there
_WINDOW_FRAMES: Final = 100  # two seconds: shorter ones differ by what is said in them
_LEAST_SPOKEN: Final = 0.3  # of a window, to be compared


class FindingKind(StrEnum):
    """What may be wrong with a recording."""

    SILENT = "silent"
    TOO_SHORT = "too short"
    TOO_LONG = "too long"
    CLIPPED = "clipped"
    NOISY = "noisy"
    UNEVEN = "more than one level"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that would make the voice worse."""

    kind: FindingKind
    message: str
    """A sentence with the measured value, and one with advice."""


def assess(samples: Floats, rate_hz: int) -> tuple[Finding, ...]:
    """Look at a recording as it is, before it is resampled or cut.

    Args:
        samples: mono, [N].
        rate_hz: samples a second.
    """
    return tuple(_findings(samples, rate_hz))


def _findings(samples: Floats, rate_hz: int) -> Iterator[Finding]:
    levels_db = _frame_levels_db(samples, rate_hz)
    if not levels_db.size or levels_db.max() < SILENT_DB:
        yield Finding(FindingKind.SILENT, "The recording is silent. Check the microphone and record again.")
        return
    spoken = levels_db > levels_db.max() - _SPEECH_RANGE_DB
    first, last = np.flatnonzero(spoken)[[0, -1]]
    speech_seconds = (last + 1 - first) * _FRAME_SECONDS
    if speech_seconds < SHORTEST_SECONDS:
        yield Finding(
            FindingKind.TOO_SHORT,
            f"The recording has {speech_seconds:.1f} s of speech. "
            f"At least {SHORTEST_SECONDS:.0f} s are needed; 10 s are good.",
        )
    seconds = len(samples) / rate_hz
    if seconds > LONGEST_SECONDS:
        yield Finding(
            FindingKind.TOO_LONG,
            f"The recording is {seconds:.0f} s long. More than {LONGEST_SECONDS:.0f} s only cost time: cut it.",
        )
    flat_peaks = _flat_peaks(samples, rate_hz)
    if flat_peaks >= max(3, seconds / 2):
        yield Finding(
            FindingKind.CLIPPED,
            f"The recording is clipped ({flat_peaks} peaks are cut off), which sounds harsh. Record with less gain.",
        )
    margin_db = _noise_margin_db(levels_db, spoken)
    if margin_db < NOISE_MARGIN_DB:
        yield Finding(
            FindingKind.NOISY,
            f"The background is only {margin_db:.0f} dB below the voice and will be cloned with it. "
            "Record in a quiet room, closer to the microphone, or remove the noise.",
        )
    spread_db = _level_spread_db(levels_db, spoken)
    if spread_db > LEVEL_SPREAD_DB:
        yield Finding(
            FindingKind.UNEVEN,
            f"The level changes by {spread_db:.0f} dB within the recording. Use a part that is of one level.",
        )


def _frame_levels_db(samples: Floats, rate_hz: int) -> NDArray[np.float64]:
    """The level of each whole frame against full scale [frames]."""
    frame = max(1, round(_FRAME_SECONDS * rate_hz))
    count = len(samples) // frame
    power = np.square(samples[: count * frame], dtype=np.float64).reshape(count, frame).mean(axis=1)
    return np.asarray(10 * np.log10(power + 1e-20))


def _flat_peaks(samples: Floats, rate_hz: int) -> int:
    """How often the signal, which is not silent, rests at its highest or lowest value."""
    peak = float(np.abs(samples).max())
    at_peak = np.concatenate([[False], np.abs(samples) >= peak * (1 - FLAT_TOLERANCE), [False]])
    edges = np.flatnonzero(at_peak[1:] != at_peak[:-1])
    lengths = edges[1::2] - edges[::2]
    return int(np.count_nonzero(lengths >= max(3, FLAT_SECONDS * rate_hz)))


def _noise_margin_db(levels_db: NDArray[np.float64], spoken: NDArray[np.bool_]) -> float:
    """How far the noise is below the voice, infinitely if there is none.

    Noise is where the quietest tenth is all of one level: in speech without any pause it is the ends of words. Digital
    silence before and behind the recording is none of it; where pauses were made silent, no noise is left in them.
    """
    first, last = np.flatnonzero(levels_db > _NOTHING_DB)[[0, -1]]
    recorded = np.sort(levels_db[first : last + 1])
    quietest = recorded[: max(1, len(recorded) // 10)]
    if quietest.std() > _STEADY_DB:
        return math.inf
    return _mean_db(levels_db[spoken]) - _mean_db(quietest)


def _level_spread_db(levels_db: NDArray[np.float64], spoken: NDArray[np.bool_]) -> float:
    """Between the loudest and the quietest window, each measured where somebody speaks."""
    means = []
    for start in range(0, len(levels_db) - _WINDOW_FRAMES + 1, _WINDOW_FRAMES // 4):
        window = slice(start, start + _WINDOW_FRAMES)
        if spoken[window].mean() >= _LEAST_SPOKEN:
            means.append(_mean_db(levels_db[window][spoken[window]]))
    return max(means) - min(means) if means else 0.0


def _mean_db(levels_db: NDArray[np.float64]) -> float:
    """The level of the mean power."""
    return float(10 * np.log10(np.mean(10 ** (levels_db / 10))))
