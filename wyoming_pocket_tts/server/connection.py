"""One client: reader task, response task, hang-up, slow readers."""

import asyncio
import logging
import select
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from wyoming.error import Error

from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.errors import ProtocolError, TtsError, format_exception_without_text
from wyoming_pocket_tts.core.events import NullObserver, Observer
from wyoming_pocket_tts.core.logging import request_context
from wyoming_pocket_tts.core.types import Pcm
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.protocol import EventReader, EventWriter, IdleTimeout, abort, close_gracefully, encode
from wyoming_pocket_tts.server.request_stats import RequestTimer, segment_text
from wyoming_pocket_tts.server.response import Action, Again, Close, Hush, Note, Rest, Send, Speak, error_event
from wyoming_pocket_tts.server.session import Session

_LOGGER = logging.getLogger(__name__)
_MOST_WARNINGS = 20
"""About one connection; what else goes wrong on it is told to the client alone."""


class Connection:
    """One client. Owns its tasks and its transport; borrows the workers."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        session: Session,
        workers: Scheduler,
        limits: Limits,
        peer: str,
        observer: Observer | None = None,
    ) -> None:
        """Take over a connected client.

        Args:
            reader: the client's input; its buffer limit should be ``limits.header_bytes``.
            writer: the way back, closed by ``run``.
            session: a fresh one.
            workers: make the audio.
            limits: how long to wait for what.
            peer: names the client in the log.
            observer: is told of errors; of requests it hears from their accounts.
        """
        self._reader = reader
        self._writer = writer
        self._events_out = EventWriter(writer, limits)
        self._session = session
        self._workers = workers
        self._limits = limits
        self._observer = observer or NullObserver()
        self._log = _PeerLog(_LOGGER, {"peer": peer})
        self._over = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._speech: asyncio.Task[None] | None = None
        self._warnings = 0

    async def run(self) -> None:
        """Serve the client until it leaves, breaks the rules, or is told to go. Cancelling closes at once."""
        self._writer.transport.set_write_buffer_limits(high=self._limits.write_buffer_bytes)
        try:
            await self._converse()
            await close_gracefully(self._reader, self._writer, self._limits)
        finally:
            self._session.abandoned()
            abort(self._writer)

    def refuse(self, error: TtsError) -> None:
        """Finish what was asked, accept nothing else, then end ``run``."""
        self._carry_out(self._session.refuse(error))

    def give_up(self, error: TtsError) -> None:
        """Tell the client that it is over, with the closing events it waits for, and end ``run``."""
        self._carry_out(self._session.broken(error))

    async def _converse(self) -> None:
        try:
            async with self._tasks:
                self._tasks.create_task(self._read(), name="wyoming-read")
                await self._over.wait()
                raise _Over  # noqa: TRY301  (what ends a task group is an exception)
        except* _Over:
            self._log.debug("closed")
        except* Exception as errors:  # noqa: BLE001  (one client's trouble must not become another's)
            self._log.error(
                "closed after an error of the server's own:\n%s", format_exception_without_text(errors, text=None)
            )
            self._log.debug("closed after it", exc_info=errors)
            self._writer.write(encode(error_event(TtsError("an error of the server's own: see its log"))))

    async def _read(self) -> None:
        events = EventReader(self._reader, self._limits)
        while True:
            try:
                event = await events.read()
            except IdleTimeout:
                if not self._session.speaking:
                    idle = f"{self._limits.idle_seconds:g} s (server.limits.idle_seconds)"
                    self.give_up(ProtocolError(f"nothing was asked for {idle}: ask anew when there is something"))
            except ProtocolError as error:
                self.give_up(error)
                return
            except ConnectionError as error:
                self._gone(f"the client is gone: {error}")
                return
            else:
                if event is None:
                    break
                self._carry_out(self._session.received(event))
                await self._drain()
                await asyncio.sleep(0)  # everybody in turn: what is here already is read without any other pause
        self._carry_out(self._session.ended())
        with watch_disconnect(self._writer, lambda: self._gone("the client is gone")):
            await self._over.wait()

    async def _speak(self, speak: Speak, account: RequestTimer) -> None:
        with request_context(account.request):
            try:
                account.waits()
                await self._pass_on(speak, account)
            finally:
                account.stops_waiting()

    async def _pass_on(self, speak: Speak, account: RequestTimer) -> None:
        rate_hz = speak.request.manner.rate_hz or speak.request.voice.sample_rate_hz
        audio_seconds, waited_seconds = account.audio_seconds, account.waited_seconds
        try:
            speaking = self._workers.stream(speak.request, continues=speak.continues, reserve=speak.reserve)
            async with speaking as blocks:
                async for block in blocks:
                    account.gets(block.size / rate_hz)
                    if block.size:
                        await self._be_silent(speak.speech)
                    self._carry_out(self._session.audio(speak.speech, _little_endian(block)))
                    await self._drain()
                    account.waits()
        except TtsError as error:
            self._log.debug("%r was not spoken", speak.request.text)
            actions = self._session.failed(speak.speech, error)
        else:
            account.stops_waiting()
            audio_seconds = account.audio_seconds - audio_seconds
            self._log.debug("%s", segment_text(audio_seconds, account.waited_seconds - waited_seconds))
            actions = self._session.spoken(speak.speech)
        self._carry_out(actions)
        await self._drain()

    async def _be_silent(self, number: int) -> None:
        """Send the silence of a rest, or what is owed before the sound of a speech, as fast as the client reads it."""
        while not self._over.is_set() and (actions := self._session.silence(number)):
            self._carry_out(actions)
            await self._drain()

    def _carry_out(self, actions: Sequence[Action]) -> None:
        events = []  # written at once: each write is a call of the system, and a packet
        for action in actions:
            if self._over.is_set():
                break
            match action:
                case Send(event, request):
                    if Error.is_type(event.type):
                        self._observer.failed(event.data["code"])
                        self._tell(logging.WARNING, f"told the client: {event.data['text']}", request)
                    events.append(encode(event))
                case Speak():
                    speaking = self._speak(action, self._session.account)
                    self._speech = self._tasks.create_task(speaking, name="wyoming-speak")
                case Rest(number):
                    self._tasks.create_task(self._be_silent(number), name="wyoming-rest")
                case Again():
                    self._tasks.create_task(self._go_on(), name="wyoming-again")
                case Hush():
                    if self._speech is not None:
                        self._speech.cancel()
                case Note(level, text, request):
                    self._tell(level, text, request)
                case Close():
                    self._over.set()
        if events:
            self._write(b"".join(events))

    async def _go_on(self) -> None:
        await asyncio.sleep(0)
        self._carry_out(self._session.goes_on())

    def _tell(self, level: int, text: str, request: str) -> None:
        """Write to the log, which one client may not fill."""
        if level >= logging.WARNING:
            self._warnings += 1
            if self._warnings > _MOST_WARNINGS:
                return
            if self._warnings == _MOST_WARNINGS:
                text += " (the last of so many warnings about this connection)"
        with request_context(request):
            self._log.log(level, "%s", text)

    def _write(self, event: bytes) -> None:
        if self._writer.is_closing():
            self._gone("the client is gone")
        else:
            self._events_out.write(event)

    async def _drain(self) -> None:
        """Let a slow client catch up. Nothing of the workers is held meanwhile but blocks that are made already."""
        try:
            await self._events_out.drain()
        except TimeoutError as error:
            self._gone(str(error), logging.WARNING)
        except ConnectionError:
            self._gone("the client is gone")

    def _gone(self, reason: str, level: int = logging.DEBUG) -> None:
        """End without a word: nobody listens."""
        if not self._over.is_set():
            self._log.log(level, "%s; %s", reason, "its speech is cancelled" if self._session.speaking else "closing")
        abort(self._writer)
        self._over.set()


class _Over(Exception):  # noqa: N818  (a signal to the task group)
    """The connection's tasks are to end."""


class _PeerLog(logging.LoggerAdapter[logging.Logger]):
    """Says whom each line is about."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        """Put the client's name in front."""
        assert self.extra is not None, "made with a peer"  # noqa: S101  (our own invariant)
        return f"[{self.extra['peer']}] {msg}", kwargs


def _little_endian(block: Pcm) -> bytes:
    return block.astype("<i2", copy=False).tobytes()


@contextmanager
def watch_disconnect(writer: asyncio.StreamWriter, gone: Callable[[], None]) -> Iterator[None]:
    """Call ``gone`` when the connection is reset or closed in both directions. Does nothing where it cannot be known.

    An epoll set that asks for no event at all still reports hang-ups and errors, and can itself be waited for.
    """
    peer = writer.get_extra_info("socket")
    if peer is None or not hasattr(select, "epoll"):  # pipes tell by themselves; other systems at the next write
        yield
        return
    loop = asyncio.get_running_loop()
    with select.epoll() as hangups:
        hangups.register(peer.fileno(), 0)

        def report() -> None:
            loop.remove_reader(hangups.fileno())
            gone()

        loop.add_reader(hangups.fileno(), report)
        try:
            yield
        finally:
            loop.remove_reader(hangups.fileno())
