"""The Wyoming server: listens, announces, serves, withdraws, drains, closes. Knows nothing about models or signals."""

import asyncio
import functools
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from wyoming_pocket_tts.engine.observer import Observer, Silent
from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.errors import Cancelled, ConfigError, Overloaded, SpeechError
from wyoming_pocket_tts.serving import wire
from wyoming_pocket_tts.serving.account import Account
from wyoming_pocket_tts.serving.connection import Connection
from wyoming_pocket_tts.serving.direction import FindStandIn
from wyoming_pocket_tts.serving.door import Announcer, Door
from wyoming_pocket_tts.serving.info import info_event
from wyoming_pocket_tts.serving.limits import Limits
from wyoming_pocket_tts.serving.listener import Listener, listen
from wyoming_pocket_tts.serving.response import error_event
from wyoming_pocket_tts.serving.session import Session
from wyoming_pocket_tts.speech import Voice
from wyoming_pocket_tts.text.any_pieces import pieces_for
from wyoming_pocket_tts.text.pieces import MakePieces
from wyoming_pocket_tts.voices.catalogue import Choice, choose_voice

_LOGGER = logging.getLogger(__name__)
_GIVE_UP_SECONDS = 1.0
_LATER = "come again later"


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
        workers: Workers,
        *,
        uris: Sequence[str] = (),
        default_voice: str | None = None,
        limits: Limits | None = None,
        announcer: Announcer | None = None,
        doors: Sequence[Door] = (),
        pieces: MakePieces = pieces_for,
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
        plain = Door(uris=tuple(uris), reception=_Everybody(workers, default_voice), announcer=announcer)
        self._doors = (*([plain] if uris else []), *doors)
        self._limits = limits or Limits()
        self._make_pieces = pieces
        self._stand_in = stand_in
        self._observer = observer or Silent()
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

    async def _open(self, door: Door) -> tuple[str, ...]:
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
        stopping = Overloaded("the server is stopping")
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

    def _accept(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        try:
            self._check_room(address)
        except Overloaded as error:
            self._turn_away(reader, writer, address, error)
            return
        peer = f"{address or 'local'} #{next(self._numbers)}"
        session = Session(
            choose=functools.partial(door.reception.choose, address=address),
            pieces=self._make_pieces,
            info=lambda: info_event(door.reception.voices(), program=door.program),
            program=door.program,
            limits=self._limits,
            account=functools.partial(Account, self._observer, peer=peer),
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
            raise Overloaded("the server is stopping")
        if len(self._clients) >= self._limits.connections:
            most = self._limits.connections
            raise Overloaded(f"all connections are taken, {most} of {most} (server.limits.connections); {_LATER}")
        here = sum(client.address == address for client in self._clients.values())
        if address and here >= self._limits.connections_per_address:
            raise Overloaded(
                f"all connections from {address} are taken, {here} of {self._limits.connections_per_address}"
                f" (server.limits.connections_per_address); {_LATER}"
            )

    def _turn_away(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, error: SpeechError
    ) -> None:
        _LOGGER.warning("Turned %s away: %s", address or "a local client", error)
        self._observer.refused()
        self._observer.failed(error.code)
        if len(self._refusals) >= self._limits.connections:  # even politeness is bounded
            wire.abort(writer)
            return
        writer.write(wire.encode(error_event(error)))
        task = asyncio.create_task(wire.close_gently(reader, writer, self._limits), name=f"wyoming refusal {address}")
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)


class _Everybody:
    """A reception without satellites: all voices of the workers, and one default for all clients."""

    def __init__(self, workers: Workers, default: str | None) -> None:
        self._workers = workers
        self._default = default

    def voices(self) -> Sequence[Voice]:
        """All voices."""
        return self._workers.synthesizer.voices()

    def choose(self, *, name: str | None, speaker: str | None, language: str | None, address: str) -> Choice:  # noqa: ARG002  (see Reception)
        """The voice of that name, or the default one."""
        return choose_voice(self.voices(), name=name, speaker=speaker, language=language, default=self._default)


@dataclass(frozen=True, slots=True)
class _Client:
    """Who is connected from where."""

    address: str
    connection: Connection
