"""A connection over an in-memory transport, with an engine that does what the test says."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from wyoming.event import Event, read_event

from tests.support.tone import VOICES
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest
from wyoming_pocket_tts.server.connection import Connection
from wyoming_pocket_tts.server.protocol import EventLimits, encode
from wyoming_pocket_tts.server.request_stats import RequestTimer
from wyoming_pocket_tts.server.response import RequestContext
from wyoming_pocket_tts.server.segments import FindFallback, ResolveVoice
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import SegmentReaderFactory
from wyoming_pocket_tts.voices.matching import VoiceMatch, choose_voice

if TYPE_CHECKING:
    from wyoming_pocket_tts.engine.scheduler import Scheduler


_LOGGER = logging.getLogger("wyoming_pocket_tts.server.connection")


def choose(*, name: str | None, speaker: str | None, language: str | None) -> VoiceMatch:
    return choose_voice(VOICES, name=name, speaker=speaker, language=language)


class MemoryTransport(asyncio.Transport):
    """Passes what is written to ``on_write``, packet by packet; a stalled client lets one packet through at a time."""

    def __init__(self, on_write: Callable[[bytes], None], *, limit: int = 64 * 1024) -> None:
        super().__init__()
        self.reader = asyncio.StreamReader(limit=limit)
        self._protocol = asyncio.StreamReaderProtocol(self.reader)
        self.writer = asyncio.StreamWriter(self, self._protocol, self.reader, asyncio.get_running_loop())
        self._protocol.connection_made(self)
        self._on_write = on_write
        self._is_stalled = self._is_paused = self._is_closed = self._has_ended = False

    def feed(self, data: bytes) -> None:
        """The client sends bytes."""
        if not (self._is_closed or self._has_ended):
            self.reader.feed_data(data)

    def feed_eof(self) -> None:
        """The client closes its side."""
        if not (self._is_closed or self._has_ended):
            self._has_ended = True
            self.reader.feed_eof()

    def stall(self) -> None:
        """The client reads a packet only when ``read`` is called."""
        self._is_stalled = True

    def read(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._protocol.resume_writing()

    def leave(self) -> None:
        """The client resets the connection."""
        self._lose(ConnectionResetError("reset"))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closed:
            return
        self._on_write(bytes(data))
        if self._is_stalled and not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.feed_eof()  # the client does the same

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, error)


class MemoryEngine:
    """Stands for ``Workers``: one stream at a time, whose blocks, end or error the test gives."""

    def __init__(self, journal: list[str]) -> None:
        self.number = 0
        """Of the stream that is open or was last."""
        self.request: SynthesisRequest | None = None
        """Of the stream that is open."""
        self._journal = journal
        self._items: asyncio.Queue[Pcm | TtsError | None] = asyncio.Queue()

    def gives(self, item: Pcm | TtsError | None) -> None:
        """The open stream's next block, its error, or None for its end. Ignored where no stream is open."""
        if self.request is not None:
            self._items.put_nowait(item)

    @asynccontextmanager
    async def synthesize(
        self, request: SynthesisRequest, *, continuation: bool = False, reserve: bool = False
    ) -> AsyncIterator[AsyncIterator[Pcm]]:
        assert self.request is None, "one stream at a time"
        assert request.text.strip(), "nothing to say is nothing to synthesise"
        self.number += 1
        self.request, self._items = request, asyncio.Queue()
        signs = ("+" if continuation else "") + ("!" if reserve else "")
        self._journal.append(f"speak {self.number}{signs} {request.voice.name}: {request.text}")
        try:
            yield self._blocks()
        except asyncio.CancelledError:
            self._journal.append("hush")
            raise
        finally:
            self.request = None

    async def _blocks(self) -> AsyncIterator[Pcm]:
        while (item := await self._next()) is not None:
            if isinstance(item, TtsError):
                raise item
            yield item

    async def _next(self) -> Pcm | TtsError | None:
        return await self._items.get()


class AutoEngine(MemoryEngine):
    """Makes one sound of 0.1 s for each segment, or none for those that are mute."""

    mute: tuple[str, ...] = ()
    _sounded = 0

    async def _next(self) -> Pcm | TtsError | None:
        assert self.request is not None
        if self._sounded == self.number or self.request.text in self.mute:
            return None
        self._sounded = self.number
        return np.ones(round(self.request.voice.sample_rate_hz / 10), np.int16)


class MemoryConversation:
    """One client of one connection.

    ``journal`` has what happens, in order: event types (``error:code``), ``speak`` and ``hush`` of the engine,
    ``note:LEVEL`` of the log, ``close``.
    """

    def __init__(
        self,
        *,
        resolve: ResolveVoice = choose,
        pieces: SegmentReaderFactory = segment_reader_for,
        limits: LimitSettings | None = None,
        event_limits: EventLimits | None = None,
        observer: Observer | None = None,
        new_timer: Callable[[], RequestTimer] | None = None,
        find_fallback: FindFallback = lambda _: None,
        engine: type[MemoryEngine] = MemoryEngine,
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.journal: list[str] = []
        self.events: list[Event] = []
        self.packets: list[list[Event]] = []
        self.engine = engine(self.journal)
        self.context = RequestContext(
            resolve=resolve,
            workers=cast("Scheduler", self.engine),
            limits=limits or LimitSettings(),
            pieces=pieces,
            find_fallback=find_fallback,
            new_timer=new_timer or (lambda: RequestTimer(observer)),
        )
        self.transport = MemoryTransport(self._written, limit=(event_limits or EventLimits()).header_bytes)
        self.connection = Connection(
            self.transport.reader,
            self.transport.writer,
            self.context,
            info=lambda: Event("info", {}),
            event_limits=event_limits,
            peer="memory",
        )
        self.session = self.connection._session
        self._on_event = on_event
        self._task = asyncio.create_task(self.connection.run())
        self._task.add_done_callback(lambda _: self.journal.append("close"))
        self._notes = _Notes(self.journal)
        self._level = _LOGGER.level
        _LOGGER.setLevel(logging.DEBUG)
        _LOGGER.addHandler(self._notes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        _LOGGER.removeHandler(self._notes)
        _LOGGER.setLevel(self._level)

    @property
    def is_closed(self) -> bool:
        return self._task.done()

    def send(self, kind: str, data: dict[str, Any] | None = None) -> None:
        self.transport.feed(encode(Event(kind, data or {})))

    async def settle(self, *, quiet_turns: int = 12) -> None:
        """Let everything happen that can, until nothing did for so many turns of the loop."""
        quiet = 0
        while quiet < quiet_turns:
            before = len(self.journal)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self.journal) == before else 0
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    async def does(self, *events: tuple[str, dict[str, Any]]) -> list[str]:
        """The client sends events; return what happens then."""
        before = len(self.journal)
        for kind, data in events:
            self.send(kind, data)
            await self.settle()
        return self.journal[before:]

    def _written(self, data: bytes) -> None:
        packet = list(decode(data))
        self.packets.append(packet)
        self.events += packet
        for event in packet:
            self.journal.append(f"error:{event.data['code']}" if event.type == "error" else event.type)
            self._on_event(event)


def decode(data: bytes) -> Iterable[Event]:
    stream = io.BytesIO(data)
    while (event := read_event(stream)) is not None:
        yield event


class _Notes(logging.Handler):
    """Writes down what the log is told, but for the steps of every request."""

    def __init__(self, journal: list[str]) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().partition("] ")[2]
        assert record.levelno < logging.ERROR, record.getMessage()
        assert record.levelno < logging.WARNING or len(text) < 1_200
        if "ignored" in text or (record.levelno >= logging.WARNING and not text.startswith("error sent")):
            self._journal.append(f"note:{record.levelname}")
