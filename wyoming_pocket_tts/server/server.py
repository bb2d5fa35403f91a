"""Listeners with a voice catalog each; drain."""

import asyncio
import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.errors import Cancelled, ConfigError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.events import NullObserver, Observer
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.connection import Connection
from wyoming_pocket_tts.server.listener import Listener, listen
from wyoming_pocket_tts.server.protocol import PROGRAM, abort, close_gracefully, encode, info_event
from wyoming_pocket_tts.server.request_stats import RequestTimer
from wyoming_pocket_tts.server.response import FindStandIn, error_event
from wyoming_pocket_tts.server.session import Session
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import SegmentReaderFactory
from wyoming_pocket_tts.voices.matching import VoiceMatch, choose_voice

_LOGGER = logging.getLogger(__name__)
_GIVE_UP_SECONDS = 1.0
_LATER = "come again later"


class Announcer(Protocol):
    """Makes a listening server known on the network."""

    async def announce(self, addresses: Sequence[str]) -> None:
        """Announce the bound addresses (URIs as in ``Server.addresses``). Called once, after all of them listen."""
        ...

    async def withdraw(self) -> None:
        """Take the announcement back. Called before the server stops accepting; again if that was cancelled."""
        ...


class CatalogView(Protocol):
    """Who can be asked to speak at a door. Called on the event loop, for every request: cheap."""

    def voices(self) -> Sequence[Voice]:
        """What is listed there, the default one first."""
        ...

    def choose(self, *, name: str | None, speaker: str | None, language: str | None, address: str) -> VoiceMatch:
        """Find the voice that a client means.

        Args:
            name: of a listed voice.
            speaker: a style of it.
            language: a tag.
            address: the client's IP address, empty if it has none.

        Raises:
            VoiceError: nobody can speak so.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenEndpoint:
    """Addresses to listen on, with a reception and a name of their own."""

    uris: tuple[str, ...]
    """``tcp://host:port`` (an IPv6 host in brackets, an empty host for all interfaces, port 0 for any free one),
    ``unix:///path`` or ``stdio://``."""
    reception: CatalogView
    program: str = PROGRAM
    """What ``describe`` calls it, and Home Assistant its entry."""
    announcer: Announcer | None = None
    """Makes it known while it is open."""
    setting: str = ""
    """What of the settings opens it, for messages; empty where its address says enough."""


class Server:
    """Speaks the Wyoming protocol on every address given. Borrows the workers: their owner starts and closes them.

    Usage::

        async with Workers(synthesizer, threads=2) as workers:
            server = Server(workers, uris=["tcp://0.0.0.0:10200"])
            await server.start()
            try:
                await server.serve_until(stop)
            finally:
                await server.aclose(deadline_seconds=10)
    """

    def __init__(
        self,
        workers: Scheduler,
        *,
        uris: Sequence[str] = (),
        default_voice: str | None = None,
        limits: Limits | None = None,
        announcer: Announcer | None = None,
        doors: Sequence[ListenEndpoint] = (),
        pieces: SegmentReaderFactory = segment_reader_for,
        stand_in: FindStandIn = lambda _: None,
        observer: Observer | None = None,
    ) -> None:
        """Take what to serve and where.

        Args:
            workers: speaks; also the source of the voices at the addresses of ``uris``.
            uris: a door of these addresses at which all of the workers' voices can be asked for; see ``Door``.
            default_voice: the name of the voice for clients of that door that choose none; ``None`` for the first
                installed.
            limits: what clients may ask for, whatever door they come by; ``None`` for the defaults.
            announcer: makes that door known while the server listens.
            doors: others.
            pieces: makes a reader of a text for a language (``en``) and for whether it is SSML, if that is known.
            stand_in: finds who speaks, in the workers' reserve, where they refuse whom a client wants; the default is
                nobody, so that clients are told.
            observer: is told what clients ask for and what becomes of it; None for nobody.
        """
        self._workers = workers
        plain = ListenEndpoint(uris=tuple(uris), reception=_Everybody(workers, default_voice), announcer=announcer)
        self._doors = (*([plain] if uris else []), *doors)
        self._limits = limits or Limits()
        self._make_pieces = pieces
        self._stand_in = stand_in
        self._observer = observer or NullObserver()
        self._listeners: list[Listener] = []
        self._clients: dict[asyncio.Task[None], _Client] = {}
        self._refusals: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._announced: list[Announcer] = []
        self._closing = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """The bound addresses as URIs, with real port numbers; empty before ``start``."""
        return tuple(address for listener in self._listeners for address in listener.addresses)

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._clients)

    async def start(self) -> None:
        """Listen on all addresses, then announce. On return clients are served.

        Raises:
            ConfigError: an address that cannot be understood or bound. Nothing listens then.
        """
        self._make_pieces("en", ssml=False)  # loads its tables now, which would stall the loop under the first client
        try:
            opened = [(door, await self._open(door)) for door in self._doors]
            for door, addresses in opened:
                if door.announcer is not None:
                    self._announced.append(door.announcer)
                    await door.announcer.announce(addresses)
        except BaseException:
            await self.aclose(deadline_seconds=0)
            raise

    async def _open(self, door: ListenEndpoint) -> tuple[str, ...]:
        """Listen at a door; return its bound addresses."""
        addresses: list[str] = []
        for uri in door.uris:
            accept = functools.partial(self._accept, door)
            try:
                self._listeners.append(await listen(uri, accept, buffer_bytes=self._limits.header_bytes))
            except ConfigError as error:
                if not door.setting:
                    raise
                raise ConfigError(f"{door.setting}: {error}") from error
            addresses += self._listeners[-1].addresses
        _LOGGER.info("Listening on %s", ", ".join(addresses))
        return tuple(addresses)

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
        """Withdraw, stop accepting, refuse new requests, let what speaks finish until the deadline, cancel the rest.

        On return no task, socket or socket file of this server is left. May be called more than once.
        """
        await self._withdraw()
        self._closing = True
        for listener in self._listeners:
            listener.close()
        await self._drain(deadline_seconds)
        for listener in self._listeners:
            await listener.wait_closed()
        self._listeners.clear()

    async def _withdraw(self) -> None:
        while self._announced:
            try:
                await self._announced[-1].withdraw()
            except Exception:  # the rest must still be closed
                _LOGGER.exception("The announcement could not be taken back")
            self._announced.pop()  # only now: a close that was cancelled leaves the withdrawal to the next one

    async def _drain(self, deadline_seconds: float) -> None:
        stopping = ServerOverloaded("the server is stopping")
        for client in list(self._clients.values()):
            client.connection.refuse(stopping)
        await self._wait(deadline_seconds)
        if self._clients:
            _LOGGER.warning("Breaking off %d connections that still speak", len(self._clients))
        for client in list(self._clients.values()):
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

    # Clients

    def _accept(
        self, door: ListenEndpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        try:
            self._check_room(address)
        except ServerOverloaded as error:
            self._turn_away(reader, writer, address, error)
            return
        peer = f"{address or 'local'} #{next(self._numbers)}"
        session = Session(
            choose=functools.partial(door.reception.choose, address=address),
            pieces=self._make_pieces,
            info=lambda: info_event(door.reception.voices(), program=door.program),
            program=door.program,
            limits=self._limits,
            account=functools.partial(RequestTimer, self._observer, peer=peer),
            stand_in=self._stand_in,
        )
        connection = Connection(
            reader,
            writer,
            session=session,
            workers=self._workers,
            limits=self._limits,
            peer=peer,
            observer=self._observer,
        )
        task = asyncio.create_task(connection.run(), name=f"wyoming {peer}")
        self._clients[task] = _Client(address, connection)
        task.add_done_callback(self._clients.pop)

    def _check_room(self, address: str) -> None:
        if self._closing:
            raise ServerOverloaded("the server is stopping")
        if len(self._clients) >= self._limits.connections:
            most = self._limits.connections
            raise ServerOverloaded(f"all connections are taken, {most} of {most} (server.limits.connections); {_LATER}")
        here = sum(client.address == address for client in self._clients.values())
        if address and here >= self._limits.connections_per_address:
            raise ServerOverloaded(
                f"all connections from {address} are taken, {here} of {self._limits.connections_per_address}"
                f" (server.limits.connections_per_address); {_LATER}"
            )

    def _turn_away(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, error: TtsError
    ) -> None:
        _LOGGER.warning("Turned %s away: %s", address or "a local client", error)
        self._observer.refused()
        self._observer.failed(error.code)
        if len(self._refusals) >= self._limits.connections:  # even politeness is bounded
            abort(writer)
            return
        writer.write(encode(error_event(error)))
        task = asyncio.create_task(close_gracefully(reader, writer, self._limits), name=f"wyoming refusal {address}")
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)


class _Everybody:
    """A reception without satellites: all voices of the workers, and one default for all clients."""

    def __init__(self, workers: Scheduler, default: str | None) -> None:
        self._workers = workers
        self._default = default

    def voices(self) -> Sequence[Voice]:
        """All voices."""
        return self._workers.synthesizer.voices()

    def choose(self, *, name: str | None, speaker: str | None, language: str | None, address: str) -> VoiceMatch:  # noqa: ARG002  (see Reception)
        """The voice of that name, or the default one."""
        return choose_voice(self.voices(), name=name, speaker=speaker, language=language, default=self._default)


@dataclass(frozen=True, slots=True)
class _Client:
    """Who is connected from where."""

    address: str
    connection: Connection
