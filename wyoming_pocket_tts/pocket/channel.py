"""A bounded pipe between two threads that either end can close. Knows nothing about what flows through it."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class ChannelClosed(Exception):  # noqa: N818  (named for the state)
    """The reader has gone: nobody will take what was to be put."""


class Channel(Generic[T]):
    """Hands items from one writer to one reader, in order.

    Args:
        capacity: items that may wait; a writer that is ahead of its reader by as many waits.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._finished = False
        self._error: BaseException | None = None
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item, as soon as there is room.

        Raises:
            ChannelClosed: the reader has closed its end, before or meanwhile.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise ChannelClosed
            self._items.append(item)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """Say that nothing follows; an error reaches the reader after the last item."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def take(self, at_least: int = 1, *, at_most: int | None = None, patience_seconds: float | None = None) -> list[T]:
        """Take everything that waits, as soon as it is so many items; fewer, or none, when the writer has finished.

        No more than ``at_most``: the others wait on.

        With patience for so long only: then whatever is there, and at least one item.

        Raises:
            BaseException: the writer's error, once all items before it are taken.
        """
        with self._changed:
            enough = min(at_least, self._capacity)
            self._changed.wait_for(lambda: len(self._items) >= enough or self._finished, timeout=patience_seconds)
            self._changed.wait_for(lambda: self._items or self._finished)
            count = len(self._items) if at_most is None else min(at_most, len(self._items))
            items = [self._items.popleft() for _ in range(count)]
            self._changed.notify_all()
            if not items and self._error is not None:
                raise self._error
            return items

    def close(self) -> None:
        """The reader goes: the writer's next or waiting ``put`` fails."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
