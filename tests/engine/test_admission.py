import asyncio

import pytest

from wyoming_pocket_tts.engine.admission import Admission
from wyoming_pocket_tts.errors import Cancelled, Overloaded


async def test_a_place_that_comes_in_the_moment_of_the_cancellation_is_passed_on() -> None:
    admission = Admission(max_active=1, max_waiting=1)
    await admission.acquire(insider=False)
    waiter = asyncio.create_task(admission.acquire(insider=False))
    await asyncio.sleep(0)
    admission.release()  # the waiter has its place now, but has not run yet
    waiter.cancel()
    await asyncio.wait({waiter})
    assert waiter.cancelled()
    async with asyncio.timeout(10):
        await admission.acquire(insider=False)


async def test_closing_wakes_whoever_waits_and_refuses_whoever_comes() -> None:
    admission = Admission(max_active=1, max_waiting=1)
    await admission.acquire(insider=False)
    waiters = [asyncio.create_task(admission.acquire(insider=insider)) for insider in (False, True)]
    await asyncio.sleep(0)
    admission.close()
    assert [type(error) for error in await asyncio.gather(*waiters, return_exceptions=True)] == [Cancelled, Cancelled]
    for insider in (False, True):
        with pytest.raises(Overloaded, match="stopping"):
            await admission.acquire(insider=insider)
