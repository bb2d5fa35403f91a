"""The measured speed on a simulated clock: true, quick to follow, and deaf to whatever says nothing of the machine."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.engine.admission import MARGIN, ThroughputMeter, max_realtime_streams

HALF_LIFE = 20.0
FACTORS = st.floats(0.1, 100)


@dataclass
class Machine:
    """Makes audio at its own pace, while somebody wants any."""

    factor: float
    speed: ThroughputMeter
    now: float = 1000.0

    def work(self, seconds: float, *, block_seconds: float = 0.1) -> None:
        """Be busy for so long; one block after each ``block_seconds``."""
        self.speed.wants(self.now)
        for _ in range(round(seconds / block_seconds)):
            self.now += block_seconds
            self.speed.made(self.factor * block_seconds, self.now)
        self.speed.rests(self.now)

    @property
    def measured(self) -> float | None:
        return self.speed.factor(self.now)


def machine(factor: float) -> Machine:
    return Machine(factor, ThroughputMeter(half_life_seconds=HALF_LIFE, enough_seconds=2.0))


@given(FACTORS, st.lists(st.tuples(st.floats(1, 10), st.floats(0.05, 0.5), st.floats(0, 1e5)), min_size=3, max_size=12))
def test_a_steady_machine_is_measured_truly_however_work_and_rest_alternate(
    factor: float, days: list[tuple[float, float, float]]
) -> None:
    steady = machine(factor)
    for busy, block_seconds, idle in days:
        steady.work(busy, block_seconds=block_seconds)
        steady.now += idle
    assert steady.measured == pytest.approx(factor, rel=0.03)


@given(FACTORS, FACTORS)
def test_it_follows_a_machine_that_changes(before: float, after: float) -> None:
    changing = machine(before)
    changing.work(100)
    changing.factor = after
    changing.work(5 * HALF_LIFE)
    assert changing.measured == pytest.approx(after, rel=0.03, abs=abs(before - after) / 2**5 * 1.05)


@given(FACTORS, st.lists(st.floats(0, 50), max_size=20))
def test_what_is_taken_out_of_stock_says_nothing(factor: float, stock: list[float]) -> None:
    """Somebody far ahead of playback takes a block now and then, which is there already."""
    steady = machine(factor)
    steady.work(10)
    before = steady.measured
    for seconds in stock:
        steady.now += 10
        steady.speed.made(seconds, steady.now)
    assert steady.measured == before


@given(st.integers(1, 8))
def test_streams_that_want_at_once_share_the_time(streams: int) -> None:
    speed, now = ThroughputMeter(enough_seconds=1.0), 50.0
    for _ in range(streams):
        speed.wants(now)
    for _ in range(100):
        now += 0.1
        for _ in range(streams):
            speed.made(0.1, now)
    assert speed.factor(now) == pytest.approx(streams, rel=0.03)


def test_a_machine_that_makes_nothing_gets_slower() -> None:
    hanging = machine(4.0)
    hanging.work(20)
    hanging.speed.wants(hanging.now)
    hanging.now += HALF_LIFE
    measured = hanging.measured
    assert measured is not None
    assert measured < 2.0


def test_nothing_is_said_until_enough_was_seen() -> None:
    new = machine(4.0)
    assert new.measured is None
    new.work(1.9)
    assert new.measured is None
    new.work(0.3)
    assert new.measured == pytest.approx(4.0, rel=0.03)


@given(st.none() | st.floats(0, 1000), st.integers(1, 100))
def test_as_many_streams_as_are_made_in_time_and_always_one(factor: float | None, most: int) -> None:
    streams = max_realtime_streams(factor, most=most)
    assert 1 <= streams <= most
    if factor is None:
        assert streams == most
    else:
        assert streams == 1 or streams * MARGIN <= factor
        assert streams == most or (streams + 1) * MARGIN > factor
