"""The real-time guard: workers let in as many as their engine is fast enough for."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.support.simulated_clock import Clock
from tests.support.tone import VOICES, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ServerOverloaded
from wyoming_pocket_tts.core.types import Pcm, Pending, SynthesisRequest, Synthesizer, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler

LONG = "It takes a while to say all of this. " * 40  # 30 s of tone


class Engine(ToneSynthesizer):
    """Takes time for each block of 0.1 s, on a simulated clock; texts that begin with ``hold`` stand at a gate."""

    def __init__(self, seconds_per_block: float) -> None:
        self.clock, self.gate = Clock(), Gate()
        self.seconds_per_block = seconds_per_block
        super().__init__(gate=self._gate_of, failure=self._take_time)

    def _gate_of(self, request: SynthesisRequest) -> Gate | None:
        return self.gate if request.text.startswith("hold") else None

    def _take_time(self, _request: SynthesisRequest, _block: int) -> None:
        self.clock.turn(self.seconds_per_block)

    def workers(
        self,
        *,
        real_time: bool = True,
        max_waiting: int = 32,
        threads: int = 1,
        synthesizer: Synthesizer | None = None,
    ) -> Scheduler:
        return Scheduler(
            synthesizer or self,
            threads=threads,
            max_active=12,
            max_waiting=max_waiting,
            real_time=real_time,
            reserve=1,
            now=self.clock,
        )


async def spoken(workers: Scheduler, text: str, *, continuation: bool = False, reserve: bool = False) -> list[Pcm]:
    request = SynthesisRequest(text=text, voice=VOICES[0])
    async with workers.synthesize(request, continuation=continuation, reserve=reserve) as blocks:
        return [block async for block in blocks]


@pytest.mark.parametrize(
    ("seconds_per_block", "streams"),
    [(0.2, 1), (0.05, 1), (0.03, 2), (0.009, 8), (0.001, 12)],
)
async def test_a_slow_engine_admits_fewer_and_the_others_get_their_turn(seconds_per_block: float, streams: int) -> None:
    engine = Engine(seconds_per_block)
    async with engine.workers() as workers:
        for _ in range(10):
            await spoken(workers, LONG)
        crowd = [asyncio.create_task(spoken(workers, f"hold {number}")) for number in range(14)]
        await asyncio.sleep(0)
        assert (workers.active, workers.waiting) == (streams, 14 - streams)
        engine.gate.open()
        assert all(await asyncio.gather(*crowd))


async def test_without_the_guard_and_before_anything_is_measured_all_places_are_taken() -> None:
    engine = Engine(0.2)
    for real_time in (True, False):
        async with engine.workers(real_time=real_time) as workers:
            if not real_time:
                await spoken(workers, LONG)
            crowd = [asyncio.create_task(spoken(workers, f"hold {number}")) for number in range(14)]
            await asyncio.sleep(0)
            assert workers.active == 12
            engine.gate.open()
            await asyncio.gather(*crowd)


async def test_beyond_the_queue_newcomers_are_refused_and_insiders_never() -> None:
    engine = Engine(0.2)
    async with engine.workers(max_waiting=1) as workers:
        await spoken(workers, LONG)
        speaking = asyncio.create_task(spoken(workers, "hold"))
        waiting = asyncio.create_task(spoken(workers, "newcomer"))
        insiders = [asyncio.create_task(spoken(workers, f"insider {n}", continuation=True)) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ServerOverloaded, match="no place is free"):
            await spoken(workers, "one too many")
        engine.gate.open()
        await asyncio.gather(speaking, waiting, *insiders)
        begun = [entry.text for entry in engine.journal.entries() if entry.what == "begin"][2:]
    assert begun == ["insider 0", "insider 1", "insider 2", "newcomer"]


async def test_whoever_waits_is_let_in_as_soon_as_the_engine_turns_out_to_be_faster() -> None:
    engine = Engine(0.09)
    async with engine.workers(threads=2) as workers:
        await spoken(workers, LONG)
        speaking = asyncio.create_task(spoken(workers, f"hold {LONG * 2}"))
        waiting = asyncio.create_task(spoken(workers, "newcomer"))
        await asyncio.sleep(0)
        assert workers.waiting == 1
        engine.seconds_per_block = 0.001
        engine.gate.let(580)
        await waiting
        assert not speaking.done()
        engine.gate.open()
        await speaking


async def test_a_client_that_plays_while_it_reads_makes_the_engine_neither_slow_nor_fast() -> None:
    """It takes a block a second; the engine is idle between. Its blocks take no time once it is far ahead."""
    engine = Engine(0.03)
    async with engine.workers() as workers:
        measured = len(await spoken(workers, LONG))
        request = SynthesisRequest(text=LONG, voice=VOICES[0])
        async with workers.synthesize(request) as blocks:
            assert await asyncio.to_thread(engine.journal.wait_for, "block", LONG, times=measured + 8)
            for taken in range(100):
                await anext(blocks)
                assert await asyncio.to_thread(engine.journal.wait_for, "block", LONG, times=measured + 9 + taken)
                engine.clock.turn(1.0)
                engine.seconds_per_block = 0.0
            crowd = [asyncio.create_task(spoken(workers, f"hold {number}")) for number in range(14)]
            await asyncio.sleep(0)
            assert (workers.active, workers.waiting) == (2, 13)
        engine.gate.open()
        await asyncio.gather(*crowd)


async def test_the_reserve_is_there_in_a_crowd_and_is_bounded() -> None:
    engine = Engine(0.2)
    async with engine.workers(max_waiting=0) as workers:
        await spoken(workers, LONG)
        speaking = [asyncio.create_task(spoken(workers, "hold", reserve=reserve)) for reserve in (False, True)]
        await asyncio.sleep(0)
        for reserve in (False, True):
            with pytest.raises(ServerOverloaded):
                await spoken(workers, "one too many", reserve=reserve)
        next_sentence = asyncio.create_task(spoken(workers, "insider", reserve=True, continuation=True))
        await asyncio.sleep(0)
        assert (workers.active, workers.waiting) == (2, 1)
        engine.gate.open()
        assert all(await asyncio.gather(*speaking, next_sentence))


async def test_the_reserve_says_nothing_of_the_speed() -> None:
    engine = Engine(0.2)
    async with engine.workers(threads=2) as workers:
        await spoken(workers, LONG)
        crowd = [asyncio.create_task(spoken(workers, "hold"))]
        await asyncio.sleep(0)
        engine.seconds_per_block = 0.001
        for _ in range(5):
            await spoken(workers, LONG, reserve=True)
        crowd += [asyncio.create_task(spoken(workers, "hold")) for _ in range(3)]
        await asyncio.sleep(0)
        assert (workers.active, workers.waiting) == (1, 3)
        engine.gate.open()
        await asyncio.gather(*crowd)


class Coming(Iterator[Pcm | Pending]):
    """A speech whose model is not in memory until it is told so."""

    def __init__(self, before_its_end: Callable[[], None]) -> None:
        self._before_its_end = before_its_end
        self.waits_for_model = True
        self.asked = asyncio.Event()
        self.wake: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()

    def __next__(self) -> Pcm | Pending:
        self._loop.call_soon_threadsafe(self.asked.set)
        if self.waits_for_model:
            return Pending.MODEL
        self._before_its_end()
        raise StopIteration


@pytest.mark.parametrize(("loading_seconds", "computing_seconds", "streams"), [(100, 0, 8), (0, 100, 1)])
async def test_the_wait_for_a_model_to_come_into_memory_says_nothing_of_the_speed(
    loading_seconds: float, computing_seconds: float, streams: int
) -> None:
    engine = Engine(0.009)
    coming = Coming(before_its_end=lambda: engine.clock.turn(computing_seconds))

    class Streaming(Synthesizer):
        def voices(self) -> Sequence[Voice]:
            return engine.voices()

        def stream(
            self, request: SynthesisRequest, on_ready: Callable[[], None] | None = None
        ) -> Iterator[Pcm | Pending]:
            assert on_ready is not None
            if request.text != "later":
                return engine.synthesize(request)
            coming.wake = on_ready
            return coming

    async with engine.workers(synthesizer=Streaming()) as workers:
        for _ in range(10):
            await spoken(workers, LONG)
        late = asyncio.create_task(spoken(workers, "later"))
        await coming.asked.wait()
        await spoken(workers, LONG)  # by the only thread, so the other sleeps by now
        engine.clock.turn(loading_seconds)
        coming.waits_for_model = False
        coming.wake()
        assert await late == []
        crowd = [asyncio.create_task(spoken(workers, "hold")) for _ in range(14)]
        await asyncio.sleep(0)
        assert (workers.active, workers.waiting) == (streams, 14 - streams)
        engine.gate.open()
        await asyncio.gather(*crowd)


async def test_whoever_dwells_on_the_end_says_nothing_of_the_speed() -> None:
    engine = Engine(0.009)
    async with engine.workers() as workers:
        for _ in range(10):
            await spoken(workers, LONG)
        async with workers.synthesize(SynthesisRequest(text="A short one.", voice=VOICES[0])) as blocks:
            while workers.active:  # noqa: ASYNC110  (it ends on another thread, which tells nobody but its reader)
                await asyncio.sleep(0.001)
            assert await anext(blocks) is not None
            assert await anext(blocks) is not None
            assert await anext(blocks) is not None
            engine.clock.turn(100)
            crowd = [asyncio.create_task(spoken(workers, "hold")) for _ in range(14)]
            await asyncio.sleep(0)
            assert (workers.active, workers.waiting) == (8, 6)
            engine.gate.open()
            await asyncio.gather(*crowd)
