"""The sinusoidal position table."""

import numpy as np

from wyoming_pocket_tts.core.types import Floats


def sinusoids(n_positions: int, dim: int) -> Floats:
    """Position table [n_positions, dim]: sines in the first half, cosines in the second."""
    rates = np.exp(np.arange(dim // 2) * (-np.log(10000.0) / (dim // 2 - 1)))
    angles = np.arange(n_positions)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
