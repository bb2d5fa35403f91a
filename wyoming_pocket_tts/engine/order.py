"""The order in which streams get a worker's attention. Knows nothing about threads or what a stream is.

The one place to change for another policy (priorities, deadlines): workers only push and pop, under their own lock.
"""

from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from itertools import count
from typing import Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class ReadyOrder(Protocol[K]):
    """Streams that could make a block now."""

    def push(self, stream: K) -> None:
        """Add a stream that is ready for its next block; one that is there already only gets another place."""
        ...

    def pop(self) -> K | None:
        """Take the stream to serve next; ``None`` when none is ready."""
        ...


class Earliest(ReadyOrder[K]):
    """Whoever is due first: nobody starves as long as what is done for a stream makes it due later than the others.

    Args:
        due: when a stream is due, on any one scale. It is asked when the stream is pushed; who is pushed again is due
            anew.
    """

    def __init__(self, due: Callable[[K], float]) -> None:
        self._due = due
        self._heap: list[tuple[float, int]] = []
        self._streams: dict[int, K] = {}
        self._numbers: dict[K, int] = {}
        self._count = count()

    def push(self, stream: K) -> None:
        """Add a stream, or change its place."""
        self._streams.pop(self._numbers.pop(stream, -1), None)
        number = self._numbers[stream] = next(self._count)  # of those due at once, the first comes first
        self._streams[number] = stream
        heappush(self._heap, (self._due(stream), number))

    def pop(self) -> K | None:
        """Take the one that is due first."""
        while self._heap:
            stream = self._streams.pop(heappop(self._heap)[1], None)
            if stream is not None:
                del self._numbers[stream]
                return stream
        return None
