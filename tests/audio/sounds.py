"""Sounds to try effects on, and what is measured of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.types import Pcm

RATE_HZ = 24_000


def voiced(pitch_hz: float, *, seconds: float = 2.0, peak: float = 20_000, rate_hz: int = RATE_HZ) -> Pcm:
    """Like what vocal folds make: a pulse a period, with all harmonics."""
    phase = 2 * np.pi * pitch_hz * np.arange(round(seconds * rate_hz)) / rate_hz
    wave = sum(np.sin(k * phase) / k for k in range(1, int(0.4 * rate_hz / pitch_hz)))
    return np.asarray(np.rint(wave / np.abs(wave).max() * peak), np.int16)


def syllables(*, seconds: float = 1.5, peak: float = 12_000, rate_hz: int = RATE_HZ) -> Pcm:
    """Gliding vowels, hissing and pauses: all that an effect has to deal with, the same each time."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 1.3 * time)) / rate_hz
    vowel = np.asarray(sum(np.sin(k * phase) / k for k in range(1, 30)))
    hiss = np.random.default_rng(5).standard_normal(len(time))
    loudness = np.clip(np.sin(2 * np.pi * 3 * time), 0, None)
    mixed = loudness * vowel + 0.2 * np.clip(np.sin(2 * np.pi * 3 * time + 2.5), 0, None) * hiss
    return np.asarray(np.rint(mixed / np.abs(mixed).max() * peak), np.int16)


def pitch_of(sound: NDArray[Any], rate_hz: int = RATE_HZ, *, near_hz: float) -> float:
    """The pitch of a steady sound in hertz, from its first five harmonics, to a hundredth of a percent."""
    padded = 1 << 20
    middle = sound[len(sound) // 10 : -len(sound) // 10]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), padded))
    candidates = near_hz * np.linspace(0.9, 1.1, 4001)
    strength = sum(spectrum[np.rint(k * candidates * padded / rate_hz).astype(int)] for k in range(1, 6))
    return float(candidates[int(np.argmax(strength))])


def cut(sound: Pcm, lengths: Sequence[int]) -> Iterator[Pcm]:
    """Cut a sound into blocks of these lengths, and one of what is left."""
    start = 0
    for length in lengths:
        yield sound[start : start + length]
        start += length
    yield sound[start:]


def joined(blocks: Iterator[Pcm]) -> Pcm:
    return np.concatenate([np.zeros(0, np.int16), *blocks])
