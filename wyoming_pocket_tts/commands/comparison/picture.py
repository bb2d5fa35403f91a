"""Draws spectrograms of all candidates under one another. Knows nothing about models.

Matplotlib is only needed here, and only when a picture is drawn.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.commands.comparison.distance import DEPTH_DB, loudest_power, spectrogram_db
from wyoming_pocket_tts.errors import SpeechError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float32]

_WIDTH_INCHES, _ROW_INCHES, _DPI = 14.0, 2.6, 100
_HEADS = ("left to itself", "the codec alone, with fp32's latents")


@dataclass(frozen=True, slots=True)
class Row:
    """What is drawn of one candidate.

    Attributes:
        title: stands above it.
        audio: what it says when left to itself, [N].
        decoded: what its codec makes of the reference's latents, [M].
    """

    title: str
    audio: Floats
    decoded: Floats


def can_draw() -> bool:
    """Whether Matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(path: Path, rows: Sequence[Row], *, rate_hz: int) -> None:
    """Write a PNG: a row for each candidate, the reference first, all with the same colours and times.

    Raises:
        SpeechError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow, and an extra)

    figure = Figure(figsize=(_WIDTH_INCHES, _ROW_INCHES * len(rows)), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(rows), 2, sharex="col", sharey=True, squeeze=False)
    for row, (left, right) in zip(rows, grid, strict=True):
        _spectrogram(left, row.audio, loudest_power(rows[0].audio), rate_hz)
        _spectrogram(right, row.decoded, loudest_power(rows[0].decoded), rate_hz)
        left.set_title(row.title, loc="left", fontsize=9)
        left.set_ylabel("kHz")
    for head, axes in zip(_HEADS, grid[0], strict=True):
        axes.set_title(head, loc="right", fontsize=9, style="italic")
    for axes in grid[-1]:
        axes.set_xlabel("seconds")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        figure.savefig(aside, format="png")
        aside.replace(path)
    except OSError as error:
        raise SpeechError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _spectrogram(axes: "Axes", samples: Floats, loudest: float, rate_hz: int) -> None:
    axes.imshow(
        spectrogram_db(samples, loudest),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-DEPTH_DB,
        vmax=0,
        extent=(0, len(samples) / rate_hz, 0, rate_hz / 2000),
    )
