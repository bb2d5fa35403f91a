"""The Wyoming server: listens, announces, serves, withdraws, drains, closes. Knows nothing about models or signals."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.serving.limits import Limits


class Announcer(Protocol):
    """Makes a listening server known on the network."""

    async def announce(self, addresses: Sequence[str]) -> None:
        """Announce the bound addresses (URIs as in ``Server.addresses``). Called once, after all of them listen."""
        ...

    async def withdraw(self) -> None:
        """Take the announcement back. Called once, before the server stops accepting."""
        ...


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
        uris: Sequence[str],
        default_voice: str | None = None,
        limits: Limits | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        """Take what to serve and where.

        Args:
            workers: speaks; also the source of the voices that ``describe`` lists.
            uris: ``tcp://host:port`` (an IPv6 host in brackets, an empty host for all interfaces, port 0 for any free
                one), ``unix:///path`` or ``stdio://``.
            default_voice: the name of the voice for clients that choose none; ``None`` for the first installed.
            limits: what clients may ask for; ``None`` for the defaults.
            announcer: makes the server known while it listens.
        """

    @property
    def addresses(self) -> tuple[str, ...]:
        """The bound addresses as URIs, with real port numbers; empty before ``start``."""
        raise NotImplementedError

    async def start(self) -> None:
        """Listen on all addresses, then announce. On return clients are served.

        Raises:
            ConfigError: an address that cannot be understood or bound. Nothing listens then.
        """
        raise NotImplementedError

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Return when ``stop`` is set, or when the only address is ``stdio://`` and its client has left."""
        raise NotImplementedError

    async def aclose(self, deadline_seconds: float) -> None:
        """Withdraw, stop accepting, refuse new requests, let what speaks finish until the deadline, cancel the rest.

        On return no task, socket or socket file of this server is left. May be called more than once.
        """
        raise NotImplementedError
