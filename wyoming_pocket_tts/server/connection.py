"""One client: reader task, response task, hang-up, slow readers."""

import asyncio
import logging
import select
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Final

from wyoming.error import Error
from wyoming.event import Event

from wyoming_pocket_tts.core.errors import ProtocolError, TtsError, format_exception_without_text
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.logging import request_context
from wyoming_pocket_tts.server.listener import abort, close_gracefully
from wyoming_pocket_tts.server.protocol import PROGRAM, EventLimits, EventReader, IdleTimeout, encode, error_event
from wyoming_pocket_tts.server.response import RequestContext
from wyoming_pocket_tts.server.session import Session

_LOGGER = logging.getLogger(__name__)

SLOWEST_BYTES_PER_SECOND: Final = 8_000
"""Least average speed of a client: half the rate of telephone sound."""
WRITE_BUFFER_BYTES: Final = 64 * 1024
"""For a slow reader, beside the kernel's own buffer."""
_MAX_WARNINGS: Final = 20
"""In the log, for one connection."""


class EventWriter:
    """Writes events to a borrowed stream; any number of tasks may wait for the reader.

    A time-out for each event would let a client that takes one now and then stay for ever. So time spent waiting is a
    debt, bytes read pay it at ``SLOWEST_BYTES_PER_SECOND``, and it may not exceed ``write_seconds``.
    """

    def __init__(
        self, stream: asyncio.StreamWriter, *, write_seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._write_seconds = write_seconds
        self._now = now
        self._debt_seconds = 0.0
        self._waiters = 0
        self._waiting_since = 0.0

    def write(self, event: bytes) -> None:
        self._debt_seconds = max(0.0, self._debt_seconds - len(event) / SLOWEST_BYTES_PER_SECOND)
        self._stream.write(event)

    async def drain(self) -> None:
        """Wait for a slow client. Raises ``TimeoutError`` if it reads nothing or too little, ``ConnectionError``."""
        if not self._waiters:
            self._waiting_since = self._now()
        self._waiters += 1
        left_seconds = self._write_seconds - self._debt_seconds - (self._now() - self._waiting_since)
        try:
            async with asyncio.timeout(left_seconds):
                await self._stream.drain()
        except TimeoutError:
            if left_seconds < self._write_seconds / 2:
                raise TimeoutError(f"the client reads less than {SLOWEST_BYTES_PER_SECOND} bytes per second") from None
            nothing = f"the client has read nothing for {left_seconds:.2g} s (server.limits.write_timeout)"
            raise TimeoutError(nothing) from None
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._debt_seconds += self._now() - self._waiting_since


async def watch_disconnect(writer: asyncio.StreamWriter) -> None:
    """Return when the connection is reset or closed in both directions; never where that cannot be seen.

    After the end of its input a client may wait for audio or be gone; asyncio sees the difference only at the next
    write. An epoll set that asks for no event still reports hang-ups and errors, and can itself be waited for.
    """
    hung_up = asyncio.Event()
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(select, "epoll"):  # pipes report it themselves; other systems at the next write
        await hung_up.wait()
        return
    loop = asyncio.get_running_loop()
    with select.epoll() as hangups:
        hangups.register(peer.fileno(), 0)
        loop.add_reader(hangups.fileno(), hung_up.set)
        try:
            await hung_up.wait()
        finally:
            loop.remove_reader(hangups.fileno())


class _Disconnected(Exception):  # noqa: N818  (a state, not a fault)
    """Nothing can be sent any more; it is logged already."""


class Connection:
    """One client. Owns its tasks and its transport."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: RequestContext,
        *,
        info: Callable[[], Event],
        program: str = PROGRAM,
        event_limits: EventLimits | None = None,
        peer: str = "",
        observer: Observer | None = None,
    ) -> None:
        """``run`` closes the streams. The buffer limit of ``reader`` should be ``event_limits.header_bytes``."""
        self._reader = reader
        self._writer = writer
        self._limits = context.limits
        self._event_limits = event_limits
        self._observer = observer
        self._events_out = EventWriter(writer, write_seconds=self._limits.write_timeout)
        self._session = Session(self, context, info=info, program=program)
        self._log = _PeerLog(_LOGGER, {"peer": peer})
        self.is_debug = self._log.isEnabledFor(logging.DEBUG)
        self._warnings = 0
        self._reading: asyncio.Task[None] | None = None
        self._is_gone = False

    async def run(self) -> None:
        """Until the client leaves or breaks the protocol, ``refuse`` or ``give_up`` end it, or it is cancelled."""
        self._writer.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        try:
            await self._converse()
            if not self._is_gone:
                self._log.debug("closed")
                await close_gracefully(self._reader, self._writer, write_seconds=self._limits.write_timeout)
        finally:
            self._session.abandon()
            abort(self._writer)

    def refuse(self, error: TtsError) -> None:
        """Answer the requests so far, accept no others, then end ``run``."""
        self._session.refuse(error)

    def give_up(self, error: TtsError) -> None:
        """Send the error and the closing events due, and end ``run``."""
        self._session.abort(error)
        if self._reading is not None:
            self._reading.cancel()

    def send(self, events: Sequence[Event], request: str = "") -> None:
        """Write events in one packet; errors are logged and counted too."""
        if not events or self._writer.is_closing():
            return
        for event in events:
            if Error.is_type(event.type):
                if self._observer is not None:
                    self._observer.error_sent(event.data["code"])
                self.log(logging.WARNING, f"error sent: {event.data['text']}", request)
        self._events_out.write(b"".join(map(encode, events)))

    async def drain(self) -> None:
        try:
            await self._events_out.drain()
        except TimeoutError as error:
            raise self._gone(str(error), logging.WARNING) from None
        except ConnectionError:
            raise self._gone("the client is gone") from None

    def log(self, level: int, text: str, request: str = "") -> None:
        """A client can cause only so many warnings."""
        if level >= logging.WARNING:
            self._warnings += 1
            if self._warnings > _MAX_WARNINGS:
                return
            if self._warnings == _MAX_WARNINGS:
                text += " (no further warnings about this connection)"
        with request_context(request):
            self._log.log(level, "%s", text)

    async def _converse(self) -> None:
        self._reading = asyncio.create_task(self._read(), name="wyoming-read")
        tasks = (self._reading, asyncio.create_task(self._session.run(), name="wyoming-respond"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception) and not isinstance(error, _Disconnected):
                self._log.error(
                    "closed after an error of the server's own:\n%s", format_exception_without_text(error, text=None)
                )
                self._log.debug("closed after it", exc_info=error)
                self._writer.write(encode(error_event(TtsError("an error of the server's own: see its log"))))

    async def _read(self) -> None:
        events = EventReader(self._reader, self._event_limits, idle_seconds=self._limits.idle_timeout)
        while True:
            try:
                event = await events.read()
            except IdleTimeout:
                if self._session.is_active:
                    continue
                idle = f"{self._limits.idle_timeout:g} s (server.limits.idle_timeout)"
                self._session.abort(ProtocolError(f"no event came for {idle}"))
                return
            except ProtocolError as error:
                self._session.abort(error)
                return
            except ConnectionError as error:
                raise self._gone(f"the client is gone: {error}") from None
            if event is None:
                break
            self._session.receive(event)
            await self.drain()
            await asyncio.sleep(0)  # other tasks get their turn, even if more is here already
        self._session.end_input()
        await watch_disconnect(self._writer)
        raise self._gone("the client is gone")

    def _gone(self, reason: str, level: int = logging.DEBUG) -> _Disconnected:
        if not self._is_gone:
            self._is_gone = True
            what = "its responses are cancelled" if self._session.is_active else "closing"
            self._log.log(level, "%s; %s", reason, what)
        return _Disconnected(reason)


class _PeerLog(logging.LoggerAdapter[logging.Logger]):
    """Puts the client's name in front of each line."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        assert self.extra is not None, "made with a peer"  # noqa: S101  (our own invariant)
        return f"[{self.extra['peer']}] {msg}", kwargs
