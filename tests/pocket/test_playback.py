"""How much a listener has still to hear."""

from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.pocket.generate import PlaybackClock


def test_it_begins_with_the_first_piece_and_goes_on_after_a_gap() -> None:
    playback = PlaybackClock()
    assert playback.lead(7.0) == 0
    assert playback.until is None
    playback.add(2.0, 10.0)
    playback.add(1.0, 10.5)
    assert playback.lead(10.5) == 2.5
    assert playback.lead(14.0) == -1.0
    playback.add(0.5, 14.0)
    assert playback.lead(14.25) == 0.25


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 2)), min_size=1, max_size=20))
def test_nobody_hears_more_than_there_is_nor_faster_than_time(pieces: list[tuple[float, float]]) -> None:
    playback, now, spoken = PlaybackClock(), 0.0, 0.0
    for wait, seconds in pieces:
        now += wait
        playback.add(seconds, now)
        spoken += seconds
        assert seconds - 1e-9 <= playback.lead(now) <= spoken + 1e-9
