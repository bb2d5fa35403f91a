"""A crowd that comes and goes at random while two models take turns in memory that fits one: nothing is left of it."""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.engine.speakers import PATIENCE_SECONDS, VOICE, Counting, asked, listed
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.engine.eviction import ManagerTimeouts
from wyoming_pocket_tts.engine.model_manager import ManagedSynthesizer, ModelManager
from wyoming_pocket_tts.engine.pipeline import ModelRouter
from wyoming_pocket_tts.engine.scheduler import Scheduler

NAMES = ("a", "b")
CANNOT_BE_LOADED = "not this time"
IT_FAILED = "it failed"


class Crowd:
    """Clients by the dozen, whose deeds follow from a number."""

    def __init__(self, workers: Scheduler, seed: int) -> None:
        self._workers = workers
        self._random = random.Random(seed)  # noqa: S311  (deeds, not secrets)
        self.outcomes: Counter[str] = Counter()

    async def come_and_go(self, clients: int) -> None:
        coming = [asyncio.create_task(self._be_a_client()) for _ in range(clients)]
        for task in self._random.sample(coming, clients // 3):
            for _ in range(self._random.randrange(10)):
                await asyncio.sleep(0)
            task.cancel()
        ends = await asyncio.gather(*coming, return_exceptions=True)
        surprises = [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)]
        assert surprises == []

    async def _be_a_client(self) -> None:
        for _ in range(4):
            text = self._random.choice(["hello", "hello", "hello", "fail"])
            request = asked(text, voice=listed(self._workers.synthesizer, self._random.choice(NAMES)))
            wanted = self._random.choice([0, 1, 2, 100])
            try:
                async with self._workers.synthesize(request, reserve=self._random.random() < 0.1) as blocks:
                    while wanted and await anext(blocks, None) is not None:
                        wanted -= 1
            except ModelError as error:
                self.outcomes[str(error)] += 1
            else:
                self.outcomes["left" if not wanted else "heard all"] += 1


def two_models(residency: ModelManager, chance: random.Random, calm: threading.Event) -> ModelRouter:
    def bring() -> Counting:
        if chance.random() < 0.2 and not calm.is_set():
            raise ModelError(CANNOT_BE_LOADED)
        return Counting()

    repertoire = ModelRouter(a_resident(residency, "a", bring), {})
    repertoire.add("b", a_resident(residency, "b", bring))
    return repertoire


def a_resident(residency: ModelManager, name: str, bring: Callable[[], Counting]) -> ManagedSynthesizer:
    return residency.add(name, bring, title=name, size_bytes=10, voices=lambda: [replace(VOICE, name=name)])


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_left_of_a_crowd(seed: int) -> None:
    residency, calm = ModelManager(budget_bytes=15, patience=ManagerTimeouts(rest=0.0)), threading.Event()
    chance = random.Random(seed)  # noqa: S311  (mishaps, not secrets)
    speaks = two_models(residency, chance, calm)
    residency.start()
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            Scheduler(speaks, max_active=6, max_waiting=1000, reserve=1000) as workers,
        ):
            crowd = Crowd(workers, seed)
            await crowd.come_and_go(100)
            while workers.active:  # noqa: ASYNC110  (those who were given up tell nobody of their end)
                await asyncio.sleep(0)
            assert (workers.waiting, workers.healthy) == (0, True)
            assert set(crowd.outcomes) <= {"left", "heard all", CANNOT_BE_LOADED, IT_FAILED}
            assert crowd.outcomes["heard all"]
        calm.set()
        for name in (*NAMES, *NAMES):
            assert len(list(speaks.synthesize(asked(voice=listed(speaks, name))))) == 3
            residency.tick()
            others = [other for other in NAMES if other != name and residency.is_loaded(other)]
            assert others == [], "a speech that nobody hears keeps it there"
    finally:
        await asyncio.to_thread(residency.close)
