"""Listeners with a voice catalog each; drain."""

import asyncio
import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import Cancelled, ConfigError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.connection import Connection
from wyoming_pocket_tts.server.listener import Listener, abort, close_gracefully, listen
from wyoming_pocket_tts.server.protocol import PROGRAM, EventLimits, encode, error_event, info_event
from wyoming_pocket_tts.server.request_stats import RequestTimer
from wyoming_pocket_tts.server.response import RequestContext
from wyoming_pocket_tts.server.segments import FindFallback
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import SegmentReaderFactory
from wyoming_pocket_tts.voices.matching import VoiceMatch, choose_voice

_LOGGER = logging.getLogger(__name__)

_GIVE_UP_SECONDS: Final = 1.0
_JSON_BYTES_PER_CHARACTER: Final = 13
"""At most: two escapes like ``\\ud83d``, and some room around the text."""


class Announcer(Protocol):
    """Announces a listening server on the network."""

    async def announce(self, addresses: Sequence[str]) -> None:
        """Called once, with the bound URIs, after all of them listen."""

    async def withdraw(self) -> None:
        """Called before the server stops accepting; again if that was cancelled."""


class Catalog(Protocol):
    """The voices, for the port of a satellite or for all clients. Called on the event loop for every request: cheap."""

    def voices(self, *, satellite: str | None) -> Sequence[Voice]:
        """The default voice first."""

    def resolve(
        self, *, name: str | None, speaker: str | None, language: str | None, address: str, satellite: str | None
    ) -> VoiceMatch:
        """Find a client's voice; raises ``VoiceError``. ``address``: the client's IP, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenEndpoint:
    """Addresses to listen on."""

    uris: tuple[str, ...]
    """``tcp://host:port`` (an IPv6 host in brackets, an empty host for all interfaces, port 0 for any free one),
    ``unix:///path`` or ``stdio://``."""
    catalog: Catalog
    satellite: str | None = None
    """The satellite that the addresses belong to."""
    program: str = PROGRAM
    """Name in ``info``, and of the entry in Home Assistant."""
    announcer: Announcer | None = None
    setting: str = ""
    """The setting that opens it, for messages."""


@dataclass(frozen=True, slots=True)
class _Client:
    address: str
    connection: Connection


class Server:
    """Serves the Wyoming protocol. ``start``, ``serve_until``, ``aclose``; the owner of ``workers`` closes them."""

    def __init__(
        self,
        workers: Scheduler,
        *,
        uris: Sequence[str] = (),
        default_voice: str | None = None,
        limits: LimitSettings | None = None,
        announcer: Announcer | None = None,
        endpoints: Sequence[ListenEndpoint] = (),
        pieces: SegmentReaderFactory = segment_reader_for,
        find_fallback: FindFallback = lambda _: None,
        observer: Observer | None = None,
    ) -> None:
        """``uris`` offer all voices, with ``default_voice`` (None: the first installed) and ``announcer``.

        ``endpoints`` have a catalog each. ``find_fallback`` finds the voice to use, in the reserve of ``workers``, when
        they refuse that of a request.
        """
        self._workers = workers
        plain = ListenEndpoint(uris=tuple(uris), catalog=_AllVoices(workers, default_voice), announcer=announcer)
        self._endpoints = (*([plain] if uris else []), *endpoints)
        self._limits = limits or LimitSettings()
        # A longer text needs a larger event, also when JSON escapes every character.
        self._event_limits = EventLimits(
            data_bytes=max(EventLimits().data_bytes, _JSON_BYTES_PER_CHARACTER * self._limits.max_text_length)
        )
        self._make_pieces = pieces
        self._find_fallback = find_fallback
        self._observer = observer
        self._listeners: list[Listener] = []
        self._clients: dict[asyncio.Task[None], _Client] = {}
        self._refusals: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._announced: list[Announcer] = []
        self._is_closing = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Bound URIs, with real port numbers."""
        return tuple(address for listener in self._listeners for address in listener.addresses)

    @property
    def connections(self) -> int:
        return len(self._clients)

    async def start(self) -> None:
        """Listen on all addresses, then announce. Raises ``ConfigError``; then nothing listens."""
        self._make_pieces("en", ssml=False)  # loads its tables now, which would stall the loop under the first client
        try:
            opened = [(endpoint, await self._open(endpoint)) for endpoint in self._endpoints]
            for endpoint, addresses in opened:
                if endpoint.announcer is not None:
                    self._announced.append(endpoint.announcer)
                    await endpoint.announcer.announce(addresses)
        except BaseException:
            await self.aclose(deadline_seconds=0)
            raise

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Return when ``stop`` is set, or when the only address is ``stdio://`` and its client has left."""
        stopped = asyncio.create_task(stop.wait(), name="wyoming-stop")
        try:
            if set(self.addresses) != {"stdio://"}:
                await stopped
                return
            await asyncio.wait({stopped, *self._clients}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await asyncio.wait({stopped})

    async def aclose(self, deadline_seconds: float) -> None:
        """Withdraw, stop accepting, refuse requests, let responses finish until the deadline, cancel the rest.

        On return no task, socket or socket file is left. May be called more than once.
        """
        while self._announced:
            try:
                await self._announced[-1].withdraw()
            except Exception:  # the rest must still be closed
                _LOGGER.exception("The announcement could not be withdrawn")
            self._announced.pop()  # only now: a close that was cancelled leaves the withdrawal to the next one
        self._is_closing = True
        for listener in self._listeners:
            listener.close()
        await self._drain(deadline_seconds)
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()

    async def _open(self, endpoint: ListenEndpoint) -> tuple[str, ...]:
        addresses: list[str] = []
        for uri in endpoint.uris:
            accept = functools.partial(self._accept, endpoint)
            try:
                self._listeners.append(await listen(uri, accept, buffer_bytes=self._event_limits.header_bytes))
            except ConfigError as error:
                if not endpoint.setting:
                    raise
                raise ConfigError(f"{endpoint.setting}: {error}") from error
            addresses += self._listeners[-1].addresses
        _LOGGER.info("Listening on %s", ", ".join(addresses))
        return tuple(addresses)

    async def _drain(self, deadline_seconds: float) -> None:
        stopping = ServerOverloaded("the server is stopping")
        for client in self._clients.values():
            client.connection.refuse(stopping)
        await self._wait(deadline_seconds)
        if self._clients:
            _LOGGER.warning("Breaking off %d connections with unfinished responses", len(self._clients))
        for client in self._clients.values():
            client.connection.give_up(Cancelled("the server is stopping"))
        await self._wait(_GIVE_UP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await self._wait(None)

    @property
    def _tasks(self) -> set[asyncio.Task[None]]:
        return self._refusals | self._clients.keys()

    async def _wait(self, seconds: float | None) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def _accept(
        self, endpoint: ListenEndpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        if refusal := self._refusal_for(address):
            self._refuse(reader, writer, address, ServerOverloaded(refusal))
            return
        peer = f"{address or 'local'} #{next(self._numbers)}"
        context = RequestContext(
            resolve=functools.partial(endpoint.catalog.resolve, address=address, satellite=endpoint.satellite),
            workers=self._workers,
            limits=self._limits,
            pieces=self._make_pieces,
            find_fallback=self._find_fallback,
            new_timer=functools.partial(RequestTimer, self._observer, peer=peer),
        )
        connection = Connection(
            reader,
            writer,
            context,
            info=lambda: info_event(endpoint.catalog.voices(satellite=endpoint.satellite), program=endpoint.program),
            program=endpoint.program,
            event_limits=self._event_limits,
            peer=peer,
            observer=self._observer,
        )
        task = asyncio.create_task(connection.run(), name=f"wyoming {peer}")
        self._clients[task] = _Client(address, connection)
        task.add_done_callback(self._clients.pop)

    def _refusal_for(self, address: str) -> str:
        """Why a client of this address is refused; empty if it is not."""
        if self._is_closing:
            return "the server is stopping"
        most, here = self._limits.max_connections, sum(client.address == address for client in self._clients.values())
        if len(self._clients) >= most:
            return f"all connections are taken, {most} of {most} (server.limits.max_connections); try again later"
        if address and here >= self._limits.max_connections_per_client:
            taken = f"{here} of {self._limits.max_connections_per_client} (server.limits.max_connections_per_client)"
            return f"all connections from {address} are taken, {taken}; try again later"
        return ""

    def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, error: TtsError
    ) -> None:
        _LOGGER.warning("Refused %s: %s", address or "a local client", error)
        if self._observer is not None:
            self._observer.connection_refused()
            self._observer.error_sent(error.code)
        if len(self._refusals) >= self._limits.max_connections:  # answers to refused clients are bounded too
            abort(writer)
            return
        writer.write(encode(error_event(error)))
        closing = close_gracefully(reader, writer, write_seconds=self._limits.write_timeout)
        task = asyncio.create_task(closing, name=f"wyoming refusal {address}")
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)


class _AllVoices:
    """A catalog without satellites, and with one default voice."""

    def __init__(self, workers: Scheduler, default: str | None) -> None:
        self._workers = workers
        self._default = default

    def voices(self, **_: object) -> Sequence[Voice]:
        return self._workers.synthesizer.voices()

    def resolve(self, *, name: str | None, speaker: str | None, language: str | None, **_: object) -> VoiceMatch:
        return choose_voice(self.voices(), name=name, speaker=speaker, language=language, default=self._default)
