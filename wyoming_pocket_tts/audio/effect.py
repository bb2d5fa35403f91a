"""What a streaming change of sound is, and samples as all of them take and give them. Knows none of them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""Mono samples [n] in steps of 16 bit: full scale is 32767, and what comes from a voice are whole numbers."""


class Effect(Protocol):
    """Changes a stream of sound. However the stream is cut, the same comes out, to the last bit."""

    def push(self, samples: Samples) -> Samples:
        """Take over the next samples [n] and give all that can be given [m], perhaps nothing yet."""
        ...

    def finish(self) -> Samples:
        """Give what is left; nothing may be pushed afterwards."""
        ...
