"""The protocol as transcripts: what goes in, what comes out. ``>`` is the client, ``*`` all else."""

import json
import re

import numpy as np
import pytest

from tests.server.memory import MemoryConversation
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import ModelError, ServerOverloaded
from wyoming_pocket_tts.text.segments import Segment, TextWarning

LIMITS = LimitSettings(max_queued_requests=2, max_text_length=60)


class Periods:
    """Sentences end at periods, and may be cut at ``;``. ``~`` is a second of silence ahead of its segment."""

    def __init__(self, language: str, *, ssml: bool | None) -> None:
        assert language.partition("-")[0] in {"en", "de"}
        assert ssml is None
        self._text = ""
        self._continues = False

    def feed(self, delta: str) -> list[Segment]:
        *complete, self._text = re.split("(?<=[.;])", self._text + delta)
        return [self._piece(sentence) for sentence in complete]

    def finish(self, delta: str = "") -> list[Segment]:
        complete = self.feed(delta)
        rest, self._text = self._text, ""
        return [*complete, self._piece(rest)]

    def problems(self) -> list[TextWarning]:
        return []

    def _piece(self, text: str) -> Segment:
        continues, self._continues = self._continues, text.endswith(";")
        return Segment(text=text.replace("~", "").strip(), pause_seconds=text.count("~"), continues=continues)


def conversation() -> MemoryConversation:
    return MemoryConversation(pieces=Periods, limits=LIMITS)


async def act(talk: MemoryConversation, line: str) -> list[str]:
    """Do what a line of a transcript says; ``*`` lines name the engine's stream by its number. Return what happens."""
    before = len(talk.journal)
    source, what, *rest = line.split(" ", 2)
    if source == ">":
        talk.send(what, json.loads(rest[0]) if rest else {})
    elif not rest or int(rest[0]) == talk.engine.number:
        match what:
            case "audio":
                talk.engine.gives(np.zeros(1_600, np.int16))
            case "spoken":
                talk.engine.gives(None)
            case "failed":
                talk.engine.gives(ModelError("hoarse"))
            case "end":
                talk.transport.feed_eof()
            case "broken":
                talk.transport.feed(b"gibberish\n")
            case "refuse":
                talk.connection.refuse(ServerOverloaded("stopping"))
            case "stall":
                talk.transport.stall()
            case "read":
                talk.transport.read()
            case _:
                raise AssertionError(line)
    await talk.settle()
    return talk.journal[before:]


START = "> synthesize-start"
STOP = "> synthesize-stop"


def chunk(text: str) -> str:
    return f"> synthesize-chunk {json.dumps({'text': text})}"


def whole(text: str, **voice: str) -> str:
    return f"> synthesize {json.dumps({'text': text, 'voice': voice})}"


TRANSCRIPTS: dict[str, list[tuple[str, list[str]]]] = {
    "describe and ping": [("> describe", ["info"]), ('> ping {"text": "a"}', ["pong"]), ("> ping", ["pong"])],
    "whole text": [
        (whole("One. Two."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        ("* audio 1", ["audio-chunk"]),
        ("* spoken 1", ["speak 2+ tone-low: Two."]),
        ("> describe", ["info"]),
        ("* audio 2", ["audio-chunk"]),
        ("* spoken 2", ["audio-stop"]),
        ("* end", ["close"]),
    ],
    "stream": [
        ('> synthesize-start {"voice": {"language": "de"}}', []),
        (chunk(""), []),
        (chunk("One. Tw"), ["speak 1 ton: One."]),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        ("* spoken 1", []),
        (chunk("o. Three"), ["speak 2+ ton: Two."]),
        (whole("One. Two. Three"), []),
        (STOP, []),
        ("* spoken 2", ["speak 3+ ton: Three"]),
        ("* audio 3", ["audio-chunk"]),
        ("* spoken 3", ["audio-stop", "synthesize-stopped"]),
    ],
    "all was spoken when the stream stops": [
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        ("* spoken 1", []),
        (STOP, ["audio-stop", "synthesize-stopped"]),
    ],
    "empty stream": [
        (START, []),
        (chunk(" "), []),
        (whole(""), []),
        (STOP, ["audio-start", "audio-stop", "synthesize-stopped"]),
    ],
    "empty text": [(whole(" "), ["error:protocol-error", "audio-stop"]), (whole("One."), ["speak 1 tone-low: One."])],
    "text too long": [(whole("x" * 61), ["error:protocol-error", "audio-stop"])],
    "unknown name": [(whole("One.", name="zoe"), ["note:WARNING", "speak 1 tone-low: One."])],
    "unknown language": [(whole("One.", language="fr"), ["error:voice-error", "audio-stop"])],
    "stream in an unknown language": [
        ('> synthesize-start {"voice": {"language": "fr"}}', ["error:voice-error", "audio-stop"]),
        (chunk("One."), []),
        (STOP, ["synthesize-stopped"]),
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
    ],
    "queue": [
        (whole("One."), ["speak 1 tone-low: One."]),
        (whole("Two.", name="ton"), []),
        (whole(""), []),
        (whole("Too many."), ["error:overloaded"]),
        ("> ping", ["pong"]),
        ("* spoken 1", ["note:WARNING", "audio-start", "audio-stop", "speak 2 ton: Two."]),
        (
            "* spoken 2",
            ["note:WARNING", "audio-start", "audio-stop", "error:protocol-error", "audio-stop", "close"],
        ),
        (whole("Late."), []),
    ],
    "chunk and stop without start": [
        (chunk("One."), ["error:protocol-error"]),
        (STOP, ["error:protocol-error", "synthesize-stopped"]),
        (whole("One."), ["speak 1 tone-low: One."]),
        (STOP, []),
        ("* spoken 1", ["note:WARNING", "audio-start", "audio-stop", "error:protocol-error", "synthesize-stopped"]),
    ],
    "double start in silence": [
        (START, []),
        (chunk("Forgotten"), []),
        (START, ["note:WARNING"]),
        (STOP, ["audio-start", "audio-stop", "synthesize-stopped"]),
    ],
    "double start while sounding": [
        (START, []),
        (chunk("One. Two."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        ('> synthesize-start {"voice": {"name": "ton"}}', ["note:WARNING", "hush", "audio-stop"]),
        ("* audio 1", []),
        ("* failed 1", []),
        (chunk("Three."), ["speak 2 ton: Three."]),
        ("* audio 2", ["audio-start", "audio-chunk"]),
        (STOP, []),
        ("* spoken 2", ["audio-stop", "synthesize-stopped"]),
    ],
    "stream that grows too long while sounding": [
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        (chunk("x" * 60), ["hush", "error:protocol-error", "audio-stop"]),
        (chunk("Two."), []),
        (STOP, ["synthesize-stopped", "close"]),
    ],
    "stream that grows too long in silence": [
        (START, []),
        (chunk("x" * 61), ["error:protocol-error", "audio-stop"]),
        (STOP, ["synthesize-stopped"]),
        (START, []),
        (chunk("x" * 60), []),
    ],
    "failure": [
        (whole("One. Two."), ["speak 1 tone-low: One."]),
        (whole("Three."), []),
        ("* failed 1", ["error:model-error", "audio-stop", "speak 2 tone-low: Three."]),
        (whole("Four."), []),
        ("* audio 2", ["audio-start", "audio-chunk"]),
        ("* spoken 2", ["audio-stop", "error:model-error", "audio-stop", "close"]),
    ],
    "failure in a stream before its stop": [
        (START, []),
        (chunk("One. Two."), ["speak 1 tone-low: One."]),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        ("* failed 1", ["error:model-error", "audio-stop"]),
        (chunk("Three."), []),
        (STOP, ["synthesize-stopped", "close"]),
    ],
    "failure in a stream after its stop": [
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        (STOP, []),
        ("* failed 1", ["error:model-error", "audio-stop", "synthesize-stopped", "close"]),
    ],
    "end of input with nothing asked": [("* end", ["close"]), ("* end", []), ("> ping", [])],
    "end of input after complete requests": [
        (whole("One."), ["speak 1 tone-low: One."]),
        (START, []),
        (chunk("Two."), []),
        (STOP, []),
        ("* end", []),
        ("> ping", []),
        ("* spoken 1", ["note:WARNING", "audio-start", "audio-stop", "speak 2 tone-low: Two."]),
        ("* audio 2", ["audio-start", "audio-chunk"]),
        ("* spoken 2", ["audio-stop", "synthesize-stopped", "close"]),
    ],
    "end of input within a stream": [
        (whole("One."), ["speak 1 tone-low: One."]),
        (START, []),
        (chunk("Two."), []),
        ("* end", []),
        ("* spoken 1", ["note:WARNING", "audio-start", "audio-stop", "error:protocol-error", "audio-stop", "close"]),
    ],
    "end of input within a sounding stream": [
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        ("* end", ["hush", "error:protocol-error", "audio-stop", "close"]),
    ],
    "broken in silence": [("* broken", ["error:protocol-error", "close"]), ("* broken", []), ("* end", [])],
    "broken while sounding": [
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        (STOP, []),
        (whole("Dropped."), []),
        ("* audio 1", ["audio-start", "audio-chunk"]),
        ("* broken", ["error:protocol-error", "audio-stop", "synthesize-stopped", "hush", "close"]),
        ("* spoken 1", []),
    ],
    "broken within a stream": [
        (START, []),
        ("* broken", ["error:protocol-error", "audio-stop", "close"]),
    ],
    "stopping in silence": [("* refuse", ["close"])],
    "stopping while speaking": [
        (whole("One. Two."), ["speak 1 tone-low: One."]),
        ("* refuse", []),
        (whole("Three."), []),
        ("> describe", ["info"]),
        ("* spoken 1", ["speak 2+ tone-low: Two."]),
        ("* spoken 2", ["note:WARNING", "audio-start", "audio-stop", "error:overloaded", "audio-stop", "close"]),
    ],
    "stopping within a stream": [
        (START, []),
        (chunk("One."), ["speak 1 tone-low: One."]),
        ("* refuse", []),
        (chunk("Two."), []),
        (STOP, []),
        ("* spoken 1", ["speak 2+ tone-low: Two."]),
        ("* spoken 2", ["note:WARNING", "audio-start", "audio-stop", "synthesize-stopped", "close"]),
    ],
    "what is not for us": [
        ("> transcribe", ["note:DEBUG"]),
        ('> select-program {"name": "wyoming-pocket-tts"}', []),
        ('> select-program {"name": "other"}', ["note:WARNING"]),
        ('> select-program {"name": []}', ["note:WARNING"]),
    ],
    "nonsense inside a stream": [
        (START, []),
        ('> synthesize-chunk {"text": 3}', ["error:protocol-error", "audio-stop"]),
        ('> synthesize {"text": 3}', []),
        (STOP, ["synthesize-stopped"]),
    ],
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
async def test_transcript(name: str) -> None:
    async with conversation() as talk:
        for line, expected in TRANSCRIPTS[name]:
            assert await act(talk, line) == expected, line


async def test_what_is_refused_is_not_even_cut_into_sentences() -> None:
    cutters: list[Periods] = []

    def make(language: str, *, ssml: bool | None) -> Periods:
        cutters.append(Periods(language, ssml=ssml))
        return cutters[-1]

    async with MemoryConversation(pieces=make, limits=LIMITS) as talk:
        for _ in range(20):
            await act(talk, whole("One."))
    assert len(cutters) == 4  # one speaks, two wait, one found no room


async def test_audio_is_cut_into_whole_chunks_with_running_time() -> None:
    async with conversation() as talk:
        await act(talk, whole("One."))
        talk.engine.gives(np.zeros(4_000, np.int16))
        await talk.settle()
        assert [(len(event.payload or b""), event.data["timestamp"]) for event in talk.events[1:]] == [
            (3_200, 0),
            (3_200, 100),
            (1_600, 200),
        ]
        sent = len(talk.packets)
        talk.engine.gives(np.zeros(0, np.int16))
        await talk.settle()
        assert len(talk.packets) == sent


async def test_a_block_is_sent_in_one_packet() -> None:
    async with conversation() as talk:
        await act(talk, whole("One."))
        talk.engine.gives(np.zeros(4_000, np.int16))
        await talk.settle()
        assert [len(packet) for packet in talk.packets] == [4]
