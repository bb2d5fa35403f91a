"""docs/reliability.md names tests and limits: the tests are there, and the limits are these."""

import dataclasses
import re
from pathlib import Path

from wyoming_pocket_tts.config.schema import Limits

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
    listed = [(name.strip("`"), default) for name, default, _ in rows("Limits")]
    assert listed == [(limit.name, str(limit.default)) for limit in dataclasses.fields(Limits)]


def test_limits_are_enforced_where_it_says() -> None:
    package = TESTS.parent / "wyoming_pocket_tts"
    for name, _, place in rows("Limits"):
        module = package / place.strip("`")
        modules = [module] if module.exists() else package.rglob("*.py")  # the page names the modules of the new layout
        assert any(f".{name.strip('`')}" in path.read_text(encoding="utf-8") for path in modules), name
