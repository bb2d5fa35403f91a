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
from wyoming_pocket_tts.core.events import NullObserver, RequestStats
from wyoming_pocket_tts.core.types import Voice

MOST_VOICES: Final = 100
"""Voices with time series of their own; the others are counted together as ``other``."""

_LATENCY_SECONDS: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
"""What people hear as at once lies below a quarter of a second; the buckets are narrow there."""
_FACTORS: Final = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Speech gets gaps above 1."""
_STEP_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 1.0)
"""A step makes 80 ms of audio for each stream."""
_STREAMS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSnapshot:
    """What is measured at one moment."""

    connections: int
    active_streams: int
    """Pieces of requests that are being spoken."""
    waiting_streams: int
    """Those that wait for a place."""
    voices: Sequence[Voice]
    models: Mapping[str, str] = field(default_factory=dict)
    """Names in the settings -> ``ready``, ``coming``, ``failed`` or another of a few words."""


WatchState = Callable[[], ServerSnapshot]
"""Asked on the event loop."""


class PrometheusObserver(NullObserver):
    """Counts what it is told. Safe for any number of threads."""

    content_type: Final = CONTENT_TYPE_LATEST
    """Of ``exposition``."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._registry = CollectorRegistry()
        self._voices: set[str] = set()
        self._lock = threading.Lock()
        ProcessCollector(registry=self._registry)
        self._count_requests()
        self._count_streams()

    def watch(self, state: WatchState) -> None:
        """Take what tells the present state at each exposition. Once."""
        self._registry.register(StateCollector(state, most_voices=MOST_VOICES))

    def exposition(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)

    def _count_requests(self) -> None:
        self._requests = self._counter("requests", "Requests that are over", ("outcome", "voice"))
        self._open = Gauge(f"{PREFIX}_requests_open", "Requests under way or queued", registry=self._registry)
        self._errors = self._counter("errors", "Errors that clients were told", ("code",))
        self._refused = self._counter("connections_refused", "Connections that were turned away")
        self._characters = self._counter("characters", "Characters of the texts of requests that are over")
        self._audio = self._counter("audio_seconds", "Speech that was made for requests that are over")
        self._first_audio = self._histogram("first_audio_seconds", "Until the first sound", _LATENCY_SECONDS)
        self._factor = self._histogram("real_time_factor", "Seconds waited for a second of audio", _FACTORS)
        self._stand_ins = self._counter("stand_ins", "Answers of embedded voices because of too much load")
        self._underruns = self._counter("underruns", "Gaps that a client would have heard that plays at once")
        self._underrun_seconds = self._counter("underrun_seconds", "Length of these gaps together")

    def _count_streams(self) -> None:
        self._admission = self._histogram("stream_wait_seconds", "Wait for a place among streams", _LATENCY_SECONDS)
        self._cancellation = self._histogram("cancellation_seconds", "From giving up to being free", _LATENCY_SECONDS)
        self._batch = self._histogram("batch_streams", "Streams that share a step of a model", _STREAMS)
        self._step = self._histogram("step_seconds", "Time of a step of a model", _STEP_SECONDS)
        self._faults = self._counter("faults", "What broke in the engine", ("kind",))
        self._rebuilds = self._counter("model_rebuilds", "Models loaded anew after a fault", ("model",))

    def _counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"{PREFIX}_{name}", help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", help_text, buckets=buckets, registry=self._registry)

    def _label_of(self, voice: str | None) -> str:
        if voice is None:
            return "none"
        with self._lock:
            if voice not in self._voices:
                if len(self._voices) >= MOST_VOICES:
                    return "other"
                self._voices.add(voice)
        return voice

    # What it hears

    def refused(self) -> None:
        """Count it."""
        self._refused.inc()

    def failed(self, code: str) -> None:
        """Count it."""
        self._errors.labels(code).inc()

    def request_began(self) -> None:
        """Count it as open."""
        self._open.inc()

    def first_audio(self, seconds: float) -> None:
        """Note how long it took."""
        self._first_audio.observe(seconds)

    def underrun(self, seconds: float) -> None:
        """Count it, and its length."""
        self._underruns.inc()
        self._underrun_seconds.inc(seconds)

    def request_ended(self, ended: RequestStats) -> None:
        """Count it, what it asked for and what it got."""
        self._open.dec()
        self._requests.labels(ended.outcome, self._label_of(ended.voice)).inc()
        self._characters.inc(ended.characters)
        self._audio.inc(ended.audio_seconds)
        if ended.real_time_factor is not None:
            self._factor.observe(ended.real_time_factor)

    def stood_in(self) -> None:
        """Count it."""
        self._stand_ins.inc()

    def admitted(self, waited_seconds: float) -> None:
        """Note how long it waited."""
        self._admission.observe(waited_seconds)

    def cancelled(self, seconds: float) -> None:
        """Note how long it took."""
        self._cancellation.observe(seconds)

    def batch(self, streams: int, seconds: float) -> None:
        """Note its size and time."""
        self._batch.observe(streams)
        self._step.observe(seconds)

    def fault(self, kind: str) -> None:
        """Count it."""
        self._faults.labels(kind).inc()

    def rebuilt(self, model: str) -> None:
        """Count it."""
        self._rebuilds.labels(model).inc()


PREFIX: Final = "wyoming_pocket_tts"
"""Begins the name of every metric."""


class StateCollector(Collector):
    """Makes metrics of the state."""

    def __init__(self, state: WatchState, *, most_voices: int) -> None:
        """Take whom to ask, and how many voices to list at most."""
        self._state = state
        self._most_voices = most_voices

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask for the state."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Ask, and write down what is."""
        state = self._state()
        yield _info("build", "The version that runs", ("version",), [(__version__,)])
        yield _gauge("connections", "Clients connected", state.connections)
        yield _gauge("active_streams", "Pieces of requests that are being spoken", state.active_streams)
        yield _gauge("waiting_streams", "Pieces of requests that wait for their turn", state.waiting_streams)
        yield _gauge("voices_installed", "Voices that can speak", sum(voice.installed for voice in state.voices))
        voices = [(v.name, v.languages[0], "yes" if v.installed else "no") for v in state.voices[: self._most_voices]]
        yield _info("voice", "Voices", ("voice", "language", "installed"), voices)
        yield _info("model", "Models", ("model", "state"), state.models.items())


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value)


def _info(name: str, help_text: str, labels: Sequence[str], rows: Iterable[tuple[str, ...]]) -> GaugeMetricFamily:
    """A gauge that is always 1 and tells by its labels, once for each row."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}_info", help_text, labels=labels)
    for row in dict.fromkeys(rows):
        family.add_metric(row, 1)
    return family
