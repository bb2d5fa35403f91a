"""Streams whose blocks are made elsewhere: no worker waits for them, and who runs dry first goes first."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack

import numpy as np
import pytest

from tests.support.tone import VOICES, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import Cancelled, VoiceError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Pcm, Pending, SynthesisRequest, Synthesizer, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler

PATIENCE_SECONDS = 20.0


class Slow:
    """A speech whose blocks come when a test says so."""

    def __init__(self, journal: "SlowSynthesizer", text: str, wake: Callable[[], None]) -> None:
        self._journal, self._text = journal, text
        self._lock = threading.Lock()
        self._blocks: list[Pcm] = []
        self._over = False
        self._sleeps = False
        self._wake = wake

    def come(self, blocks: int = 1, *, over: bool = False) -> None:
        with self._lock:
            self._blocks += [np.full(1600, len(self._text), np.int16)] * blocks
            self._over = over
            sleeps, self._sleeps = self._sleeps, False
        if sleeps:
            self._wake()

    def _take(self) -> Pcm | Pending | None:
        if self._text == "hoarse":
            raise VoiceError("hoarse")
        if self._text == "woken at once" and not self._over:
            self.come(over=True)
            self._wake()
            return Pending.FRAMES
        with self._lock:
            self._journal.note(self._text)
            if self._blocks:
                return self._blocks.pop(0)
            self._sleeps = not self._over
            return None if self._over else Pending.FRAMES

    def blocks(self) -> Iterator[Pcm | Pending]:
        try:
            while (block := self._take()) is not None:
                yield block
        finally:
            self._journal.closed.append((self._text, threading.current_thread().name))


class SlowSynthesizer(Synthesizer):
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

    def stream(self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None) -> Iterator[Pcm | Pending]:
        assert on_ready is not None
        speech = self.speeches[request.text] = Slow(self, request.text, on_ready)
        return speech.blocks()


def request(text: str) -> SynthesisRequest:
    return SynthesisRequest(text=text, voice=VOICES[0])


async def test_no_worker_waits_for_a_block_that_is_not_there() -> None:
    slow = SlowSynthesizer()
    async with (
        Scheduler(slow, threads=1) as workers,
        workers.synthesize(request("a")) as a,
        workers.synthesize(request("b")) as b,
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
    async with Scheduler(slow, threads=1) as workers, workers.synthesize(request("woken at once")) as blocks:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await anext(blocks) is not None


async def test_leaving_while_it_sleeps_closes_it_in_a_worker() -> None:
    freed: list[float] = []

    class Noting(Observer):
        def stream_cancelled(self, seconds: float) -> None:
            freed.append(seconds)

    slow, noting = SlowSynthesizer(), Noting()
    async with Scheduler(slow, threads=1, observer=noting) as workers:
        async with workers.synthesize(request("a")) as blocks:
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
        blocks = await stack.enter_async_context(workers.synthesize(request("a")))
        await slow.until_asked("a")
        await workers.aclose()
        with pytest.raises(Cancelled):
            await anext(blocks)


async def test_what_fails_while_it_begins_is_told() -> None:
    async with Scheduler(SlowSynthesizer(), threads=1) as workers, workers.synthesize(request("hoarse")) as blocks:
        with pytest.raises(VoiceError, match="hoarse"):
            await anext(blocks)


async def test_newcomers_go_before_those_who_are_ahead_and_leavers_before_all() -> None:
    """One thread, which is held; meanwhile others come and one leaves."""
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text.startswith("hold") else None)
    ahead_text, hold_text = "ahead, for some time", "hold, for some time"
    async with Scheduler(tone, threads=1, backlog_blocks=1) as workers, AsyncExitStack() as stack:
        ahead = await stack.enter_async_context(workers.synthesize(request(ahead_text)))
        await anext(ahead)
        assert await asyncio.to_thread(tone.journal.wait_for, "block", ahead_text, times=2)
        await stack.enter_async_context(workers.synthesize(request(hold_text)))
        assert await asyncio.to_thread(tone.journal.wait_for, "begin", hold_text)
        await anext(ahead)  # now it may go on, and has something to hear
        async with workers.synthesize(request("leaving")):
            await stack.enter_async_context(workers.synthesize(request("new")))
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
        async with workers.synthesize(request("ahead, for some time")) as ahead:
            await anext(ahead)
            await stack.enter_async_context(workers.synthesize(request("hold")))
            assert await asyncio.to_thread(tone.journal.wait_for, "begin", "hold")
            await stack.enter_async_context(workers.synthesize(request("new")))
        gate.open()
        assert await asyncio.to_thread(tone.journal.wait_for, "begin", "new")
        entries = [(entry.what, entry.text) for entry in tone.journal.entries()]
    assert entries.index(("end", "ahead, for some time")) < entries.index(("begin", "new"))


@pytest.mark.parametrize("where", ["ready", "next"])
async def test_whoever_leaves_while_a_worker_is_at_it_is_closed_by_that_one(where: str) -> None:
    """The other worker keeps its hands off, though it has nothing else to do."""
    inside, gate = threading.Event(), threading.Event()
    happened: list[str] = []

    class Busy(Iterator[Pcm | Pending]):
        def __next__(self) -> Pcm | Pending:
            if self._wait("ready") == "ready":
                return Pending.FRAMES
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

    class One(Synthesizer):
        def voices(self) -> Sequence[Voice]:
            return VOICES

        def stream(
            self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None
        ) -> Iterator[Pcm | Pending]:
            return Busy()

    async with Scheduler(One(), threads=2) as workers:
        async with workers.synthesize(request("a")) as blocks:
            assert await asyncio.to_thread(inside.wait, PATIENCE_SECONDS)
        assert not await asyncio.to_thread(gate.wait, 0.05), "time for the other worker to make a mistake"
        assert "closed" not in happened
        gate.set()
        with pytest.raises(Cancelled):
            async for _ in blocks:
                pass
        assert happened[-1] == "closed"
        assert happened.count("closed") == 1
