"""Wyoming events: codec, limits, fields, audio events, info."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.version import __version__ as _WYOMING_VERSION  # noqa: N812  (a constant under the library's name)

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.errors import ProtocolError, quote_untrusted
from wyoming_pocket_tts.core.types import Voice

_DISCARD_BYTES = 64 * 1024


class IdleTimeout(Exception):  # noqa: N818  (a state, not a fault)
    """No event began for ``idle_seconds``. The reader can go on reading."""


class EventReader:
    """Reads one event after another from a stream that it borrows. One reader task at a time."""

    def __init__(self, stream: asyncio.StreamReader, limits: Limits) -> None:
        """Read from ``stream``, whose own limit should be ``limits.header_bytes``."""
        self._stream = stream
        self._limits = limits

    async def read(self) -> Event | None:
        """Return the next event, or ``None`` when the client has closed its side between two events.

        Raises:
            ProtocolError: bytes that are no event, or beyond a limit. What follows cannot be understood any more.
            Idle: nothing came for ``idle_seconds``.
            ConnectionError: the connection is lost.
        """
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                first = await self._stream.read(1)
        except TimeoutError:
            raise IdleTimeout from None
        if not first:
            return None
        try:
            async with asyncio.timeout(self._limits.event_seconds):
                return await self._rest(first)
        except TimeoutError:
            raise ProtocolError(f"an event took longer than {self._limits.event_seconds:g} s to arrive") from None

    async def _rest(self, first: bytes) -> Event:
        header = _object(first + await self._line(first), "header line", self._limits)
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
            data |= _object(await self._exactly(data_length), "data", self._limits)
        payload = await self._exactly(payload_length) if payload_length else None
        return Event(type=kind, data=data, payload=payload)

    async def _line(self, first: bytes) -> bytes:
        """The rest of the line that begins with ``first``."""
        if first == b"\n":
            return b""
        try:
            line = await self._stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            line = error.partial  # the connection's end serves as the last line's
        except asyncio.LimitOverrunError:
            line = bytes(self._limits.header_bytes)
        if len(line) >= self._limits.header_bytes:
            raise ProtocolError(f"a header line is longer than {self._limits.header_bytes} bytes; use data_length")
        return line

    async def _exactly(self, size: int) -> bytes:
        try:
            return await self._stream.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise ProtocolError(f"the connection ended {size - len(error.partial)} bytes before an event did") from None


def encode(event: Event) -> bytes:
    """Return the whole event as bytes, its data behind the header line, which so stays short.

    Half surrogate pairs, which JSON can carry but UTF-8 cannot, become question marks.
    """
    header: dict[str, Any] = {"type": event.type, "version": _WYOMING_VERSION}
    data = b""
    if event.data:
        data = json.dumps(event.data, ensure_ascii=False).encode("utf-8", errors="replace")
        header["data_length"] = len(data)
    payload = event.payload or b""
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header, ensure_ascii=False).encode("utf-8", errors="replace") + b"\n" + data + payload


class EventWriter:
    """Writes events to a stream that it borrows. Any number of tasks may wait for the reader.

    A reader that takes an event now and then would keep its place for ever if each event had its time anew. So there
    is one account: waiting for the reader is its debt, what it takes pays at ``slowest_bytes_per_second``, and nobody
    may owe more than ``write_seconds``. Who plays while it reads never owes anything for long.
    """

    def __init__(
        self, stream: asyncio.StreamWriter, limits: Limits, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Write to ``stream``; ``now`` is a clock that counts seconds."""
        self._stream = stream
        self._limits = limits
        self._now = now
        self._debt_seconds = 0.0
        self._waiters = 0
        self._waiting_since = 0.0

    def write(self, event: bytes) -> None:
        """Send it as soon as the reader takes it. Does not wait."""
        self._debt_seconds = max(0.0, self._debt_seconds - len(event) / self._limits.slowest_bytes_per_second)
        self._stream.write(event)

    async def drain(self) -> None:
        """Wait until a slow reader has made room.

        Raises:
            TimeoutError: it reads nothing, or too little; says so.
            ConnectionError: the connection is lost.
        """
        if not self._waiters:
            self._waiting_since = self._now()
        self._waiters += 1
        left_seconds = self._limits.write_seconds - self._debt_seconds - (self._now() - self._waiting_since)
        try:
            async with asyncio.timeout(left_seconds):
                await self._stream.drain()
        except TimeoutError:
            if left_seconds < self._limits.write_seconds / 2:
                least = self._limits.slowest_bytes_per_second
                raise TimeoutError(f"the client reads less than {least} bytes per second") from None
            nothing = f"the client has read nothing for {left_seconds:.2g} s (server.limits.write_seconds)"
            raise TimeoutError(nothing) from None
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._debt_seconds += self._now() - self._waiting_since


async def close_gracefully(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
    """Close so that the client can still read what was written, then release the transport. Never raises for the peer.

    A socket that is closed with unread input resets the connection, and a reset destroys what the client has not read
    yet (an ``error`` event, say). So: send all, end our side, swallow what still comes for a moment, then close.
    """
    writer.transport.set_write_buffer_limits(high=0)  # draining means: all is sent
    try:
        async with asyncio.timeout(limits.write_seconds):
            await writer.drain()
        async with asyncio.timeout(limits.linger_seconds):
            if writer.can_write_eof():
                writer.write_eof()
                while await reader.read(_DISCARD_BYTES):
                    pass
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError):
        pass
    finally:
        abort(writer)


def abort(writer: asyncio.StreamWriter) -> None:
    """Release the transport at once; what was not sent is lost."""
    transport = writer.transport
    if not transport.is_closing() or transport.get_write_buffer_size():  # a pipe must not be closed twice
        transport.abort()


def _object(text: bytes, what: str, limits: Limits) -> dict[str, Any]:
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
    if _deeper_than(value, limits.nesting_depth):
        raise ProtocolError(f"an event's {what} is nested deeper than {limits.nesting_depth} levels")
    return value


def _deeper_than(value: object, levels: int) -> bool:
    """Whether lists and objects nest deeper than that, the outermost being the first level."""
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
    names: dict[type, str] = {dict: "an object", list: "a list", type(None): "nothing"}
    if isinstance(value, str):
        return f"a text ({json.dumps(value[:40])})"
    return names.get(type(value)) or (json.dumps(value) if isinstance(value, bool) else quote_untrusted(value))


def text(data: dict[str, Any]) -> str:
    """The text of a request or a chunk.

    Raises:
        ProtocolError: there is none.
    """
    found = data.get("text")
    if not isinstance(found, str):
        raise ProtocolError("the event's 'text' is missing or is no text")
    # Clients that cut text between the halves of a surrogate pair leave what no encoding accepts.
    return found.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")


def ssml(data: dict[str, Any]) -> bool | None:
    """Whether the text is marked up with SSML; None where the client does not say.

    Raises:
        ProtocolError: it is marked up in another way, which would be read aloud.
    """
    text_format = data.get("text_format")
    if text_format is None:
        return None
    if text_format not in ("text", "ssml"):
        raise ProtocolError(f"the text format {quote_untrusted(text_format)} is not supported; send 'text' or 'ssml'")
    return bool(text_format == "ssml")


def voice(data: dict[str, Any]) -> dict[str, str | None]:
    """The ``name``, ``speaker`` and ``language`` asked for; the library's own class drops some combinations.

    Raises:
        ProtocolError: one of them is no text.
    """
    asked = data.get("voice")
    if asked is None:
        asked = {}
    if not isinstance(asked, dict):
        raise ProtocolError("the event's 'voice' must be an object")
    wish = {key: asked.get(key) for key in ("name", "speaker", "language")}
    for key, value in wish.items():
        if not isinstance(value, str | None):
            raise ProtocolError(f"the voice's {key!r} must be a text")
    return wish


WIDTH_BYTES: Final = 2
"""Of a sample: little-endian signed 16 bit."""
_CHANNELS: Final = 1


class AudioEventEncoder:
    """Counts what was sent, for the times that events bear.

    Args:
        rate_hz: samples per second.
        chunk_seconds: audio of an event, at most.
    """

    def __init__(self, *, rate_hz: int, chunk_seconds: float) -> None:
        self.rate_hz = rate_hz
        self.chunk_samples = max(1, round(chunk_seconds * rate_hz))
        """Samples of an event, at most."""
        self._samples_sent = 0

    def start(self) -> Event:
        """Audio follows."""
        return AudioStart(rate=self.rate_hz, width=WIDTH_BYTES, channels=_CHANNELS, timestamp=0).event()

    def chunks(self, pcm: bytes) -> list[Event]:
        """More audio, in chunks short enough to stream."""
        chunk_bytes = self.chunk_samples * WIDTH_BYTES
        return [self._chunk(pcm[start : start + chunk_bytes]) for start in range(0, len(pcm), chunk_bytes)]

    def stop(self) -> Event:
        """No more audio follows."""
        return AudioStop(timestamp=self._milliseconds).event()

    @property
    def _milliseconds(self) -> int:
        return self._samples_sent * 1_000 // self.rate_hz

    def _chunk(self, audio: bytes) -> Event:
        chunk = AudioChunk(
            rate=self.rate_hz, width=WIDTH_BYTES, channels=_CHANNELS, audio=audio, timestamp=self._milliseconds
        )
        self._samples_sent += chunk.samples
        return chunk.event()


PROGRAM = "wyoming-pocket-tts"
"""The program's name. Home Assistant's memory of a server hangs on it, so it never changes."""


def info_event(voices: Sequence[Voice], *, program: str = PROGRAM) -> Event:
    """Describe the voices, in their order. Home Assistant rebuilds its list of voices when anything of it changes."""
    described = TtsProgram(
        name=program,
        description="Text to speech that streams, offline",
        attribution=Attribution(name="wyoming-pocket-tts", url=""),
        installed=any(voice.installed for voice in voices),
        version=__version__,
        voices=[_voice(voice) for voice in voices],
        supports_synthesize_streaming=True,
    )
    return Info(tts=[described]).event()


def _voice(voice: Voice) -> TtsVoice:
    return TtsVoice(
        name=voice.name,
        description=voice.description,
        attribution=Attribution(name=voice.attribution_name, url=voice.attribution_url),
        installed=voice.installed,
        version=voice.version,
        languages=list(voice.languages),
        speakers=[TtsVoiceSpeaker(name=speaker) for speaker in voice.speakers] or None,
    )
