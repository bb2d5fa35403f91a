"""How much somebody who plays a speech as it comes has still to hear. Knows no clock, audio or client.

Times are seconds of one monotonic clock, whichever the callers share.
"""


class Playback:
    """Somebody who begins with the first piece, and after a gap goes on with the piece that ends it."""

    def __init__(self) -> None:
        self._until: float | None = None

    def add(self, seconds: float, now: float) -> None:
        """Count a piece of this length that arrives now."""
        self._until = seconds + (now if self._until is None else max(self._until, now))

    def lead(self, now: float) -> float:
        """Seconds that are left to hear; negative for how long there has been nothing. 0 before the first piece."""
        return 0.0 if self._until is None else self._until - now

    @property
    def until(self) -> float | None:
        """When there will be nothing left to hear; None before the first piece."""
        return self._until
