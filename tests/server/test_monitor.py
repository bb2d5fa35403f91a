"""A service that is watched: real workers, a real server, real clients, and what the endpoint says of them."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from tests.server.asking import Got, get, values
from tests.server.client import Service, service
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.server.http import MonitoringServer
from wyoming_pocket_tts.server.metrics import PrometheusObserver, ServerSnapshot

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


async def test_who_is_turned_away_is_counted() -> None:
    async with watched(limits=LimitSettings(connections=1)) as watch, await watch.house.connect() as first:
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


async def test_ready_is_who_really_speaks() -> None:
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
