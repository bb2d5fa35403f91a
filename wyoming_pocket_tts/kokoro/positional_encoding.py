import math

import torch
from torch import Tensor


def sinusoids(n_positions: int, dim: int) -> Tensor:
    """Sinusoidal position table [n_positions, dim]: sines in the first half, cosines in the second."""
    rates = torch.exp(torch.arange(dim // 2) * (-math.log(10000.0) / (dim // 2 - 1)))
    angles = torch.arange(n_positions)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
