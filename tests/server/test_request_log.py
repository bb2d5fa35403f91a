"""What the log says of requests: enough to find out what went on, and nothing of what was said."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.server.client import Client, service
from tests.support.service import service as process
from tests.support.tone import ToneSynthesizer
from wyoming_pocket_tts.core.events import RequestStats
from wyoming_pocket_tts.core.logging import JsonFormatter, TextFormatter
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest
from wyoming_pocket_tts.server.request_stats import RequestLog

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

    def synthesize(self, request: SynthesisRequest) -> Iterator[Pcm]:
        del request
        return iter(())


async def test_a_request_that_is_over_has_one_line(log: Log) -> None:
    async with service(observer=RequestLog()) as house, await house.connect() as client:
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
    async with service(quoting(WHOLE), observer=RequestLog()) as house:
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
    async with service(quoting(WHOLE), observer=RequestLog()) as house:
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
    async with service(quoting(WHOLE), observer=RequestLog()) as house:
        for text in (WHOLE, MARKUP):
            async with await house.connect() as client:
                await client.send("synthesize", text=text)
                await client.until("audio-stop")
    assert all(word in log.text for word in SECRETS)


async def test_the_debug_log_tells_every_step_of_a_request(log: Log) -> None:
    logging.getLogger("wyoming_pocket_tts").setLevel(logging.DEBUG)
    async with service(observer=RequestLog()) as house, await house.connect() as client:
        await client.send("synthesize", text="Guten Tag. Bis 5.", voice={"name": "TON", "language": "de"})
        await client.until("audio-stop")
    own = [line["message"].partition("] ")[2] for line in log.lines() if "request" in line]
    assert own[0] == (
        "asked for name 'TON', language 'de': 'ton' in the style 'ruhig', the client names it; in its own manner"
    )
    made = [line for line in own if line.startswith("made ")]
    assert [line.partition(" in ")[0] for line in made] == ["made 0.20 s of audio", "made 0.12 s of audio"]
    assert own[-1].startswith("spoken by ton: ")


async def test_a_text_of_which_the_voice_can_say_nothing_is_warned_of_once(log: Log) -> None:
    async with service(Mute(), observer=RequestLog()) as house, await house.connect() as client:
        for text in ("Marzipan. Anneliese!", "...", "\N{PARTY POPPER}", "  ?"):
            await client.send("synthesize", text=text)
            await client.until("audio-stop")
        await client.stream("Marzipan for ", "Anneliese. And more.")
        await client.until("synthesize-stopped")
    warnings = [line for line in log.lines(".connection") if line["level"] == "warning"]
    assert [line["message"].partition("] ")[2] for line in warnings] == [
        "the voice 'tone-low' can say nothing of this text: it has no word in its letters"
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
    RequestLog().request_ended(ended)
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
