"""Streams whose blocks are made elsewhere: no worker waits for them, and who runs dry first goes first."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack

import numpy as np
import pytest

from wyoming_pocket_tts.core.errors import Cancelled, ModelError, VoiceError
from wyoming_pocket_tts.core.events import NullObserver
from wyoming_pocket_tts.core.types import Derived, Pcm, SynthesisRequest, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.engine.tone import VOICES, Gate, ToneSynthesizer

PATIENCE_SECONDS = 20.0


class Slow(Iterator[Pcm]):
    """A speech whose blocks come when a test says so."""

    def __init__(self, journal: "SlowSynthesizer", text: str) -> None:
        self._journal, self._text = journal, text
        self._lock = threading.Lock()
        self._blocks: list[Pcm] = []
        self._over = False
        self._wake: Callable[[], None] | None = None

    def come(self, blocks: int = 1, *, over: bool = False) -> None:
        with self._lock:
            self._blocks += [np.full(1600, len(self._text), np.int16)] * blocks
            self._over = over
            wake, self._wake = self._wake, None
        if wake is not None:
            wake()

    def ready(self, wake: Callable[[], None]) -> bool:
        if self._text == "hoarse":
            raise VoiceError("hoarse")
        if self._text == "woken at once" and not self._over:
            self.come(over=True)
            wake()
            return False
        with self._lock:
            self._journal.note(self._text)
            if self._blocks or self._over:
                return True
            self._wake = wake
            return False

    def __next__(self) -> Pcm:
        with self._lock:
            if self._blocks:
                return self._blocks.pop(0)
            assert self._over, "a worker would have to wait here"
        raise StopIteration

    def close(self) -> None:
        self._journal.closed.append((self._text, threading.current_thread().name))


class SlowSynthesizer:
    def __init__(self) -> None:
        self.speeches: dict[str, Slow] = {}
        self.closed: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self._grown = threading.Condition()

    def note(self, text: str) -> None:
        with self._grown:
            self.asked.append(text)
            self._grown.notify_all()

    async def until_asked(self, text: str, times: int = 1) -> Slow:
        def wait() -> bool:
            with self._grown:
                return self._grown.wait_for(lambda: self.asked.count(text) >= times, PATIENCE_SECONDS)

        assert await asyncio.to_thread(wait), self.asked
        return self.speeches[text]

    def voices(self) -> Sequence[Voice]:
        return VOICES

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        speech = self.speeches[request.text] = Slow(self, request.text)
        return Derived(lambda: speech, lambda blocks: blocks)


def request(text: str) -> SynthesisRequest:
    return SynthesisRequest(text=text, voice=VOICES[0])


async def test_no_worker_waits_for_a_block_that_is_not_there() -> None:
    slow = SlowSynthesizer()
    async with (
        Scheduler(slow, threads=1) as workers,
        workers.stream(request("a")) as a,
        workers.stream(request("b")) as b,
    ):
        await slow.until_asked("a")
        (await slow.until_asked("b")).come()
        assert (await anext(b))[0] == 1
        (await slow.until_asked("b", times=2)).come(over=True)
        assert len([block async for block in b]) == 1
        (await slow.until_asked("a")).come(2, over=True)
        assert len([block async for block in a]) == 2
    assert slow.asked.count("a") < 6, "it is not asked again and again"


async def test_a_wake_that_comes_at_once_is_not_lost() -> None:
    slow = SlowSynthesizer()
    async with Scheduler(slow, threads=1) as workers, workers.stream(request("woken at once")) as blocks:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await anext(blocks) is not None


async def test_leaving_while_it_sleeps_closes_it_in_a_worker() -> None:
    freed: list[float] = []

    class Noting(NullObserver):
        def cancelled(self, seconds: float) -> None:
            freed.append(seconds)

    slow, noting = SlowSynthesizer(), Noting()
    async with Scheduler(slow, threads=1, observer=noting) as workers:
        async with workers.stream(request("a")) as blocks:
            await slow.until_asked("a")
        with pytest.raises(Cancelled):
            await anext(blocks)
        assert slow.closed == [("a", "speech-0")]
        assert workers.active == 0
        slow.speeches["a"].come()  # nobody is woken any more
    assert len(freed) == 1


async def test_closing_wakes_those_who_sleep() -> None:
    slow = SlowSynthesizer()
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(Scheduler(slow, threads=1))
        blocks = await stack.enter_async_context(workers.stream(request("a")))
        await slow.until_asked("a")
        await workers.aclose()
        with pytest.raises(Cancelled):
            await anext(blocks)


async def test_what_fails_while_it_begins_is_told() -> None:
    async with Scheduler(SlowSynthesizer(), threads=1) as workers, workers.stream(request("hoarse")) as blocks:
        with pytest.raises(VoiceError, match="hoarse"):
            await anext(blocks)


async def test_newcomers_go_before_those_who_are_ahead_and_leavers_before_all() -> None:
    """One thread, which is held; meanwhile others come and one leaves."""
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text.startswith("hold") else None)
    ahead_text, hold_text = "ahead, for some time", "hold, for some time"
    async with Scheduler(tone, threads=1, backlog_blocks=1) as workers, AsyncExitStack() as stack:
        ahead = await stack.enter_async_context(workers.stream(request(ahead_text)))
        await anext(ahead)
        assert await asyncio.to_thread(tone.journal.wait_for, "block", ahead_text, times=2)
        await stack.enter_async_context(workers.stream(request(hold_text)))
        assert await asyncio.to_thread(tone.journal.wait_for, "begin", hold_text)
        await anext(ahead)  # now it may go on, and has something to hear
        async with workers.stream(request("leaving")):
            await stack.enter_async_context(workers.stream(request("new")))
        gate.open()
        assert await asyncio.to_thread(tone.journal.wait_for, "block", ahead_text, times=3)
        entries = [(entry.what, entry.text) for entry in tone.journal.entries()]
    third = [index for index, entry in enumerate(entries) if entry == ("block", ahead_text)][2]
    assert ("block", "new") in entries[:third]
    assert not any(text == "leaving" for _, text in entries), "it never began"


async def test_leavers_are_closed_before_anybody_is_served() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text.startswith("hold") else None)
    async with Scheduler(tone, threads=1, backlog_blocks=1) as workers, AsyncExitStack() as stack:
        async with workers.stream(request("ahead, for some time")) as ahead:
            await anext(ahead)
            await stack.enter_async_context(workers.stream(request("hold")))
            assert await asyncio.to_thread(tone.journal.wait_for, "begin", "hold")
            await stack.enter_async_context(workers.stream(request("new")))
        gate.open()
        assert await asyncio.to_thread(tone.journal.wait_for, "begin", "new")
        entries = [(entry.what, entry.text) for entry in tone.journal.entries()]
    assert entries.index(("end", "ahead, for some time")) < entries.index(("begin", "new"))


@pytest.mark.parametrize("where", ["ready", "next"])
async def test_whoever_leaves_while_a_worker_is_at_it_is_closed_by_that_one(where: str) -> None:
    """The other worker keeps its hands off, though it has nothing else to do."""
    inside, gate = threading.Event(), threading.Event()
    happened: list[str] = []

    class Busy(Iterator[Pcm]):
        def ready(self, wake: Callable[[], None]) -> bool:
            return self._wait("ready") != "ready"

        def __next__(self) -> Pcm:
            self._wait("next")
            return np.ones(160, np.int16)

        def _wait(self, here: str) -> str:
            if here == where:
                inside.set()
                assert gate.wait(PATIENCE_SECONDS)
            happened.append(here)
            return where

        def close(self) -> None:
            happened.append("closed")

    class One:
        def voices(self) -> Sequence[Voice]:
            return VOICES

        def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
            return Busy()

    async with Scheduler(One(), threads=2) as workers:
        async with workers.stream(request("a")) as blocks:
            assert await asyncio.to_thread(inside.wait, PATIENCE_SECONDS)
        assert not await asyncio.to_thread(gate.wait, 0.05), "time for the other worker to make a mistake"
        assert "closed" not in happened
        gate.set()
        with pytest.raises(Cancelled):
            async for _ in blocks:
                pass
        assert happened[-1] == "closed"
        assert happened.count("closed") == 1


def test_a_derived_speech_is_as_patient_as_what_it_is_made_of() -> None:
    slow = SlowSynthesizer()
    derived = Derived(lambda: slow.synthesize(request("a")), lambda blocks: (2 * block for block in blocks))
    assert slow.speeches == {}, "nothing happens before"
    woken = threading.Event()
    assert not derived.ready(woken.set)
    slow.speeches["a"].come(over=True)
    assert woken.is_set()
    assert derived.ready(woken.set)
    assert next(derived)[0] == 2
    with pytest.raises(StopIteration):
        next(derived)
    assert [text for text, _ in slow.closed] == ["a"]
    derived.close()


def test_a_derived_speech_of_a_plain_one_is_always_ready() -> None:
    derived = Derived(lambda: iter([np.ones(3, np.int16)]), lambda blocks: blocks)
    assert derived.ready(lambda: None)
    assert len(list(derived)) == 1
    unbegun = Derived(lambda: pytest.fail("begun"), lambda blocks: blocks)
    unbegun.close()
    assert list(unbegun) == []


def test_closing_a_derived_speech_closes_both_the_derived_first() -> None:
    closed: list[str] = []

    class Closable(Iterator[Pcm]):
        def __init__(self, name: str) -> None:
            self.name = name

        def __next__(self) -> Pcm:
            return np.ones(3, np.int16)

        def close(self) -> None:
            closed.append(self.name)

    derived = Derived(lambda: Closable("source"), lambda _: Closable("blocks"))
    next(derived)
    derived.close()
    derived.close()
    assert closed == ["blocks", "source"]


@pytest.mark.parametrize("where", ["begin", "change", "block"])
def test_a_derived_speech_that_fails_is_closed(where: str) -> None:
    slow = SlowSynthesizer()

    def begin() -> Iterator[Pcm]:
        if where == "begin":
            raise ModelError("begin")
        return slow.synthesize(request("a"))

    def change(blocks: Iterator[Pcm]) -> Iterator[Pcm]:
        if where == "change":
            raise ModelError("change")
        slow.speeches["a"].come()
        return (block // 0 if block is None else _fail(where) for block in blocks)

    derived = Derived(begin, change)
    with pytest.raises(ModelError, match=where):
        next(derived)
    assert slow.closed or where != "block"
    assert list(derived) == []


def _fail(where: str) -> Pcm:
    raise ModelError(where)
