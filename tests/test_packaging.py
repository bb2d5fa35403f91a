"""What a serving installation brings along, from the metadata of what is installed here."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def needed(requirements: list[str], extras: frozenset[str] = frozenset({""})) -> Iterator[Requirement]:
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


def closure(requirements: list[str]) -> set[str]:
    """Return the names of all packages that these bring along, and those in turn."""
    found: set[str] = set()
    waiting = list(needed(requirements))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found.add(name)
        try:
            waiting += needed(requires(name) or [], frozenset({"", *requirement.extras}))
        except PackageNotFoundError:
            pytest.fail(f"{name} is required and not installed")
    return found


def test_serving_brings_no_pytorch_and_nothing_else_that_is_heavy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    serving = closure(project["dependencies"])
    assert {"onnxruntime", "wyoming", "huggingface-hub", "tokenizers"} <= serving
    assert not {name for name in serving if name in {"torch", "pocket-tts", "scipy", "matplotlib"} or "nvidia" in name}
    assert "torch" in closure(project["optional-dependencies"]["torch"]), "or this test could not see it"


def test_wheel_has_no_training_code_and_nothing_imports_it() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel["packages"] == ["wyoming_pocket_tts"]
    left_out = [ROOT / path for path in wheel["exclude"]]
    assert left_out == [ROOT / "wyoming_pocket_tts/kokoro/training"]
    assert (left_out[0] / "__main__.py").is_file(), "or the source tree had no training either"
    sources = [path for path in (ROOT / "wyoming_pocket_tts").rglob("*.py") if left_out[0] not in path.parents]
    assert not [path for path in sources if "kokoro.training" in path.read_text(encoding="utf-8")]
