import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack

import numpy as np
import pytest

from tests.support.tone import VOICES, Entry, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import Cancelled, ModelError, ServerOverloaded, VoiceError
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest, Synthesizer, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler

LONG = "A story that goes on and on."  # 0.56 s of tone: six blocks


def request(text: str) -> SynthesisRequest:
    return SynthesisRequest(text=text, voice=VOICES[0])


async def happened(tone: ToneSynthesizer, what: str, text: str | None = None, *, times: int = 1) -> None:
    assert await asyncio.to_thread(tone.journal.wait_for, what, text, times=times), tone.journal.entries()


async def collected(blocks: AsyncIterator[Pcm]) -> list[Pcm]:
    return [block async for block in blocks]


async def spoken(workers: Scheduler, text: str, *, continuation: bool = False) -> list[Pcm]:
    async with workers.synthesize(request(text), continuation=continuation) as blocks:
        return await collected(blocks)


async def test_a_stream_is_what_the_synthesizer_makes() -> None:
    tone = ToneSynthesizer()
    async with Scheduler(tone, threads=2) as workers:
        streamed = await spoken(workers, LONG)
    whole = list(ToneSynthesizer().synthesize(request(LONG)))
    assert len(streamed) == len(whole) == 6
    assert np.array_equal(np.concatenate(streamed), np.concatenate(whole))
    assert workers.active == 0


async def test_streams_advance_side_by_side_on_one_thread() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text == "hold" else None)
    texts = [f"{name} {LONG}" for name in "abc"]
    async with Scheduler(tone, threads=1, backlog_blocks=100) as workers, AsyncExitStack() as stack:
        held = asyncio.create_task(spoken(workers, "hold"))
        await happened(tone, "begin", "hold")  # the only thread is busy: all three queue up
        streams = [await stack.enter_async_context(workers.synthesize(request(text))) for text in texts]
        gate.open()
        await asyncio.gather(held, *map(collected, streams))
    blocks = [entry.text for entry in tone.journal.entries() if entry.what == "block" and entry.text != "hold"]
    assert blocks == texts * (len(blocks) // 3)


async def test_a_stream_that_nobody_reads_parks_and_takes_no_thread() -> None:
    tone = ToneSynthesizer()
    async with Scheduler(tone, threads=1, backlog_blocks=2) as workers:
        async with workers.synthesize(request(LONG)) as unread:
            assert len(await spoken(workers, "Somebody else.")) == 3
            assert tone.journal.count("block", LONG) == 2
            assert len(await collected(unread)) == 6  # and goes on where it stood
        assert tone.journal.count("end") == 2


async def test_leaving_cancels_between_two_blocks_in_a_worker_thread() -> None:
    gate = Gate()
    closed_in: list[str] = []

    class Noting(ToneSynthesizer):
        def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
            try:
                yield from super().stream(request)
            finally:
                closed_in.append(threading.current_thread().name)

    tone = Noting(gate=lambda _: gate)
    async with Scheduler(tone, threads=1) as workers:
        async with workers.synthesize(request(LONG)) as blocks:
            gate.let(1)
            await anext(blocks)
        gate.let(5)
        await happened(tone, "end")
        assert tone.journal.count("block") <= 2
        assert closed_in == ["speech-0"]
        assert len(await spoken(workers, "x")) == 1  # the thread is free again


async def test_leaving_a_parked_stream_closes_it() -> None:
    tone = ToneSynthesizer()
    async with Scheduler(tone, threads=1, backlog_blocks=1) as workers:
        async with workers.synthesize(request(LONG)) as blocks:
            await anext(blocks)
            await happened(tone, "block", times=2)
        await happened(tone, "end")
    assert workers.active == 0


async def test_leaving_amid_the_block_that_fills_the_backlog_closes_it() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text == LONG else None)
    async with Scheduler(tone, threads=1, backlog_blocks=1, max_active=1) as workers:
        async with workers.synthesize(request(LONG)):
            await happened(tone, "begin", LONG)
        gate.open()
        async with asyncio.timeout(15):
            assert await spoken(workers, "Next, please.")
        assert tone.journal.count("end", LONG) == 1


async def test_typed_errors_pass_and_the_blocks_before_them_count() -> None:
    error = VoiceError("hoarse")
    tone = ToneSynthesizer(failure=lambda _, block: error if block == 2 else None)
    async with Scheduler(tone) as workers, workers.synthesize(request(LONG)) as blocks:
        assert [len(await anext(blocks)), len(await anext(blocks))] == [1600, 1600]
        with pytest.raises(VoiceError, match="hoarse"):
            await anext(blocks)


class Panic(BaseException):
    """What native code may raise past ``Exception``."""


@pytest.mark.parametrize("fault", [ZeroDivisionError("oops"), Panic("oops")])
async def test_other_errors_become_model_errors_and_the_thread_lives_on(
    fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    tone = ToneSynthesizer(failure=lambda asked, _: fault if asked.text == "bad" else None)
    async with Scheduler(tone, threads=1) as workers:
        with caplog.at_level(logging.ERROR), pytest.raises(ModelError, match=type(fault).__name__) as told:
            await spoken(workers, "bad")
        assert "oops" not in str(told.value), "a client has no business with our insides"
        assert f"{type(fault).__name__}: oops" in caplog.text
        assert "tone.py" in caplog.text
        assert await spoken(workers, "good")


async def test_a_plain_iterator_serves_too() -> None:
    class Plain(Synthesizer):
        def voices(self) -> Sequence[Voice]:
            return VOICES

        def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
            return iter([np.ones(3, np.int16)] * 2)

    async with Scheduler(Plain()) as workers:
        assert len(await spoken(workers, "x")) == 2


async def test_too_many_are_refused_and_insiders_wait_ahead_of_newcomers() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text == "hold" else None)
    async with Scheduler(tone, threads=1, max_active=1, max_waiting=1) as workers:
        held = asyncio.create_task(spoken(workers, "hold"))
        await happened(tone, "begin", "hold")
        newcomer = asyncio.create_task(spoken(workers, "newcomer"))
        await asyncio.sleep(0)
        with pytest.raises(ServerOverloaded, match="ask again"):
            await spoken(workers, "one too many")
        insiders = [asyncio.create_task(spoken(workers, name, continuation=True)) for name in ("next", "after next")]
        await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(held, newcomer, *insiders)
    assert [entry.text for entry in tone.journal.entries() if entry.what == "begin"] == [
        "hold",
        "next",
        "after next",
        "newcomer",
    ]


async def test_whoever_stops_waiting_leaves_the_queue() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text == "hold" else None)
    async with Scheduler(tone, max_active=1, max_waiting=1) as workers:
        held = asyncio.create_task(spoken(workers, "hold"))
        await happened(tone, "begin", "hold")
        impatient = asyncio.create_task(spoken(workers, "impatient"))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
        patient = asyncio.create_task(spoken(workers, "patient"))
        await asyncio.sleep(0)
        gate.open()
        await asyncio.gather(held, patient)
    assert tone.journal.count("begin", "impatient") == 0


async def test_closing_cancels_everybody_and_joins_the_threads() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    before = set(threading.enumerate())
    workers = Scheduler(tone, threads=2, max_active=3)
    await workers.start()
    ours = {thread for thread in set(threading.enumerate()) - before if thread.name.startswith("speech-")}
    assert len(ours) == 2
    speaking = [asyncio.create_task(spoken(workers, f"{number} {LONG}")) for number in range(4)]  # one only waits
    await happened(tone, "begin", times=2)
    closing = asyncio.create_task(workers.aclose())
    await asyncio.sleep(0)
    gate.open()
    await closing
    results = await asyncio.gather(*speaking, return_exceptions=True)
    assert [type(result) for result in results] == [Cancelled] * 4
    assert not any(thread.is_alive() for thread in ours)
    assert tone.journal.count("begin") == tone.journal.count("end")
    assert workers.active == 0
    with pytest.raises(ServerOverloaded, match="stopping"):
        await spoken(workers, "late")
    await workers.aclose()  # twice is fine


async def test_a_place_that_comes_in_the_moment_of_closing_is_not_taken() -> None:
    workers = Scheduler(ToneSynthesizer(), threads=1, max_active=1)
    await workers.start()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(workers.synthesize(request("first")))
        late = asyncio.create_task(spoken(workers, "late"))
        await collected(first)  # its end makes room: the late one is about to run, but closing comes before it
        await workers.aclose()
    async with asyncio.timeout(10):
        with pytest.raises(Cancelled):
            await late
    assert workers.active == 0


async def test_a_hanging_model_is_left_behind_and_named(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    workers = Scheduler(tone, threads=1)
    await workers.start()
    hanging = asyncio.create_task(spoken(workers, LONG))
    await happened(tone, "begin")
    await workers.aclose(deadline_seconds=0.01)
    assert "still computes" in caplog.text
    gate.open()
    with pytest.raises(Cancelled):
        await hanging


def test_a_loop_that_dies_first_takes_its_streams_along() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    workers = Scheduler(tone, threads=1)
    stream = workers.synthesize(request(LONG))

    async def careless() -> None:
        await workers.start()
        await stream.__aenter__()
        assert await asyncio.to_thread(tone.journal.wait_for, "begin")

    asyncio.run(careless())
    gate.open()
    assert tone.journal.wait_for("end")
    asyncio.run(workers.aclose())
    assert tone.journal.entries()[-1] == Entry("end", LONG)
    assert tone.journal.count("block") <= 2


async def test_many_streams_on_few_threads_stay_whole() -> None:
    tone = ToneSynthesizer(block_seconds=0.01)
    texts = [
        f"{'word ' * length}{number}" for number, length in zip(range(24), itertools.cycle([1, 4, 9]), strict=False)
    ]
    async with Scheduler(tone, threads=3, backlog_blocks=3, max_active=8) as workers:
        results = await asyncio.gather(*(spoken(workers, text) for text in texts))
    for text, blocks in zip(texts, results, strict=True):
        assert np.array_equal(np.concatenate(blocks), np.concatenate(list(tone.synthesize(request(text)))))


async def test_workers_are_healthy_while_every_thread_runs() -> None:
    workers = Scheduler(ToneSynthesizer(), threads=2)
    seen = [workers.healthy]
    async with workers:
        seen.append(workers.healthy)
    seen.append(workers.healthy)
    assert seen == [False, True, False]


async def test_what_failed_is_logged_without_the_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tone = ToneSynthesizer(failure=lambda _request, _block: RuntimeError("broken"))
    async with Scheduler(tone, threads=1) as workers:
        with pytest.raises(ModelError):
            await spoken(workers, "secret words")
    assert "failed" in caplog.text
    assert "secret words" not in caplog.text
