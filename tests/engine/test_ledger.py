"""The account of who is in memory, through any order of wishes, speeches, failures and hours."""

import itertools
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.speakers import Counting
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.engine.eviction import (
    HUNG,
    Lease,
    LoadDecision,
    ManagedModel,
    ManagerTimeouts,
    ModelInstance,
    ModelPool,
)
from wyoming_pocket_tts.engine.worker_pool import is_hung

PATIENCE = ManagerTimeouts(rest=1.0, idle=60.0, hung=30.0, arrival=100.0)


def a_place(name: str = "m", *, size: int = 10, stays: bool = True) -> ManagedModel:
    return ManagedModel(name, f"the model {name}", Counting, size, lambda: stays)


class Household(RuleBasedStateMachine):
    """Anybody asks for anybody at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.leases: list[Lease] = []
        self.on_the_way: list[LoadDecision] = []
        self.gone: set[ModelInstance] = set()
        self.hung: set[ModelInstance] = set()

    @initialize(budget=st.integers(1, 60), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), data=st.data())
    def begin(self, budget: int, sizes: list[int], data: st.DataObject) -> None:
        self.ledger = ModelPool(budget_bytes=budget, patience=PATIENCE)
        for number, size in enumerate(sizes):
            place = a_place(str(number), size=size, stays=data.draw(st.booleans()))
            self.ledger.add(place, Counting() if data.draw(st.booleans()) else None)

    def bring(self) -> None:
        before = self.ledger.size_bytes
        while (arrival := self.ledger.next_load(self.now)) is not None:
            for loaded in arrival.leaving:
                self.leave(loaded)
            after = self.ledger.size_bytes
            if arrival.is_beyond:
                held = [each for each in self.ledger.there if each.leases or each.broken]
                assert held == self.ledger.there, "whoever could leave has left"
            else:
                assert after <= self.ledger.budget_bytes
            assert after <= before + arrival.model.size_bytes
            before = after
            self.on_the_way.append(arrival)

    def leave(self, loaded: ModelInstance) -> None:
        assert not loaded.leases, "nobody leaves amid a speech"
        assert loaded not in self.ledger.there
        assert loaded.model.loaded is not loaded
        self.gone.add(loaded)

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(self.ledger.models))
        try:
            self.leases.append(self.ledger.acquire(place, self.now))
        except ModelError:
            assert self.now < place.not_before or sum(each.called_at is not None for each in self.ledger.there) >= 2
        self.bring()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.leases))
        self.leases.remove(lease)
        for _ in range(2):
            self.ledger.release(lease, self.now)
        assert lease not in lease.model.waiting
        assert not any(lease in each.leases for each in self.ledger.there)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data(), succeeds=st.booleans())
    def arrive(self, data: st.DataObject, succeeds: bool) -> None:
        arrival = data.draw(st.sampled_from(self.on_the_way))
        self.on_the_way.remove(arrival)
        waiting = list(arrival.model.waiting)
        if succeeds:
            self.ledger.arrived(arrival.model, Counting(), self.now)
            assert all(lease.loaded is arrival.model.loaded for lease in waiting)
        else:
            self.ledger.not_arrived(arrival.model, ModelError("no"))
            assert all(lease.error is not None for lease in waiting)
        self.bring()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        self.ledger.failed(data.draw(st.sampled_from(self.leases)), "exception", self.now)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        """Whoever has somebody to speak with begins a call, or ends it."""
        lease = data.draw(st.sampled_from(self.leases))
        if lease.loaded is not None:
            lease.called_at = self.now if lease.called_at is None else None

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 5.0, 31.0, 70.0, 700.0]))
    def look_later(self, seconds: float) -> None:
        self.now += seconds
        for loaded in self.ledger.broken_models(self.now):
            assert loaded.broken
            assert loaded.model.loaded is not loaded
            assert loaded not in self.hung, "it is told once"
            self.hung |= {loaded} if loaded.broken == HUNG else set()
        assert all(each in self.hung for each in self.ledger.there if is_hung(each.called_at, self.now))
        for loaded in self.ledger.evictable(self.now):
            self.leave(loaded)
        self.ledger.refuse_late(self.now)
        assert not any(self.now - each.since > 100.0 for place in self.ledger.models for each in place.waiting)
        self.bring()

    @invariant()
    def no_lease_is_lost(self) -> None:
        for lease in self.leases:
            if lease.error is None and lease.loaded is None:
                assert lease in lease.model.waiting
            elif lease.loaded is not None:
                assert lease in lease.loaded.leases
                assert lease.loaded in self.ledger.there
                assert lease.loaded not in self.gone
        held = {lease for each in self.ledger.there for lease in each.leases}
        waiting = {lease for place in self.ledger.models for lease in place.waiting}
        assert held | waiting <= set(self.leases)

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        for place in self.ledger.models:
            if place.waiting and not place.is_loading:
                assert self.ledger.look_again_at < math.inf, "somebody rests, and may leave then"

    @invariant()
    def everybody_is_there_once(self) -> None:
        for place in self.ledger.models:
            assert not (place.loaded is not None and place.is_loading)
            assert sum(each.model is place and each.broken is None for each in self.ledger.there) <= 1


TestHousehold = Household.TestCase
TestHousehold.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_the_budget_is_kept_again_once_nobody_speaks() -> None:
    ledger = ModelPool(budget_bytes=15, patience=PATIENCE)
    first, second = a_place("1"), a_place("2")
    ledger.add(first, Counting())
    ledger.add(second, None)
    speaking, other = ledger.acquire(first, 0.0), ledger.acquire(second, 0.0)
    arrival = ledger.next_load(0.0)
    assert arrival == LoadDecision(second, (), is_beyond=True), "people are to hear something"
    ledger.arrived(second, Counting(), 1.0)
    assert ledger.evictable(10.0) == []
    ledger.release(speaking, 10.0)
    assert ledger.evictable(10.5) == [], "the next sentence may come"
    assert [each.model for each in ledger.evictable(11.5)] == [first]
    ledger.release(other, 12.0)
    assert ledger.evictable(99.0) == []


def test_who_wants_in_waits_for_the_rest_of_who_spoke_just_now() -> None:
    ledger = ModelPool(budget_bytes=15, patience=PATIENCE)
    first, second = a_place("1"), a_place("2")
    ledger.add(first, Counting())
    ledger.add(second, None)
    ledger.release(ledger.acquire(first, 5.0), 5.0)
    ledger.acquire(second, 5.2)
    assert ledger.next_load(5.2) is None
    assert ledger.look_again_at == 6.0
    again = ledger.acquire(first, 5.5)
    assert again.loaded is not None, "the next sentence of the same answer finds its model"
    ledger.release(again, 5.7)
    assert ledger.next_load(6.0) is None
    arrival = ledger.next_load(6.7)
    assert arrival is not None
    assert [each.model for each in arrival.leaving] == [first]


def test_nobody_has_to_go_for_somebody_whom_nobody_asked_for() -> None:
    """A model that broke comes again by itself only where there is room."""
    for budget, comes in ((25, True), (15, False)):
        ledger = ModelPool(budget_bytes=budget, patience=PATIENCE)
        first, second = a_place("1"), a_place("2")
        hung = Counting(called_at=-31.0)
        ledger.add(first, hung)
        ledger.add(second, Counting())
        ledger.broken_models(0.0)
        hung.called_at = None
        assert len(ledger.evictable(0.0)) == 1
        assert (ledger.next_load(0.0) is not None) is comes
        assert ledger.size_bytes == 10 + 10 * comes, "who is on the way counts"
        if not comes:
            ledger.acquire(first, 1.0)
            arrival = ledger.next_load(1.0)
            assert arrival is not None
            assert [each.model for each in arrival.leaving] == [second]


def test_who_comes_unasked_does_not_leave_before_those_who_have_spoken() -> None:
    """The embedded voice speaks until the first model is there, and goes then if there is no room for both."""
    ledger = ModelPool(budget_bytes=25, patience=PATIENCE)
    embedded, model = a_place("embedded", size=10), a_place("model", size=20)
    ledger.add(embedded, Counting())
    ledger.release(ledger.acquire(embedded, 1.0), 5.0)
    ledger.add(model, Counting())
    assert [loaded.model for loaded in ledger.evictable(5.9)] == [], "it may be between two sentences"
    assert [loaded.model for loaded in ledger.evictable(6.1)] == [embedded]
    assert model.loaded is not None


def test_who_hangs_is_not_forgotten_though_whoever_spoke_with_it_has_left() -> None:
    ledger, hanging = ModelPool(budget_bytes=15, patience=PATIENCE), Counting()
    hangs, other = a_place("a"), a_place("b")
    ledger.add(hangs, hanging)
    ledger.add(other, None)
    ledger.release(ledger.acquire(hangs, 0.0), 2.0)
    hanging.called_at = 0.0
    ledger.acquire(other, 10.0)
    arrival = ledger.next_load(10.0)
    assert arrival is not None
    assert (arrival.leaving, arrival.is_beyond) == ((), True), "it would stay in memory all the same"
    assert [loaded.model for loaded in ledger.broken_models(31.0)] == [hangs]


def test_who_has_just_come_is_not_the_first_to_leave_though_nobody_waits_any_more() -> None:
    ledger = ModelPool(budget_bytes=25, patience=PATIENCE)
    spoken_with, asked_for = a_place("a", size=10), a_place("b", size=20)
    ledger.add(spoken_with, Counting())
    ledger.add(asked_for, None)
    speaks, waits = ledger.acquire(spoken_with, 5.0), ledger.acquire(asked_for, 5.0)
    arrival = ledger.next_load(5.0)
    assert arrival is not None
    assert arrival.is_beyond
    ledger.release(waits, 5.1)
    ledger.release(speaks, 5.5)
    ledger.arrived(asked_for, Counting(), 6.0)
    assert [loaded.model for loaded in ledger.evictable(6.6)] == [spoken_with]


def test_who_is_not_to_stay_leaves_after_a_while() -> None:
    ledger = ModelPool(patience=PATIENCE)
    guest = a_place("guest", stays=False)
    ledger.add(guest, Counting())
    ledger.add(a_place("host"), Counting())
    assert [each.model for each in ledger.evictable(0.0)] == [guest], "nobody has spoken with it"
    lease = ledger.acquire(guest, 1.0)
    assert ledger.next_load(1.0) == LoadDecision(guest, (), is_beyond=False)
    ledger.arrived(guest, Counting(), 1.5)
    assert ledger.evictable(500.0) == []
    ledger.release(lease, 500.0)
    assert ledger.evictable(559.0) == []
    assert [each.model for each in ledger.evictable(560.0)] == [guest]


def fail_often(ledger: ModelPool, place: ManagedModel, now: float, times: int = 3) -> bool:
    broken = False
    for _ in range(times):
        lease = ledger.acquire(place, now)
        broken = ledger.failed(lease, "exception", now)
        ledger.release(lease, now)
    return broken


def test_failures_in_a_row_break_a_model_and_ever_more_seldom() -> None:
    ledger = ModelPool(patience=PATIENCE)
    place = a_place()
    ledger.add(place, Counting())
    assert not fail_often(ledger, place, 0.0, times=2)
    good = ledger.acquire(place, 0.0)
    ledger.succeeded(good)
    ledger.release(good, 0.0)
    assert not fail_often(ledger, place, 0.0, times=2), "the model is fine: a voice is to blame"
    times = []
    for second in range(3000):
        now = float(second)
        if fail_often(ledger, place, now, times=1):
            assert ledger.broken_models(now)
            assert len(ledger.evictable(now)) == 1
            assert ledger.next_load(now) is not None
            was_rebuilt, _ = ledger.arrived(place, Counting(), now)
            assert was_rebuilt
            times.append(now)
    assert times[:5] == [0.0, 10.0, 30.0, 70.0, 150.0]
    assert max(after - before for before, after in itertools.pairwise(times)) == 600.0


def test_a_model_that_hangs_is_not_lent_again_and_not_for_ever_opened_anew() -> None:
    ledger = ModelPool(patience=PATIENCE)
    place = a_place()
    speaker = Counting()
    ledger.add(place, speaker)
    held = ledger.acquire(place, 0.0)
    now = 0.0
    for number in (1, 2):
        speaker.called_at = now - 31.0
        (broken,) = ledger.broken_models(now)
        assert broken.broken == HUNG
        assert ledger.evictable(now) == [], "what hangs keeps its memory"
        now = 100.0 * number
        if number == 1:
            assert ledger.next_load(now) == LoadDecision(place, (), is_beyond=False), "nobody has to ask"
            speaker = Counting()
            ledger.arrived(place, speaker, now)
            assert ledger.acquire(place, now).loaded is not held.loaded
    assert ledger.next_load(900.0) is None
    with pytest.raises(ModelError, match="the model m hangs again and again: restart the service"):
        ledger.acquire(place, 900.0)
    speaker.called_at = None  # the call has come to its end after all
    for lease in [lease for each in ledger.there for lease in each.leases]:
        ledger.release(lease, 900.0)
    assert len(ledger.evictable(900.0)) == 1
    assert ledger.acquire(place, 900.0) in place.waiting


def test_who_hangs_soon_again_is_refused_for_some_seconds() -> None:
    ledger = ModelPool(patience=PATIENCE)
    place = a_place()
    for _ in range(2):
        hung = Counting(called_at=19.0)
        ledger.add(place, hung)
        ledger.broken_models(50.0)
        hung.called_at = None
    assert ledger.next_load(50.0) is None
    with pytest.raises(ModelError, match="is opened anew in 8 s"):
        ledger.acquire(place, 52.0)
    assert ledger.next_load(60.0) is not None
