"""A clock that stands until it is told to go on. Any thread may read and turn it."""

from threading import Lock


class Clock:
    """Counts seconds."""

    def __init__(self, seconds: float = 100.0) -> None:
        self._seconds = seconds
        self._lock = Lock()

    def __call__(self) -> float:
        with self._lock:
            return self._seconds

    def turn(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds
