"""docs/reliability.md names tests and limits: the tests are there, and the limits are these."""

import dataclasses
import importlib
import re
from pathlib import Path

from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.server.protocol import EventLimits

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(test_\w+)`")


def rows(heading: str) -> list[list[str]]:
    section = DOCUMENT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return [line for line in lines[1:] if not line[0].startswith("**")]


def test_every_fault_is_proved_by_tests_that_exist() -> None:
    written = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    faults = rows("Faults")
    assert len(faults) > 30
    for what, _, proof in faults:
        named = TEST.findall(proof)
        assert named, what
        assert set(named) <= written, what


def test_every_limit_is_listed_with_its_default() -> None:
    listed = {name.strip("`"): (default, place.strip("`")) for name, default, place in rows("Limits")}
    settings = {name: field.default for name, field in LimitSettings.model_fields.items()}
    del settings["limit_to_realtime"], settings["on_overload"]
    events = {f"EventLimits.{field.name}": field.default for field in dataclasses.fields(EventLimits)}
    for name, (default, place) in listed.items():
        if name.isupper():
            module = importlib.import_module(f"wyoming_pocket_tts.{place.removesuffix('.py').replace('/', '.')}")
            assert str(getattr(module, name)) == default, name
        else:
            assert str((settings | events)[name]) == default, name
    assert settings.keys() | events.keys() <= listed.keys()


def test_limits_are_enforced_where_it_says() -> None:
    package = TESTS.parent / "wyoming_pocket_tts"
    for name, _, place in rows("Limits"):
        wanted = name.strip("`").rpartition(".")[2]
        text = (package / place.strip("`")).read_text(encoding="utf-8")
        assert text.count(wanted) > 1 if wanted.isupper() else f".{wanted}" in text, name
