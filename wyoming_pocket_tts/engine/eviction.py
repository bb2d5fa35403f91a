"""State of the managed models and the eviction policy (pure)."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from wyoming_pocket_tts.core.errors import ModelError, TtsError
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest

_FAILURES_IN_A_ROW = 3
_MOST_LEFT_BEHIND = 2
"""Each keeps its memory for as long as it hangs."""

STUCK = "stuck"
Wakes: TypeAlias = list[Callable[[], None]]
"""What to call, without any lock, so that those who waited go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerTimeouts:
    """How long things may take, in seconds.

    Attributes:
        rest: who has spoken stays at least so long: the next sentence of the same answer may come.
        idle: who is not to stay leaves so long after it was last spoken with.
        stuck: a call that takes longer will never end.
        arrival: whoever waits for longer is told that nobody comes.
    """

    rest: float = 1.0
    idle: float = 180.0
    stuck: float = 30.0
    arrival: float = 120.0


class LoadedSynthesizer(Protocol):
    """A synthesizer in memory."""

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        """As ``speech.Synthesizer``."""
        ...

    def close(self, deadline_seconds: float = 5.0, reason: TtsError | None = None) -> None:
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


@dataclass(slots=True, eq=False)
class ManagedModel:
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
    bring: Callable[[], LoadedSynthesizer]
    size_bytes: int
    stays: Callable[[], bool]
    loaded: "ModelInstance | None" = None
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

    place: ManagedModel
    since: float
    loaded: "ModelInstance | None" = None
    error: TtsError | None = None
    wake: Callable[[], None] | None = None
    called_at: float | None = None

    @property
    def is_decided(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.loaded is not None or self.error is not None


@dataclass(slots=True, eq=False)
class ModelInstance:
    """Somebody in memory, from its coming to its going.

    Attributes:
        speaker: who.
        place: where it belongs.
        leases: who speaks with it.
        used_at: when it was last spoken with.
        broken: what is wrong with it, as observers hear it, once something is.
    """

    speaker: LoadedSynthesizer
    place: ManagedModel
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


@dataclass(frozen=True, slots=True)
class LoadDecision:
    """Somebody who is to be brought now, by ``Ledger.arrived`` or ``not_arrived`` in the end.

    Attributes:
        place: who.
        leaving: who is to leave memory before.
        is_beyond: whether all together take more than they may then.
    """

    place: ManagedModel
    leaving: tuple[ModelInstance, ...]
    is_beyond: bool


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PoolEntry(Generic[T]):
    """Somebody in memory."""

    who: T
    size_bytes: int
    is_held: bool
    """Whether somebody speaks with it, or it cannot leave for another reason."""
    used_at: float
    """When it was last spoken with, in seconds; minus infinity for never."""


class ModelPool:
    """The account.

    Args:
        budget_bytes: what all may take together, as far as possible; infinity for any amount.
        patience: how long things may take.
    """

    def __init__(self, *, budget_bytes: float = math.inf, patience: ManagerTimeouts | None = None) -> None:
        self.budget_bytes = budget_bytes
        self.places: list[ManagedModel] = []
        self.there: list[ModelInstance] = []
        """Those in memory, also such as broke and are still spoken with, or hang."""
        self.look_again_at = math.inf
        """When somebody who waits for another's rest may come."""
        self._patience = patience or ManagerTimeouts()

    @property
    def size_bytes(self) -> int:
        """What all take who are there, or on their way in."""
        return sum(each.place.size_bytes for each in self.there) + self._coming()

    def add(self, place: ManagedModel, speaker: LoadedSynthesizer | None) -> None:
        """Note somebody who can be in memory, and is already if a speaker is given.

        Nobody who was there before counts as used more recently: else what has just come might be the first to go.
        """
        self.places.append(place)
        if speaker is not None:
            used_at = max((each.used_at for each in self.there), default=-math.inf)
            self._enter(place, speaker).used_at = used_at

    def ask(self, place: ManagedModel, now: float) -> Lease:
        """Wish to speak with somebody.

        Raises:
            ModelError: it broke, and is not to be had now.
        """
        lease = Lease(place, now)
        if place.loaded is not None:
            _lend(place.loaded, lease)
            return lease
        if not place.is_loading:
            self._check_hope(place, now)
        place.waiting.append(lease)
        return lease

    @staticmethod
    def give_back(lease: Lease, now: float) -> None:
        """End a wish or a speech; also one that has ended."""
        lease.wake = lease.called_at = None
        if lease in lease.place.waiting:
            lease.place.waiting.remove(lease)
        loaded = lease.loaded
        if loaded is not None and lease in loaded.leases:
            loaded.leases.remove(lease)
            loaded.used_at = now

    @staticmethod
    def succeeded(lease: Lease) -> None:
        """A speech has come to its end: its model is fine."""
        lease.place.failures = 0

    @staticmethod
    def failed(lease: Lease, kind: str, now: float) -> bool:
        """A speech has failed by the model's fault; return whether the model is broken.

        Once or twice is no reason to give it up: a voice's file may be to blame. And it is not given up while it could
        not be opened anew at once.
        """
        place, loaded = lease.place, lease.loaded
        if loaded is None or loaded is not place.loaded:
            return False
        place.failures += 1
        if place.failures >= _FAILURES_IN_A_ROW and place.may_break(now):
            loaded.broken = kind
        return loaded.broken is not None

    def those_broken(self, now: float) -> list[ModelInstance]:
        """Find those that hang, or were found broken. Nobody speaks with them from now on.

        Who is found because its speeches failed is found again if it hangs in what it speaks still.
        """
        found = []
        for loaded in self.there:
            hangs = loaded.broken != STUCK and loaded.busy_seconds(now) > self._patience.stuck
            if hangs:
                loaded.broken = STUCK
            was_lent = loaded.broken is not None and loaded.place.loaded is loaded
            if was_lent:
                loaded.place.broke(now)
            if hangs or was_lent:
                found.append(loaded)
        return found

    def those_leaving(self, now: float) -> list[ModelInstance]:
        """Take those out of the account that are not needed any more, or are too many."""
        free = [each for each in self.there if not each.leases]
        leaving = [each for each in free if (self._is_over(each) if each.broken else self._is_idle(each, now))]
        self._leave(leaving)
        crowd = surplus(self._occupants(now), budget_bytes=self._room(), now=now, rest_seconds=self._patience.rest)
        self._leave(crowd)
        return [*leaving, *crowd]

    def refuse_late(self, now: float) -> Wakes:
        """Tell those who have waited for too long that nobody comes."""
        waiting = [each for place in self.places for each in place.waiting]
        late = [each for each in waiting if now > each.since + self._patience.arrival]
        return self.refuse(late, ModelError("the model did not come into memory in time; ask again"))

    def next_arrival(self, now: float) -> LoadDecision | None:
        """Decide who is to be brought now, and note that it is on its way; None for nobody."""
        self.look_again_at = math.inf
        for place in self._those_wanted(now):
            decision = make_room(
                self._occupants(now),
                wanted_bytes=place.size_bytes,
                budget_bytes=self._room(),
                now=now,
                rest_seconds=self._patience.rest,
            )
            if not place.waiting and (decision.leaving or not decision.fits):
                place.is_wanted = False  # nobody has to go for somebody whom nobody asked for
            elif decision.wait_until is not None:
                self.look_again_at = min(self.look_again_at, decision.wait_until)
            else:
                self._leave(decision.leaving)
                place.is_loading, place.is_wanted = True, False
                return LoadDecision(place, decision.leaving, is_beyond=not decision.fits)
        return None

    def arrived(self, place: ManagedModel, speaker: LoadedSynthesizer, now: float) -> tuple[bool, Wakes]:
        """It is there: those who waited for it speak. Return whether it comes in place of one that broke."""
        loaded = self._enter(place, speaker)
        loaded.used_at = now
        was_rebuilt, place.is_rebuilt, place.is_loading = place.is_rebuilt, False, False
        waiting, place.waiting = place.waiting, []
        for lease in waiting:
            _lend(loaded, lease)
        return was_rebuilt, _wakes(waiting)

    def not_arrived(self, place: ManagedModel, error: TtsError) -> Wakes:
        """It could not be brought; the next who asks has it tried again."""
        place.is_loading = False
        return self.refuse(list(place.waiting), error)

    @staticmethod
    def refuse(leases: Sequence[Lease], error: TtsError) -> Wakes:
        """Tell those who wait that they wait in vain."""
        for lease in leases:
            lease.error = error
            lease.place.waiting.remove(lease)
        return _wakes(leases)

    def _enter(self, place: ManagedModel, speaker: LoadedSynthesizer) -> ModelInstance:
        place.loaded = ModelInstance(speaker, place)
        self.there.append(place.loaded)
        return place.loaded

    def _leave(self, leaving: Iterable[ModelInstance]) -> None:
        for loaded in leaving:
            self.there.remove(loaded)
            if loaded.place.loaded is loaded:
                loaded.place.loaded = None

    def _occupants(self, now: float) -> list[PoolEntry[ModelInstance]]:
        return [PoolEntry(each, each.place.size_bytes, self._is_held(each, now), each.used_at) for each in self.there]

    def _is_held(self, loaded: ModelInstance, now: float) -> bool:
        """Whether it cannot leave; that goes for one, too, that seems to hang: it would not be gone, only forgotten."""
        return bool(loaded.leases) or loaded.broken is not None or loaded.busy_seconds(now) > self._patience.rest

    def _coming(self) -> int:
        return sum(place.size_bytes for place in self.places if place.is_loading)

    def _room(self) -> float:
        return self.budget_bytes - self._coming()

    @staticmethod
    def _is_over(loaded: ModelInstance) -> bool:
        return loaded.place.loaded is not loaded and not loaded.is_left_behind

    def _is_idle(self, loaded: ModelInstance, now: float) -> bool:
        return now >= loaded.used_at + self._patience.idle and not loaded.place.stays()

    def _those_wanted(self, now: float) -> Iterator[ManagedModel]:
        """Those who can be brought, the longest waited for first."""
        absent = [each for each in self.places if each.loaded is None and not each.is_loading]
        hoped = [each for each in absent if now >= each.not_before and not self._hangs_again_and_again(each)]
        yield from sorted((each for each in hoped if each.waiting), key=lambda each: each.waiting[0].since)
        yield from (each for each in hoped if not each.waiting and each.is_wanted and each.stays())

    def _hangs_again_and_again(self, place: ManagedModel) -> bool:
        return sum(each.place is place and each.is_left_behind for each in self.there) >= _MOST_LEFT_BEHIND

    def _check_hope(self, place: ManagedModel, now: float) -> None:
        if self._hangs_again_and_again(place):
            raise ModelError(f"{place.title} hangs again and again: restart the service; its log says more")
        if now < place.not_before:
            seconds = math.ceil(place.not_before - now)
            raise ModelError(f"{place.title} has failed repeatedly; it is opened anew in {seconds} s")


def _lend(loaded: ModelInstance, lease: Lease) -> None:
    lease.loaded = loaded
    loaded.leases.add(lease)


def _wakes(leases: Iterable[Lease]) -> Wakes:
    found = []
    for lease in leases:
        if lease.wake is not None:
            found.append(lease.wake)
            lease.wake = None
    return found


@dataclass(frozen=True, slots=True)
class EvictionDecision(Generic[T]):
    """What to do for somebody who wants in."""

    leaving: tuple[T, ...] = ()
    wait_until: float | None = None
    """Ask again then: somebody who has spoken just now may be between two sentences. Nobody leaves before."""
    fits: bool = True
    """Whether all is within the budget afterwards."""


def make_room(
    there: Sequence[PoolEntry[T]], *, wanted_bytes: int, budget_bytes: float, now: float, rest_seconds: float
) -> EvictionDecision[T]:
    """Decide who leaves for somebody who is to speak now.

    Those leave that nobody speaks with, the least recently used first, and no more than have to. If all of them are
    too few, they leave and it comes in all the same, beyond the budget: people are to hear something.

    Args:
        there: all that are in memory.
        wanted_bytes: what the newcomer takes.
        budget_bytes: what all may take together.
        now: the time, in seconds.
        rest_seconds: how long somebody stays after it was last spoken with.
    """
    missing = sum(each.size_bytes for each in there) + wanted_bytes - budget_bytes
    leaving: list[T] = []
    for each in _idle(there):
        if missing <= 0:
            break
        if now < each.used_at + rest_seconds:
            return EvictionDecision(wait_until=each.used_at + rest_seconds)
        leaving.append(each.who)
        missing -= each.size_bytes
    return EvictionDecision(tuple(leaving), fits=missing <= 0)


def surplus(there: Sequence[PoolEntry[T]], *, budget_bytes: float, now: float, rest_seconds: float) -> tuple[T, ...]:
    """Say who is to leave because all together take too much, nobody wanting in.

    The last that was spoken with stays, however large: it would be the first to come back.
    """
    missing = sum(each.size_bytes for each in there) - budget_bytes
    leaving: list[T] = []
    idle = _idle(there)
    for each in idle if len(idle) < len(there) else idle[:-1]:
        if missing <= 0 or now < each.used_at + rest_seconds:
            break
        leaving.append(each.who)
        missing -= each.size_bytes
    return tuple(leaving)


def _idle(there: Sequence[PoolEntry[T]]) -> list[PoolEntry[T]]:
    return sorted((each for each in there if not each.is_held), key=lambda each: each.used_at)


_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0


class _Gone(LoadedSynthesizer):
    """Stands where somebody was who has left."""

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        """Nobody asks whom nobody has a lease of."""
        raise NotImplementedError

    def close(self, deadline_seconds: float = 5.0, reason: TtsError | None = None) -> None:
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
