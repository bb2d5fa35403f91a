"""Prints what these tests need beside the core itself, one requirement a line. Run it with the core's interpreter.

A core installs an integration's requirements when it first meets it; here that happens before the tests.
"""

import json
import sys
from pathlib import Path

import homeassistant

_COMPONENTS = ("homeassistant", "http", "api", "websocket_api", "config", "assist_pipeline", "wyoming", "zeroconf")


def requirements(root: Path, components: tuple[str, ...]) -> list[str]:
    """The requirements of ``components`` and of everything that they depend on."""
    todo, seen, found = set(components), set[str](), set[str]()
    while todo:
        component = todo.pop()
        seen.add(component)
        manifest = json.loads((root / component / "manifest.json").read_text(encoding="utf-8"))
        found.update(manifest.get("requirements", ()))
        todo.update(set(manifest.get("dependencies", ())) - seen)
    return sorted(found)


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path(homeassistant.__file__).parent / "components", _COMPONENTS)) + "\n")
