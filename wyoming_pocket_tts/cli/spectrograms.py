"""Distance between what two candidates of a comparison generated, and a picture of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wyoming_pocket_tts.cli.measure import GeneratedOutput
from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.core.types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_WINDOW_SAMPLES = 1024
_HOP_SAMPLES = 256
_DEPTH_DB = 60.0
"""Anything this far below the loudest is silence."""
_WIDTH_INCHES, _ROW_INCHES, _DPI = 14.0, 2.6, 100
_HEADS = ("left to itself", "the codec alone, with fp32's latents")


@dataclass(frozen=True, slots=True)
class OutputDistance:
    """Distance of a candidate from the reference."""

    latent_error: float
    """Of the led language model: error of its latents relative to their norm."""
    eos_error: float
    """Mean difference of its end-of-speech logits."""
    codec_db: float
    """Log-spectral distance of the audio of the same latents."""
    speech_db: float | None
    """Log-spectral distance of the audio, left to themselves; None where the lengths differ."""


def distance(reference: GeneratedOutput, candidate: GeneratedOutput) -> OutputDistance:
    latents = reference.latents
    size = max(float(np.linalg.norm(latents)), float(np.finfo(np.float32).tiny))
    is_as_long = len(reference.audio) == len(candidate.audio)
    return OutputDistance(
        latent_error=float(np.linalg.norm(candidate.latents - latents)) / size,
        eos_error=float(np.abs(reference.eos_logits - candidate.eos_logits).mean()),
        codec_db=log_spectral_distance_db(reference.decoded, candidate.decoded),
        speech_db=log_spectral_distance_db(reference.audio, candidate.audio) if is_as_long else None,
    )


def log_spectral_distance_db(reference: Floats, other: Floats) -> float:
    """Root mean square over frequencies of the difference in dB, mean over time, of two signals [N].

    Spectrograms, since a shift by a millisecond is inaudible and changes every sample.
    """
    loudest = _loudest_power(reference)
    difference = _spectrogram_db(reference, loudest) - _spectrogram_db(other, loudest)
    return float(np.sqrt(np.square(difference).mean(axis=0)).mean())


def _spectrogram_db(samples: Floats, loudest: float) -> Floats:
    """Power relative to ``loudest`` in dB, at least ``-_DEPTH_DB``: [frequencies, moments]."""
    decibels: Floats = 10 * np.log10(np.maximum(_power(samples) / loudest, 10 ** (-_DEPTH_DB / 10)))
    return decibels


def _loudest_power(samples: Floats) -> float:
    return max(float(_power(samples).max()), float(np.finfo(np.float32).tiny))


def _power(samples: Floats) -> Floats:
    """Short-time power spectrum [frequencies, moments] of samples [N], padded to at least one window."""
    padded = np.pad(samples, (0, max(0, _WINDOW_SAMPLES - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW_SAMPLES)[::_HOP_SAMPLES]
    spectrum = np.fft.rfft(windows * np.hanning(_WINDOW_SAMPLES).astype(np.float32), axis=-1)
    power: Floats = np.square(np.abs(spectrum)).astype(np.float32).T
    return power


def draw(path: Path, rows: Sequence[tuple[str, GeneratedOutput]], *, rate_hz: int) -> None:
    """Write a PNG with a row of spectrograms for each title and output, all with the scale of the first."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (optional)

    figure = Figure(figsize=(_WIDTH_INCHES, _ROW_INCHES * len(rows)), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(rows), 2, sharex="col", sharey=True, squeeze=False)
    first = rows[0][1]
    for (heading, output), (left, right) in zip(rows, grid, strict=True):
        _draw_spectrogram(left, output.audio, _loudest_power(first.audio), rate_hz)
        _draw_spectrogram(right, output.decoded, _loudest_power(first.decoded), rate_hz)
        left.set_title(heading, loc="left", fontsize=9)
        left.set_ylabel("kHz")
    for head, axes in zip(_HEADS, grid[0], strict=True):
        axes.set_title(head, loc="right", fontsize=9, style="italic")
    for axes in grid[-1]:
        axes.set_xlabel("seconds")
    try:
        with atomic_path(path, durable=False) as aside:
            figure.savefig(aside, format="png")
    except OSError as error:
        raise TtsError(f"cannot write {path}: {error.strerror or error}") from error


def _draw_spectrogram(axes: "Axes", samples: Floats, loudest: float, rate_hz: int) -> None:
    axes.imshow(
        _spectrogram_db(samples, loudest),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-_DEPTH_DB,
        vmax=0,
        extent=(0, len(samples) / rate_hz, 0, rate_hz / 2000),
    )
