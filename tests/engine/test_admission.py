import asyncio

import pytest

from wyoming_pocket_tts.core.errors import Cancelled, ServerOverloaded
from wyoming_pocket_tts.engine.admission import AdmissionController


async def test_a_place_that_comes_in_the_moment_of_the_cancellation_is_passed_on() -> None:
    admission = AdmissionController(max_active=1, max_waiting=1)
    await admission.acquire(continuation=False)
    waiter = asyncio.create_task(admission.acquire(continuation=False))
    await asyncio.sleep(0)
    admission.release()  # the waiter has its place now, but has not run yet
    waiter.cancel()
    await asyncio.wait({waiter})
    assert waiter.cancelled()
    async with asyncio.timeout(10):
        await admission.acquire(continuation=False)


async def test_closing_wakes_whoever_waits_and_refuses_whoever_comes() -> None:
    admission = AdmissionController(max_active=1, max_waiting=1)
    await admission.acquire(continuation=False)
    waiters = [asyncio.create_task(admission.acquire(continuation=insider)) for insider in (False, True)]
    await asyncio.sleep(0)
    admission.close()
    assert [type(error) for error in await asyncio.gather(*waiters, return_exceptions=True)] == [Cancelled, Cancelled]
    for insider in (False, True):
        with pytest.raises(ServerOverloaded, match="stopping"):
            await admission.acquire(continuation=insider)


async def test_whoever_has_waited_for_too_long_is_refused_and_takes_no_place() -> None:
    admission = AdmissionController(max_active=1, max_waiting=1, queue_seconds=0.01)
    await admission.acquire(continuation=False)
    insider = asyncio.create_task(admission.acquire(continuation=True))
    await asyncio.sleep(0)
    with pytest.raises(ServerOverloaded, match=r"no place became free within 0\.01 s"):
        await admission.acquire(continuation=False)
    assert admission.waiting == 1, "insiders have time"
    admission.release()
    async with asyncio.timeout(10):
        await insider
    admission.release()
    async with asyncio.timeout(10):
        await admission.acquire(continuation=False)


async def test_more_room_lets_in_who_waits_insiders_first_and_less_room_nobody() -> None:
    room = 1
    admission = AdmissionController(max_active=3, max_waiting=9, room=lambda: room)
    entered: list[str] = []

    async def enter(name: str, *, insider: bool) -> None:
        await admission.acquire(continuation=insider)
        entered.append(name)

    await enter("first", insider=False)
    names = {"new 1": False, "insider": True, "new 2": False, "new 3": False}
    waiters = [asyncio.create_task(enter(name, insider=insider)) for name, insider in names.items()]
    await asyncio.sleep(0)
    room = 2
    admission.wake_waiters()
    await asyncio.sleep(0)
    assert entered == ["first", "insider"]
    room = 9
    admission.wake_waiters()
    await asyncio.sleep(0)
    assert entered == ["first", "insider", "new 1"], "max_active holds all the same"
    room = 1
    admission.release()
    admission.release()
    await asyncio.sleep(0)
    assert admission.waiting == 2
    room = 9
    admission.wake_waiters()
    await asyncio.gather(*waiters)
    assert entered == ["first", "insider", "new 1", "new 2", "new 3"]


async def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    room = 1
    admission = AdmissionController(max_active=4, max_waiting=9, room=lambda: room)
    await admission.acquire(continuation=False)
    entered: list[str] = []

    async def enter(name: str) -> None:
        await admission.acquire(continuation=False)
        entered.append(name)

    early = asyncio.create_task(enter("early"))
    await asyncio.sleep(0)
    room = 2
    late = asyncio.create_task(enter("late"))  # comes in the moment in which there is room for one
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == ["early"]
    admission.release()
    await asyncio.gather(early, late)
    assert entered == ["early", "late"]
