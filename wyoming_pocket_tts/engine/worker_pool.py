"""Threads, and replacement of hung ones; the only hang detector."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final, Generic, TypeVar

_LOGGER = logging.getLogger(__name__)

HUNG_SECONDS: Final = 30.0
MOST_LEFT_BEHIND: Final = 8

T = TypeVar("T")


def is_hung(began_at: float | None, now: float, hung_seconds: float = HUNG_SECONDS) -> bool:
    """Whether a call that began then (None: no call is under way) takes too long, on a worker or a model's thread."""
    return began_at is not None and now - began_at >= hung_seconds


class Worker(Generic[T]):
    """One thread and its task. Everything but the thread is guarded by the pool's lock."""

    def __init__(self, name: str, run: "Callable[[Worker[T]], None]") -> None:
        self.thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)
        self.task: T | None = None
        self.began_at: float | None = None
        """When its task began; None without one."""
        self.is_dying = False
        self.is_replaced = False
        """It discards the result of its call, and exits."""
        self.is_left_behind = False
        """Another one has its place, and it may hold a core."""

    @property
    def is_dead(self) -> bool:
        return self.is_dying or not self.thread.is_alive()


@dataclass(frozen=True, slots=True)
class LostWorker(Generic[T]):
    """A thread that hangs or died."""

    name: str
    task: T | None
    """What it hangs in; None if it died."""
    is_replaced: bool


class WorkerPool(Generic[T]):
    """A fixed number of threads. Owned by the owner of ``lock``, which guards tasks.

    A task that takes longer than ``hung_seconds`` is a hang; at most ``most_left_behind`` hung threads at a time are
    replaced.
    """

    def __init__(
        self,
        run: Callable[[Worker[T]], None],
        *,
        size: int,
        lock: threading.Lock,
        hung_seconds: float,
        now: Callable[[], float],
        most_left_behind: int = MOST_LEFT_BEHIND,
    ) -> None:
        self._run = run
        self._lock = lock
        self._hung_seconds = hung_seconds
        self._now = now
        self._may_leave_behind = most_left_behind
        self._size = size
        self._started = False
        self._numbers = count()
        self._workers = [self._new_worker() for _ in range(size)]

    @property
    def is_whole(self) -> bool:
        """Whether as many threads run as should; one that died counts until it is replaced."""
        return len(self._workers) == self._size and all(worker.thread.is_alive() for worker in self._workers)

    def start(self) -> None:
        self._started = True
        for worker in self._workers:
            worker.thread.start()

    def retire(self, worker: Worker[T]) -> None:
        """A hung worker has returned after it was replaced: one more may be left behind. With the lock held."""
        self._may_leave_behind += worker.is_left_behind
        worker.is_left_behind = False

    def replace_lost_workers(self) -> list[LostWorker[T]]:
        """Replace workers that died or hang, and say what each was at."""
        with self._lock:
            now = self._now()
            lost = [each for each in self._workers if each.is_dead or is_hung(each.began_at, now, self._hung_seconds)]
            for worker in lost:
                worker.is_replaced = True
            return [self._replace(worker) for worker in lost]

    def join(self, deadline_seconds: float) -> None:
        until = time.monotonic() + deadline_seconds
        for worker in self._workers if self._started else ():
            worker.thread.join(max(0.0, until - time.monotonic()))
            if worker.thread.is_alive():
                _LOGGER.error("%s still computes %g s after it was stopped", worker.thread.name, deadline_seconds)

    def _replace(self, worker: Worker[T]) -> LostWorker[T]:
        is_dead = worker.is_dead
        self._workers.remove(worker)
        is_replaced = is_dead or self._may_leave_behind > 0
        if is_replaced:
            worker.is_left_behind = not is_dead
            self._may_leave_behind -= worker.is_left_behind
            another = self._new_worker()
            self._workers.append(another)
            with suppress(RuntimeError):  # out of threads: it counts as dead, so the next check tries again
                another.thread.start()
        return LostWorker(worker.thread.name, None if is_dead else worker.task, is_replaced)

    def _new_worker(self) -> Worker[T]:
        return Worker(f"speech-{next(self._numbers)}", self._run)
