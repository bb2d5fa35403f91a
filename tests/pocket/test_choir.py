"""Speeches that share a model, with an engine made of counters: what each says, who shares, and how it all ends."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pocket.shared_engine import (
    FRAME_SAMPLES,
    PATIENCE_SECONDS,
    CountedRow,
    Hold,
    SharedEngine,
    a_script,
    expected_frames,
    frames_in,
)
from wyoming_pocket_tts.core.errors import Cancelled, ModelError, VoiceError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Pending
from wyoming_pocket_tts.pocket.backend import DecodeOutput, Latents, Samples
from wyoming_pocket_tts.pocket.batch_engine import BatchEngine, BatchSequence
from wyoming_pocket_tts.pocket.batch_scheduler import ENOUGH_WAITING, MOST_WAITING

THREAD = "pocket-engine"


class Noting(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.faults: list[str] = []

    def batch_step(self, streams: int, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(streams)

    def engine_fault(self, kind: str) -> None:
        self.faults.append(kind)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@contextmanager
def singing(
    engine: SharedEngine, listener: Observer | None = None, idle_seconds: float = 30.0
) -> Iterator[BatchEngine]:
    choir = BatchEngine(engine, listener=listener, idle_seconds=idle_seconds)
    try:
        yield choir
    finally:
        choir.close()
        assert threads() == []
        assert len(engine.left) <= len(engine.joined)


def heard(part: BatchSequence) -> list[int]:
    return frames_in(list(part))


@settings(max_examples=40, deadline=None)
@given(
    wanted=st.lists(st.tuples(st.integers(6, 60), st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=9),
    leaves=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_everybody_says_what_they_say_alone(wanted: list[tuple[int, int, int]], leaves: list[bool]) -> None:
    """However many speak at once and whoever leaves in the middle."""
    engine = SharedEngine()
    with singing(engine) as choir, ThreadPoolExecutor(len(wanted)) as pool:

        def speak(number: int) -> None:
            frames, chunks, per_call = wanted[number]
            part = choir.add_sequence(a_script(frames, chunks=chunks, per_call=per_call))
            if leaves[number]:
                assert frames_in([next(part)])[0] == 1 + 1000 * frames
                part.close()
                assert list(part) == []
            else:
                assert heard(part) == expected_frames(frames, chunks)

        list(pool.map(speak, range(len(wanted))))


def test_speeches_go_through_the_model_together() -> None:
    hold, listener = Hold(), Noting()
    with singing(SharedEngine(before=hold), listener) as choir:
        parts = [choir.add_sequence(a_script(20))]
        hold.until_one_waits()
        parts += [choir.add_sequence(a_script(20 + number)) for number in range(1, 4)]
        assert choir.active == 4
        hold.let(1000)
        assert [len(heard(part)) for part in parts] == [20, 21, 22, 23]
    assert max(listener.batches) == 4
    assert len(listener.batches) < 20 * 2


def test_a_place_is_free_after_each_chunk_and_nothing_is_held_at_the_end() -> None:
    engine = SharedEngine()
    with singing(engine, idle_seconds=0.01) as choir:
        assert heard(choir.add_sequence(a_script(10, chunks=3))) == expected_frames(10, 3)
        for thread in threads():
            thread.join(PATIENCE_SECONDS)
    assert len(engine.joined) == 3
    assert engine.left == engine.joined


def test_whoever_leaves_is_gone_after_the_step_under_way() -> None:
    hold = Hold()
    engine = SharedEngine(before=hold)
    with singing(engine) as choir:
        leaving, staying = choir.add_sequence(a_script(30)), choir.add_sequence(a_script(31))
        hold.until_one_waits()
        while len(engine.joined) < 2:
            hold.let()
            hold.until_one_waits()
        leaving.close()
        steps = engine.joined[0].made
        hold.let()
        hold.until_one_waits()
        assert engine.left == [engine.joined[0]]
        assert engine.joined[0].made <= steps + 1
        hold.let(1000)
        assert heard(staying) == expected_frames(31)


def test_a_speech_that_nobody_reads_rests_and_goes_on_where_it_stood() -> None:
    engine, frames = SharedEngine(), 3 * MOST_WAITING
    with singing(engine) as choir:
        unread = choir.add_sequence(a_script(frames))
        assert heard(choir.add_sequence(a_script(150))) == expected_frames(150)
        assert engine.joined[0].made <= MOST_WAITING
        assert engine.joined[0].made >= min(ENOUGH_WAITING, frames)
        assert heard(unread) == expected_frames(frames)


def test_a_resting_speech_that_is_given_up_frees_its_place_at_once() -> None:
    rests, left = threading.Event(), threading.Event()

    class Telling(SharedEngine):
        def step(self, rows: Sequence[CountedRow], latents: Sequence[Latents]) -> list[DecodeOutput | ModelError]:
            if rows[0].made + 1 == ENOUGH_WAITING:
                rests.set()
            return super().step(rows, latents)

        def leave(self, row: CountedRow) -> None:
            super().leave(row)
            left.set()

    with singing(Telling()) as choir:
        unread = choir.add_sequence(a_script(3 * MOST_WAITING))
        assert rests.wait(PATIENCE_SECONDS)
        assert not left.wait(0.05), "it rests, with nothing to do for anybody"
        unread.close()
        assert left.wait(PATIENCE_SECONDS)


def test_a_long_text_is_read_in_pieces() -> None:
    engine = SharedEngine()
    with singing(engine) as choir:
        assert heard(choir.add_sequence(a_script(8, tokens=150))) == expected_frames(8)
    assert engine.asked == [("read", 64), ("read", 64), ("prefill", 22)]


def test_a_row_that_fails_hurts_nobody_else() -> None:
    def results(row: CountedRow, frame: DecodeOutput) -> DecodeOutput | ModelError:
        return ModelError("out of luck") if row.ends_at == 11 and row.made == 5 else frame

    listener = Noting()
    with singing(SharedEngine(results=results), listener) as choir, ThreadPoolExecutor(3) as pool:
        good, bad, other = (choir.add_sequence(a_script(frames)) for frames in (10, 11, 12))
        results_of = [pool.submit(heard, part) for part in (good, other)]
        pieces: list[Samples] = []
        with pytest.raises(ModelError, match="out of luck"):
            pieces.extend(bad)
        assert frames_in(pieces) in ([], expected_frames(11)[:4])
        assert [result.result() for result in results_of] == [expected_frames(10), expected_frames(12)]
        assert heard(choir.add_sequence(a_script(9))) == expected_frames(9)
    assert listener.faults == ["exception"]


@pytest.mark.parametrize(
    "broken", [DecodeOutput(np.array([np.nan], np.float32), 0.0), DecodeOutput(np.ones(1, np.float32), np.inf)]
)
def test_a_result_that_is_no_number_ends_that_speech_alone(broken: DecodeOutput) -> None:
    def results(row: CountedRow, frame: DecodeOutput) -> DecodeOutput:
        return broken if row.ends_at == 11 and row.made == 5 else frame

    listener = Noting()
    with singing(SharedEngine(results=results), listener) as choir:
        good, bad = choir.add_sequence(a_script(10)), choir.add_sequence(a_script(11))
        with pytest.raises(ModelError, match="not finite"):
            list(bad)
        assert heard(good) == expected_frames(10)
    assert listener.faults == ["not-finite"]


def test_a_voice_that_is_refused_is_no_fault_of_the_model() -> None:
    engine, listener = SharedEngine(join_fails=VoiceError("too long")), Noting()
    with singing(engine, listener) as choir:
        with pytest.raises(VoiceError, match="too long"):
            list(choir.add_sequence(a_script(10)))
        engine.join_fails = None
        assert heard(choir.add_sequence(a_script(9))) == expected_frames(9)
    assert listener.faults == []


def test_a_call_that_fails_as_a_whole_ends_those_in_it_and_the_next_goes_well() -> None:
    fails = [MemoryError("no room")]

    def before(_: Sequence[CountedRow]) -> None:
        if fails:
            raise fails.pop()

    with singing(SharedEngine(before=before)) as choir:
        with pytest.raises(MemoryError):
            list(choir.add_sequence(a_script(10)))
        assert heard(choir.add_sequence(a_script(9))) == expected_frames(9)


def test_a_thread_that_dies_is_replaced_for_the_next_speech(caplog: pytest.LogCaptureFixture) -> None:
    class Panic(BaseException):
        pass

    engine, listener = SharedEngine(join_fails=Panic("secret words")), Noting()
    with singing(engine, listener) as choir:
        with pytest.raises(ModelError, match="Panic"):
            list(choir.add_sequence(a_script(10)))
        engine.join_fails = None
        assert heard(choir.add_sequence(a_script(9))) == expected_frames(9)
    assert engine.opened == 2
    assert listener.faults == ["exception"]
    assert "secret" not in caplog.text


def test_where_no_thread_is_to_be_had_the_next_speech_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with singing(SharedEngine()) as choir:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError):
                choir.add_sequence(a_script(10))
        assert choir.active == 0
        assert heard(choir.add_sequence(a_script(10))) == expected_frames(10)


def test_chunks_that_cannot_be_had_are_heard_about() -> None:
    script = a_script(10, chunks=1)
    first = next(script.chunks)

    def chunks() -> Iterator[object]:
        yield first
        raise ValueError("cannot be cut")

    object.__setattr__(script, "chunks", chunks())
    with singing(SharedEngine()) as choir:
        pieces: list[Samples] = []
        with pytest.raises(ValueError, match="cannot be cut"):
            pieces.extend(choir.add_sequence(script))
        assert frames_in(pieces) == expected_frames(10)


def test_a_reader_that_does_not_wait_is_woken_when_there_is_something() -> None:
    hold, woken = Hold(), threading.Event()
    with singing(SharedEngine(before=hold)) as choir:
        part = choir.add_sequence(a_script(10, per_call=1))
        while (piece := part.read(woken.set)) is Pending.FRAMES:
            assert woken.wait(PATIENCE_SECONDS)
            woken.clear()
        assert frames_in([cast("Samples", piece)]) == [10_001]
        hold.until_one_waits()
        assert part.read(woken.set) is Pending.FRAMES
        hold.let()
        assert woken.wait(PATIENCE_SECONDS)
        assert frames_in([cast("Samples", part.read(woken.set))]) == [10_002]
        hold.let(100)
        assert heard(part) == expected_frames(10)[2:]
        assert part.read(woken.set) is None, "its end is there"


def test_whoever_has_left_is_not_woken() -> None:
    hold = Hold()
    with singing(SharedEngine(before=hold)) as choir:
        part = choir.add_sequence(a_script(10, per_call=1))
        next(part)
        hold.until_one_waits()
        assert part.read(lambda: pytest.fail("woken")) is Pending.FRAMES
        part.close()
        hold.let(10)
        assert heard(choir.add_sequence(a_script(9))) == expected_frames(9)


def test_a_speech_that_is_ahead_decodes_frames_together() -> None:
    engine = SharedEngine()
    choir = BatchEngine(engine, clock=lambda: 0.0)  # time stands still: every frame is a lead
    assert heard(choir.add_sequence(a_script(40))) == expected_frames(40)
    choir.close()
    assert max(engine.decoded) == 4
    assert len(engine.decoded) < 20


def test_every_chunk_is_decoded_for_itself_and_fades_in() -> None:
    choir = BatchEngine(SharedEngine(), clock=lambda: 0.0)
    audio = np.concatenate(list(choir.add_sequence(a_script(10, chunks=3))))
    choir.close()
    assert np.flatnonzero(audio[::FRAME_SAMPLES] == 0).tolist() == [0, 10, 20]


def test_whoever_has_nothing_to_hear_gets_one_frame_however_many_wait() -> None:
    engine = SharedEngine()
    now = 0.0
    choir = BatchEngine(engine, clock=lambda: now)
    part = choir.add_sequence(a_script(20))
    while choir.active:  # until all is made
        threading.Event().wait(0.001)
    assert len(next(part)) == FRAME_SAMPLES
    assert len(next(part)) == 4 * FRAME_SAMPLES
    now = 60.0
    assert len(next(part)) == FRAME_SAMPLES
    part.close()
    choir.close()


def test_frames_that_wait_are_a_supply_however_long_nobody_takes_them() -> None:
    now = 0.0
    lock = threading.Lock()
    part = BatchSequence(SharedEngine(), a_script(20), lock=lock, changed=lambda: None, clock=lambda: now)

    def make(number: int) -> None:
        part.append(DecodeOutput(np.array([number], np.float32), -1.0))
        with lock:
            part.publish()

    assert part.status(1.0).supply_seconds == -1.0, "it has waited for a second"
    make(1)
    next(part)
    assert part.status(0.03).supply_seconds == pytest.approx(0.05)
    assert part.status(60.08).supply_seconds == pytest.approx(-60)
    make(2)
    make(3)
    assert part.status(60.08).supply_seconds == pytest.approx(0.16)
    assert part.status(60.08).waiting_frames == 2


def test_closing_ends_what_is_spoken_and_refuses_more() -> None:
    hold = Hold()
    choir = BatchEngine(SharedEngine(before=hold))
    part = choir.add_sequence(a_script(30))
    hold.until_one_waits()
    closing = threading.Thread(target=choir.close)
    closing.start()
    hold.let(100)
    closing.join(PATIENCE_SECONDS)
    with pytest.raises(Cancelled):
        list(part)
    with pytest.raises(Cancelled):
        choir.add_sequence(a_script(3))
    choir.close()
    assert threads() == []
    assert choir.active == 0


def test_a_model_that_hangs_is_left_behind_and_its_speeches_end(caplog: pytest.LogCaptureFixture) -> None:
    hold, woken = Hold(), threading.Event()
    choir = BatchEngine(SharedEngine(before=hold))
    part, other = choir.add_sequence(a_script(30, per_call=1)), choir.add_sequence(a_script(31))
    hold.until_one_waits()
    next(part)
    assert part.read(woken.set) is Pending.FRAMES
    choir.close(deadline_seconds=0.01)
    assert "still computes" in caplog.text
    assert woken.is_set()
    for each in (part, other):
        with pytest.raises(Cancelled):
            list(each)
    hold.let(100)
    for thread in threads():
        thread.join(PATIENCE_SECONDS)
    assert threads() == []


@pytest.mark.parametrize("hangs", [True, False])
def test_who_listens_hears_why_it_was_closed(hangs: bool) -> None:
    hold = Hold()
    choir = BatchEngine(SharedEngine(before=hold))
    part, reason = choir.add_sequence(a_script(30)), ModelError("it hung")
    hold.until_one_waits()
    if not hangs:
        hold.let(1000)
    choir.close(deadline_seconds=0.0 if hangs else PATIENCE_SECONDS, reason=reason)
    assert (choir.called_at is not None) is hangs
    for spoken in (lambda: list(part), lambda: choir.add_sequence(a_script(9))):
        with pytest.raises(ModelError, match="it hung"):
            spoken()
    hold.let(1000)
    for thread in threads():
        thread.join(PATIENCE_SECONDS)
    assert choir.called_at is None


def test_without_speech_there_is_no_thread() -> None:
    engine = SharedEngine()
    with singing(engine, idle_seconds=0.01) as choir:
        assert threads() == []
        for opened in (1, 2):
            assert heard(choir.add_sequence(a_script(9))) == expected_frames(9)
            for thread in threads():
                thread.join(PATIENCE_SECONDS)
            assert threads() == []
            assert engine.opened == opened


def test_how_long_a_call_takes_can_be_watched() -> None:
    hold, now = Hold(), 10.0
    choir = BatchEngine(SharedEngine(before=hold), clock=lambda: now)
    part = choir.add_sequence(a_script(30))
    hold.until_one_waits()
    now = 17.0
    assert choir.called_at == 10.0
    hold.let(100)
    part.close()
    choir.close()
    assert choir.called_at is None


def test_a_program_may_end_amid_a_speech() -> None:
    """Its thread is over before Python is."""
    program = """
import atexit
from tests.pocket.test_choir import *
atexit.register(lambda: print(len(threads())))  # called after those that are registered later
choir = BatchEngine(SharedEngine())
part = choir.add_sequence(a_script(100_000, tokens=100_000))
next(part)
print(len(threads()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, [b"1", b"0"]), done.stderr
