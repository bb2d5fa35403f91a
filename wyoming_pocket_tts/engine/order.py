"""The order in which streams get a worker's attention. Knows nothing about threads or what a stream is.

The one place to change for another policy (priorities, deadlines): workers only push and pop, under their own lock.
"""

from collections import deque
from typing import Protocol, TypeVar

T = TypeVar("T")


class ReadyOrder(Protocol[T]):
    """Streams that could make a block now."""

    def push(self, stream: T) -> None:
        """Add a stream that is ready for its next block."""
        ...

    def pop(self) -> T | None:
        """Take the stream to serve next; ``None`` when none is ready."""
        ...


class RoundRobin(ReadyOrder[T]):
    """Everybody in turn, one block each: a short answer never waits for a long story to end."""

    def __init__(self) -> None:
        self._streams: deque[T] = deque()

    def push(self, stream: T) -> None:
        """Add at the end of the queue."""
        self._streams.append(stream)

    def pop(self) -> T | None:
        """Take from the front of the queue."""
        return self._streams.popleft() if self._streams else None
