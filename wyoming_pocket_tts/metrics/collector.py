"""Makes metrics of what is now: streams, connections, voices, models. Asks at each exposition; knows not whom."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.metrics.state import WatchState

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
