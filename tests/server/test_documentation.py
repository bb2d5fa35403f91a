"""The page on metrics lists what there is."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.tone import VOICES
from wyoming_pocket_tts.core.events import RequestStats
from wyoming_pocket_tts.server.metrics import PrometheusObserver, ServerSnapshot

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
PREFIX = "wyoming_pocket_tts_"


def offered() -> dict[str, tuple[str, frozenset[str]]]:
    """Names as people write them in queries -> type and labels."""
    instruments = PrometheusObserver()
    instruments.failed("x")
    instruments.fault("x")
    instruments.rebuilt("x")
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
    instruments.request_ended(ended)
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
