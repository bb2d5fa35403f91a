"""A settings file as it is written: its values, and the line of each. Knows no single setting.

YAML takes some names for something else: ``Yes`` for a truth value, ``24`` for a number. Here names are names, as they
are written, and what was taken for something else is a slip to be told.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.settings.clashes import Key
from wyoming_pocket_tts.settings.yaml_trouble import trouble

_TEXT = "tag:yaml.org,2002:str"
_RUN_TOGETHER = re.compile(r"([a-z_]+):(\S.*)")
"""A key of ours and its value without the space between them."""
_TAKEN_FOR = {
    "tag:yaml.org,2002:bool": "true or false",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:timestamp": "a date",
}


@dataclass(frozen=True, slots=True)
class Slip:
    """What YAML takes silently, and nobody means."""

    line: int
    text: str


class YamlFile:
    """One file, read once.

    Attributes:
        path: where it lies.
        values: what it holds; an empty one holds nothing.
    """

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ConfigError: it cannot be read, or is not YAML that holds keys.
        """
        self.path = path
        text = _read(path)
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._slips = _read_names(self._root)
            values = _construct(self._root)
        except yaml.MarkedYAMLError as error:
            found = trouble(error, text)
            place = f"{path}, line {found.line}" if found.line else path
            raise ConfigError(f"{place}: is not valid YAML: {found.text}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
        self.values: Any = {} if values is None else values

    def slips(self) -> list[Slip]:
        """What of its writing is a mistake although it can be read."""
        return self._slips

    def line(self, key: Key) -> int:
        """The line of a key, or that of the nearest part of it that stands in the file."""
        line, node = 1, self._root
        for part in key:
            found = next((pair for pair in _pairs(node) if pair[0].value == str(part)), None)
            if found is not None:
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _construct(root: yaml.Node | None) -> Any:  # noqa: ANN401  (whatever the file holds)
    loader = yaml.SafeLoader("")
    try:
        return None if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def _read_names(root: yaml.Node | None) -> list[Slip]:
    """Let keys be the text that they are written as; tell of those that YAML takes for something else.

    And of keys that a mapping holds twice, of which YAML takes the last; and of ``{from:alba}``, which is a key alone.
    """
    slips: list[Slip] = []
    open_nodes, seen = [root], {id(root)}  # aliases make a node part of several others, or of itself
    while open_nodes:
        names: set[str] = set()
        node = open_nodes.pop()
        slips += _part_at_colons(node)
        for key, value in _pairs(node):
            if isinstance(key, yaml.ScalarNode):
                slips += [Slip(key.start_mark.line + 1, text) for text in _wrong_with(key, names)]
                key.tag = _TEXT if key.tag in _TAKEN_FOR else key.tag
                names.add(key.value)
            if id(value) not in seen:
                seen.add(id(value))
                open_nodes.append(value)
    return slips


def _part_at_colons(node: yaml.Node | None) -> Iterator[Slip]:
    """Make key and value of keys in braces that hold a colon and have no value; tell of them."""
    for position, (key, value) in enumerate(_pairs(node)):
        parts = _RUN_TOGETHER.fullmatch(key.value) if isinstance(key, yaml.ScalarNode) and key.style is None else None
        if parts and node is not None and getattr(node, "flow_style", False) and value.value == "":
            yield Slip(key.start_mark.line + 1, f"a space belongs behind the colon: '{parts[1]}: {parts[2]}'")
            start, end = key.start_mark, key.end_mark
            node.value[position] = (
                yaml.ScalarNode(_TEXT, parts[1], start, end),
                yaml.ScalarNode(_TEXT, parts[2], start, end),
            )


def _wrong_with(key: yaml.ScalarNode, before: Container[str]) -> Iterator[str]:
    if key.value in before:
        yield f"key '{key.value}' stands there a second time"
    if key.tag in _TAKEN_FOR:
        yield f"YAML takes the key {key.value} for {_TAKEN_FOR[key.tag]}; in quotes it is text: '{key.value}'"


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []
