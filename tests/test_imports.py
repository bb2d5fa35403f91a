"""The arrows of the house point one way, and nothing that serves ever imports PyTorch.

``FLOORS`` is the whole rule.
"""

import ast
import asyncio
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import service

PACKAGE = "wyoming_pocket_tts"
ROOT = Path(__file__).parents[1] / PACKAGE

FLOORS = {
    "core": 1,
    **dict.fromkeys(("audio", "text", "config", "inference"), 2),
    **dict.fromkeys(("pocket", "kokoro"), 3),
    **dict.fromkeys(("engine", "voices"), 4),
    "server": 5,
    **dict.fromkeys(("cli", "home_assistant"), 6),
    **dict.fromkeys(("", "__main__"), 7),
}
"""Folder -> its floor. An import goes down, or stays inside of its folder."""

NO_ASYNCIO = ("audio", "kokoro", "pocket", "text", "voices")
"""Parts that run on worker threads: asyncio has no place there."""

TORCH = (
    *("kokoro.training", "kokoro.model", "kokoro.model_transformers", "kokoro.positional_encoding", "kokoro.vocoder"),
    "pocket.torch",
)
"""Networks in PyTorch and what trains them: imported by nothing else, but for those who choose an engine."""

CHOOSING = {"pocket.loading", "pocket.model", "cli.model_choice", "cli.generate"}
"""May import a network in PyTorch, inside a function, when somebody asks for that engine, or for its types alone."""


WRITING = (
    "inference.graph",
    "inference.quantized",
    "pocket.onnx.codec_graphs",
    "pocket.onnx.flow_graphs",
    "pocket.onnx.portable",
    "pocket.onnx.portable_graphs",
)
"""What writes models: loads the package onnx, for which a process that serves has no use and no memory."""

CONVERTING = {"pocket.onnx.convert", "pocket.worker", "cli.models"}
"""May import what writes models, inside a function: the child process that converts, and a command."""


def imports_of(module: str, source: str, *, is_package: bool = False) -> Iterator[str]:
    """Yield the full name of everything that ``module`` imports, at any depth; ``from a import b`` gives ``a.b``."""
    own_path = f"{PACKAGE}.{module}".split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = len(own_path) - node.level + is_package
            origin = ".".join([*own_path[: up if node.level else 0], *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def violations(module: str, source: str, *, is_package: bool = False) -> Iterator[str]:
    """Check one of our modules, named without the package (``serving.server``)."""
    part = module.partition(".")[0]
    if part not in FLOORS:
        yield f"{module}: tests/test_imports.py does not say on which floor '{part}' is"
        return
    with_torch = needs_torch(module)
    for name in imports_of(module, source, is_package=is_package):
        top, _, ours = name.partition(".")
        if top == "torch" and not with_torch and module not in CHOOSING:
            yield f"{module} imports {name}"
        if top == "asyncio" and part in NO_ASYNCIO:
            yield f"{module} imports {name}"
        if top != PACKAGE or not ours or ours == "__version__":
            continue
        if needs_torch(ours) and not with_torch and module not in CHOOSING:
            yield f"{module} imports {name}: it needs PyTorch, which is not for serving"
        if writes_models(ours) and not (with_torch or writes_models(module) or module in CONVERTING):
            yield f"{module} imports {name}: it loads the package onnx, which is not for serving"
        target = ours.partition(".")[0]
        if target != part and part and FLOORS.get(target, 0) >= FLOORS[part]:
            yield f"{module} imports {name}"


def needs_torch(module: str) -> bool:
    return any(f"{module}.".startswith(f"{part}.") for part in TORCH)


def writes_models(module: str) -> bool:
    return any(f"{module}.".startswith(f"{part}.") for part in WRITING)


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_all_arrows_point_one_way() -> None:
    found = [
        problem
        for name, path in modules()
        for problem in violations(name, path.read_text(encoding="utf-8"), is_package=path.stem == "__init__")
    ]
    assert found == []


def test_what_serving_imports_is_what_it_depends_on() -> None:
    """A package that only another one brings along may leave with that one's next release."""
    declared = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    known = {re.split("[<>=]", name)[0] for name in declared} | {"ruamel", "yaml", "pydantic_core", PACKAGE}
    imported = {
        name.partition(".")[0]
        for module, path in modules()
        if not needs_torch(module)
        for name in imports_of(module, path.read_text(encoding="utf-8"), is_package=path.stem == "__init__")
        if not (module in CHOOSING and name.partition(".")[0] == "torch")
    }
    assert imported - known - {"matplotlib"} - sys.stdlib_module_names == set()  # compare draws if it is installed


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine.scheduler", f"from {PACKAGE}.server.server import Server"),
        ("kokoro.synthesizer", f"def load():\n    from {PACKAGE}.engine.scheduler import Scheduler"),
        ("text.sentences", "from asyncio import Queue"),
        ("text.sentences", f"from {PACKAGE}.audio.effects import Resampler"),
        ("server.server", "import torch"),
        ("kokoro.synthesizer", "from .model import KokoroModel"),
        ("kokoro.synthesizer", "from ..engine.scheduler import Scheduler"),
        ("pocket.onnx.backend", f"def load():\n    from {PACKAGE}.pocket.onnx.codec_graphs import decoder_graph"),
        ("unheard_of", "import json"),
    ],
)
def test_a_planted_violation_is_caught(module: str, source: str) -> None:
    assert list(violations(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("server.server", f"import asyncio\nfrom {PACKAGE}.server import protocol"),
        ("kokoro.training.fit", f"import torch\nfrom {PACKAGE}.kokoro.training import corpus"),
        ("pocket.onnx.convert", f"def write():\n    from {PACKAGE}.pocket.onnx.codec_graphs import decoder_graph"),
        ("kokoro.synthesizer", "from ..core.types import Voice\nfrom . import phonemes"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert list(violations(module, source)) == []


def modules_after(code: str) -> set[str]:
    """Import in a fresh interpreter; return the names of all that was loaded."""
    program = f"{code}\nimport sys\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)
    return set(done.stdout.split())


def test_the_command_line_starts_without_anything_heavy() -> None:
    loaded = modules_after(f"import {PACKAGE}.cli.main")
    assert not loaded & {"torch", "numpy", "onnxruntime", "zeroconf", "wyoming", "pydantic"}


def test_everything_but_the_networks_imports_without_torch() -> None:
    names = [f"{PACKAGE}.{name}".rstrip(".") for name, _ in modules() if not needs_torch(name) and name not in WRITING]
    loaded = modules_after("import " + ", ".join(names))
    assert f"{PACKAGE}.server.server" in loaded
    assert not loaded & {"torch", "onnx"}


def test_onnx_runtime_is_loaded_in_one_place_where_it_is_kept_silent() -> None:
    importers = {
        name
        for name, path in modules()
        if any(f"{imported}.".startswith("onnxruntime.") for imported in imports_of(name, path.read_text()))
    }
    assert importers == {"inference.session"}


async def test_a_serving_process_has_no_torch_in_it(tmp_path: Path) -> None:
    """Looks at the files that are mapped into a running service, whatever imported them."""
    async with service("--engine", "kokoro", tmp_path=tmp_path) as running:
        await running.uri()
        mapped = await asyncio.to_thread(Path(f"/proc/{running.process.pid}/maps").read_text)
    assert "onnxruntime" in mapped
    assert "torch" not in mapped
