"""Whose turn it is among streams that wait for a worker."""

from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.engine.scheduler import DeadlineQueue


def test_who_is_due_first_comes_first_and_equals_in_the_order_of_their_coming() -> None:
    due = {"a": 2.0, "b": 1.0, "c": 2.0}
    order = DeadlineQueue(due.__getitem__)
    for name in "abc":
        order.push(name)
    assert [order.pop() for _ in range(4)] == ["b", "a", "c", None]


def test_who_is_pushed_again_is_there_once_and_due_anew() -> None:
    due = {"a": 2.0, "b": 1.0}
    order = DeadlineQueue(due.__getitem__)
    order.push("a")
    order.push("b")
    due["a"] = 0.0
    order.push("a")
    assert [order.pop() for _ in range(3)] == ["a", "b", None]
    order.push("a")
    assert order.pop() == "a"


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=8), st.integers(20, 60))
def test_nobody_starves(blocks: list[float], turns: int) -> None:
    """Each turn makes a stream due later by the length of its block; nobody falls behind by more than the longest."""
    due = dict.fromkeys(range(len(blocks)), 0.0)
    order = DeadlineQueue(due.__getitem__)
    for stream in due:
        order.push(stream)
    for _ in range(turns):
        served = order.pop()
        assert served is not None
        due[served] += blocks[served]
        order.push(served)
    assert max(due.values()) - min(due.values()) <= max(blocks) + 1e-9
