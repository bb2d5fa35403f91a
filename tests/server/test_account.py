"""The account of a request, on a clock that the test turns."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.memory import MemoryConversation
from wyoming_pocket_tts.core.events import NullObserver, RequestStats
from wyoming_pocket_tts.server.request_stats import RequestTimer


class Heard(NullObserver):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.began = 0
        self.first: list[float] = []
        self.gaps: list[float] = []
        self.ended: list[RequestStats] = []

    def request_began(self) -> None:
        self.began += 1

    def first_audio(self, seconds: float) -> None:
        self.first.append(seconds)

    def underrun(self, seconds: float) -> None:
        self.gaps.append(seconds)

    def request_ended(self, ended: RequestStats) -> None:
        self.ended.append(ended)


SECOND = np.ones(16_000, np.int16)


class Clock:
    """Stands until it is turned."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class House:
    """An account with its clock and somebody who listens."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.heard = Heard()
        self.timer = RequestTimer(self.heard, peer="10.0.0.9 #1", now=self.clock)

    def block(self, audio_seconds: float, *, after: float) -> None:
        """Wait for audio for so long."""
        self.timer.start_waiting()
        self.clock.seconds += after
        self.timer.add_audio(audio_seconds)

    def end(self) -> RequestStats:
        self.timer.finish(voice="anna", characters=12)
        (ended,) = self.heard.ended
        return ended


def test_only_the_waiting_counts() -> None:
    house = House()
    house.block(1.0, after=0.25)
    house.clock.seconds += 30  # the client reads slowly
    house.block(1.0, after=0.25)
    house.timer.start_waiting()
    house.clock.seconds += 0.5  # for the piece's end
    house.timer.stop_waiting()
    house.clock.seconds += 5  # for more text
    ended = house.end()
    assert (ended.audio_seconds, ended.waited_seconds, ended.real_time_factor) == (2.0, 1.0, 0.5)
    assert (ended.outcome, ended.voice, ended.characters, ended.peer) == ("spoken", "anna", 12, "10.0.0.9 #1")
    assert house.heard.gaps == [pytest.approx(0.25)]  # the client had played all, and asked


def test_the_first_sound_counts_from_the_first_piece_even_if_that_has_none() -> None:
    house = House()
    house.block(0.0, after=0.1)
    house.block(0.5, after=0.2)
    house.block(0.5, after=0.3)
    assert house.heard.first == [pytest.approx(0.3)]
    assert house.end().first_audio_seconds == pytest.approx(0.3)


def test_a_gap_is_what_a_client_hears_that_plays_at_once() -> None:
    house = House()
    house.block(1.0, after=5.0)  # nothing plays yet
    house.block(1.0, after=0.9)
    house.block(1.0, after=1.6)  # 1.1 s were left
    house.block(1.0, after=1.25)
    assert house.heard.gaps == [pytest.approx(0.5), pytest.approx(0.25)]


def test_silence_that_was_sent_is_played_too() -> None:
    house = House()
    house.block(1.0, after=0.1)
    house.timer.add_silence(2.0)
    house.block(1.0, after=2.9)
    assert house.heard.gaps == []


def test_text_that_comes_late_makes_no_gap() -> None:
    house = House()
    house.block(1.0, after=0.1)
    house.timer.stop_waiting()
    house.clock.seconds += 60
    house.block(1.0, after=0.0)
    assert house.heard.gaps == []


def test_a_request_begins_and_ends_once() -> None:
    house = House()
    house.timer.finish(outcome="cancelled", voice=None, characters=0)
    house.timer.finish(voice="anna", characters=1)
    assert house.heard.began == 1
    (ended,) = house.heard.ended
    assert (ended.outcome, ended.real_time_factor, ended.first_audio_seconds) == ("cancelled", None, None)


def test_requests_have_names_of_their_own() -> None:
    assert len({RequestTimer().request for _ in range(100)}) == 100


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=20))
def test_gaps_are_what_a_player_hears_that_never_stops(blocks: list[tuple[float, float]]) -> None:
    house = House()
    buffered, silent, sounds = 0.0, 0.0, False
    for after, audio_seconds in blocks:
        house.block(audio_seconds, after=after)
        dry, buffered = max(0.0, after - buffered), max(0.0, buffered - after)
        if audio_seconds > 0:
            silent += dry if sounds else 0.0
            buffered += audio_seconds
            sounds = True
    assert sum(house.heard.gaps) == pytest.approx(silent, abs=1e-6)
    assert all(gap > 0 for gap in house.heard.gaps)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (lambda talk: talk.transport.leave(), "cancelled"),
        (lambda talk: talk.transport.feed(b"gibberish\n"), "protocol-error"),
    ],
)
async def test_what_is_still_open_ends_with_the_connection(
    end: Callable[[MemoryConversation], None], outcome: str
) -> None:
    heard = Heard()
    async with MemoryConversation(observer=heard) as talk:
        await talk.does(("synthesize", {"text": "One."}), ("synthesize", {"text": "Two."}))
        end(talk)
        await talk.settle()
        assert talk.is_closed
        assert [(ended.outcome, ended.voice, ended.characters) for ended in heard.ended] == [
            (outcome, "tone-low", 4)
        ] * 2
        assert not talk.session.is_active


async def test_the_silence_of_a_response_is_in_its_timing() -> None:
    house = House()
    async with MemoryConversation(new_timer=lambda: house.timer) as talk:
        await talk.does(("synthesize", {"text": "One. [pause 2s] Two."}))
        for item, after in ((SECOND, 0.1), (None, 0.0), (SECOND, 0.5), (SECOND, 3.0), (SECOND, 2.0)):
            house.clock.seconds += after
            talk.engine.gives(item)
            await talk.settle()
    assert house.heard.gaps == [pytest.approx(0.5)], "two seconds of sound and two of silence, then a second"
