"""The HTTP layer: parsing, limits, and the monitoring routes over real sockets."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.client import Service, service
from tests.server.http_client import PATIENCE_SECONDS, Got, get, values
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.server.http import (
    HttpConnection,
    HttpError,
    HttpLimits,
    HttpRequest,
    HttpResponse,
    HttpServer,
    MonitoringServer,
)
from wyoming_pocket_tts.server.metrics import PrometheusObserver, ServerSnapshot

GET = b"GET /metrics?name[]=x HTTP/1.1\r\nHost: house:9100\r\nAccept: */*\r\n\r\n"
MOST_KEPT_BYTES = 16 * 1024


def refusal(data: bytes) -> HttpResponse:
    with pytest.raises(HttpError) as caught:
        HttpConnection().receive(data)
    return caught.value.response


def test_a_request_is_asked_for_its_path_alone() -> None:
    assert HttpConnection().receive(GET) == HttpRequest("/metrics")


@given(st.lists(st.integers(1, len(GET) - 1), max_size=8).map(sorted))
def test_a_request_is_the_same_in_any_pieces(cuts: list[int]) -> None:
    exchange = HttpConnection()
    pieces = [GET[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(GET)], strict=True)]
    found = [exchange.receive(piece) for piece in pieces if piece]
    assert found == [None] * (len(found) - 1) + [HttpRequest("/metrics")]


def test_the_answer_says_how_long_it_is_and_that_it_is_the_last() -> None:
    exchange = HttpConnection()
    exchange.receive(GET)
    head, _, body = exchange.encode(HttpResponse("käse\n", headers=(("Retry-After", "5"),))).partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    assert {"Content-Length: 6", "Connection: close", "Retry-After: 5"} <= set(headers)
    assert body == "käse\n".encode()


def test_head_is_answered_without_the_body() -> None:
    exchange = HttpConnection()
    assert exchange.receive(GET.replace(b"GET", b"HEAD")) == HttpRequest("/metrics")
    sent = exchange.encode(HttpResponse("12345"))
    assert b"Content-Length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"rubbish\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9_000, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (b"GET /" + b"a" * 9_000, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_what_is_no_request_for_us_is_refused(data: bytes, status: HTTPStatus) -> None:
    assert refusal(data).status is status


def test_error_is_encoded_unless_the_client_is_gone() -> None:
    exchange = HttpConnection()
    with pytest.raises(HttpError) as caught:
        exchange.receive(b"rubbish\r\n\r\n")
    assert exchange.encode(caught.value.response).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    gone = HttpConnection()
    with pytest.raises(HttpError) as caught:
        gone.receive(b"")
    assert gone.encode(caught.value.response) == b""


PIECES = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"GET ", b"/metrics", b" HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\n", b": ", b"\0", b"%2e%2e/"]),
    st.builds(lambda size: b"a" * size, st.integers(0, 9_000)),
)


@given(st.lists(PIECES, max_size=30))
def test_whatever_comes_ends_in_a_request_or_a_refusal_within_bounds(pieces: list[bytes]) -> None:
    exchange, kept = HttpConnection(), 0
    try:
        for piece in [*pieces, b""]:
            asked = exchange.receive(piece)
            kept += len(piece)
            if asked is not None:
                assert exchange.encode(HttpResponse("ok")).startswith(b"HTTP/1.1 200 OK\r\n")
                return
            assert kept <= MOST_KEPT_BYTES
    except HttpError as refused:
        sent = exchange.encode(refused.response)
        assert not sent or sent.startswith(b"HTTP/1.1 ")
        return
    pytest.fail("it neither asked nor was refused")


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


async def test_failing_route_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async with endpoint() as (_, address):
        got = await get(address, "/broken")
        assert (got.status, got.body) == (HTTPStatus.INTERNAL_SERVER_ERROR, "Failed; see the server's log\n")
        assert (await get(address, "/hello")).status == HTTPStatus.OK
    assert "/broken failed" in caplog.text
    assert "KeyError" in caplog.text


async def test_rubbish_is_refused_and_the_answer_arrives_though_more_was_sent() -> None:
    async with endpoint() as (_, address):
        reader, writer = await connect(address)
        writer.write(b"rubbish\r\n\r\n" + b"x" * 30_000)
        assert (await ended(reader)).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        writer.close()


async def test_incomplete_request_is_closed_after_the_time_out() -> None:
    async with endpoint(request_seconds=0.1) as (_, address):
        reader, writer = await connect(address)
        writer.write(b"GET /hello HTTP/1.1\r\n")
        assert await ended(reader) == b""
        writer.close()


async def test_dripping_request_is_closed_after_the_time_out() -> None:
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


LONG = "This sentence has no end for a long time and so it takes many blocks to say it all"


class Watched:
    """A service and its endpoint."""

    def __init__(self, house: Service, address: str) -> None:
        self.house = house
        self._address = address

    async def get(self, path: str) -> Got:
        return await get(self._address, path)

    async def seen(self) -> dict[str, float]:
        """Samples without the prefix that all have."""
        found = values((await self.get("/metrics")).body)
        return {name.removeprefix("wyoming_pocket_tts_"): value for name, value in found.items()}


@asynccontextmanager
async def watched(
    tone: ToneSynthesizer | None = None,
    *,
    limits: LimitSettings | None = None,
    is_healthy: Callable[[], bool] | None = None,
) -> AsyncIterator[Watched]:
    metrics = PrometheusObserver()
    async with service(tone, limits=limits, observer=metrics) as house:
        server, workers = house.server, house.workers

        def snapshot() -> ServerSnapshot:
            return ServerSnapshot(
                connections=server.connections,
                active_streams=workers.active,
                waiting_streams=workers.waiting,
                voices=workers.synthesizer.voices(),
            )

        metrics.watch(snapshot)
        monitor = MonitoringServer(metrics, workers, is_healthy or (lambda: workers.healthy), host="127.0.0.1", port=0)
        await monitor.start()
        try:
            yield Watched(house, monitor.addresses[0])
        finally:
            await monitor.aclose()


async def test_what_clients_do_is_counted() -> None:
    async with watched() as watch:
        async with await watch.house.connect() as client:
            await client.stream("One is spoken. ", "Two is spoken.", voice={"name": "tone-high"})
            await client.until("synthesize-stopped")
            await client.send("synthesize", text="Hello", voice={"name": "tone-away"})
            await client.until("audio-stop")
            found = await watch.seen()
            assert found["connections"] == 1
        assert found['requests_total{outcome="spoken",voice="tone-high"}'] == 1
        assert found["first_audio_seconds_count"] >= 1
        assert found["audio_seconds_total"] > 0.02 * len("One is spoken.")
        assert found["requests_open"] == 0
        assert found["stream_wait_seconds_count"] >= 2
        await watch.house.left()
        found = await watch.seen()
        assert (found["connections"], found["active_streams"], found["waiting_streams"]) == (0, 0, 0)


async def test_what_goes_wrong_is_counted_by_its_kind() -> None:
    failing = ToneSynthesizer(failure=lambda asked, _: RuntimeError("x") if asked.text == "Fail." else None)
    async with watched(failing) as watch:
        async with await watch.house.connect() as client:
            await client.send("synthesize", text="Fail.")
            await client.rest()
        async with await watch.house.connect() as client:
            await client.send_raw(b"rubbish\n")
            await client.rest()
        await watch.house.left()
        found = await watch.seen()
    assert found['requests_total{outcome="model-error",voice="tone-low"}'] == 1
    assert found['errors_total{code="model-error"}'] == 1
    assert found['errors_total{code="protocol-error"}'] == 1, "rubbish is no request, and an error all the same"
    assert found['faults_total{kind="exception"}'] == 1
    assert found["requests_open"] == 0


async def test_a_client_that_hangs_up_is_a_cancellation() -> None:
    gate = Gate()
    async with watched(ToneSynthesizer(gate=lambda _: gate)) as watch:
        async with await watch.house.connect() as client:
            await client.send("synthesize", text=LONG)
            await watch.house.happened("begin")
            found = await watch.seen()
            assert (found["requests_open"], found["active_streams"]) == (1, 1)
            client.writer.transport.abort()
            gate.let(1)  # a block that nobody takes
        await watch.house.disconnected()
        gate.open()
        await watch.house.left()
        found = await watch.seen()
    assert found['requests_total{outcome="cancelled",voice="tone-low"}'] == 1
    assert found["cancellation_seconds_count"] == 1
    assert found["requests_open"] == 0


async def test_refused_connection_is_counted() -> None:
    async with watched(limits=LimitSettings(max_connections=1)) as watch, await watch.house.connect() as first:
        await first.send("ping")
        await first.until("pong")
        async with await watch.house.connect() as second:
            await second.rest()
        found = await watch.seen()
    assert found["connections_refused_total"] == 1
    assert found['errors_total{code="overloaded"}'] == 1


async def test_health_is_that_of_the_threads() -> None:
    health = iter([True, False])
    async with watched(is_healthy=lambda: next(health)) as watch:
        assert (await watch.get("/health")).status == HTTPStatus.OK
        got = await watch.get("/health")
    assert (got.status, got.headers["Retry-After"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")


async def test_ready_requires_synthesised_sound() -> None:
    async with watched() as watch:
        got = await watch.get("/ready")
        assert got.status == HTTPStatus.OK
        assert got.body.startswith("tone-low made 0.06 s of speech in ")
        assert watch.house.tone.journal.count("begin", "OK.") == 1


async def test_a_service_that_cannot_speak_is_healthy_but_not_ready() -> None:
    hoarse = ToneSynthesizer(failure=lambda _request, _block: ModelError("hoarse"))
    async with watched(hoarse) as watch:
        assert (await watch.get("/health")).status == HTTPStatus.OK
        got = await watch.get("/ready")
    assert (got.status, got.body) == (HTTPStatus.SERVICE_UNAVAILABLE, "model-error: hoarse\n")


def test_without_a_port_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys\nimport wyoming_pocket_tts.server.app\n"
        "sys.exit(bool({'prometheus_client', 'h11'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=50).returncode == 0
