"""Who goes first when speeches share a model, on a simulated clock: nobody starves, newcomers come first, all bounded.

The machine of the simulation takes 20 ms to read a text and 3 ms for a call and 1.6 ms more for each row of it, times a
slowness; listeners hear in real time, as slowly as they like, or not at all.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from wyoming_pocket_tts.pocket.batch_scheduler import (
    ENOUGH_WAITING,
    MOST_WAITING,
    DecodeStep,
    PrefillStep,
    SequenceStatus,
    schedule,
)
from wyoming_pocket_tts.pocket.generate import PlaybackClock

FRAME = 0.08
READ_SECONDS, CALL_SECONDS, ROW_SECONDS = 0.020, 0.003, 0.0016


@dataclass
class Listener:
    """Somebody's speech. ``takes``: frames decoded as soon as they are there; else once what was decoded is heard."""

    arrives: float
    chunks: int
    frames: int
    takes: bool = True
    stalls: bool = False
    waiting: int = 0
    made: int = 0
    chunk: int = 0
    reads: bool = True
    playback: PlaybackClock = field(default_factory=PlaybackClock)
    first: float | None = None
    dry: float = 0.0
    """The longest time without anything to hear, after the first frame."""
    most_waiting: int = 0

    @property
    def over(self) -> bool:
        return self.chunk == self.chunks

    @property
    def rests(self) -> bool:
        return self.over or (self.stalls and self.waiting >= ENOUGH_WAITING)

    def standing(self, now: float) -> SequenceStatus["Listener"]:
        lead = self.arrives - now if self.first is None else self.playback.lead(now)
        supply = (max(0.0, lead) if self.waiting else lead) + self.waiting * FRAME
        return SequenceStatus(self, supply, self.waiting, self.reads, self.first is None)

    def give(self, now: float) -> None:
        """A frame was made."""
        self.first = now if self.first is None else self.first
        self.waiting, self.made, self.reads = self.waiting + 1, self.made + 1, False
        self.most_waiting = max(self.most_waiting, self.waiting)
        if self.made == self.frames:
            self.made, self.chunk, self.reads = 0, self.chunk + 1, True

    def hear(self, now: float) -> None:
        while self.waiting and not self.stalls and (self.takes or self.playback.lead(now) < 4 * FRAME):
            if self.playback.until is not None:
                self.dry = max(self.dry, -self.playback.lead(now))
            self.waiting -= 1
            self.playback.add(FRAME, now)


def simulate(listeners: list[Listener], *, slowness: float = 1.0, seconds: float = 60.0) -> float:
    """Let the model work until all is said or time is up; return when."""
    now, steps = 0.0, 0
    while now < seconds and not all(
        each.over or (each.stalls and each.waiting >= ENOUGH_WAITING) for each in listeners
    ):
        here = [each for each in listeners if each.arrives <= now and not each.over]
        turn = schedule([each.standing(now) for each in here], steps_since_text=steps)
        steps = 0 if isinstance(turn, PrefillStep) else steps + 1
        match turn:
            case PrefillStep(speech):
                now += READ_SECONDS * slowness
                speech.give(now)
            case DecodeStep(speeches):
                assert speeches
                now += (CALL_SECONDS + ROW_SECONDS * len(speeches)) * slowness
                for speech in speeches:
                    speech.give(now)
            case None:
                now += 0.02
        for each in listeners:
            each.hear(now)
    return now


def arrivals() -> st.SearchStrategy[list[Listener]]:
    listener = st.builds(
        Listener,
        arrives=st.floats(0, 5),
        chunks=st.integers(1, 3),
        frames=st.integers(1, 120),
        takes=st.booleans(),
        stalls=st.integers(0, 9).map(lambda number: number == 0),
    )
    return st.lists(listener, min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(arrivals())
def test_everybody_is_heard_at_once_without_gaps_and_nobody_is_far_ahead(listeners: list[Listener]) -> None:
    """Twelve at most, whom the machine can serve in real time: the model is faster than they listen."""
    simulate(listeners)
    for each in listeners:
        assert each.first is not None
        before = [other for other in listeners if other is not each and other.arrives <= each.first]
        # those who came at the same time each have a text to be read, and a step may come between any two
        assert each.first - each.arrives < READ_SECONDS * (len(before) + 2) + 0.03 * (len(before) + 2)
        assert each.dry < 0.2
        assert each.most_waiting <= MOST_WAITING
        assert each.stalls or each.over


@settings(max_examples=40, deadline=None)
@given(listeners=arrivals(), slowness=st.floats(3, 12))
def test_on_a_machine_that_is_too_slow_all_suffer_alike_and_nobody_starves(
    listeners: list[Listener], slowness: float
) -> None:
    simulate(listeners, slowness=slowness, seconds=600)
    for each in listeners:
        assert each.stalls or each.over
        assert each.dry < 0.25 * slowness + 0.1 * slowness * len(listeners)


@settings(max_examples=40, deadline=None)
@given(gap=st.floats(0.005, 0.05), frames=st.integers(1, 4), slowness=st.floats(1, 3))
def test_newcomers_without_end_do_not_keep_others_waiting_for_ever(gap: float, frames: int, slowness: float) -> None:
    """Also those in the middle of an answer, for whose next chunk a text has to be read."""
    old = [Listener(0.0, 3, 20), Listener(0.0, 1, 60)]
    newcomers = [Listener(0.1 + number * gap, 1, frames) for number in range(200)]
    ended = simulate([*old, *newcomers], slowness=slowness, seconds=200 * 0.07 * slowness + 30)
    assert all(each.over for each in old)
    assert all(each.over for each in newcomers), ended
    waits = [(each.first or ended) - each.arrives for each in newcomers]
    assert max(each.dry for each in old) < max(waits) + 1.5


def test_a_newcomer_comes_before_all() -> None:
    dry = SequenceStatus("dry", -0.5)
    next_chunk = SequenceStatus("next chunk", -0.9, reads=True)
    assert schedule(
        [dry, next_chunk, SequenceStatus("new", 0.0, reads=True, is_new=True)], steps_since_text=9
    ) == PrefillStep("new")


def test_the_longest_waiting_newcomer_comes_first() -> None:
    standings = [SequenceStatus(name, -waited, reads=True, is_new=True) for name, waited in (("b", 0.1), ("a", 0.3))]
    assert schedule(standings, steps_since_text=9) == PrefillStep("a")


def test_between_two_texts_whoever_is_about_to_run_dry_gets_a_frame() -> None:
    standings = [
        SequenceStatus("new", 0.0, reads=True, is_new=True),
        SequenceStatus("dry", 0.1),
        SequenceStatus("far", 3.0),
    ]
    assert schedule(standings, steps_since_text=2) == DecodeStep(("dry",))
    assert schedule(standings, steps_since_text=3) == PrefillStep("new")
    assert schedule([standings[0], standings[2]], steps_since_text=0) == PrefillStep("new")


def test_the_next_chunk_is_read_when_its_hearer_is_the_neediest() -> None:
    reading = SequenceStatus("reading", 1.0, reads=True)
    assert schedule([reading, SequenceStatus("other", 0.9)], steps_since_text=9) == DecodeStep(("other",))
    assert schedule([reading, SequenceStatus("other", 1.1)], steps_since_text=9) == PrefillStep("reading")


def test_all_go_together_unless_somebody_is_about_to_run_dry() -> None:
    ahead = SequenceStatus("ahead", 9.0)
    assert schedule([ahead, SequenceStatus("fine", 0.6)], steps_since_text=9) == DecodeStep(("ahead", "fine"))
    assert schedule([ahead, SequenceStatus("dry", 0.4)], steps_since_text=9) == DecodeStep(("dry",))


def test_who_is_not_heard_rests() -> None:
    def waiting(name: str, frames: int, *, reads: bool = False) -> SequenceStatus[str]:
        return SequenceStatus(name, 0.08 * frames, frames, reads)

    full, some = waiting("full", MOST_WAITING), waiting("some", MOST_WAITING - 1)
    assert schedule([full, some, waiting("read", ENOUGH_WAITING, reads=True)], steps_since_text=9) is None
    few = waiting("few", ENOUGH_WAITING - 1)
    assert schedule([full, some, few], steps_since_text=9) == DecodeStep(("some", "few"))
    assert schedule([], steps_since_text=9) is None
