"""Timing, request log and debug lines of requests."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.client import Client, service
from tests.server.memory import MemoryConversation
from tests.support.service import service as process
from tests.support.tone import VOICES, ToneSynthesizer
from wyoming_pocket_tts.core.events import Observer, RequestStats
from wyoming_pocket_tts.core.logging import JsonFormatter, TextFormatter
from wyoming_pocket_tts.core.types import Pcm, SilenceOptions, SynthesisOptions, SynthesisRequest, TextOptions
from wyoming_pocket_tts.server.request_stats import (
    RequestTimer,
    log_request,
    options_text,
    segment_text,
    voice_choice_text,
)
from wyoming_pocket_tts.voices.matching import VoiceMatch


class Heard(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.began = 0
        self.first: list[float] = []
        self.gaps: list[float] = []
        self.ended: list[RequestStats] = []

    def request_started(self) -> None:
        self.began += 1

    def first_audio(self, seconds: float) -> None:
        self.first.append(seconds)

    def underrun(self, seconds: float) -> None:
        self.gaps.append(seconds)

    def request_finished(self, ended: RequestStats) -> None:
        self.ended.append(ended)


SECOND = np.ones(16_000, np.int16)


class Clock:
    """Stands until it is turned."""

    seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class House:
    """A timer with its clock and observer."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.heard = Heard()
        self.timer = RequestTimer(self.heard, peer="10.0.0.9 #1", now=self.clock)

    def block(self, audio_seconds: float, *, after: float) -> None:
        """Wait for audio for so long."""
        self.timer.start_waiting()
        self.clock.seconds += after
        self.timer.add_audio(audio_seconds)

    def end(self) -> RequestStats:
        self.timer.finish(voice="anna", characters=12)
        (ended,) = self.heard.ended
        return ended


def test_only_waits_for_the_engine_count() -> None:
    house = House()
    house.block(1.0, after=0.25)
    house.clock.seconds += 30  # the client reads slowly
    house.block(1.0, after=0.25)
    house.timer.start_waiting()
    house.clock.seconds += 0.5  # for the piece's end
    house.timer.stop_waiting()
    house.clock.seconds += 5  # for more text
    ended = house.end()
    assert (ended.audio_seconds, ended.waited_seconds, ended.real_time_factor) == (2.0, 1.0, 0.5)
    assert (ended.outcome, ended.voice, ended.characters, ended.peer) == ("spoken", "anna", 12, "10.0.0.9 #1")
    assert house.heard.gaps == [pytest.approx(0.25)]  # the client had played all, and asked


def test_the_first_sound_counts_from_the_first_piece_even_if_that_has_none() -> None:
    house = House()
    house.block(0.0, after=0.1)
    house.block(0.5, after=0.2)
    house.block(0.5, after=0.3)
    assert house.heard.first == [pytest.approx(0.3)]
    assert house.end().first_audio_seconds == pytest.approx(0.3)


def test_underrun_is_a_gap_of_a_client_that_plays_at_once() -> None:
    house = House()
    house.block(1.0, after=5.0)  # nothing plays yet
    house.block(1.0, after=0.9)
    house.block(1.0, after=1.6)  # 1.1 s were left
    house.block(1.0, after=1.25)
    assert house.heard.gaps == [pytest.approx(0.5), pytest.approx(0.25)]


def test_silence_that_was_sent_is_played_too() -> None:
    house = House()
    house.block(1.0, after=0.1)
    house.timer.add_silence(2.0)
    house.block(1.0, after=2.9)
    assert house.heard.gaps == []


def test_text_that_comes_late_makes_no_gap() -> None:
    house = House()
    house.block(1.0, after=0.1)
    house.timer.stop_waiting()
    house.clock.seconds += 60
    house.block(1.0, after=0.0)
    assert house.heard.gaps == []


def test_a_request_begins_and_ends_once() -> None:
    house = House()
    house.timer.finish(outcome="cancelled", voice=None, characters=0)
    house.timer.finish(voice="anna", characters=1)
    assert house.heard.began == 1
    (ended,) = house.heard.ended
    assert (ended.outcome, ended.real_time_factor, ended.first_audio_seconds) == ("cancelled", None, None)


def test_request_identifiers_are_unique() -> None:
    assert len({RequestTimer().request for _ in range(100)}) == 100


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=20))
def test_underruns_are_the_gaps_of_a_player_that_never_stops(blocks: list[tuple[float, float]]) -> None:
    house = House()
    buffered, silent, sounds = 0.0, 0.0, False
    for after, audio_seconds in blocks:
        house.block(audio_seconds, after=after)
        dry, buffered = max(0.0, after - buffered), max(0.0, buffered - after)
        if audio_seconds > 0:
            silent += dry if sounds else 0.0
            buffered += audio_seconds
            sounds = True
    assert sum(house.heard.gaps) == pytest.approx(silent, abs=1e-6)
    assert all(gap > 0 for gap in house.heard.gaps)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (lambda talk: talk.transport.leave(), "cancelled"),
        (lambda talk: talk.transport.feed(b"gibberish\n"), "protocol-error"),
    ],
)
async def test_what_is_still_open_ends_with_the_connection(
    end: Callable[[MemoryConversation], None], outcome: str
) -> None:
    heard = Heard()
    async with MemoryConversation(observer=heard) as talk:
        await talk.does(("synthesize", {"text": "One."}), ("synthesize", {"text": "Two."}))
        end(talk)
        await talk.settle()
        assert talk.is_closed
        assert [(ended.outcome, ended.voice, ended.characters) for ended in heard.ended] == [
            (outcome, "tone-low", 4)
        ] * 2
        assert not talk.session.is_active


async def test_the_silence_of_a_response_is_in_its_timing() -> None:
    house = House()
    async with MemoryConversation(new_timer=lambda: house.timer) as talk:
        await talk.does(("synthesize", {"text": "One. [pause 2s] Two."}))
        for item, after in ((SECOND, 0.1), (None, 0.0), (SECOND, 0.5), (SECOND, 3.0), (SECOND, 2.0)):
            house.clock.seconds += after
            talk.engine.gives(item)
            await talk.settle()
    assert house.heard.gaps == [pytest.approx(0.5)], "two seconds of sound and two of silence, then a second"


SECRETS = ("Marzipan", "Anneliese", "zwetschge", "quittung")
"""Words that are in no message of ours."""
WHOLE = "Marzipan for Anneliese."
MARKUP = "<speak>Marzipan <zwetschge>for</zwetschge> <break time='quittung'/>Anneliese."


@dataclass
class Log:
    """Lines as they are written."""

    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self, logger: str = "") -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in lines if line["logger"].endswith(logger)]


@pytest.fixture
def log() -> Iterator[Log]:
    logger, stream = logging.getLogger("wyoming_pocket_tts"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield Log(stream)
    logger.setLevel(before)
    logger.removeHandler(handler)


def quoting(words: str) -> ToneSynthesizer:
    """A model that quotes what it chokes on."""
    return ToneSynthesizer(failure=lambda asked, _: KeyError(asked.text) if asked.text == words else None)


class Mute(ToneSynthesizer):
    """Knows no letters."""

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        del request
        return iter(())


async def test_a_request_that_is_over_has_one_line(log: Log) -> None:
    async with service() as house, await house.connect() as client:
        await client.stream("Marzipan for ", "Anneliese. And more.", voice={"name": "tone-high"})
        await client.until("synthesize-stopped")
    (line,) = log.lines(".request_stats")
    assert (line["level"], line["outcome"], line["voice"], line["characters"]) == ("info", "spoken", "tone-high", 33)
    assert line["peer"] == "127.0.0.1 #1"
    assert line["audio_seconds"] == pytest.approx(0.02 * len("Marzipan for Anneliese." + "And more."), abs=1e-3)
    assert line["first_audio_ms"] >= 0
    assert line["real_time_factor"] >= 0
    assert len(line["request"]) == 8
    assert line["message"].startswith("[127.0.0.1 #1] spoken by tone-high: 33 characters, 0.64 s of audio, the first ")


async def test_all_lines_about_a_request_say_so_wherever_they_come_from(log: Log) -> None:
    async with service(quoting(WHOLE)) as house:
        async with await house.connect() as client:
            await client.send("synthesize", text=WHOLE, voice={"name": "nobody"})
            await client.rest()
        await house.speaks()
    names = [line["logger"].rpartition(".")[2] for line in log.lines() if "request" in line]
    assert names == ["connection", "scheduler", "connection", "request_stats", "request_stats"]
    requests = [line["request"] for line in log.lines() if "request" in line]
    assert len(set(requests[:4])) == 1, "the voice that is not there, the failure, what the client was told, the end"
    assert requests[4] != requests[0]


async def test_no_word_of_a_text_is_logged_whatever_becomes_of_it(log: Log) -> None:
    async with service(quoting(WHOLE)) as house:
        for text in (WHOLE, MARKUP, "Marzipan " * 3_000):
            async with await house.connect() as client:
                await client.send("synthesize", text=text)
                await client.until("audio-stop")
        async with await house.connect() as client:
            await client.send("synthesize-chunk", text=WHOLE)
            await client.until("error")
        async with await house.connect() as client:
            await client.send_raw(b'{"type": "synthesize", "data": {"text": "' + WHOLE.encode() + b'"}\n')
            await client.until("error")
        await house.left()
    assert len(log.lines(".request_stats")) == 4
    assert not [word for word in SECRETS if word.casefold() in log.text.casefold()], log.text


async def test_the_debug_log_has_it_all(log: Log) -> None:
    logging.getLogger("wyoming_pocket_tts").setLevel(logging.DEBUG)
    async with service(quoting(WHOLE)) as house:
        for text in (WHOLE, MARKUP):
            async with await house.connect() as client:
                await client.send("synthesize", text=text)
                await client.until("audio-stop")
    assert all(word in log.text for word in SECRETS)


async def test_debug_log_has_every_step_of_a_request(log: Log) -> None:
    logging.getLogger("wyoming_pocket_tts").setLevel(logging.DEBUG)
    async with service() as house, await house.connect() as client:
        await client.send("synthesize", text="Guten Tag. Bis 5.", voice={"name": "TON", "language": "de"})
        await client.until("audio-stop")
    own = [line["message"].partition("] ")[2] for line in log.lines() if "request" in line]
    assert own[0] == (
        "asked for name 'TON', language 'de': 'ton' in the style 'ruhig', the client names it; default options"
    )
    made = [line for line in own if line.startswith("made ")]
    assert [line.partition(" in ")[0] for line in made] == ["made 0.20 s of audio", "made 0.12 s of audio"]
    assert own[-1].startswith("spoken by ton: ")


async def test_a_text_of_which_the_voice_can_say_nothing_is_warned_of_once(log: Log) -> None:
    async with service(Mute()) as house, await house.connect() as client:
        for text in ("Marzipan. Anneliese!", "...", "\N{PARTY POPPER}", "  ?"):
            await client.send("synthesize", text=text)
            await client.until("audio-stop")
        await client.stream("Marzipan for ", "Anneliese. And more.")
        await client.until("synthesize-stopped")
    warnings = [line for line in log.lines(".connection") if line["level"] == "warning"]
    assert [line["message"].partition("] ")[2] for line in warnings] == [
        "the voice 'tone-low' cannot read this text: no word of it is in its letters"
    ] * 2
    assert len({line["request"] for line in warnings}) == 2
    assert not [word for word in SECRETS if word.casefold() in log.text.casefold()]


def test_what_was_never_heard_has_no_numbers_for_it() -> None:
    ended = RequestStats(
        request="4f1c9a2e",
        peer="10.0.0.9 #1",
        outcome="overloaded",
        voice=None,
        characters=5,
        audio_seconds=0.0,
        first_audio_seconds=None,
        waited_seconds=0.0,
    )
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter("%(message)s"))
    logger = logging.getLogger("wyoming_pocket_tts.server.request_stats")
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    log_request(ended)
    logger.setLevel(before)
    logger.removeHandler(handler)
    expected = "[4f1c9a2e] [10.0.0.9 #1] ended with overloaded: 5 characters, 0.00 s of audio\n"
    assert stream.getvalue() == expected


async def test_a_real_service_logs_no_word_of_a_text(tmp_path: Path) -> None:
    async with process("--engine", "kokoro", tmp_path=tmp_path) as running:
        uri = await running.uri()
        for text in (WHOLE, MARKUP):
            async with await Client.connect(uri) as client:
                await client.send("synthesize", text=text)
                await client.until("audio-stop")
        async with await Client.connect(uri) as client:
            await client.stream(WHOLE, " 1 zwetschge")
            await client.until("audio-chunk")
        assert await running.stop() == 0
    assert "Listening" in running.log
    assert not [word for word in SECRETS if word.casefold() in running.log.casefold()], running.log


NO_VOICE = {"name": None, "speaker": None, "language": None}
LOW = VOICES[0]


@pytest.mark.parametrize(
    ("wish", "ssml", "asked"),
    [
        (NO_VOICE, None, "asked for no voice"),
        ({**NO_VOICE, "name": ""}, None, "asked for no voice"),
        ({**NO_VOICE, "name": "zoe"}, True, "asked for name 'zoe' for SSML"),
        (
            {"name": "zoe", "speaker": "calm", "language": "de"},
            False,
            "name 'zoe', speaker 'calm', language 'de' for p",
        ),
    ],
)
def test_voice_choice_text_names_the_request(wish: dict[str, str | None], ssml: bool | None, asked: str) -> None:
    line = voice_choice_text(VoiceMatch(voice=LOW, why="by a rule"), wish, ssml=ssml)
    assert asked in line
    assert line.endswith(": 'tone-low', by a rule; default options")


def test_voice_choice_text_names_the_speaker() -> None:
    line = voice_choice_text(VoiceMatch(voice=LOW, speaker="calm", why="by a rule"), NO_VOICE, ssml=None)
    assert line.endswith(": 'tone-low' in the style 'calm', by a rule; default options")


def test_voice_choice_text_is_bounded() -> None:
    wish = dict.fromkeys(NO_VOICE, "z\n" * 10_000)
    line = voice_choice_text(VoiceMatch(voice=LOW, why="by a rule"), wish, ssml=None)
    assert len(line) < 400
    assert "\n" not in line


def test_options_text_lists_differences_from_the_defaults() -> None:
    options = SynthesisOptions(
        speed=0.9,
        volume_db=6.0,
        rate_hz=16_000,
        temperature=0.3,
        eos_threshold=-4.0,
        pauses=SilenceOptions(before=0.5, between=0.1, after=1.0),
        text=TextOptions(normalize=False, emoji="speak", replacements=(("a", "b"),), pronunciations=(("c", "d"),)),
    )
    assert options_text(options) == (
        "speed 0.9, volume +6 dB, 16000 Hz, temperature 0.3, eos threshold -4, silence before 0.5 s, "
        "silence between 0.1 s, silence after 1 s, not normalised, emoji speak, 1 replacements, 1 pronunciations"
    )
    assert options_text(SynthesisOptions()) == "default options"


def test_segment_text_has_audio_and_time() -> None:
    assert segment_text(1.844, 0.2104) == "made 1.84 s of audio in 210 ms"
