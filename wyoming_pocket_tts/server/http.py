"""HTTP endpoints: metrics, health, ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import h11

from wyoming_pocket_tts.config.schema import Limits
from wyoming_pocket_tts.core.address import TcpAddress
from wyoming_pocket_tts.core.errors import ConfigError, format_exception_without_text
from wyoming_pocket_tts.core.events import CompositeObserver, Observer
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.health import ReadinessProbe
from wyoming_pocket_tts.server.listener import Listener, listen
from wyoming_pocket_tts.server.metrics import PrometheusObserver, WatchState
from wyoming_pocket_tts.server.protocol import abort, close_gracefully
from wyoming_pocket_tts.server.request_stats import RequestLog

_LOGGER = logging.getLogger(__name__)
_READ_BYTES: Final = 4 * 1024


_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What to send."""

    body: str | bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


Page = Callable[[], Awaitable[HttpResponse]]
"""Makes what stands at a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What those who ask may do."""

    connections: int = 16
    """At once; more are closed without a word."""
    request_seconds: float = 5.0
    """For a request to arrive whole."""
    answer_seconds: float = 5.0
    """For the answer to be read."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request that can be answered: GET or HEAD, between which only ``Exchange.answer`` makes a difference."""

    path: str
    """Without the query, as it came: not decoded."""


class HttpConnection:
    """One connection's request, then its answer."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._wants_body = True

    def receive(self, data: bytes) -> HttpRequest | None:
        """Take more bytes, none at the stream's end; return the request once it is whole.

        Raises:
            Refused: it will never be one; the answer says why. If the client left before it said anything, there is
                nobody to send it to, which does no harm.
        """
        try:
            self._connection.receive_data(data)
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            raise HttpError(HttpResponse(f"{status.phrase}\n", status)) from None
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.Request):
            raise HttpError(HttpResponse("There was no request\n", HTTPStatus.BAD_REQUEST))
        self._wants_body = event.method != b"HEAD"
        if event.method not in {b"GET", b"HEAD"}:
            allow = (("Allow", "GET, HEAD"),)
            raise HttpError(
                HttpResponse("Only GET and HEAD are answered\n", HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)
            )
        return HttpRequest(path=event.target.partition(b"?")[0].decode("ascii"))

    def answer(self, answer: HttpResponse) -> bytes:
        """The answer as it goes to the client, after which the connection is to be closed. Empty if that is gone."""
        if self._connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return b""
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
            *answer.headers,
        ]
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.status.phrase.encode())
        sent = self._connection.send(head) or b""
        if self._wants_body:
            sent += self._connection.send(h11.Data(data=body)) or b""
        return sent + (self._connection.send(h11.EndOfMessage()) or b"")


class HttpServer:
    """Serves pages. Owns its connections; ``aclose`` ends them."""

    def __init__(self, pages: Mapping[str, Page], *, host: str, port: int, limits: HttpLimits | None = None) -> None:
        """Take what to serve, by path, and where; port 0 is any that is free."""
        self._pages = dict(pages)
        self._where = TcpAddress(host, port)
        self._limits = limits or HttpLimits()
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
            abort(writer)
            return
        client = asyncio.create_task(self._serve(reader, writer), name="metrics")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = HttpConnection()
        try:
            answer = await self._answer(await self._read(reader, exchange))
        except HttpError as refused:
            answer = refused.answer
        except OSError:  # the client is gone, or was too slow
            abort(writer)
            return
        except asyncio.CancelledError:
            abort(writer)
            raise
        writer.write(exchange.answer(answer))
        await close_gracefully(reader, writer, self._closing_limits)

    async def _read(self, reader: asyncio.StreamReader, exchange: HttpConnection) -> HttpRequest:
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

    async def _answer(self, asked: HttpRequest) -> HttpResponse:
        page = self._pages.get(asked.path)
        if page is None:
            return HttpResponse(f"There are {', '.join(self._pages)}\n", HTTPStatus.NOT_FOUND)
        try:
            return await page()
        except Exception as error:  # noqa: BLE001  (what measures the service must not break it)
            _LOGGER.error("%s failed:\n%s", asked.path, format_exception_without_text(error, text=None))  # noqa: TRY400  (messages may quote a text)
            return HttpResponse("The server's log says more\n", HTTPStatus.INTERNAL_SERVER_ERROR)


_HEAD_BYTES: Final = 8 * 1024
"""Most of a request's line and headers, which is what proxies send at most too."""


class HttpError(Exception):
    """Bytes that are no request, or one that nobody here answers."""

    def __init__(self, answer: HttpResponse) -> None:
        """Take what to answer instead."""
        super().__init__(answer.status.phrase)
        self.answer = answer


_RETRY: Final = (("Retry-After", "5"),)
_UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE


def pages(instruments: PrometheusObserver, probe: ReadinessProbe, is_healthy: Callable[[], bool]) -> dict[str, Page]:
    """Make the pages, by path.

    Args:
        instruments: what ``/metrics`` shows.
        probe: what ``/ready`` asks.
        is_healthy: whether speech is possible, as far as is known. That the event loop runs is proved by the answer.
    """

    async def metrics() -> HttpResponse:
        return HttpResponse(instruments.exposition(), content_type=instruments.content_type)

    async def health() -> HttpResponse:
        if is_healthy():
            return HttpResponse("ok\n")
        return HttpResponse(
            "Speech is not possible, or nothing listens: the log says more\n", _UNAVAILABLE, headers=_RETRY
        )

    async def ready() -> HttpResponse:
        found = await probe.ask()
        if found.speaks:
            return HttpResponse(f"{found.text}\n")
        return HttpResponse(f"{found.text}\n", _UNAVAILABLE, headers=_RETRY)

    return {"/metrics": metrics, "/health": health, "/ready": ready}


class MonitoringServer:
    """Hears what happens from the beginning, and answers about it once it is started."""

    def __init__(self, *, port: int | None, host: str = "127.0.0.1") -> None:
        """Take where to answer: port None for nowhere, 0 for any that is free."""
        self._host = host
        self._port = port
        self._instruments = _instruments() if port is not None else None
        self._endpoint: HttpServer | None = None
        self._probe: ReadinessProbe | None = None
        self.observer: Observer = RequestLog()
        """For workers and servers."""
        if self._instruments is not None:
            self.observer = CompositeObserver([self.observer, self._instruments])

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it answers, as ``http://host:port``; empty unless it does."""
        return () if self._endpoint is None else self._endpoint.addresses

    async def start(self, workers: Scheduler, *, state: WatchState, is_healthy: Callable[[], bool]) -> None:
        """Answer from now on.

        Args:
            workers: speak for ``/ready``.
            state: tells what is at the moment, for ``/metrics``.
            is_healthy: whether the service can do its work, for ``/health``.

        Raises:
            ConfigError: the port cannot be listened on.
        """
        if self._instruments is None or self._port is None:
            return
        from wyoming_pocket_tts.server.health import ReadinessProbe  # noqa: PLC0415

        self._instruments.watch(state)
        self._probe = ReadinessProbe(workers)
        self._endpoint = HttpServer(pages(self._instruments, self._probe, is_healthy), host=self._host, port=self._port)
        await self._endpoint.start()
        _LOGGER.info("Metrics at %s/metrics", self._endpoint.addresses[0])

    async def aclose(self) -> None:
        """Answer no more. May be called more than once, and without a start."""
        if self._endpoint is not None:
            await self._endpoint.aclose()
        if self._probe is not None:
            await self._probe.aclose()


def _instruments() -> "PrometheusObserver":
    from wyoming_pocket_tts.server.metrics import PrometheusObserver  # noqa: PLC0415  (prometheus_client: three megabytes)

    return PrometheusObserver()
