"""Overload over TCP: queue, refusals, embedded voices as fallbacks."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from wyoming.event import Event

from tests.server.client import Client, Service, audio_seconds, errors, service, shape
from tests.support.simulated_clock import Clock
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.core.events import Observer, RequestStats
from wyoming_pocket_tts.core.types import OptionOverrides, Voice
from wyoming_pocket_tts.engine.pipeline import ModelRouter, SynthesisPipeline
from wyoming_pocket_tts.voices.catalog import FallbackVoices, Satellite, VoiceCatalog

ANSWER = ["audio-start", "audio-chunk", "audio-stop"]
MODEL = (
    Voice(name="alba", description="Alba", languages=("en",), sample_rate_hz=24_000),
    Voice(name="juergen", description="Jürgen", languages=("de",), sample_rate_hz=24_000),
)
EMBEDDED = (Voice(name="ray", description="Ray", languages=("en-US",), sample_rate_hz=16_000),)
SATELLITES = (Satellite(name="Phone", voice="alba", overrides=OptionOverrides(rate_hz=8_000, volume_db=-120)),)


class Heard(Observer):
    def __init__(self) -> None:
        self.stand_ins = 0
        self.ended: list[RequestStats] = []

    def fallback_used(self) -> None:
        self.stand_ins += 1

    def request_finished(self, ended: RequestStats) -> None:
        self.ended.append(ended)


class Crowd:
    """A model that is kept busy by one client for as long as it takes, and an embedded voice beside it."""

    def __init__(self) -> None:
        self.busy, self.held = Gate(), Gate()
        self.model = ToneSynthesizer(voices=MODEL, gate=lambda asked: self.busy if "hold" in asked.text else None)
        self.embedded = ToneSynthesizer(voices=EMBEDDED, gate=lambda asked: self.held if "hold" in asked.text else None)
        self.heard = Heard()
        repertoire = ModelRouter(self.embedded, {})
        repertoire.add("english", self.model)
        self.cast = VoiceCatalog(repertoire.voices, satellites=SATELLITES)
        self.narrator = SynthesisPipeline(repertoire, self.cast)

    @asynccontextmanager
    async def house(self) -> AsyncIterator[Service]:
        find = FallbackVoices(self.cast, [voice.name for voice in EMBEDDED]).find
        async with (
            service(
                self.embedded,
                synthesizer=self.narrator,
                threads=4,
                max_active=1,
                max_waiting=0,
                catalog=self.cast,
                find_fallback=find,
                observer=self.heard,
            ) as house,
            await house.connect() as first,
        ):
            await first.send("synthesize", text="Please hold the line.", voice={"name": "alba"})
            assert await asyncio.to_thread(self.model.journal.wait_for, "begin")
            try:
                yield house
            finally:
                self.busy.open()
                self.held.open()
                await first.until("audio-stop")


async def asked(client: Client, text: str, voice: str) -> list[Event]:
    await client.send("synthesize", text=text, voice={"name": voice})
    return await client.until("audio-stop")


def rates(events: list[Event]) -> set[int]:
    return {event.data["rate"] for event in events if event.type in {"audio-start", "audio-chunk"}}


async def test_an_embedded_voice_of_the_language_speaks_at_its_own_rate(caplog: pytest.LogCaptureFixture) -> None:
    crowd = Crowd()
    async with crowd.house() as house, await house.connect() as client:
        events = await asked(client, "It is 5 degrees.", "alba")
        assert (shape(events), rates(events)) == (ANSWER, {16_000})
        assert crowd.embedded.journal.count("begin", "It is five degrees.") == 1
        again = await asked(client, "The connection goes on.", "alba")
        assert shape(again) == ANSWER
    assert crowd.heard.stand_ins == 2
    assert [ended.voice for ended in crowd.heard.ended if ended.outcome == "spoken"] == ["ray", "ray", "alba"]
    assert "overload: 'ray' is used instead" in caplog.text


async def test_the_whole_answer_is_the_embedded_voices_also_what_its_text_wants_of_others() -> None:
    crowd = Crowd()
    others = "<voice name='juergen'>Two is said.</voice> <voice name='alba'>Three is said.</voice>"
    ssml = f"<speak>One is said. {others}</speak>"
    async with crowd.house() as house, await house.connect() as client:
        await client.send("synthesize", text=ssml, voice={"name": "alba"})
        events = await client.until("audio-stop")
        assert (shape(events), rates(events)) == (ANSWER, {16_000})
    begun = [entry.text for entry in crowd.embedded.journal.entries() if entry.what == "begin"]
    assert begun == ["One is said.", "Two is said.", "Three is said."]
    assert crowd.heard.stand_ins == 1


async def test_pauses_are_as_long_as_they_should_be() -> None:
    crowd = Crowd()
    async with crowd.house() as house, await house.connect() as client:
        events = await asked(client, "One is said. [pause 500ms] Two is said.", "alba")
    samples = np.frombuffer(b"".join(event.payload or b"" for event in events), np.int16)
    assert np.count_nonzero(samples == 0) == pytest.approx(0.5 * 16_000, rel=0.05)


async def test_it_speaks_in_the_manner_that_was_meant() -> None:
    crowd = Crowd()
    async with crowd.house() as house, await house.connect() as client:
        events = await asked(client, "Hello, this is a telephone.", "Phone")
        assert rates(events) == {8_000}
        assert audio_seconds(events) > 0.3
        assert not any(byte for event in events for byte in (event.payload or b"")), "as quiet as it was set to be"


async def test_other_languages_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    crowd = Crowd()
    async with crowd.house() as house, await house.connect() as client:
        await client.send("synthesize", text="Guten Tag.", voice={"name": "juergen"})
        assert [code for code, _ in errors(await client.rest())] == ["overloaded"]
    assert crowd.heard.stand_ins == 0


async def test_even_embedded_voices_are_bounded_and_an_answer_goes_on() -> None:
    crowd = Crowd()
    async with crowd.house() as house:
        holding = [await house.connect() for _ in range(2)]
        for client in holding:
            await client.send("synthesize", text="You hold. You are still there.", voice={"name": "alba"})
        assert await asyncio.to_thread(crowd.embedded.journal.wait_for, "begin", times=2)
        async with await house.connect() as client:
            await client.send("synthesize", text="One too many.", voice={"name": "alba"})
            assert [code for code, _ in errors(await client.rest())] == ["overloaded"]
        crowd.held.open()
        for client in holding:
            assert shape(await client.until("audio-stop")) == ANSWER
            await client.close()
    assert crowd.embedded.journal.count("begin", "You are still there.") == 2
    assert crowd.heard.stand_ins == 2, "who was refused by them as well had no answer"


async def test_request_beyond_the_queue_time_is_refused() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda request: gate if "hold" in request.text else None)
    async with (
        service(tone, max_active=1, queue_seconds=0.02) as house,
        await house.connect() as client,
        await house.connect() as first,
    ):
        await first.send("synthesize", text="hold")
        await house.happened("begin")
        await client.send("synthesize", text="I have little time.")
        told = errors(await client.rest())
        gate.open()
        await first.until("audio-stop")
    assert told == [("overloaded", "no place became free within 0.02 s (speaking: 1); ask again later")]


async def test_hung_model_ends_its_request_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, clock = Gate(), Clock()
    tone = ToneSynthesizer(gate=lambda request: gate if "hang" in request.text else None)
    caplog.set_level(logging.INFO)
    async with service(tone, threads=1, max_active=1, hung_seconds=0.06, now=clock) as house:
        async with await house.connect() as client:
            await client.stream("Words that hang in the air.")
            await house.happened("begin")
            clock.turn(1.0)
            events = await client.rest()
            assert shape(events) == ["error", "audio-stop", "synthesize-stopped"]
            assert [code for code, _ in errors(events)] == ["model-error"]
        await house.speaks()
        gate.open()
        await house.happened("end", times=2)
    assert "hang in the air" not in caplog.text
