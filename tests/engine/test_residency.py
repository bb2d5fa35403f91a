"""Models that come and go while streams are spoken: real threads, and speakers that note what they are asked."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic, sleep

import pytest

from tests.engine.speakers import PATIENCE_SECONDS, VOICE, Counting, Noting, asked, listed
from wyoming_pocket_tts.core.errors import Cancelled, ModelError
from wyoming_pocket_tts.core.types import Pending, Synthesizer, close
from wyoming_pocket_tts.engine.eviction import ManagerTimeouts
from wyoming_pocket_tts.engine.model_manager import ManagedSynthesizer, ModelManager
from wyoming_pocket_tts.engine.pipeline import ModelRouter
from wyoming_pocket_tts.engine.scheduler import Scheduler

RESTLESS = ManagerTimeouts(rest=0.0)


@dataclass
class Model:
    """Can be brought; each time it is another speaker."""

    before_bringing: Callable[[], None] = lambda: None
    before_block: Callable[[], None] = lambda: None
    brought: list[Counting] = field(default_factory=list)

    def bring(self) -> Counting:
        self.before_bringing()
        self.brought.append(Counting(len(self.brought) + 1, before=lambda _: self.before_block()))
        return self.brought[-1]


@contextmanager
def living(residency: ModelManager) -> Iterator[ModelManager]:
    residency.start()
    try:
        yield residency
    finally:
        residency.close()
        names = [thread.name for thread in threading.enumerate()]
        assert not [name for name in names if name == "residency" or name.startswith("loads-")]


def resident(
    residency: ModelManager, model: Model, name: str = "m", *, size: int = 10, loaded: bool = False
) -> ManagedSynthesizer:
    speaker = model.bring() if loaded else None
    return residency.add(
        name,
        model.bring,
        title=f"the model {name}",
        size_bytes=size,
        speaker=speaker,
        voices=lambda: [replace(VOICE, name=name)],
    )


def spoken(speaks: Synthesizer, text: str = "hello") -> list[int]:
    """The number of the speaker that spoke, for each block."""
    return [int(block[0]) for block in speaks.synthesize(asked(text))]


async def streamed(workers: Scheduler, *, voice: str) -> list[int]:
    async with workers.synthesize(asked(voice=listed(workers.synthesizer, voice))) as blocks:
        return [int(block[0]) async for block in blocks]


@asynccontextmanager
async def two_workers(speaks: Synthesizer) -> AsyncIterator[Scheduler]:
    async with asyncio.timeout(PATIENCE_SECONDS), Scheduler(speaks, threads=2) as workers:
        yield workers


async def test_who_asks_at_once_has_it_loaded_once_and_holds_no_thread() -> None:
    gate = threading.Event()
    slow, other = Model(before_bringing=lambda: assert_set(gate)), Model()
    with living(ModelManager()) as residency:
        repertoire = ModelRouter(resident(residency, other, "other", loaded=True), {})
        repertoire.add("slow", resident(residency, slow, "slow"))
        async with two_workers(repertoire) as workers:
            asking = [asyncio.create_task(streamed(workers, voice="slow")) for _ in range(5)]
            while workers.active < 5:  # noqa: ASYNC110  (the workers tell nobody but their tests)
                await asyncio.sleep(0)
            assert await streamed(workers, voice="other") == [1, 1, 1], "both threads are free for others"
            assert not any(task.done() for task in asking)
            gate.set()
            assert await asyncio.gather(*asking) == [[1, 1, 1]] * 5
    assert len(slow.brought) == 1
    assert slow.brought[0].closed == 1


def assert_set(event: threading.Event) -> None:
    assert event.wait(PATIENCE_SECONDS)


def test_a_budget_that_fits_one_lets_them_take_turns_but_never_amid_a_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    warning = "the model b is loaded, and models take about 0 MB now: more than models.memory_budget_mb (0)"
    first, second = Model(), Model()
    with living(ModelManager(budget_bytes=15, patience=RESTLESS)) as residency:
        a, b = resident(residency, first, "a", loaded=True), resident(residency, second, "b")
        assert (spoken(a), spoken(b)) == ([1] * 3, [1] * 3)
        assert (first.brought[0].closed, residency.is_loaded("a"), residency.is_loaded("b")) == (1, False, True)
        stream = a.synthesize(asked())
        assert int(next(stream)[0]) == 2
        assert not residency.is_loaded("b")
        assert warning not in caplog.text
        assert spoken(b) == [2] * 3, "people are to hear something"
        assert warning in caplog.text
        assert [int(block[0]) for block in stream] == [2, 2], "nobody takes its model away"
        residency.tick()
        assert sum(map(residency.is_loaded, "ab")) == 1
        assert [spoken(b)[0] for _ in range(3)] in ([2] * 3, [3] * 3), "it stays while it is used"
    assert all(each.closed for each in (*first.brought, *second.brought))


def test_a_model_that_is_larger_than_the_budget_is_told_of_and_speaks(caplog: pytest.LogCaptureFixture) -> None:
    with living(ModelManager(budget_bytes=15 << 20, patience=RESTLESS)) as residency:
        speaks = resident(residency, Model(), size=40 << 20)
        assert "the model m alone takes about 40 MB in memory, more than models.memory_budget_mb (15)" in caplog.text
        for _ in range(2):
            assert spoken(speaks) == [1] * 3
            residency.tick()


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    troubles: list[BaseException] = [ModelError("the file is gone"), ValueError("quoting hello"), MemoryError()]

    def fail() -> None:
        if troubles:
            raise troubles.pop(0)

    model = Model(before_bringing=fail)
    with living(ModelManager()) as residency:
        speaks = resident(residency, model)
        for message in ("the file is gone", r"cannot be loaded \(ValueError\)", r"cannot be loaded \(MemoryError\)"):
            with pytest.raises(ModelError, match=message):
                spoken(speaks)
        assert spoken(speaks) == [1, 1, 1]
    assert "quoting" not in caplog.text


async def test_a_hang_ends_the_streams_and_the_next_request_is_spoken(caplog: pytest.LogCaptureFixture) -> None:
    """It hangs on a thread of its own, as Pocket TTS does; ``tests/pocket/test_hang.py`` lets a real one hang."""
    model, hears, now = Model(), Noting(), 100.0
    residency = ModelManager(clock=lambda: now)
    residency.observe(hears)
    with living(residency):
        speaks, other = resident(residency, model, loaded=True), resident(residency, Model(), "other", loaded=True)
        stream, neighbour = speaks.synthesize(asked()), other.synthesize(asked())
        next(stream), next(neighbour)
        model.brought[0].called_at = now - 30.1
        assert await asyncio.to_thread(hears.has_rebuilt.wait, PATIENCE_SECONDS), "nobody has to ask"
        assert isinstance(model.brought[0].reason, ModelError)
        assert (hears.faults, hears.rebuilds) == (["hung"], ["m"])
        assert spoken(speaks) == [2, 2, 2]
        assert len(list(neighbour)) == 2
        close(stream)
    assert "the model m does not come to an end" in caplog.text


def test_a_hang_in_a_readers_own_call_is_found_as_well() -> None:
    gate, hears, now = threading.Event(), Noting(), 100.0
    model = Model(before_block=lambda: assert_set(gate))
    residency = ModelManager(clock=lambda: now)
    residency.observe(hears)
    with living(residency), ThreadPoolExecutor(1) as pool:
        speaks = resident(residency, model, loaded=True)
        hanging = pool.submit(spoken, speaks)
        until(lambda: bool(model.brought[0].begun))
        model.before_block = lambda: None
        now = 131.0
        assert hears.has_rebuilt.wait(PATIENCE_SECONDS)
        assert spoken(speaks) == [2, 2, 2]
        gate.set()
        with pytest.raises(ModelError, match="hung"):
            hanging.result(PATIENCE_SECONDS)


@pytest.mark.parametrize(("text", "ends_others"), [("fail", False), ("no memory", True)])
def test_three_failures_in_a_row_have_it_opened_anew(
    text: str, ends_others: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model, hears = Model(), Noting()
    residency = ModelManager()
    residency.observe(hears)
    with living(residency):
        speaks = resident(residency, model, loaded=True)
        bystander = speaks.synthesize(asked())
        next(bystander)
        for number in range(3):
            assert hears.rebuilds == []
            assert len(model.brought) == 1, number
            with pytest.raises(ModelError if text == "fail" else MemoryError):
                spoken(speaks, text)
        assert hears.has_rebuilt.wait(PATIENCE_SECONDS)
        assert spoken(speaks) == [2, 2, 2]
        if ends_others:
            assert "ran out of memory" in str(model.brought[0].reason)
        else:
            assert [int(block[0]) for block in bystander] == [1, 1], "a voice was broken, or the model: it may end"
        close(bystander)
        for _ in range(6):
            with pytest.raises((ModelError, MemoryError)):
                spoken(speaks, text)
        assert len(model.brought) == 2, "not again so soon"
    assert all(each.closed for each in model.brought)


def test_a_model_that_hangs_in_its_last_speeches_ends_them() -> None:
    """Three others failed, so it was opened anew already; who speaks with the old one still is not forgotten."""
    model, hears, now = Model(), Noting(), 100.0
    residency = ModelManager(clock=lambda: now)
    residency.observe(hears)
    with living(residency):
        speaks = resident(residency, model, loaded=True)
        bystander = speaks.synthesize(asked())
        next(bystander)
        for _ in range(3):
            with pytest.raises(ModelError):
                spoken(speaks, "fail")
        assert hears.has_rebuilt.wait(PATIENCE_SECONDS)
        assert model.brought[0].reason is None
        model.brought[0].called_at = now - 30.1
        until(lambda: model.brought[0].reason is not None)
        with pytest.raises(ModelError, match="hung"):
            next(bystander)
        assert (hears.faults, hears.rebuilds) == (["hung"], ["m"]), "what was opened anew speaks on"
        assert spoken(speaks) == [2, 2, 2]


def test_whoever_waits_is_told_when_the_service_stops() -> None:
    gate = threading.Event()
    model = Model(before_bringing=lambda: assert_set(gate))
    residency = ModelManager()
    speaks = resident(residency, model)
    woken = threading.Event()
    stream = speaks.stream(asked(), woken.set)
    assert next(stream) is Pending.MODEL
    closing = threading.Thread(target=residency.close)
    closing.start()
    assert woken.wait(PATIENCE_SECONDS)
    with pytest.raises(Cancelled):
        next(stream)
    gate.set()
    closing.join()
    assert model.brought[0].closed, "what came too late is not left in memory"
    with pytest.raises(Cancelled):
        spoken(speaks)


def test_who_leaves_before_it_has_come_is_forgotten() -> None:
    gate = threading.Event()
    with living(ModelManager(budget_bytes=15, patience=RESTLESS)) as residency:
        speaks = resident(residency, Model(before_bringing=lambda: assert_set(gate)))
        stream = speaks.stream(asked(), lambda: pytest.fail("it has left"))
        assert next(stream) is Pending.MODEL
        close(stream)
        close(stream)
        assert list(stream) == []
        gate.set()
        assert spoken(speaks) == [1] * 3
        assert spoken(resident(residency, Model(), "other")) == [1] * 3, "no lease is left that keeps it there"
        assert not residency.is_loaded("m")


def test_a_speech_tells_for_what_it_waits() -> None:
    gate = threading.Event()
    with living(ModelManager()) as residency:
        repertoire = ModelRouter(resident(residency, Model(before_bringing=lambda: assert_set(gate))), {})
        woken = threading.Event()
        stream = repertoire.stream(asked(voice=listed(repertoire, "m")), woken.set)
        assert next(stream) is Pending.MODEL
        gate.set()
        assert woken.wait(PATIENCE_SECONDS)
        blocks = list(stream)
        assert len(blocks) == 3
        assert not any(isinstance(block, Pending) for block in blocks)


def test_where_no_thread_is_to_be_had_whoever_asks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with living(ModelManager()) as residency:
        speaks = resident(residency, Model())
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(
                ModelError, match=r"the model m cannot be loaded now: can't start new thread; ask again"
            ):
                spoken(speaks)
        assert spoken(speaks) == [1, 1, 1]


def test_nothing_happens_before_it_is_asked_for() -> None:
    model = Model()
    with living(ModelManager()) as residency:
        close(resident(residency, model).synthesize(asked()))
    assert model.brought == []


def test_what_is_unloaded_is_freed_though_it_holds_itself() -> None:
    class Large(Counting):
        def __init__(self) -> None:
            super().__init__()
            self.itself = self  # as those whose methods are remembered
            large.add(self)

    large: weakref.WeakSet[Large] = weakref.WeakSet()
    with living(ModelManager(patience=ManagerTimeouts(idle=0.0))) as residency:
        managed = residency.add("x", Large, title="x", size_bytes=1, voices=list, stays=lambda: False)
        stream = managed.synthesize(asked())
        next(stream)
        residency.tick()
        assert len(large) == 1
        assert len(list(stream)) == 2
        residency.tick()
        assert not residency.is_loaded("x")
        until(lambda: not large)


def until(happened: Callable[[], bool]) -> None:
    """Wait for what the watching thread does, if it was first."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not happened():
        assert monotonic() < deadline
        sleep(0.001)
