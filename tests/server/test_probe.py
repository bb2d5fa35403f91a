"""Readiness: a word that is really spoken, however often one asks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.support.tone import VOICES, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.health import ReadinessProbe


class Clock:
    """Stands until it is turned."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def probing(
    tone: ToneSynthesizer,
    *,
    clock: Clock | None = None,
    max_active: int = 4,
    max_waiting: int = 4,
    limit_seconds: float = 20.0,
    fresh_seconds: float = 5.0,
) -> AsyncIterator[tuple[ReadinessProbe, Scheduler]]:
    async with Scheduler(tone, threads=1, max_active=max_active, max_waiting=max_waiting) as workers:
        probe = ReadinessProbe(workers, now=clock or Clock(), limit_seconds=limit_seconds, fresh_seconds=fresh_seconds)
        try:
            yield probe, workers
        finally:
            await probe.aclose()


async def test_a_word_is_spoken_by_the_first_voice_that_is_installed() -> None:
    tone = ToneSynthesizer(voices=[VOICES[3], VOICES[1]])
    async with probing(tone) as (probe, _):
        found = await probe.run()
    assert found.speaks
    assert found.text == "tone-high made 0.06 s of speech in 0.00 s"
    assert [entry.text for entry in tone.journal.entries() if entry.what == "begin"] == ["OK."]


async def test_an_answer_holds_for_some_seconds() -> None:
    tone, clock = ToneSynthesizer(), Clock()
    async with probing(tone, clock=clock, fresh_seconds=5.0) as (probe, _):
        first = await probe.run()
        clock.seconds += 4.9
        assert await probe.run() is first
        clock.seconds += 0.2
        assert await probe.run() is not first
    assert tone.journal.count("begin") == 2


async def test_whoever_asks_meanwhile_gets_the_same_answer_even_if_the_first_one_leaves() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    async with probing(tone) as (probe, _):
        askers = [asyncio.create_task(probe.run()) for _ in range(20)]
        assert await asyncio.to_thread(tone.journal.wait_for, "begin")
        askers[0].cancel()
        gate.open()
        found = await asyncio.gather(*askers[1:])
    assert len(set(map(id, found))) == 1
    assert found[0].speaks
    assert tone.journal.count("begin") == 1


async def test_what_fails_is_told_and_asked_again_later() -> None:
    failures = iter([ModelError("the model is broken"), None])
    clock = Clock()
    tone = ToneSynthesizer(failure=lambda _request, _block: next(failures))
    async with probing(tone, clock=clock) as (probe, _):
        found = await probe.run()
        assert (found.speaks, found.text) == (False, "model-error: the model is broken")
        clock.seconds += 6
        assert (await probe.run()).speaks


async def test_where_the_default_voice_does_not_speak_another_one_is_asked() -> None:
    broken = {"tone-low"}
    tone = ToneSynthesizer(failure=lambda asked, _: ModelError("broken") if asked.voice.name in broken else None)
    async with Scheduler(tone) as workers:
        probe = ReadinessProbe(workers, fallback="tone-high", fresh_seconds=0.0)
        assert (await probe.run()).text.startswith("tone-high made")
        broken.add("tone-high")
        assert not (await probe.run()).speaks
        broken.clear()
        assert (await probe.run()).text.startswith("tone-low made")


async def test_a_model_that_hangs_is_not_waited_for() -> None:
    gate = Gate()
    async with probing(ToneSynthesizer(gate=lambda _: gate), limit_seconds=0.05) as (probe, workers):
        found = await probe.run()
        assert (found.speaks, found.text) == (False, "tone-low said nothing within 0.05 s")
        gate.open()
    assert workers.active == 0


async def test_in_a_crowd_it_is_refused_like_everybody() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text == "crowd" else None)
    async with probing(tone, max_active=1, max_waiting=0) as (probe, workers):
        async with workers.synthesize(SynthesisRequest(text="crowd", voice=VOICES[0])):
            found = await probe.run()
        gate.open()
    assert not found.speaks
    assert found.text.startswith("overloaded: ")
    assert tone.journal.count("begin", "OK.") == 0


class Mute(ToneSynthesizer):
    """Makes audio in which there is nothing to hear."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self._mute_samples = samples

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        yield np.zeros(self._mute_samples, np.int16)


@pytest.mark.parametrize(
    ("tone", "text"),
    [
        (Mute(8_000), "tone-low made 0.50 s of silence in 0.00 s"),
        (Mute(0), "tone-low said nothing"),
        (ToneSynthesizer(voices=[VOICES[3]]), "no voice is installed"),
    ],
)
async def test_silence_is_no_speech(tone: ToneSynthesizer, text: str) -> None:
    async with probing(tone) as (probe, _):
        found = await probe.run()
    assert (found.speaks, found.text) == (False, text)


async def test_closing_ends_what_is_under_way() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    async with probing(tone) as (probe, _):
        asking = asyncio.create_task(probe.run())
        assert await asyncio.to_thread(tone.journal.wait_for, "begin")
        await probe.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.open()
