"""HTTP endpoints: metrics, health, ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import h11

from wyoming_pocket_tts.core.address import TcpAddress
from wyoming_pocket_tts.core.errors import ConfigError, format_exception_without_text
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.health import ReadinessProbe
from wyoming_pocket_tts.server.listener import Listener, abort, close_gracefully, listen
from wyoming_pocket_tts.server.metrics import PrometheusObserver

_LOGGER = logging.getLogger(__name__)
_READ_BYTES: Final = 4 * 1024
_HEAD_BYTES: Final = 8 * 1024
"""Longest request line and headers together."""
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """Limits of each server."""

    connections: int = 16
    """At once; more are closed without an answer."""
    request_seconds: float = 5.0
    response_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A GET or HEAD request; its body is not read."""

    path: str
    """Without the query, not decoded."""
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)
    """By lower-case name."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    body: str | bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


class HttpError(Exception):
    """Bytes that are no request, or one that is not supported."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(response.status.phrase)
        self.response = response


Route = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Makes the response for a path."""


class HttpConnection:
    """One connection, which carries one request: bytes in, bytes out (h11)."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._wants_body = True

    def receive(self, data: bytes) -> HttpRequest | None:
        """Take more bytes, none at the stream's end; return the request once it is whole. Raises ``HttpError``."""
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
            raise HttpError(HttpResponse("Use GET or HEAD\n", HTTPStatus.METHOD_NOT_ALLOWED, headers=allow))
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        return HttpRequest(event.target.partition(b"?")[0].decode("ascii"), headers)

    def encode(self, response: HttpResponse) -> bytes:
        """The bytes after which the connection is to be closed; empty if the client is gone."""
        if self._connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return b""
        body = response.body.encode() if isinstance(response.body, str) else response.body
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
            *response.headers,
        ]
        head = h11.Response(status_code=response.status, headers=headers, reason=response.status.phrase.encode())
        sent = self._connection.send(head) or b""
        if self._wants_body:
            sent += self._connection.send(h11.Data(data=body)) or b""
        return sent + (self._connection.send(h11.EndOfMessage()) or b"")


class HttpServer:
    """Serves routes by path. Owns its connections; ``aclose`` ends them."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        host: str,
        port: int,
        only_from: str | None = None,
        setting: str = "",
        limits: HttpLimits | None = None,
    ) -> None:
        """Clients of other addresses than ``only_from`` get no answer. ``setting`` opens the port, for messages."""
        self._routes = dict(routes)
        self._where = TcpAddress(host, port)
        self._only_from = only_from
        self._setting = setting
        self._limits = limits or HttpLimits()
        self._listener: Listener | None = None
        self._clients: set[asyncio.Task[None]] = set()

    @property
    def addresses(self) -> tuple[str, ...]:
        bound = () if self._listener is None else self._listener.addresses
        return tuple(address.replace("tcp://", "http://") for address in bound)

    async def start(self) -> None:
        """Raises ``ConfigError``."""
        try:
            self._listener = await listen(str(self._where), self._accept, buffer_bytes=_READ_BYTES)
        except ConfigError as error:
            raise ConfigError(f"{self._setting}: {error}" if self._setting else str(error)) from error

    async def aclose(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()
        self._listener = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        if len(self._clients) >= self._limits.connections or self._only_from not in {None, address}:
            abort(writer)
            return
        client = asyncio.create_task(self._serve(reader, writer), name="http")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = HttpConnection()
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                while (request := connection.receive(await reader.read(_READ_BYTES))) is None:
                    pass
            response = await self._respond(request)
        except HttpError as error:
            response = error.response
        except OSError:  # the client is gone, or was too slow
            abort(writer)
            return
        except asyncio.CancelledError:
            abort(writer)
            raise
        writer.write(connection.encode(response))
        await close_gracefully(reader, writer, write_seconds=self._limits.response_seconds)

    async def _respond(self, request: HttpRequest) -> HttpResponse:
        route = self._routes.get(request.path)
        if route is None:
            return HttpResponse(f"There are {', '.join(self._routes)}\n", HTTPStatus.NOT_FOUND)
        try:
            return await route(request)
        except Exception as error:  # noqa: BLE001  (monitoring must not break the service)
            _LOGGER.error("%s failed:\n%s", request.path, format_exception_without_text(error, text=None))  # noqa: TRY400  (messages may quote a text)
            return HttpResponse("Failed; see the server's log\n", HTTPStatus.INTERNAL_SERVER_ERROR)


class MonitoringServer(HttpServer):
    """``/metrics`` for Prometheus, ``/health`` (liveness) and ``/ready`` (synthesises a word)."""

    def __init__(
        self, metrics: PrometheusObserver, workers: Scheduler, is_healthy: Callable[[], bool], *, host: str, port: int
    ) -> None:
        routes = {"/metrics": self._get_metrics, "/health": self._get_health, "/ready": self._get_ready}
        super().__init__(routes, host=host, port=port, setting="metrics.port")
        self._metrics = metrics
        self._probe = ReadinessProbe(workers)
        self._is_healthy = is_healthy

    async def start(self) -> None:
        await super().start()
        _LOGGER.info("Metrics at %s/metrics", self.addresses[0])

    async def aclose(self) -> None:
        await super().aclose()
        await self._probe.aclose()

    async def _get_metrics(self, _: HttpRequest) -> HttpResponse:
        return HttpResponse(self._metrics.exposition(), content_type=self._metrics.content_type)

    async def _get_health(self, _: HttpRequest) -> HttpResponse:
        ok = self._is_healthy()
        return _health_response("ok" if ok else "Speech is not possible, or nothing listens: see the log", ok=ok)

    async def _get_ready(self, _: HttpRequest) -> HttpResponse:
        result = await self._probe.run()
        return _health_response(result.text, ok=result.ok)


def _health_response(text: str, *, ok: bool) -> HttpResponse:
    if ok:
        return HttpResponse(f"{text}\n")
    return HttpResponse(f"{text}\n", HTTPStatus.SERVICE_UNAVAILABLE, headers=(("Retry-After", "5"),))
