"""Answers HTTP on a port of its own, within narrow limits. Knows no page: it is given them.

It is for an operator's tools, on a trusted network as the rest of the service; what a stranger can do to it is bounded
all the same: the size of a request, the time for it, the number of connections.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from wyoming_pocket_tts.engine.faults import described
from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.metrics.exchange import Answer, Asked, Exchange, Refused
from wyoming_pocket_tts.serving import wire
from wyoming_pocket_tts.serving.address import TcpAddress
from wyoming_pocket_tts.serving.limits import Limits
from wyoming_pocket_tts.serving.listener import Listener, listen

_LOGGER = logging.getLogger(__name__)
_READ_BYTES: Final = 4 * 1024

Page = Callable[[], Awaitable[Answer]]
"""Makes what stands at a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointLimits:
    """What those who ask may do."""

    connections: int = 16
    """At once; more are closed without a word."""
    request_seconds: float = 5.0
    """For a request to arrive whole."""
    answer_seconds: float = 5.0
    """For the answer to be read."""


class Endpoint:
    """Serves pages. Owns its connections; ``aclose`` ends them."""

    def __init__(
        self, pages: Mapping[str, Page], *, host: str, port: int, limits: EndpointLimits | None = None
    ) -> None:
        """Take what to serve, by path, and where; port 0 is any that is free."""
        self._pages = dict(pages)
        self._where = TcpAddress(host, port)
        self._limits = limits or EndpointLimits()
        self._closing_limits = Limits(write_seconds=self._limits.answer_seconds)
        self._listener: Listener | None = None
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it can be asked, as ``http://host:port``; empty unless it listens."""
        bound = () if self._listener is None else self._listener.addresses
        return tuple(address.replace("tcp://", "http://") for address in bound)

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        try:
            self._listener = await listen(str(self._where), self._accept, buffer_bytes=_READ_BYTES)
        except ConfigError as error:
            raise ConfigError(f"metrics.port: {error}") from error

    async def aclose(self) -> None:
        """Accept no more, and close what is open. May be called more than once."""
        if self._listener is not None:
            self._listener.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()
        self._listener = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _address: str) -> None:
        if len(self._clients) >= self._limits.connections:
            wire.abort(writer)
            return
        client = asyncio.create_task(self._serve(reader, writer), name="metrics")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange()
        try:
            answer = await self._answer(await self._read(reader, exchange))
        except Refused as refused:
            answer = refused.answer
        except OSError:  # the client is gone, or was too slow
            wire.abort(writer)
            return
        except asyncio.CancelledError:
            wire.abort(writer)
            raise
        writer.write(exchange.answer(answer))
        await wire.close_gently(reader, writer, self._closing_limits)

    async def _read(self, reader: asyncio.StreamReader, exchange: Exchange) -> Asked:
        """Read a request.

        Raises:
            Refused: it is none.
            TimeoutError: it took too long.
            ConnectionError: the client is gone.
        """
        async with asyncio.timeout(self._limits.request_seconds):
            while (asked := exchange.receive(await reader.read(_READ_BYTES))) is None:
                pass
        return asked

    async def _answer(self, asked: Asked) -> Answer:
        page = self._pages.get(asked.path)
        if page is None:
            return Answer(f"There are {', '.join(self._pages)}\n", HTTPStatus.NOT_FOUND)
        try:
            return await page()
        except Exception as error:  # noqa: BLE001  (what measures the service must not break it)
            _LOGGER.error("%s failed:\n%s", asked.path, described(error, text=None))  # noqa: TRY400  (messages may quote a text)
            return Answer("The server's log says more\n", HTTPStatus.INTERNAL_SERVER_ERROR)
