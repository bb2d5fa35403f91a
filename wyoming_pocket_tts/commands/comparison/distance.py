"""How far apart two recordings and two runs of a model are. Knows arrays alone.

Differences of samples say little about hearing: a shift of a millisecond, which nobody notices, changes them all. So
audio is compared by its spectrogram in decibels.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WINDOW_SAMPLES = 1024
HOP_SAMPLES = 256
DEPTH_DB = 60.0
"""What lies this far below the loudest is silence: nobody hears how silent it is."""


class Said(Protocol):
    """What is compared; see ``measure.Said``."""

    @property
    def audio(self) -> Floats: ...
    @property
    def latents(self) -> Floats: ...
    @property
    def eos_logits(self) -> Floats: ...
    @property
    def decoded(self) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a candidate is from the reference.

    Attributes:
        latent_error: of the language model, led by the reference: error of its latents relative to their size.
        eos_error: of the same steps, how much the logit of the end differs on average.
        codec_db: log-spectral distance of the audio of the same latents.
        speech_db: log-spectral distance of what both say when left to themselves; None where the lengths differ.
    """

    latent_error: float
    eos_error: float
    codec_db: float
    speech_db: float | None


def distance(reference: Said, candidate: Said) -> Distance:
    """Compare a candidate with the reference that led it."""
    same_length = len(reference.audio) == len(candidate.audio)
    return Distance(
        latent_error=_relative_error(reference.latents, candidate.latents),
        eos_error=float(np.abs(reference.eos_logits - candidate.eos_logits).mean()),
        codec_db=log_spectral_distance_db(reference.decoded, candidate.decoded),
        speech_db=log_spectral_distance_db(reference.audio, candidate.audio) if same_length else None,
    )


def log_spectral_distance_db(reference: Floats, other: Floats) -> float:
    """Compare two signals of the same length [N]: in each moment the root mean square, over frequencies, of the
    difference in decibels; on average over all moments."""
    loudest = loudest_power(reference)
    difference = spectrogram_db(reference, loudest) - spectrogram_db(other, loudest)
    return float(np.sqrt(np.square(difference).mean(axis=0)).mean())


def spectrogram_db(samples: Floats, loudest: float) -> Floats:
    """Power in decibels below ``loudest``, at least ``-DEPTH_DB``: [frequencies, moments]."""
    power = _power(samples)
    floor = 10 ** (-DEPTH_DB / 10)
    decibels: Floats = 10 * np.log10(np.maximum(power / loudest, floor))
    return decibels


def loudest_power(samples: Floats) -> float:
    """The greatest power in any moment and frequency; more than 0 even for silence."""
    return max(float(_power(samples).max()), float(np.finfo(np.float32).tiny))


def _power(samples: Floats) -> Floats:
    """Short-time spectrum [frequencies, moments] of samples [N], which are filled up with silence to a window."""
    padded = np.pad(samples, (0, max(0, WINDOW_SAMPLES - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(windows * np.hanning(WINDOW_SAMPLES).astype(np.float32), axis=-1)
    power: Floats = np.square(np.abs(spectrum)).astype(np.float32).T
    return power


def _relative_error(reference: Floats, other: Floats) -> float:
    size = float(np.linalg.norm(reference))
    return float(np.linalg.norm(other - reference)) / max(size, float(np.finfo(np.float32).tiny))
