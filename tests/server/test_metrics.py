"""Metrics: values, documentation, and a service that exposes them."""

import json
import re
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tests.server.client import Client
from tests.server.http_client import get, values
from tests.support.service import Service, service
from tests.support.tone import VOICES
from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.events import RequestStats
from wyoming_pocket_tts.server.metrics import MAX_VOICES, PrometheusObserver, ServerSnapshot

ENDED = RequestStats(
    request="4f1c9a2e",
    peer="10.0.0.9 #1",
    outcome="spoken",
    voice="anna",
    characters=120,
    audio_seconds=8.0,
    first_audio_seconds=0.08,
    waited_seconds=1.0,
)


def seen(instruments: PrometheusObserver) -> dict[str, float]:
    """Samples without the prefix that all have."""
    return {
        name.removeprefix("wyoming_pocket_tts_"): n for name, n in values(instruments.exposition().decode()).items()
    }


def test_requests_are_counted_by_what_became_of_them() -> None:
    instruments = PrometheusObserver()
    for _ in range(3):
        instruments.request_started()
    instruments.request_finished(ENDED)
    silent = replace(ENDED, outcome="voice-error", voice=None, audio_seconds=0.0, waited_seconds=0.0)
    instruments.request_finished(silent)
    found = seen(instruments)
    assert found["requests_open"] == 1
    assert found['requests_total{outcome="spoken",voice="anna"}'] == 1
    assert found['requests_total{outcome="voice-error",voice="none"}'] == 1
    assert found["characters_total"] == 240
    assert found["audio_seconds_total"] == 8
    assert found['real_time_factor_bucket{le="0.1"}'] == 0
    assert found['real_time_factor_bucket{le="0.15"}'] == 1
    assert found["real_time_factor_count"] == 1, "what made no audio has no speed"


def test_everything_that_is_heard_is_seen() -> None:
    instruments = PrometheusObserver()
    instruments.connection_refused()
    instruments.error_sent("overloaded")
    instruments.first_audio(0.09)
    instruments.underrun(0.25)
    instruments.stream_admitted(0.0)
    instruments.stream_cancelled(0.02)
    instruments.batch_step(8, 0.03)
    instruments.engine_fault("hung")
    instruments.model_reloaded("english")
    found = seen(instruments)
    assert found["connections_refused_total"] == 1
    assert found['errors_total{code="overloaded"}'] == 1
    assert (found["first_audio_seconds_count"], found['first_audio_seconds_bucket{le="0.075"}']) == (1, 0)
    assert (found["underruns_total"], found["underrun_seconds_total"]) == (1, 0.25)
    assert found['stream_wait_seconds_bucket{le="0.01"}'] == 1
    assert found["cancellation_seconds_sum"] == 0.02
    assert (found['batch_streams_bucket{le="6.0"}'], found['batch_streams_bucket{le="8.0"}']) == (0, 1)
    assert found["step_seconds_sum"] == 0.03
    assert (found['engine_faults_total{kind="hung"}'], found['faults_total{kind="stuck"}']) == (1, 1)
    assert found['model_rebuilds_total{model="english"}'] == 1


def test_the_process_is_measured() -> None:
    found = values(PrometheusObserver().exposition().decode())
    assert found["process_resident_memory_bytes"] > 10e6
    assert found["process_open_fds"] > 0


def test_what_is_now_is_asked_for_each_time() -> None:
    state = ServerSnapshot(
        connections=1, active_streams=2, waiting_streams=3, voices=VOICES, models={"english": "coming"}
    )
    moments = iter([state, replace(state, connections=7, voices=(), models={"english": "ready"})])
    instruments = PrometheusObserver()
    instruments.watch(lambda: next(moments))
    first, second = seen(instruments), seen(instruments)
    assert (first["connections"], first["active_streams"], first["waiting_streams"]) == (1, 2, 3)
    assert first["voices_installed"] == 3
    assert first['voice_info{installed="no",language="fr-FR",voice="tone-away"}'] == 1
    assert first['model_info{model="english",state="coming"}'] == 1
    assert first[f'build_info{{version="{__version__}"}}'] == 1
    assert (second["connections"], second["voices_installed"]) == (7, 0)
    assert 'model_info{model="english",state="ready"}' in second
    assert not [name for name in second if name.startswith("voice_info")]


def test_there_are_never_more_series_than_a_few() -> None:
    instruments = PrometheusObserver()
    many = [replace(VOICES[0], name=f"voice {number}") for number in range(3 * MAX_VOICES)]
    instruments.watch(lambda: ServerSnapshot(connections=0, active_streams=0, waiting_streams=0, voices=many))
    for voice in many:
        instruments.request_finished(replace(ENDED, voice=voice.name))
    found = seen(instruments)
    assert sum(name.startswith("requests_total{") for name in found) == MAX_VOICES + 1
    assert found['requests_total{outcome="spoken",voice="other"}'] == 2 * MAX_VOICES
    assert sum(name.startswith("voice_info{") for name in found) == MAX_VOICES


def test_prometheus_can_read_it_whatever_voices_are_called() -> None:
    instruments = PrometheusObserver()
    instruments.request_finished(replace(ENDED, voice='the "quiet"\nroom\\'))
    families = list(text_string_to_metric_families(instruments.exposition().decode()))
    voices = {sample.labels.get("voice") for family in families for sample in family.samples}
    assert 'the "quiet"\nroom\\' in voices


def test_two_services_in_one_process_count_for_themselves() -> None:
    first, second = PrometheusObserver(), PrometheusObserver()
    first.underrun(1.0)
    assert seen(second)["underruns_total"] == 0
    assert not [family for family in REGISTRY.collect() if family.name.startswith("wyoming")]


def test_threads_lose_nothing() -> None:
    instruments = PrometheusObserver()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(4_000):
            pool.submit(instruments.batch_step, 2, 0.01)
    assert seen(instruments)["batch_streams_count"] == 4_000


PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
PREFIX = "wyoming_pocket_tts_"


def offered() -> dict[str, tuple[str, frozenset[str]]]:
    """Names as people write them in queries -> type and labels."""
    instruments = PrometheusObserver()
    instruments.error_sent("x")
    instruments.engine_fault("x")
    instruments.model_reloaded("x")
    ended = RequestStats(
        request="r",
        peer="p",
        outcome="spoken",
        voice="v",
        characters=1,
        audio_seconds=1.0,
        first_audio_seconds=0.1,
        waited_seconds=0.1,
    )
    instruments.request_finished(ended)
    state = ServerSnapshot(
        connections=0, active_streams=0, waiting_streams=0, voices=VOICES, models={"english": "ready"}
    )
    instruments.watch(lambda: state)
    found = {}
    for family in text_string_to_metric_families(instruments.exposition().decode()):
        if family.name.startswith(PREFIX) and not family.name.endswith("_created"):
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            name = family.name.removeprefix(PREFIX) + ("_total" if family.type == "counter" else "")
            found[name] = (family.type, frozenset(labels))
    return found


def test_every_metric_is_described_with_its_labels() -> None:
    table = PAGE.partition("<!-- metrics:")[2].partition("<!-- /metrics -->")[0]
    rows = re.findall(r"^\| `(\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", table, re.MULTILINE)
    described = {name: (kind, frozenset(labels.split(",")) - {""}) for name, labels, kind in rows}
    assert described == offered()


def test_the_queries_ask_for_what_there_is() -> None:
    names = {name.removesuffix("_bucket") for name in re.findall(rf"{PREFIX}(\w+)", PAGE)}
    assert len(names) > 4
    assert names <= offered().keys() | {""}


TEXT = "Marzipan for Anneliese."


@asynccontextmanager
async def watched(tmp_path: Path, *options: str) -> AsyncIterator[tuple[Service, str, str]]:
    """A service that has spoken once, with the addresses of its two doors."""
    async with service("--metrics-port", "0", *options, tmp_path=tmp_path) as running:
        uri = await running.uri()
        await running.until_logged("Metrics at ")
        found = re.search(r"http://127\.0\.0\.1:\d+", running.log)
        assert found is not None
        async with await Client.connect(uri) as client:
            await client.send("synthesize", text=TEXT)
            await client.until("audio-stop")
            yield running, uri, found[0]


async def test_it_answers_from_start_to_stop(tmp_path: Path) -> None:
    async with watched(tmp_path) as (running, _, address):
        assert (await get(address, "/health")).body == "ok\n"
        assert (await get(address, "/ready")).status == HTTPStatus.OK
        found = values((await get(address, "/metrics")).body)
        assert found['wyoming_pocket_tts_requests_total{outcome="spoken",voice="tone-low"}'] == 1
        assert found["wyoming_pocket_tts_connections"] == 1
        assert found["wyoming_pocket_tts_voices_installed"] == 5, "three, and the styles of one of them"
        assert found["process_resident_memory_bytes"] > 0
        assert await running.stop() == 0
        assert "Traceback" not in running.log


async def test_a_request_has_its_line_in_the_log_without_its_text(tmp_path: Path) -> None:
    async with watched(tmp_path, "--log-format", "json") as (running, _, _):
        await running.until_logged("request_stats")
        assert await running.stop() == 0
    (line,) = [line for line in map(json.loads, running.log.splitlines()) if line["logger"].endswith("request_stats")]
    assert (line["outcome"], line["voice"], line["characters"]) == ("spoken", "tone-low", len(TEXT))
    assert "Marzipan" not in running.log


async def test_models_being_installed_are_exposed(tmp_path: Path) -> None:
    environment = {"WYOMING_POCKET_TTS_MODELS_NAMES": "english", "WYOMING_POCKET_TTS_MODELS_LOCAL_FILES_ONLY": "true"}
    async with service("--metrics-port", "0", tmp_path=tmp_path, **environment) as running:
        await running.until_logged("Metrics at ")
        found = re.search(r"http://127\.0\.0\.1:\d+", running.log)
        assert found is not None
        got = values((await get(found[0], "/metrics")).body)
    assert got['wyoming_pocket_tts_model_info{model="english",state="coming"}'] == 1


async def test_a_taken_port_ends_the_start_with_the_settings_name(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with service("--metrics-port", port, tmp_path=tmp_path) as running:
            assert await running.exit_code() == 2
    assert f"metrics.port: cannot listen on tcp://127.0.0.1:{port}: " in running.log
    assert "address already in use" in running.log.lower()
    assert "Traceback" not in running.log


async def test_without_a_port_there_is_no_endpoint(tmp_path: Path) -> None:
    async with service(tmp_path=tmp_path) as running:
        await running.uri()
        assert await running.stop() == 0
    assert "Metrics at" not in running.log
