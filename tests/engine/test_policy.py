"""Who leaves memory: nobody who is spoken with, the least recently used first, and no more than have to."""

import math

from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.engine.eviction import PoolEntry, make_room, surplus

REST_SECONDS = 2.0
NOW = 100.0

occupants = st.lists(
    st.builds(
        lambda size, is_held, ago: (size, is_held, NOW - ago),
        st.integers(1, 50),
        st.booleans(),
        st.one_of(st.floats(0, 10), st.just(math.inf)),
    ),
    max_size=6,
).map(lambda drawn: [PoolEntry(number, *each) for number, each in enumerate(drawn)])
budgets = st.integers(1, 200)


def total(some: list[PoolEntry[int]]) -> int:
    return sum(each.size_bytes for each in some)


@given(there=occupants, wanted=st.integers(1, 80), budget=budgets)
def test_room_is_made_where_it_can_be(there: list[PoolEntry[int]], wanted: int, budget: int) -> None:
    made = make_room(there, wanted_bytes=wanted, budget_bytes=budget, now=NOW, rest_seconds=REST_SECONDS)
    leaving = [each for each in there if each.model in made.leaving]
    staying = [each for each in there if each.model not in made.leaving]
    assert not any(each.is_held or each.used_at + REST_SECONDS > NOW for each in leaving)
    if made.wait_until is not None:
        assert not leaving
        assert any(each.used_at + REST_SECONDS == made.wait_until > NOW for each in there if not each.is_held)
        return
    assert made.fits == (total(staying) + wanted <= budget)
    if not made.fits:
        assert all(each.is_held for each in staying), "nobody else could go"
    if leaving:
        assert total(there) + wanted > budget
        last = max(leaving, key=lambda each: (each.used_at, each.model))
        assert total(staying) + last.size_bytes + wanted > budget, "the last that leaves has to"
        idle = [each for each in staying if not each.is_held]
        assert all(last.used_at <= each.used_at for each in idle), "who was used later stays"


@given(there=occupants, budget=budgets)
def test_what_is_too_much_leaves_but_for_the_last_that_spoke(there: list[PoolEntry[int]], budget: int) -> None:
    leaving = surplus(there, budget_bytes=budget, now=NOW, rest_seconds=REST_SECONDS)
    staying = [each for each in there if each.model not in leaving]
    assert bool(staying) == bool(there)
    for each in there:
        if each.model in leaving:
            assert not each.is_held
            assert each.used_at + REST_SECONDS <= NOW
            assert all(each.used_at <= other.used_at for other in staying if not other.is_held)
    idle = [each for each in staying if not each.is_held and each.used_at + REST_SECONDS <= NOW]
    if total(staying) > budget:
        assert len(idle) <= (0 if any(each.is_held for each in there) else 1)
