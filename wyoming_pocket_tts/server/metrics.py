"""Prometheus instruments and collector."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.events import Observer, RequestStats
from wyoming_pocket_tts.core.types import Voice

PREFIX: Final = "wyoming_pocket_tts"
MAX_VOICES: Final = 100
"""Voices with a time series each; the others are counted together as ``other``."""

_LATENCY_SECONDS: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
"""Listeners take less than 0.25 s as immediate; the buckets are narrow there."""
_FACTORS: Final = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Above 1, speech gets gaps."""
_STEP_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0)
"""A step makes 80 ms of audio for each sequence."""
_BATCH_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """The state of a server at one moment."""

    connections: int
    active_streams: int
    """Segments that are synthesised."""
    waiting_streams: int
    """Segments that wait to be."""
    voices: Sequence[Voice]
    models: Mapping[str, str] = field(default_factory=dict)
    """Names in the settings -> ``ready``, ``coming``, ``failed`` or another of a few words."""


_FORMER_NAMES: Final = {
    "requests_in_progress": "requests_open",
    "connections_rejected": "connections_refused",
    "time_to_first_audio_seconds": "first_audio_seconds",
    "fallbacks": "stand_ins",
    "queue_time_seconds": "stream_wait_seconds",
    "batch_size": "batch_streams",
    "decode_step_seconds": "step_seconds",
    "engine_faults": "faults",
    "model_reloads": "model_rebuilds",
    "streams_running": "active_streams",
    "streams_waiting": "waiting_streams",
}
"""Metrics that are exposed under the name of an earlier release too."""
_FORMER_LABELS: Final = {"hung": "stuck"}


class PrometheusObserver(Observer):
    """Counts events. Thread-safe."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._voices: set[str] = set()
        self._lock = threading.Lock()
        ProcessCollector(registry=self._registry)
        self._requests = self._counter("requests", "Finished requests", "outcome", "voice")
        self._in_progress = Gauge(f"{PREFIX}_requests_in_progress", "Requests in progress or queued", registry=None)
        self._register("requests_in_progress", self._in_progress)
        self._errors = self._counter("errors", "Errors sent to clients", "code")
        self._rejected = self._counter("connections_rejected", "Connections rejected")
        self._characters = self._counter("characters", "Characters in the texts of finished requests")
        self._audio = self._counter("audio_seconds", "Speech made for finished requests")
        self._first_audio = self._histogram("time_to_first_audio_seconds", "Until the first sound", _LATENCY_SECONDS)
        self._factor = self._histogram("real_time_factor", "Seconds waited for a second of audio", _FACTORS)
        self._fallbacks = self._counter("fallbacks", "Answers of embedded voices because of load")
        self._underruns = self._counter("underruns", "Gaps for a client that plays at once")
        self._underrun_seconds = self._counter("underrun_seconds", "Length of these gaps together")
        self._queue_time = self._histogram("queue_time_seconds", "Wait for a place among streams", _LATENCY_SECONDS)
        self._cancellation = self._histogram("cancellation_seconds", "Cancelled until free", _LATENCY_SECONDS)
        self._batch = self._histogram("batch_size", "Sequences in a step of a model", _BATCH_SIZES)
        self._step = self._histogram("decode_step_seconds", "Time of a step of a model", _STEP_SECONDS)
        self._faults = self._counter("engine_faults", "Faults in the engine", "kind")
        self._reloads = self._counter("model_reloads", "Models reloaded after a fault", "model")

    def watch(self, snapshot: Callable[[], ServerSnapshot]) -> None:
        """Expose the present state too, asked for on the event loop at each exposition. Call once."""
        self._registry.register(_Collector(lambda: _state_metrics(snapshot())))

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        counter = Counter(f"{PREFIX}_{name}", help_text, labels, registry=None)
        self._register(name, counter)
        return counter

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"{PREFIX}_{name}", help_text, buckets=buckets, registry=None)
        self._register(name, histogram)
        return histogram

    def _register(self, name: str, metric: Collector) -> None:
        self._registry.register(metric)
        if name in _FORMER_NAMES:
            self._registry.register(_Collector(lambda: map(_under_former_name, metric.collect())))

    def _voice_label(self, voice: str | None) -> str:
        if voice is None:
            return "none"
        with self._lock:
            if voice not in self._voices:
                if len(self._voices) >= MAX_VOICES:
                    return "other"
                self._voices.add(voice)
        return voice

    def connection_refused(self) -> None:
        self._rejected.inc()

    def error_sent(self, code: str) -> None:
        self._errors.labels(code).inc()

    def request_started(self) -> None:
        self._in_progress.inc()

    def first_audio(self, seconds: float) -> None:
        self._first_audio.observe(seconds)

    def underrun(self, seconds: float) -> None:
        self._underruns.inc()
        self._underrun_seconds.inc(seconds)

    def request_finished(self, ended: RequestStats) -> None:
        self._in_progress.dec()
        self._requests.labels(ended.outcome, self._voice_label(ended.voice)).inc()
        self._characters.inc(ended.characters)
        self._audio.inc(ended.audio_seconds)
        if ended.real_time_factor is not None:
            self._factor.observe(ended.real_time_factor)

    def fallback_used(self) -> None:
        self._fallbacks.inc()

    def stream_admitted(self, waited_seconds: float) -> None:
        self._queue_time.observe(waited_seconds)

    def stream_cancelled(self, seconds: float) -> None:
        self._cancellation.observe(seconds)

    def batch_step(self, streams: int, seconds: float) -> None:
        self._batch.observe(streams)
        self._step.observe(seconds)

    def engine_fault(self, kind: str) -> None:
        self._faults.labels(kind).inc()

    def model_reloaded(self, model: str) -> None:
        self._reloads.labels(model).inc()


class _Collector(Collector):
    """Metrics that are made at each exposition."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        return ()  # registering must not collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _under_former_name(metric: Metric) -> Metric:
    name = f"{PREFIX}_{_FORMER_NAMES[metric.name.removeprefix(f'{PREFIX}_')]}"
    former = Metric(name, f"Former name of {metric.name}", metric.type)
    former.samples = [
        sample._replace(
            name=name + sample.name.removeprefix(metric.name),
            labels={key: _FORMER_LABELS.get(value, value) for key, value in sample.labels.items()},
        )
        for sample in metric.samples
    ]
    return former


def _state_metrics(now: ServerSnapshot) -> Iterator[Metric]:
    yield _info("build", "The version that runs", ("version",), [(__version__,)])
    yield _gauge("connections", "Clients connected", now.connections)
    for name, help_text, value in (
        ("streams_running", "Segments that are synthesised", now.active_streams),
        ("streams_waiting", "Segments that wait to be synthesised", now.waiting_streams),
    ):
        yield _gauge(name, help_text, value)
        yield _gauge(_FORMER_NAMES[name], f"Former name of {name}", value)
    yield _gauge("voices_installed", "Voices that can speak", sum(voice.installed for voice in now.voices))
    voices = [(v.name, v.languages[0], "yes" if v.installed else "no") for v in now.voices[:MAX_VOICES]]
    yield _info("voice", "Voices", ("voice", "language", "installed"), voices)
    yield _info("model", "Models", ("model", "state"), now.models.items())


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value)


def _info(name: str, help_text: str, labels: Sequence[str], rows: Iterable[tuple[str, ...]]) -> GaugeMetricFamily:
    """A gauge that is always 1 and carries its data in labels, once for each row."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}_info", help_text, labels=labels)
    for row in dict.fromkeys(rows):
        family.add_metric(row, 1)
    return family
