"""Ways to look at a model's tensors without reading more of them than are used. Knows no file."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Part(Mapping[str, Floats]):
    """The tensors whose names begin in certain ways: to go through them does not read the others."""

    def __init__(self, weights: Mapping[str, Floats], *prefixes: str) -> None:
        self._weights = weights
        self._names = dict.fromkeys(name for name in weights if name.startswith(prefixes))

    def __getitem__(self, name: str) -> Floats:
        if name not in self._names:
            raise KeyError(name)
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


class Watched(Mapping[str, Floats]):
    """Tells which share of all tensors was asked for."""

    def __init__(self, weights: Mapping[str, Floats], tell: Callable[[float], None]) -> None:
        self._weights = weights
        self._tell = tell
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Floats:
        tensor = self._weights[name]
        if name not in self._seen:
            self._seen.add(name)
            self._tell(len(self._seen) / len(self._weights))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:
        return name in self._weights
