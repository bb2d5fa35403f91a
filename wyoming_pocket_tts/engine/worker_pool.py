"""Threads, and replacement of hung ones (the only hang detector)."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, Generic, TypeVar

_LOGGER = logging.getLogger(__name__)

MOST_LEFT_BEHIND: Final = 8

T = TypeVar("T")


class Worker(Generic[T]):
    """One thread, and what it works at. Everything but the thread is guarded by the crew's lock."""

    def __init__(self, name: str, work: "Callable[[Worker[T]], None]") -> None:
        self.thread = threading.Thread(target=work, args=(self,), name=name, daemon=True)
        self.task: T | None = None
        """What it works at."""
        self.began_at = 0.0
        self.is_dying = False
        self.is_lost = False
        """It has no place any more: it keeps its hands off what others see, and ends."""
        self.is_left_behind = False
        """Another one has its place, and it may hold a core."""

    def begins(self, task: T, now: float) -> None:
        """It works at this from now on."""
        self.task, self.began_at = task, now

    def dies(self) -> None:
        """It ends by a surprise."""
        self.task, self.is_dying = None, True


@dataclass(frozen=True, slots=True)
class LostWorker(Generic[T]):
    """A thread that does not work any more."""

    name: str
    task: T | None
    """What it has not come back from; None if it died."""
    is_replaced: bool


class WorkerPool(Generic[T]):
    """A fixed number of threads. Owned by whoever owns the lock.

    Args:
        work: what each thread runs.
        size: threads.
        lock: guards what the threads work at.
        stuck_seconds: whoever is at a task for longer is left behind.
        now: a clock that counts seconds.
        most_left_behind: how many may be at a time; nobody takes the place of one more.
    """

    def __init__(
        self,
        work: Callable[[Worker[T]], None],
        *,
        size: int,
        lock: threading.Condition,
        stuck_seconds: float,
        now: Callable[[], float],
        most_left_behind: int = MOST_LEFT_BEHIND,
    ) -> None:
        self._work = work
        self._lock = lock
        self._stuck_seconds = stuck_seconds
        self._now = now
        self._may_leave_behind = most_left_behind
        self._size = size
        self._begun = False
        self._numbers = count()
        self._hands = [self._hand(next(self._numbers)) for _ in range(size)]

    @property
    def is_whole(self) -> bool:
        """Whether as many threads run as there should be; one that died counts until it is replaced."""
        return len(self._hands) == self._size and all(hand.thread.is_alive() for hand in self._hands)

    def start(self) -> None:
        """Start the threads."""
        self._begun = True
        for hand in self._hands:
            hand.thread.start()

    def ends(self, hand: Worker[T]) -> bool:
        """It has come to the end of a task; False if nobody waits for that any more. With the lock."""
        hand.task = None
        self._may_leave_behind += hand.is_left_behind
        hand.is_left_behind = False
        return not hand.is_lost

    def replace_lost(self) -> list[LostWorker[T]]:
        """Put others in the place of those who died or are stuck; tell what each was at."""
        with self._lock:
            lost = [hand for hand in self._hands if self._is_dead(hand) or self._is_stuck(hand)]
            for hand in lost:
                hand.is_lost = True
            return [self._replace(hand) for hand in lost]

    def join(self, deadline_seconds: float) -> None:
        """Wait for the threads to end; those that were left behind before are not waited for."""
        until = time.monotonic() + deadline_seconds
        for hand in self._hands if self._begun else ():
            hand.thread.join(max(0.0, until - time.monotonic()))
            if hand.thread.is_alive():
                _LOGGER.error("%s still computes %g s after it was stopped", hand.thread.name, deadline_seconds)

    def _replace(self, hand: Worker[T]) -> LostWorker[T]:
        is_dead = self._is_dead(hand)
        self._hands.remove(hand)
        is_replaced = is_dead or self._may_leave_behind > 0
        if is_replaced:
            hand.is_left_behind = not is_dead
            self._may_leave_behind -= hand.is_left_behind
            another = self._hand(next(self._numbers))
            self._hands.append(another)
            with suppress(RuntimeError):  # no thread is to be had: it counts as dead, so the next look tries again
                another.thread.start()
        return LostWorker(hand.thread.name, None if is_dead else hand.task, is_replaced)

    @staticmethod
    def _is_dead(hand: Worker[T]) -> bool:
        return hand.is_dying or not hand.thread.is_alive()

    def _is_stuck(self, hand: Worker[T]) -> bool:
        return hand.task is not None and self._now() - hand.began_at >= self._stuck_seconds

    def _hand(self, number: int) -> Worker[T]:
        return Worker(f"speech-{number}", self._work)
