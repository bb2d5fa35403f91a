"""The arrows of the house point one way, and nothing that serves ever imports PyTorch.

``ARROWS`` is the whole rule: it says which of our own modules each part may import.
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

from tests.service import service

PACKAGE = "wyoming_pocket_tts"
ROOT = Path(__file__).parents[1] / PACKAGE

EVERYWHERE = {"errors"}
"""What every part may import."""

ARROWS: dict[str, set[str]] = {
    # the foundation
    "": {"*"},
    "errors": set(),
    "speech": set(),
    "wav": set(),
    "graph": set(),
    "inference": set(),
    "playback": set(),
    "logs": set(),
    "text": set(),
    # what becomes of sound on its way
    "audio": {"speech"},
    # the models: they know texts and the contract, nothing of who asks
    "kokoro": {"speech", "text", "graph", "inference"},
    "pocket": {"speech", "text", "voices", "graph", "inference", "places", "playback"},
    "voices": {"speech"},
    # the bridge between models and asyncio
    "engine": {"speech", "playback"},
    # the front doors
    "serving": {"speech", "engine", "text", "voices", "logs"},
    "metrics": {"speech", "engine", "serving"},
    "web": {"speech", "engine", "text", "voices", "serving"},
    "client": {"wav", "wish", "serving.address"},
    "wish": set(),
    "player": {"wav"},
    "standard_input": set(),
    "satellites": {"voices"},
    "cast": {"speech", "satellites", "voices"},
    "narrator": {"speech", "cast", "text", "audio"},
    "stand_ins": {"cast", "speech", "voices"},
    "voice_list": {"speech"},
    "offline": {
        *("speech", "text", "voices", "settings", "casting", "narrator"),
        *("serving.direction", "serving.limits", "serving.silence"),  # what of an answer is no protocol
    },
    "options": set(),
    "commands": {
        *("speech", "offline", "audio", "wav", "voices", "pocket", "text", "wanted"),
        *("settings", "settings_sources", "casting", "satellites"),
        *("client", "cores", "engine", "serving"),  # the doctor, who looks at a service from outside
    },
    # what puts it all together
    "places": set(),
    "settings": {"places", "speech", "serving.address", "serving.limits"},
    "settings_sources": {"settings"},
    "casting": {"settings", "cast", "satellites", "speech", "voices", "pocket", "wanted"},
    "repertoire": {"speech"},
    "residency": {"speech", "memory", "engine.observer", "engine.faults"},
    "cores": set(),
    "wanted": {"pocket", "speech", "voices"},
    "install_log": {"pocket"},
    "installer": {"install_log", "pocket", "repertoire", "residency", "voices", "wanted"},
    "library": {"pocket", "voice_intake", "voices", "wanted"},
    "voice_intake": {"pocket", "voices"},
    "memory": set(),
    "engines": {"*"},
    "lifecycle": {"*"},
    "cli": {"*"},
    "cli_pocket": {"options", "cli_support", "engines", "commands", "kokoro", "pocket", "settings"},
    "cli_system": {"options", "cli_support", "commands", "client"},
    "cli_config": {"options", "cli_support", "commands", "kokoro"},
    "cli_doctor": {"options", "cli_support", "engines", "commands", "kokoro", "logs"},
    "cli_support": {"logs", "settings", "settings_sources"},
    "home_assistant": {
        *("cli_support", "engines", "lifecycle", "settings", "serving.address", "speech"),
        *("commands.config", "kokoro"),  # what config check would say
    },
    "__main__": {"cli"},
}
"""Part -> the parts it may import; a dotted name allows that module alone, ``*`` all of them."""

NO_ASYNCIO = ("audio", "kokoro", "pocket", "text", "voices")
"""Parts that run on worker threads: asyncio has no place there."""

TORCH = ("kokoro.training", "kokoro.model", "kokoro.layers", "kokoro.vocoder", "kokoro.letters", "pocket.torch")
"""Networks in PyTorch and what trains them: imported by nothing else, but for those who choose an engine."""

CHOOSING = {"pocket.loading", "pocket.module_methods", "pocket.tts_model", "commands.pocket_model", "commands.speak"}
"""May import a network in PyTorch, inside a function, when somebody asks for that engine, or for its types alone."""


WRITING = (
    "graph",
    "kokoro.graphs",
    "pocket.onnx.codec_transformer",
    "pocket.onnx.flow_head",
    "pocket.onnx.flow_lm",
    "pocket.onnx.linears",
    "pocket.onnx.mimi",
    "pocket.onnx.portable",
    "pocket.onnx.portable_codec",
    "pocket.onnx.portable_flow_lm",
    "pocket.onnx.portable_head",
    "pocket.onnx.portable_manifest",
    "pocket.onnx.portable_operators",
    "pocket.onnx.products",
    "pocket.onnx.seanet",
    "pocket.onnx.single_file",
    "pocket.onnx.streaming",
)
"""What writes models: loads the package onnx, for which a process that serves has no use and no memory."""

CONVERTING = {"pocket.onnx.convert", "commands.export_onnx"}
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
    if part not in ARROWS:
        yield f"{module}: tests/test_imports.py does not say what '{part}' may import"
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
        allowed = ARROWS[part] | EVERYWHERE | {part}
        if "*" not in allowed and not any(f"{ours}.".startswith(f"{target}.") for target in allowed):
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
    known = {re.split("[<>=]", name)[0] for name in declared} | {"yaml", "pydantic_core", PACKAGE}
    imported = {
        name.partition(".")[0]
        for module, path in modules()
        if not needs_torch(module)
        for name in imports_of(module, path.read_text(encoding="utf-8"), is_package=path.stem == "__init__")
        if not (module in CHOOSING and name.partition(".")[0] == "torch")
    }
    assert imported - known - {"matplotlib"} - sys.stdlib_module_names == set()  # compare draws if it is installed


def test_the_rule_itself_has_no_circles() -> None:
    def reached_from(part: str, path: tuple[str, ...] = ()) -> None:
        assert part not in path, f"{' -> '.join((*path, part))} goes round"
        for target in ARROWS[part] - {"*"}:
            reached_from(target.partition(".")[0], (*path, part))

    for part in ARROWS:
        reached_from(part)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine.workers", f"from {PACKAGE}.serving.server import Server"),
        ("engine.workers", f"import {PACKAGE}.kokoro.runtime"),
        ("kokoro.runtime", f"from {PACKAGE} import settings"),
        ("kokoro.runtime", f"def load():\n    from {PACKAGE}.engine.workers import Workers"),
        ("kokoro.runtime", "import asyncio"),
        ("text.sentences", "from asyncio import Queue"),
        ("text.sentences", f"from {PACKAGE}.speech import Voice"),
        ("serving.server", "import torch"),
        ("serving.server", f"from {PACKAGE}.cli import app"),
        ("serving.server", f"from {PACKAGE}.kokoro.runtime import load_kokoro"),
        ("kokoro.runtime", "from torch.nn import Module"),
        ("kokoro.runtime", f"from {PACKAGE}.kokoro.training import corpus"),
        ("kokoro.runtime", "from .model import KokoroModel"),
        ("pocket.generate", f"from {PACKAGE}.pocket.torch.backend import TorchBackend"),
        ("kokoro.runtime", "from ..engine.workers import Workers"),
        ("pocket.onnx.backend", f"def load():\n    from {PACKAGE}.pocket.onnx.mimi import decoder_graph"),
        ("pocket.onnx.install", f"from {PACKAGE}.graph import Graph"),
        ("kokoro.runtime", "from .. import settings"),
        ("client", f"from {PACKAGE}.serving.server import Server"),
        ("unheard_of", "import json"),
    ],
)
def test_a_planted_violation_is_caught(module: str, source: str) -> None:
    assert list(violations(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("serving.server", f"from {PACKAGE}.engine.workers import Workers"),
        ("serving.server", f"import asyncio\nfrom {PACKAGE}.serving import wire"),
        ("kokoro.runtime", f"import numpy\nfrom {PACKAGE}.speech import Voice"),
        ("kokoro.training.fit", f"import torch\nfrom {PACKAGE}.kokoro.training import corpus"),
        ("client", f"from {PACKAGE}.serving.address import parse_uri"),
        ("pocket.onnx.convert", f"def write():\n    from {PACKAGE}.pocket.onnx.mimi import decoder_graph"),
        ("lifecycle", f"from {PACKAGE} import __version__"),
        ("kokoro.runtime", "from ..speech import Voice\nfrom . import phonemes"),
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
    loaded = modules_after(f"import {PACKAGE}.cli")
    assert not loaded & {"torch", "numpy", "onnxruntime", "zeroconf", "wyoming", "pydantic"}


def test_everything_but_the_networks_imports_without_torch() -> None:
    names = [f"{PACKAGE}.{name}".rstrip(".") for name, _ in modules() if not needs_torch(name) and name not in WRITING]
    loaded = modules_after("import " + ", ".join(names))
    assert f"{PACKAGE}.serving.server" in loaded
    assert not loaded & {"torch", "onnx"}


def test_onnx_runtime_is_loaded_in_one_place_where_it_is_kept_silent() -> None:
    importers = {
        name
        for name, path in modules()
        if any(f"{imported}.".startswith("onnxruntime.") for imported in imports_of(name, path.read_text()))
    }
    assert importers == {"inference"}


async def test_a_serving_process_has_no_torch_in_it(tmp_path: Path) -> None:
    """Looks at the files that are mapped into a running service, whatever imported them."""
    async with service("--engine", "kokoro", tmp_path=tmp_path) as running:
        await running.uri()
        mapped = await asyncio.to_thread(Path(f"/proc/{running.process.pid}/maps").read_text)
    assert "onnxruntime" in mapped
    assert "torch" not in mapped
