"""Makes byte streams that are nearly conversations: real ones, with something wrong. Knows nothing of readers.

Mutations know the structure: events lose, swap and double their places, fields change their types, lengths lie, texts
hold what texts should not; only then bytes are flipped, cut and pushed in. All of it follows from the seed.
"""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

_HUGE: Final = 10**30


@dataclass(slots=True)
class Frame:
    """One event as it lies on the wire."""

    header: dict[str, Any]
    data: dict[str, Any] | None = None
    """Behind the header line, with its length in it."""
    payload: bytes = b""
    lies: dict[str, Any] = field(default_factory=dict)
    """Put into the header last, whatever is true."""

    def encoded(self, *, ascii_only: bool) -> bytes:
        """Write the event."""
        header = dict(self.header)
        data = b"" if self.data is None else _json(self.data, ascii_only=ascii_only)
        if data:
            header["data_length"] = len(data)
        if self.payload:
            header["payload_length"] = len(self.payload)
        return _json(header | self.lies, ascii_only=ascii_only) + b"\n" + data + self.payload


def _json(value: object, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", errors="surrogatepass")


def _event(kind: str, **data: object) -> Frame:
    return Frame({"type": kind, "version": "1.10.2"}, data or None)


def _inline(kind: str, **data: object) -> Frame:
    return Frame({"type": kind, "data": data})


def _assist(*deltas: str, voice: dict[str, str] | None = None) -> list[Frame]:
    """A stream as Home Assistant sends it."""
    return [
        _event("synthesize-start", **({"voice": voice} if voice else {}), context=None),
        *(_event("synthesize-chunk", text=delta) for delta in deltas),
        _event("synthesize", text="".join(deltas), voice=voice),
        _event("synthesize-stop"),
    ]


_SSML: Final = (
    "<speak>One <break time='300ms'/><prosody rate='150%' volume='-3dB'>two</prosody>.",
    " <voice name='ton'>Drei &amp; <lang xml:lang='de'>vier</lang></voice> <say-as interpret-as='date'>2026-11-21",
    "</say-as><sub alias='World Wide Web'>WWW</sub></speak>",
)
CONVERSATIONS: Final[tuple[list[Frame], ...]] = (
    [_event("describe")],
    [_event("describe"), _event("synthesize", text="The kitchen light is on. It is 21.5 °C.", voice={"name": "ton"})],
    _assist("The front door is locked, and ", "the kitchen light is on. I ", "turned the heating down to 19 °C."),
    _assist("Hallo. Es ist 7:30 Uhr, ", "und Dr. Weiß kommt am 3. Mai.", voice={"name": "ton", "speaker": "heiter"}),
    _assist("", " "),
    _assist(*_SSML),
    _assist("One. [pause 500ms] Two", ". [pau", "se 1.5s]Three? 👩‍👩‍👧 4!"),
    [_inline("synthesize", text="Short."), _inline("ping", text="x"), _inline("synthesize", text="Once more.")],
    [_event("synthesize", text="".join(_SSML), text_format="ssml"), _event("describe")],
    [_event("select-program", name="wyoming-pocket-tts"), *_assist("Hi."), *_assist("Ho.", voice={"language": "en"})],
    [Frame({"type": "audio-chunk", "data": {"rate": 16_000}}, None, bytes(64)), _event("transcribe"), *_assist("A.")],
    [_event("synthesize-start"), _event("synthesize-chunk", text="Never ended. And so"), _event("describe")],
    [_event("synthesize", text="Again. " * 40)] * 4,
)
"""What clients really say."""

_TEXTS: Final = (
    *("", " ", "\x00", "\ud83d", "\udc00\ud800", "\u202e\u2028\ufeff", "é" * 30, "x" * 1_500, "a. " * 300, "[" * 90),
    *("[pause 9999s]" * 9, "[pause", "<speak>" * 9, "<speak><break time='1e999s'/>", "</speak>", "<!--", "<![CDATA["),
    *("&#xD800;&#99999999999;&a;", "<prosody rate='0%' volume='nan'>x", "<p/>" * 99, "<speak>" + "<p>" * 99, "..."),
    *("1" * 400, "1.000.000.000", "99:99 31.02.2026", "http://[::1]/%00", "١٢٣", "🏳️‍🌈" * 20, "\n" * 50, "One. Two."),
)
_NAMES: Final = ("ton", "tone-low", "tone-away", "heiter", "nobody", "", "en", "fr-FR", "\ud83d", "n" * 300)
_ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, _HUGE, -_HUGE, 0.5, 1e308, float("nan"), float("inf")),
    *("", "0", "12", "ssml", "text", [], {}, [[]], {"a": {"b": {}}}, [None] * 50),
)
_KINDS: Final = (
    *("describe", "ping", "select-program", "synthesize", "synthesize-start", "synthesize-chunk", "synthesize-stop"),
    *("audio-chunk", "error", "", "Synthesize", "synthesize\x00", "pong", "info", "\ud83d"),
)
_BYTES: Final = (
    *(b"\n", b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"{", b"}", b"[" * 300, b"{" * 20),
    *(b'"', b"\\", b"\\ud800", b"9" * 400, b"1e400", b"-", b"NaN", b"\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xef\xbb\xbf"),
)


def mutant(seed: int) -> bytes:
    """The stream of this number."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    frames = deepcopy(chance.choice(CONVERSATIONS))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        chance.choice(_STRUCTURAL)(frames, chance)
    ascii_only = chance.random() < 0.5
    stream = bytearray(b"".join(frame.encoded(ascii_only=ascii_only) for frame in frames))
    for _ in range(chance.choice((0, 0, 0, 1, 1, 3))):
        chance.choice(_ON_BYTES)(stream, chance)
    return bytes(stream)


Mutation = Callable[[list[Frame], random.Random], None]


def _drop(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        frames.pop(chance.randrange(len(frames)))


def _double(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        again = chance.choice(frames)
        for _ in range(chance.choice((1, 1, 2, 12))):
            frames.insert(chance.randrange(len(frames) + 1), deepcopy(again))


def _swap(frames: list[Frame], chance: random.Random) -> None:
    if len(frames) > 1:
        first, second = chance.sample(range(len(frames)), 2)
        frames[first], frames[second] = frames[second], frames[first]


def _interleave(frames: list[Frame], chance: random.Random) -> None:
    at = 0
    for frame in deepcopy(chance.choice(CONVERSATIONS)):
        at = chance.randrange(at, len(frames) + 1)
        frames.insert(at, frame)
        at += 1


def _change_kind(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        chance.choice(frames).header["type"] = chance.choice((*_KINDS, *_KINDS, *_ODD))


def _change_field(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        frame = chance.choice(frames)
        data = frame.data if frame.data is not None else frame.header.setdefault("data", {})
        if isinstance(data, dict):
            data[chance.choice(("text", "voice", "text_format", "name", "context"))] = _value(chance)


def _change_voice(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        frame = chance.choice(frames)
        keys = chance.sample(("name", "speaker", "language"), chance.randrange(1, 4))
        voice = {key: chance.choice((*_NAMES, *_NAMES, *_ODD)) for key in keys}
        frame.data = (frame.data or {}) | {"voice": voice}


def _change_text(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        frame = chance.choice(frames)
        frame.data = (frame.data or {}) | {"text": "".join(chance.choices(_TEXTS, k=chance.choice((1, 1, 2, 4, 30))))}


def _nest(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        value: Any = chance.choice(_ODD)
        for _ in range(chance.choice((2, 13, 14, 15, 16, 17, 400))):
            value = [value] if chance.random() < 0.5 else {"a": value}
        frame = chance.choice(frames)
        frame.data = (frame.data or {}) | {chance.choice(("text", "deep")): value}


def _lie(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        key = chance.choice(("data_length", "payload_length", "data", "type", "version"))
        nearly: tuple[Any, ...] = (chance.randrange(200), 65_536, 65_537, 262_144, 262_145)
        chance.choice(frames).lies[key] = chance.choice((*_ODD, *nearly, *nearly))


def _load(frames: list[Frame], chance: random.Random) -> None:
    if frames:
        chance.choice(frames).payload = chance.randbytes(chance.choice((1, 30, 3_000)))


def _value(chance: random.Random) -> object:
    return chance.choice((chance.choice(_ODD), chance.choice(_TEXTS), {"name": chance.choice(_NAMES)}))


def _flip(stream: bytearray, chance: random.Random) -> None:
    if stream:
        stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)


def _truncate(stream: bytearray, chance: random.Random) -> None:
    del stream[chance.randrange(len(stream) + 1) :]


def _cut_out(stream: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(stream) + 1)
    del stream[start : start + chance.choice((1, 2, 10, 100))]


def _repeat(stream: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(stream) + 1)
    stream[start:start] = stream[start : start + chance.choice((1, 10, 200))] * chance.choice((1, 3, 20))


def _push_in(stream: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(stream) + 1)
    stream[at:at] = chance.choice((*_BYTES, chance.randbytes(8)))


_STRUCTURAL: Final[tuple[Mutation, ...]] = (
    *(_drop, _double, _swap, _interleave, _change_kind, _change_field, _change_voice, _change_text, _nest, _lie, _load),
    *(_change_text, _change_field, _interleave),
)
_ON_BYTES: Final = (_flip, _truncate, _cut_out, _repeat, _push_in)
