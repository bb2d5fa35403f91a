"""State of the managed models and the eviction policy (pure)."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

from wyoming_pocket_tts.core.errors import ModelError, TtsError
from wyoming_pocket_tts.core.types import LoadedSynthesizer
from wyoming_pocket_tts.engine.worker_pool import HUNG_SECONDS, is_hung

T = TypeVar("T")

HUNG: Final = "hung"
_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0
_FAILURES_IN_A_ROW = 3
_MOST_LEFT_BEHIND = 2
"""Each keeps its memory for as long as it hangs."""

Wakes: TypeAlias = list[Callable[[], None]]
"""To be called without any lock, so that streams that waited go on."""


@dataclass(frozen=True, slots=True)
class PoolEntry(Generic[T]):
    """A model in memory, as the policy sees it."""

    model: T
    size_bytes: int
    is_held: bool
    """Whether it is in use, or cannot be unloaded for another reason."""
    used_at: float
    """Last use, in seconds; minus infinity for never."""


@dataclass(frozen=True, slots=True)
class EvictionDecision(Generic[T]):
    """What to do for a model that is to be loaded."""

    leaving: tuple[T, ...] = ()
    wait_until: float | None = None
    """Decide again then, and unload nothing before: a response may be between two of its sentences."""
    fits: bool = True
    """Whether all is within the budget afterwards."""


def make_room(
    there: Sequence[PoolEntry[T]], *, wanted_bytes: int, budget_bytes: float, now: float, rest_seconds: float
) -> EvictionDecision[T]:
    """Choose models to evict so that ``wanted_bytes`` fit: idle ones, least recently used first, as few as possible.

    If all idle ones are too few, they go and the model is loaded beyond the budget. None goes within ``rest_seconds``
    of its last use.
    """
    missing = sum(each.size_bytes for each in there) + wanted_bytes - budget_bytes
    leaving: list[T] = []
    for each in _idle(there):
        if missing <= 0:
            break
        if now < each.used_at + rest_seconds:
            return EvictionDecision(wait_until=each.used_at + rest_seconds)
        leaving.append(each.model)
        missing -= each.size_bytes
    return EvictionDecision(tuple(leaving), fits=missing <= 0)


def surplus(there: Sequence[PoolEntry[T]], *, budget_bytes: float, now: float, rest_seconds: float) -> tuple[T, ...]:
    """Choose models to evict because all together exceed the budget, none being asked for.

    The most recently used stays, however large: it would be the first to come back.
    """
    missing = sum(each.size_bytes for each in there) - budget_bytes
    leaving: list[T] = []
    idle = _idle(there)
    for each in idle if len(idle) < len(there) else idle[:-1]:
        if missing <= 0 or now < each.used_at + rest_seconds:
            break
        leaving.append(each.model)
        missing -= each.size_bytes
    return tuple(leaving)


def _idle(there: Sequence[PoolEntry[T]]) -> list[PoolEntry[T]]:
    return sorted((each for each in there if not each.is_held), key=lambda each: each.used_at)


@dataclass(slots=True, eq=False)
class ManagedModel:
    """A model that can be in memory."""

    name: str
    """For observers."""
    title: str
    """For people."""
    bring: Callable[[], LoadedSynthesizer]
    """Loads it, on a thread of its own; takes seconds."""
    size_bytes: int
    """What it takes in memory, about."""
    stays: Callable[[], bool]
    """Whether it is to be loaded without being asked for, as far as the budget allows; answers at once."""
    loaded: "ModelInstance | None" = None
    is_loading: bool = False
    is_wanted: bool = False
    """It is to be loaded, if there is room, though nothing asks for it."""
    is_rebuilt: bool = False
    """Its next instance replaces a broken one."""
    waiting: "list[Lease]" = field(default_factory=list)
    """The longest waiting first."""
    failures: int = 0
    """Streams that it failed since the last one that it ended well."""
    not_before: float = -math.inf
    """When it may be reloaded, having broken."""
    _pause_seconds: float = 0.0

    def may_break(self, now: float) -> bool:
        """Whether, if it broke now, it could be reloaded at once."""
        return now >= self.not_before + self._pause_seconds

    def mark_broken(self, now: float) -> None:
        """Drop its instance: it is reloaded at once, then in longer and longer intervals."""
        if now > self.not_before + _LONGEST_PAUSE_SECONDS:
            self._pause_seconds = 0.0
        self.not_before = max(now, self.not_before + self._pause_seconds)
        self._pause_seconds = min(max(_FIRST_PAUSE_SECONDS, 2 * self._pause_seconds), _LONGEST_PAUSE_SECONDS)
        self.loaded, self.is_wanted, self.is_rebuilt, self.failures = None, True, True, 0


@dataclass(slots=True, eq=False)
class Lease:
    """Use of a model by one stream, from the request for it to the stream's end."""

    model: ManagedModel
    since: float
    loaded: "ModelInstance | None" = None
    error: TtsError | None = None
    wake: Callable[[], None] | None = None
    """Called once when either of both is known."""
    called_at: float | None = None
    """Since when a call into the synthesizer is under way."""

    @property
    def is_decided(self) -> bool:
        return self.loaded is not None or self.error is not None


@dataclass(slots=True, eq=False)
class ModelInstance:
    """A model in memory, from loading to unloading."""

    synthesizer: LoadedSynthesizer | None
    """None once it was unloaded."""
    model: ManagedModel
    leases: set[Lease] = field(default_factory=set)
    used_at: float = -math.inf
    broken: str | None = None
    """The kind of fault, once it is broken."""

    @property
    def called_at(self) -> float | None:
        """When the longest call under way began, on a worker or on a thread of its own; None without one."""
        own = None if self.synthesizer is None else self.synthesizer.called_at
        calls = (own, *(lease.called_at for lease in self.leases))
        return min((each for each in calls if each is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerTimeouts:
    """How long things may take, in seconds."""

    rest: float = 1.0
    """A model is not unloaded for so long after its last use: the next sentence of the same response may come."""
    idle: float = 180.0
    """A model that is not to stay is unloaded so long after its last use."""
    hung: float = HUNG_SECONDS
    """A call that takes longer hangs."""
    arrival: float = 120.0
    """A stream that waits longer for a model fails."""


@dataclass(frozen=True, slots=True)
class LoadDecision:
    """A model to load now; ends with ``ModelPool.arrived`` or ``not_arrived``."""

    model: ManagedModel
    leaving: tuple[ModelInstance, ...]
    """To be unloaded before."""
    is_beyond: bool
    """Whether all together take more than the budget then."""


class ModelPool:
    """The models, their instances and leases. The budget is kept as far as possible; infinity for none."""

    def __init__(self, *, budget_bytes: float = math.inf, patience: ManagerTimeouts | None = None) -> None:
        self.budget_bytes = budget_bytes
        self.models: list[ManagedModel] = []
        self.there: list[ModelInstance] = []
        """In memory, also broken ones that are still in use or hang."""
        self.look_again_at = math.inf
        """When a model that waits for another's rest may be loaded."""
        self._patience = patience or ManagerTimeouts()

    @property
    def size_bytes(self) -> int:
        return sum(each.model.size_bytes for each in self.there) + self._loading_bytes()

    def add(self, model: ManagedModel, synthesizer: LoadedSynthesizer | None) -> None:
        """Add a model, loaded if a synthesizer is given; it counts as used as recently as any other."""
        self.models.append(model)
        if synthesizer is not None:
            used_at = max((each.used_at for each in self.there), default=-math.inf)
            self._enter(model, synthesizer).used_at = used_at

    def acquire(self, model: ManagedModel, now: float) -> Lease:
        """Ask for a model; raises ``ModelError`` if it broke and cannot be reloaded now."""
        lease = Lease(model, now)
        if model.loaded is not None:
            _lend(model.loaded, lease)
            return lease
        if not model.is_loading:
            self._check_hope(model, now)
        model.waiting.append(lease)
        return lease

    @staticmethod
    def release(lease: Lease, now: float) -> None:
        """Give a lease back, decided or not; also one that was given back before."""
        lease.wake = lease.called_at = None
        if lease in lease.model.waiting:
            lease.model.waiting.remove(lease)
        loaded = lease.loaded
        if loaded is not None and lease in loaded.leases:
            loaded.leases.remove(lease)
            loaded.used_at = now

    @staticmethod
    def succeeded(lease: Lease) -> None:
        lease.model.failures = 0

    @staticmethod
    def failed(lease: Lease, kind: str, now: float) -> bool:
        """A stream has failed by its model's fault; return whether the model is broken.

        One or two failures do not break it, since a voice's file may be to blame; nor does any as long as it could not
        be reloaded at once.
        """
        model, loaded = lease.model, lease.loaded
        if loaded is None or loaded is not model.loaded:
            return False
        model.failures += 1
        if model.failures >= _FAILURES_IN_A_ROW and model.may_break(now):
            loaded.broken = kind
        return loaded.broken is not None

    def broken_models(self, now: float) -> list[ModelInstance]:
        """Find instances that hang or broke; no new stream uses them. One that hangs after it broke is found again."""
        found = []
        for loaded in self.there:
            hangs = loaded.broken != HUNG and is_hung(loaded.called_at, now, self._patience.hung)
            if hangs:
                loaded.broken = HUNG
            was_lent = loaded.broken is not None and loaded.model.loaded is loaded
            if was_lent:
                loaded.model.mark_broken(now)
            if hangs or was_lent:
                found.append(loaded)
        return found

    def evictable(self, now: float) -> list[ModelInstance]:
        """Remove instances that are not needed any more, or too many."""
        free = [each for each in self.there if not each.leases]
        leaving = [each for each in free if (self._is_over(each) if each.broken else self._is_idle(each, now))]
        self._leave(leaving)
        crowd = surplus(self._entries(now), budget_bytes=self._room(), now=now, rest_seconds=self._patience.rest)
        self._leave(crowd)
        return [*leaving, *crowd]

    def refuse_late(self, now: float) -> Wakes:
        waiting = [each for model in self.models for each in model.waiting]
        late = [each for each in waiting if now > each.since + self._patience.arrival]
        return self.refuse(late, ModelError("the model did not come into memory in time; ask again"))

    def next_load(self, now: float) -> LoadDecision | None:
        """Decide which model is to be loaded now, and mark it as loading; None for none."""
        self.look_again_at = math.inf
        for model in self._pending_loads(now):
            decision = make_room(
                self._entries(now),
                wanted_bytes=model.size_bytes,
                budget_bytes=self._room(),
                now=now,
                rest_seconds=self._patience.rest,
            )
            if not model.waiting and (decision.leaving or not decision.fits):
                model.is_wanted = False  # none is unloaded for one that nothing asked for
            elif decision.wait_until is not None:
                self.look_again_at = min(self.look_again_at, decision.wait_until)
            else:
                self._leave(decision.leaving)
                model.is_loading, model.is_wanted = True, False
                return LoadDecision(model, decision.leaving, is_beyond=not decision.fits)
        return None

    def arrived(self, model: ManagedModel, synthesizer: LoadedSynthesizer, now: float) -> tuple[bool, Wakes]:
        """It is loaded, and lent to all that wait. Return whether it replaces a broken instance."""
        loaded = self._enter(model, synthesizer)
        loaded.used_at = now
        was_rebuilt, model.is_rebuilt, model.is_loading = model.is_rebuilt, False, False
        waiting, model.waiting = model.waiting, []
        for lease in waiting:
            _lend(loaded, lease)
        return was_rebuilt, _wakes(waiting)

    def not_arrived(self, model: ManagedModel, error: TtsError) -> Wakes:
        """It could not be loaded; the next request tries again."""
        model.is_loading = False
        return self.refuse(list(model.waiting), error)

    @staticmethod
    def refuse(leases: Sequence[Lease], error: TtsError) -> Wakes:
        for lease in leases:
            lease.error = error
            lease.model.waiting.remove(lease)
        return _wakes(leases)

    def _enter(self, model: ManagedModel, synthesizer: LoadedSynthesizer) -> ModelInstance:
        model.loaded = ModelInstance(synthesizer, model)
        self.there.append(model.loaded)
        return model.loaded

    def _leave(self, leaving: Iterable[ModelInstance]) -> None:
        for loaded in leaving:
            self.there.remove(loaded)
            if loaded.model.loaded is loaded:
                loaded.model.loaded = None

    def _entries(self, now: float) -> list[PoolEntry[ModelInstance]]:
        return [PoolEntry(each, each.model.size_bytes, self._is_held(each, now), each.used_at) for each in self.there]

    def _is_held(self, loaded: ModelInstance, now: float) -> bool:
        """Whether it cannot be unloaded; one that seems to hang would not be gone, only forgotten."""
        called_at = loaded.called_at
        return bool(loaded.leases or loaded.broken) or (called_at is not None and now > called_at + self._patience.rest)

    def _loading_bytes(self) -> int:
        return sum(model.size_bytes for model in self.models if model.is_loading)

    def _room(self) -> float:
        return self.budget_bytes - self._loading_bytes()

    @staticmethod
    def _is_over(loaded: ModelInstance) -> bool:
        return loaded.model.loaded is not loaded and loaded.called_at is None

    def _is_idle(self, loaded: ModelInstance, now: float) -> bool:
        return now >= loaded.used_at + self._patience.idle and not loaded.model.stays()

    def _pending_loads(self, now: float) -> Iterator[ManagedModel]:
        """Models that can be loaded, the longest waited for first."""
        absent = [each for each in self.models if each.loaded is None and not each.is_loading]
        hoped = [each for each in absent if now >= each.not_before and not self._hangs_again_and_again(each)]
        yield from sorted((each for each in hoped if each.waiting), key=lambda each: each.waiting[0].since)
        yield from (each for each in hoped if not each.waiting and each.is_wanted and each.stays())

    def _hangs_again_and_again(self, model: ManagedModel) -> bool:
        left_behind = [each for each in self.there if each.model is model and each.called_at is not None]
        return len(left_behind) >= _MOST_LEFT_BEHIND

    def _check_hope(self, model: ManagedModel, now: float) -> None:
        if self._hangs_again_and_again(model):
            raise ModelError(f"{model.title} hangs again and again: restart the service; its log says more")
        if now < model.not_before:
            seconds = math.ceil(model.not_before - now)
            raise ModelError(f"{model.title} has failed repeatedly; it is opened anew in {seconds} s")


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
