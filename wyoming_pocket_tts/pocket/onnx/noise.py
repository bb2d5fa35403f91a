"""What the sampler starts from. Knows no network."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.pocket.backend import Sampling


class Noise:
    """Draws what the sampler starts from.

    Args:
        sampling: variance and limits.
        seed: of the generator.
    """

    def __init__(self, sampling: Sampling, seed: np.random.SeedSequence) -> None:
        self._deviation = sampling.temperature**0.5
        self._clamp = sampling.noise_clamp
        self._generator = np.random.default_rng(seed)

    def draw(self, out: NDArray[np.float32]) -> None:
        """Fill an array with normal noise, truncated if a limit is set; with zeros at temperature 0."""
        if not self._deviation:
            out[...] = 0
        elif self._clamp is None:
            self._generator.standard_normal(dtype=np.float32, out=out)
            out *= self._deviation
        else:
            normal = NormalDist(0, self._deviation)
            low, high = normal.cdf(-self._clamp), normal.cdf(self._clamp)
            quantiles = np.clip(self._generator.uniform(low, high, out.shape), 1e-12, 1 - 1e-12)
            out[...] = np.vectorize(normal.inv_cdf)(quantiles)
            np.clip(out, -self._clamp, self._clamp, out=out)
