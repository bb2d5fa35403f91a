"""The endpoint over real sockets: what it answers, and what strangers cannot do to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest

from tests.server.asking import PATIENCE_SECONDS, get
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.server.http import HttpLimits, HttpRequest, HttpResponse, HttpServer


async def hello(_: HttpRequest) -> HttpResponse:
    return HttpResponse("hello\n")


async def broken(_: HttpRequest) -> HttpResponse:
    raise KeyError("a word of somebody's")


@asynccontextmanager
async def endpoint(**limits: float) -> AsyncIterator[tuple[HttpServer, str]]:
    """Prove too that nothing is left."""
    before = asyncio.all_tasks()
    chosen = HttpLimits(**{name: type(getattr(HttpLimits(), name))(value) for name, value in limits.items()})
    made = HttpServer({"/hello": hello, "/broken": broken}, host="127.0.0.1", port=0, limits=chosen)
    await made.start()
    try:
        yield made, made.addresses[0]
    finally:
        await made.aclose()
    assert made.addresses == ()
    assert asyncio.all_tasks() == before


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(address)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection's end."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_pages_are_got() -> None:
    async with endpoint() as (_, address):
        got = await get(address, "/hello?x=1")
        assert (got.status, got.body) == (HTTPStatus.OK, "hello\n")
        assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert got.headers["Cache-Control"] == "no-store"
        head = await get(address, "/hello", "HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (HTTPStatus.OK, "", "6")


async def test_what_is_not_there_says_what_is() -> None:
    async with endpoint() as (_, address):
        got = await get(address, "/")
        assert (got.status, got.body) == (HTTPStatus.NOT_FOUND, "There are /hello, /broken\n")
        assert (await get(address, "/hello", "POST")).status == HTTPStatus.METHOD_NOT_ALLOWED


async def test_a_page_that_breaks_tells_the_log_and_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async with endpoint() as (_, address):
        got = await get(address, "/broken")
        assert (got.status, got.body) == (HTTPStatus.INTERNAL_SERVER_ERROR, "The server's log says more\n")
        assert (await get(address, "/hello")).status == HTTPStatus.OK
    assert "/broken failed" in caplog.text
    assert "KeyError" in caplog.text


async def test_rubbish_is_refused_and_the_answer_arrives_though_more_was_sent() -> None:
    async with endpoint() as (_, address):
        reader, writer = await connect(address)
        writer.write(b"rubbish\r\n\r\n" + b"x" * 30_000)
        assert (await ended(reader)).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        writer.close()


async def test_who_dawdles_is_dropped() -> None:
    async with endpoint(request_seconds=0.1) as (_, address):
        reader, writer = await connect(address)
        writer.write(b"GET /hello HTTP/1.1\r\n")
        assert await ended(reader) == b""
        writer.close()


async def test_who_drips_is_dropped_all_the_same() -> None:
    async with endpoint(request_seconds=0.2) as (_, address):
        reader, writer = await connect(address)

        async def drip() -> None:
            while not writer.is_closing():
                writer.write(b"X: y\r\n")
                await asyncio.sleep(0.02)

        writer.write(b"GET /hello HTTP/1.1\r\n")
        dripping = asyncio.create_task(drip())
        assert await ended(reader) == b""
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        writer.close()


async def test_a_crowd_is_kept_out_and_does_not_stay() -> None:
    async with endpoint(connections=2) as (_, address):
        crowd = [await connect(address) for _ in range(2)]
        reader, writer = await connect(address)
        writer.write(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await ended(reader) == b""
        for _, each in (*crowd, (reader, writer)):
            each.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await tried(address)).startswith(b"HTTP/1.1 200 "):
                pass


async def tried(address: str) -> bytes:
    reader, writer = await connect(address)
    writer.write(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
    try:
        return await ended(reader)
    finally:
        writer.close()


async def test_a_client_that_is_gone_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with endpoint() as (_, address):
        for data in (b"", b"GET /hello HT", b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"):
            parts = urlsplit(address)
            with socket.create_connection((parts.hostname, parts.port or 0)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
                client.sendall(data)
        assert (await get(address, "/hello")).body == "hello\n"
    assert caplog.text == ""


async def test_closing_does_not_wait_for_clients() -> None:
    async with endpoint() as (made, address):
        reader, writer = await connect(address)
        writer.write(b"GET /hel")
        await made.aclose()
        assert await ended(reader) == b""
        writer.close()


async def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    async with endpoint() as (_, address):
        port = urlsplit(address).port or 0
        other = HttpServer({}, host="127.0.0.1", port=port, setting="metrics.port")
        with pytest.raises(ConfigError, match=rf"metrics.port: cannot listen on tcp://127.0.0.1:{port}: "):
            await other.start()
        await other.aclose()
