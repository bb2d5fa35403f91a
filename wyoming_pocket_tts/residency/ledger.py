"""Keeps account of who is in memory and who speaks with whom, and decides who comes, who goes and what is broken.

Knows no clock and no thread: whoever keeps it says what time it is, lets one thread in at a time, and does what was
decided.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from wyoming_pocket_tts.errors import ModelError, SpeechError
from wyoming_pocket_tts.residency.places import Lease, Loaded, Place, Speaker
from wyoming_pocket_tts.residency.policy import Occupant, make_room, surplus

_FAILURES_IN_A_ROW = 3
_MOST_LEFT_BEHIND = 2
"""Each keeps its memory for as long as it hangs."""

STUCK = "stuck"
Wakes: TypeAlias = list[Callable[[], None]]
"""What to call, without any lock, so that those who waited go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
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


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody who is to be brought now, by ``Ledger.arrived`` or ``not_arrived`` in the end.

    Attributes:
        place: who.
        leaving: who is to leave memory before.
        is_beyond: whether all together take more than they may then.
    """

    place: Place
    leaving: tuple[Loaded, ...]
    is_beyond: bool


class Ledger:
    """The account.

    Args:
        budget_bytes: what all may take together, as far as possible; infinity for any amount.
        patience: how long things may take.
    """

    def __init__(self, *, budget_bytes: float = math.inf, patience: Patience | None = None) -> None:
        self.budget_bytes = budget_bytes
        self.places: list[Place] = []
        self.there: list[Loaded] = []
        """Those in memory, also such as broke and are still spoken with, or hang."""
        self.look_again_at = math.inf
        """When somebody who waits for another's rest may come."""
        self._patience = patience or Patience()

    @property
    def size_bytes(self) -> int:
        """What all take who are there, or on their way in."""
        return sum(each.place.size_bytes for each in self.there) + self._coming()

    def add(self, place: Place, speaker: Speaker | None) -> None:
        """Note somebody who can be in memory, and is already if a speaker is given.

        Nobody who was there before counts as used more recently: else what has just come might be the first to go.
        """
        self.places.append(place)
        if speaker is not None:
            used_at = max((each.used_at for each in self.there), default=-math.inf)
            self._enter(place, speaker).used_at = used_at

    def ask(self, place: Place, now: float) -> Lease:
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

    def those_broken(self, now: float) -> list[Loaded]:
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

    def those_leaving(self, now: float) -> list[Loaded]:
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

    def next_arrival(self, now: float) -> Arrival | None:
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
                return Arrival(place, decision.leaving, is_beyond=not decision.fits)
        return None

    def arrived(self, place: Place, speaker: Speaker, now: float) -> tuple[bool, Wakes]:
        """It is there: those who waited for it speak. Return whether it comes in place of one that broke."""
        loaded = self._enter(place, speaker)
        loaded.used_at = now
        was_rebuilt, place.is_rebuilt, place.is_loading = place.is_rebuilt, False, False
        waiting, place.waiting = place.waiting, []
        for lease in waiting:
            _lend(loaded, lease)
        return was_rebuilt, _wakes(waiting)

    def not_arrived(self, place: Place, error: SpeechError) -> Wakes:
        """It could not be brought; the next who asks has it tried again."""
        place.is_loading = False
        return self.refuse(list(place.waiting), error)

    @staticmethod
    def refuse(leases: Sequence[Lease], error: SpeechError) -> Wakes:
        """Tell those who wait that they wait in vain."""
        for lease in leases:
            lease.error = error
            lease.place.waiting.remove(lease)
        return _wakes(leases)

    def _enter(self, place: Place, speaker: Speaker) -> Loaded:
        place.loaded = Loaded(speaker, place)
        self.there.append(place.loaded)
        return place.loaded

    def _leave(self, leaving: Iterable[Loaded]) -> None:
        for loaded in leaving:
            self.there.remove(loaded)
            if loaded.place.loaded is loaded:
                loaded.place.loaded = None

    def _occupants(self, now: float) -> list[Occupant[Loaded]]:
        return [Occupant(each, each.place.size_bytes, self._is_held(each, now), each.used_at) for each in self.there]

    def _is_held(self, loaded: Loaded, now: float) -> bool:
        """Whether it cannot leave; that goes for one, too, that seems to hang: it would not be gone, only forgotten."""
        return bool(loaded.leases) or loaded.broken is not None or loaded.busy_seconds(now) > self._patience.rest

    def _coming(self) -> int:
        return sum(place.size_bytes for place in self.places if place.is_loading)

    def _room(self) -> float:
        return self.budget_bytes - self._coming()

    @staticmethod
    def _is_over(loaded: Loaded) -> bool:
        return loaded.place.loaded is not loaded and not loaded.is_left_behind

    def _is_idle(self, loaded: Loaded, now: float) -> bool:
        return now >= loaded.used_at + self._patience.idle and not loaded.place.stays()

    def _those_wanted(self, now: float) -> Iterator[Place]:
        """Those who can be brought, the longest waited for first."""
        absent = [each for each in self.places if each.loaded is None and not each.is_loading]
        hoped = [each for each in absent if now >= each.not_before and not self._hangs_again_and_again(each)]
        yield from sorted((each for each in hoped if each.waiting), key=lambda each: each.waiting[0].since)
        yield from (each for each in hoped if not each.waiting and each.is_wanted and each.stays())

    def _hangs_again_and_again(self, place: Place) -> bool:
        return sum(each.place is place and each.is_left_behind for each in self.there) >= _MOST_LEFT_BEHIND

    def _check_hope(self, place: Place, now: float) -> None:
        if self._hangs_again_and_again(place):
            raise ModelError(f"{place.title} hangs again and again: restart the service; its log says more")
        if now < place.not_before:
            seconds = math.ceil(place.not_before - now)
            raise ModelError(f"{place.title} has failed repeatedly; it is opened anew in {seconds} s")


def _lend(loaded: Loaded, lease: Lease) -> None:
    lease.loaded = loaded
    loaded.leases.add(lease)


def _wakes(leases: Iterable[Lease]) -> Wakes:
    found = []
    for lease in leases:
        if lease.wake is not None:
            found.append(lease.wake)
            lease.wake = None
    return found
