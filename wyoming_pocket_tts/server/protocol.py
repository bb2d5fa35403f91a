"""Wyoming events: codec, limits, fields, audio events, info."""

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.version import __version__ as _WYOMING_VERSION  # noqa: N812  (a constant under the library's name)

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.errors import ProtocolError, TtsError, quote_untrusted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wyoming_pocket_tts.core.types import Voice


PROGRAM: Final = "wyoming-pocket-tts"
"""In ``info``. Home Assistant identifies a server by it: never change it."""
SAMPLE_BYTES: Final = 2
"""Samples are little-endian signed 16 bit, mono."""


class IdleTimeout(Exception):  # noqa: N818  (a state, not a fault)
    """No event began in time; reading can go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """Limits of one event of a peer."""

    header_bytes: int = 64 * 1024
    """Longest header line, its newline included."""
    data_bytes: int = 256 * 1024
    payload_bytes: int = 64 * 1024
    """Read and dropped: no event of a text-to-speech client needs one."""
    nesting_depth: int = 16
    """Of lists and objects in the JSON."""
    event_seconds: float = 10.0
    """From the first byte of an event to its last."""


class EventReader:
    """Reads events from a borrowed stream; one task at a time."""

    def __init__(
        self, stream: asyncio.StreamReader, limits: EventLimits | None = None, *, idle_seconds: float | None = None
    ) -> None:
        """The limit of ``stream`` should be ``limits.header_bytes``."""
        self._stream = stream
        self._limits = limits or EventLimits()
        self._idle_seconds = idle_seconds

    async def read(self) -> Event | None:
        """The next event; None when the peer has closed its side between two events.

        Raises ``ProtocolError`` for bytes that are no event, after which nothing can be read; ``IdleTimeout`` if none
        begins within ``idle_seconds``; ``ConnectionError``.
        """
        try:
            async with asyncio.timeout(self._idle_seconds):
                first = await self._stream.read(1)
        except TimeoutError:
            raise IdleTimeout from None
        if not first:
            return None
        try:
            async with asyncio.timeout(self._limits.event_seconds):
                return await self._read_event(first)
        except TimeoutError:
            raise ProtocolError(f"an event took longer than {self._limits.event_seconds:g} s to arrive") from None

    async def _read_event(self, first: bytes) -> Event:
        header = _object(first + await self._read_line(first), "header line", self._limits)
        kind = header.get("type")
        if not isinstance(kind, str) or not kind:
            raise ProtocolError(f"the header's 'type' must be a text, not {_described(kind)}")
        data = header.get("data")
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise ProtocolError(f"the 'data' of {quote_untrusted(kind)} must be an object, not {_described(data)}")
        data_length = _length(header, "data_length", self._limits.data_bytes)
        payload_length = _length(header, "payload_length", self._limits.payload_bytes)
        if data_length:
            data |= _object(await self._read_exactly(data_length), "data", self._limits)
        payload = await self._read_exactly(payload_length) if payload_length else None
        return Event(type=kind, data=data, payload=payload)

    async def _read_line(self, first: bytes) -> bytes:
        """The rest of the line that begins with ``first``."""
        if first == b"\n":
            return b""
        try:
            line = await self._stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            line = error.partial  # the end of the connection ends the last line
        except asyncio.LimitOverrunError:
            line = bytes(self._limits.header_bytes)
        if len(line) >= self._limits.header_bytes:
            raise ProtocolError(f"a header line is longer than {self._limits.header_bytes} bytes; use data_length")
        return line

    async def _read_exactly(self, size: int) -> bytes:
        try:
            return await self._stream.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise ProtocolError(f"the connection ended {size - len(error.partial)} bytes before an event did") from None


def encode(event: Event) -> bytes:
    """The event as bytes, its data behind a short header line. Lone surrogates become question marks."""
    header: dict[str, Any] = {"type": event.type, "version": _WYOMING_VERSION}
    data = b""
    if event.data:
        data = json.dumps(event.data, ensure_ascii=False).encode("utf-8", errors="replace")
        header["data_length"] = len(data)
    payload = event.payload or b""
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header, ensure_ascii=False).encode("utf-8", errors="replace") + b"\n" + data + payload


def _object(text: bytes, what: str, limits: EventLimits) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except UnicodeDecodeError:
        raise ProtocolError(f"an event's {what} is not UTF-8") from None
    except RecursionError:
        raise ProtocolError(f"an event's {what} is nested deeper than {limits.nesting_depth} levels") from None
    except ValueError as error:
        raise ProtocolError(f"an event's {what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"an event's {what} must be an object, not {_described(value)}")
    if _is_deeper_than(value, limits.nesting_depth):
        raise ProtocolError(f"an event's {what} is nested deeper than {limits.nesting_depth} levels")
    return value


def _is_deeper_than(value: object, levels: int) -> bool:
    containers = [value]
    for _ in range(levels):
        containers = [
            inner
            for outer in containers
            for inner in (outer.values() if isinstance(outer, dict) else cast("list[object]", outer))
            if isinstance(inner, dict | list)
        ]
        if not containers:
            return False
    return True


def _length(header: dict[str, Any], key: str, most: int) -> int:
    length = header.get(key)
    if length is None:
        return 0
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise ProtocolError(f"{key!r} must be a number of bytes, not {_described(length)}")
    if length > most:
        raise ProtocolError(f"{key!r} is {quote_untrusted(length)}; at most {most} are taken")
    return length


def _described(value: object) -> str:
    if isinstance(value, str):
        return f"a text ({json.dumps(value[:40])})"
    if isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {dict: "an object", list: "a list", type(None): "nothing"}
    return names.get(type(value)) or quote_untrusted(value)


# Fields of requests, which may hold anything


def request_text(data: dict[str, Any]) -> str:
    """The text of a request or a chunk; ``ProtocolError`` if there is none."""
    text = data.get("text")
    if not isinstance(text, str):
        raise ProtocolError("the event's 'text' is missing or is no text")
    # Clients may cut text between the halves of a surrogate pair.
    return text.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")


def request_is_ssml(data: dict[str, Any]) -> bool | None:
    """Whether the text is SSML; None where the event does not say. ``ProtocolError`` for other markup."""
    text_format = data.get("text_format")
    if text_format is None:
        return None
    if text_format not in ("text", "ssml"):
        raise ProtocolError(f"the text format {quote_untrusted(text_format)} is not supported; send 'text' or 'ssml'")
    return bool(text_format == "ssml")


def request_voice(data: dict[str, Any]) -> dict[str, str | None]:
    """The ``name``, ``speaker`` and ``language``; the library's own class drops some combinations."""
    asked = data.get("voice")
    if asked is None:
        asked = {}
    if not isinstance(asked, dict):
        raise ProtocolError("the event's 'voice' must be an object")
    voice = {key: asked.get(key) for key in ("name", "speaker", "language")}
    for key, value in voice.items():
        if not isinstance(value, str | None):
            raise ProtocolError(f"the voice's {key!r} must be a text")
    return voice


# Events of the server


def error_event(error: TtsError) -> Event:
    return Error(text=str(error), code=error.code).event()


def info_event(voices: "Sequence[Voice]", *, program: str = PROGRAM) -> Event:
    """The voices, in their order; Home Assistant rebuilds its list when any of it changes."""
    described = TtsProgram(
        name=program,
        description="Text to speech that streams, offline",
        attribution=Attribution(name=PROGRAM, url=""),
        installed=any(voice.installed for voice in voices),
        version=__version__,
        voices=[_voice(voice) for voice in voices],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[described]).event()


def _voice(voice: "Voice") -> TtsVoice:
    return TtsVoice(
        name=voice.name,
        description=voice.description,
        attribution=Attribution(name=voice.attribution_name, url=voice.attribution_url),
        installed=voice.installed,
        version=voice.version,
        languages=list(voice.languages),
        speakers=[TtsVoiceSpeaker(name=speaker) for speaker in voice.speakers] or None,
    )
