"""Who can be in memory, who is, and who speaks with whom: plain notes, for ``ledger.py`` to keep. Knows no thread."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from wyoming_pocket_tts.errors import SpeechError
from wyoming_pocket_tts.speech import Pcm, Request

_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0


class Speaker(Protocol):
    """A synthesizer in memory."""

    def synthesize(self, request: Request) -> Iterator[Pcm]:
        """As ``speech.Synthesizer``."""
        ...

    def close(self, deadline_seconds: float = 5.0, reason: SpeechError | None = None) -> None:
        """End what is being spoken, and its threads.

        Args:
            deadline_seconds: time for the call under way to come to its end; what takes longer is left behind.
            reason: what those hear who listen.
        """
        ...

    @property
    def busy_seconds(self) -> float:
        """How long it has been computing one thing on a thread of its own; 0 when it does not."""
        ...

    @property
    def is_left_behind(self) -> bool:
        """Whether it was closed and computes still."""
        ...


class _Gone(Speaker):
    """Stands where somebody was who has left."""

    def synthesize(self, request: Request) -> Iterator[Pcm]:
        """Nobody asks whom nobody has a lease of."""
        raise NotImplementedError

    def close(self, deadline_seconds: float = 5.0, reason: SpeechError | None = None) -> None:
        """It is."""

    @property
    def busy_seconds(self) -> float:
        """Zero."""
        return 0.0

    @property
    def is_left_behind(self) -> bool:
        """No more."""
        return False


GONE: Final = _Gone()


@dataclass(slots=True, eq=False)
class Place:
    """Somebody who can be in memory.

    Attributes:
        name: what observers hear.
        title: what people read.
        bring: brings it into memory; on a thread of its own, and takes seconds.
        size_bytes: what it takes there, about.
        stays: whether it is to be there without being asked for, as far as room allows; answers at once.
        loaded: it, if it is there.
        is_loading: whether it is on its way in.
        is_wanted: whether it is to come, if there is room, though nobody has asked.
        is_rebuilt: whether it comes, next time, in place of one that broke.
        waiting: who wants to speak with it and cannot yet, the longest waiting first.
        failures: speeches that it did not end well, since the last one that it did.
        not_before: when it may be opened anew, having broken.
    """

    name: str
    title: str
    bring: Callable[[], Speaker]
    size_bytes: int
    stays: Callable[[], bool]
    loaded: "Loaded | None" = None
    is_loading: bool = False
    is_wanted: bool = False
    is_rebuilt: bool = False
    waiting: "list[Lease]" = field(default_factory=list)
    failures: int = 0
    not_before: float = -math.inf
    _pause_seconds: float = 0.0

    def may_break(self, now: float) -> bool:
        """Whether, if it broke now, it could be opened anew at once."""
        return now >= self.not_before + self._pause_seconds

    def broke(self, now: float) -> None:
        """Note that what was there is no good: it is opened anew at once, then in longer and longer intervals."""
        if now > self.not_before + _LONGEST_PAUSE_SECONDS:
            self._pause_seconds = 0.0
        self.not_before = max(now, self.not_before + self._pause_seconds)
        self._pause_seconds = min(max(_FIRST_PAUSE_SECONDS, 2 * self._pause_seconds), _LONGEST_PAUSE_SECONDS)
        self.loaded, self.is_wanted, self.is_rebuilt, self.failures = None, True, True, 0


@dataclass(slots=True, eq=False)
class Lease:
    """Somebody who speaks: from the wish to the end of the speech.

    Attributes:
        place: with whom.
        since: when the wish came.
        loaded: who speaks, once it is there.
        error: why nobody does.
        wake: is called once when one of both is known.
        called_at: since when a call into the speaker is under way, if one is.
    """

    place: Place
    since: float
    loaded: "Loaded | None" = None
    error: SpeechError | None = None
    wake: Callable[[], None] | None = None
    called_at: float | None = None

    @property
    def is_decided(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.loaded is not None or self.error is not None


@dataclass(slots=True, eq=False)
class Loaded:
    """Somebody in memory, from its coming to its going.

    Attributes:
        speaker: who.
        place: where it belongs.
        leases: who speaks with it.
        used_at: when it was last spoken with.
        broken: what is wrong with it, as observers hear it, once something is.
    """

    speaker: Speaker
    place: Place
    leases: set[Lease] = field(default_factory=set)
    used_at: float = -math.inf
    broken: str | None = None

    def busy_seconds(self, now: float) -> float:
        """How long the longest call into it, or of its own, has taken so far."""
        calls = [lease.called_at for lease in self.leases if lease.called_at is not None]
        return max(now - min(calls, default=now), self.speaker.busy_seconds)

    @property
    def is_left_behind(self) -> bool:
        """Whether something of it computes still, though it was closed."""
        return self.speaker.is_left_behind or any(lease.called_at is not None for lease in self.leases)
