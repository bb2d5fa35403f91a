"""Runs a graph piece after piece of a stream, its states in two sets of arrays that change places. Knows no network."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.inference import Network
from wyoming_pocket_tts.pocket.onnx.states import from_metadata

Floats = NDArray[np.float32]


class StreamRun:
    """One stream through a network; belongs to one thread at a time.

    Args:
        network: made from a ``StreamingGraph``.
        source: name of its input.
        result: name of its output.
    """

    def __init__(self, network: Network, *, source: str, result: str) -> None:
        self._source, self._result = source, result
        self._states = from_metadata(network.metadata)
        self._now: list[NDArray[Any]] = [state.initial() for state in self._states]
        self._next: list[NDArray[Any]] = [np.empty_like(array) for array in self._now]
        self._binding = network.bind({}, {})

    def __call__(self, piece: Floats, shape: tuple[int, ...]) -> Floats:
        """Run the next piece; ``shape`` is that of the result."""
        result = np.empty(shape, np.float32)
        self._binding.read(self._source, piece)
        self._binding.write(self._result, result)
        for state, now, after in zip(self._states, self._now, self._next, strict=True):
            self._binding.read(state.name, now)
            self._binding.write(state.next_name, after)
        self._binding.run()
        self._now, self._next = self._next, self._now
        return result
