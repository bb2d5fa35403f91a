"""What Prometheus reads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from tests.server.asking import values
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
        instruments.request_began()
    instruments.request_ended(ENDED)
    silent = replace(ENDED, outcome="voice-error", voice=None, audio_seconds=0.0, waited_seconds=0.0)
    instruments.request_ended(silent)
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
    instruments.refused()
    instruments.failed("overloaded")
    instruments.first_audio(0.09)
    instruments.underrun(0.25)
    instruments.admitted(0.0)
    instruments.cancelled(0.02)
    instruments.batch(8, 0.03)
    instruments.fault("stuck")
    instruments.rebuilt("english")
    found = seen(instruments)
    assert found["connections_refused_total"] == 1
    assert found['errors_total{code="overloaded"}'] == 1
    assert (found["first_audio_seconds_count"], found['first_audio_seconds_bucket{le="0.075"}']) == (1, 0)
    assert (found["underruns_total"], found["underrun_seconds_total"]) == (1, 0.25)
    assert found['stream_wait_seconds_bucket{le="0.01"}'] == 1
    assert found["cancellation_seconds_sum"] == 0.02
    assert (found['batch_streams_bucket{le="6.0"}'], found['batch_streams_bucket{le="8.0"}']) == (0, 1)
    assert found["step_seconds_sum"] == 0.03
    assert found['faults_total{kind="stuck"}'] == 1
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
        instruments.request_ended(replace(ENDED, voice=voice.name))
    found = seen(instruments)
    assert sum(name.startswith("requests_total{") for name in found) == MAX_VOICES + 1
    assert found['requests_total{outcome="spoken",voice="other"}'] == 2 * MAX_VOICES
    assert sum(name.startswith("voice_info{") for name in found) == MAX_VOICES


def test_prometheus_can_read_it_whatever_voices_are_called() -> None:
    instruments = PrometheusObserver()
    instruments.request_ended(replace(ENDED, voice='the "quiet"\nroom\\'))
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
            pool.submit(instruments.batch, 2, 0.01)
    assert seen(instruments)["batch_streams_count"] == 4_000
