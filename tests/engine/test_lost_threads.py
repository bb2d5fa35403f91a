"""Threads that hang in a model or die: who is told, who goes on, and what is left."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.support.simulated_clock import Clock
from tests.support.tone import VOICES, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest, Synthesizer, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.engine.worker_pool import MOST_LEFT_BEHIND

HUNG_SECONDS = 0.06
"""On the simulated clock; a sixth of it, on the real one, passes between two looks."""


class Faults(Observer):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def engine_fault(self, kind: str) -> None:
        self.kinds.append(kind)


class Hanging(ToneSynthesizer):
    """Hangs in the second block of texts that begin with ``hang``, until its gate is opened."""

    def __init__(self) -> None:
        self.clock, self.gate = Clock(), Gate()
        super().__init__(failure=self._hang)

    def _hang(self, request: SynthesisRequest, block: int) -> None:
        if block == 1 and request.text.startswith("hang"):
            self.journal.note("hangs", request.text)
            self.gate.wait()

    @asynccontextmanager
    async def workers(self, observer: Observer | None = None) -> AsyncIterator[Scheduler]:
        async with Scheduler(
            self, threads=1, max_active=1, hung_seconds=HUNG_SECONDS, observer=observer, now=self.clock
        ) as workers:
            try:
                yield workers
            finally:
                self.gate.open()

    async def hangs(self, text: str) -> None:
        assert await asyncio.to_thread(self.journal.wait_for, "hangs", text)


async def spoken(workers: Scheduler, text: str) -> list[Pcm]:
    async with workers.synthesize(SynthesisRequest(text=text, voice=VOICES[0])) as blocks, asyncio.timeout(15):
        return [block async for block in blocks]


async def ended(thread: threading.Thread) -> bool:
    await asyncio.to_thread(thread.join, 15)
    return not thread.is_alive()


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def speaking_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("speech-")}


async def test_a_stream_that_hangs_ends_with_an_error_and_the_next_is_spoken(caplog: pytest.LogCaptureFixture) -> None:
    before = speaking_threads()
    engine, faults = Hanging(), Faults()
    async with engine.workers(faults) as workers:
        (lost,) = speaking_threads() - before
        async with workers.synthesize(SynthesisRequest(text="hang on, whatever comes", voice=VOICES[0])) as blocks:
            assert len(await anext(blocks)) == 1600
            await engine.hangs("hang on, whatever comes")
            engine.clock.turn(HUNG_SECONDS)
            async with asyncio.timeout(15):
                with pytest.raises(ModelError, match="has not answered for"):
                    await anext(blocks)
        assert await spoken(workers, "Somebody else.")
        assert (workers.active, workers.healthy, faults.kinds) == (0, True, ["hung"])
        assert "speech-0 hangs in a block of 'tone-low'" in caplog.text
        assert lost.is_alive()
        caplog.set_level(logging.INFO)
        engine.gate.open()
        assert await ended(lost)
        assert "speech-0 has come back after all" in caplog.text
        assert engine.journal.count("end", "hang on, whatever comes") == 1
        assert await spoken(workers, "Still here.")
    assert speaking_threads() == before


async def test_the_place_of_somebody_who_left_a_stream_that_hangs_is_free() -> None:
    engine = Hanging()
    async with engine.workers() as workers:
        async with workers.synthesize(SynthesisRequest(text="hang up", voice=VOICES[0])) as blocks:
            await anext(blocks)
            await engine.hangs("hang up")
        waiting = asyncio.create_task(spoken(workers, "Next, please."))
        await asyncio.sleep(0)
        assert workers.waiting == 1
        engine.clock.turn(HUNG_SECONDS)
        assert await waiting


async def test_slow_blocks_are_no_reason_as_long_as_they_come() -> None:
    engine, faults = ToneSynthesizer(), Faults()
    clock = Clock()
    slow = ToneSynthesizer(failure=lambda _request, _block: clock.turn(0.8))
    async with Scheduler(slow, threads=1, hung_seconds=1.0, observer=faults, now=clock) as workers:
        text = "It takes longer than the deadline, but no block of it does."
        assert len(await spoken(workers, text)) == -(
            -engine.samples(SynthesisRequest(text=text, voice=VOICES[0])) // 1600
        )
    assert faults.kinds == []


async def test_nobody_waits_at_the_end_for_a_thread_that_was_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    engine = Hanging()
    workers = Scheduler(engine, threads=1, hung_seconds=HUNG_SECONDS, now=engine.clock)
    await workers.start()
    speaking = asyncio.create_task(spoken(workers, "hang for ever"))
    await engine.hangs("hang for ever")
    engine.clock.turn(HUNG_SECONDS)
    with pytest.raises(ModelError):
        await speaking
    async with asyncio.timeout(15):
        await workers.aclose(deadline_seconds=600)
    assert "still computes" not in caplog.text
    engine.gate.open()


async def test_too_many_threads_left_behind_are_an_illness() -> None:
    engine, faults = Hanging(), Faults()
    async with engine.workers(faults) as workers:
        for number in range(MOST_LEFT_BEHIND + 1):
            assert workers.healthy
            speaking = asyncio.create_task(spoken(workers, f"hang {number}"))
            await engine.hangs(f"hang {number}")
            engine.clock.turn(HUNG_SECONDS)
            with pytest.raises(ModelError):
                await speaking
        assert not workers.healthy
        assert faults.kinds == ["hung"] * (MOST_LEFT_BEHIND + 1)


async def test_who_comes_back_lets_another_be_left_behind() -> None:
    engine = Hanging()
    async with engine.workers() as workers:
        for number in range(2 * MOST_LEFT_BEHIND):
            lost = next(thread for thread in speaking_threads() if thread.name == f"speech-{number}")
            speaking = asyncio.create_task(spoken(workers, f"hang {number}"))
            await engine.hangs(f"hang {number}")
            engine.clock.turn(HUNG_SECONDS)
            with pytest.raises(ModelError):
                await speaking
            engine.gate.let(1)
            assert await ended(lost)
        assert workers.healthy


async def test_where_no_thread_is_to_be_had_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Hanging()
    async with engine.workers() as workers:
        speaking = asyncio.create_task(spoken(workers, "hang on, whatever comes"))
        await engine.hangs("hang on, whatever comes")
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            engine.clock.turn(HUNG_SECONDS)
            with pytest.raises(ModelError):
                await speaking
            assert not workers.healthy
        assert await spoken(workers, "Somebody else.")
        assert workers.healthy


class Rubbish(Synthesizer):
    """Gives something that is no audio, which no code of ours expects."""

    def __init__(self) -> None:
        self.closed: list[str] = []

    def voices(self) -> Sequence[Voice]:
        return VOICES

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        try:
            yield np.ones(160, np.int16)
            if request.text == "rubbish":
                yield 42  # type: ignore[misc]
            yield np.ones(160, np.int16)
        finally:
            self.closed.append(request.text)


async def test_a_thread_that_dies_is_replaced_and_its_stream_is_told(caplog: pytest.LogCaptureFixture) -> None:
    before = speaking_threads()
    engine, faults = Rubbish(), Faults()
    async with Scheduler(engine, threads=1, max_active=1, observer=faults) as workers:
        (dying,) = speaking_threads() - before
        for _ in range(MOST_LEFT_BEHIND + 2):  # the dead leave nothing behind, so they are not counted
            with pytest.raises(ModelError, match="a thread that speaks has died"):
                await spoken(workers, "rubbish")
            assert len(await spoken(workers, "fine")) == 2
        assert await ended(dying)
        assert workers.healthy
    assert faults.kinds == ["exception"] * (MOST_LEFT_BEHIND + 2)
    assert engine.closed == ["rubbish", "fine"] * (MOST_LEFT_BEHIND + 2)
    assert "speech-0 fails by itself" in caplog.text
    assert "speech-0 has died; another takes its place" in caplog.text
