"""YAML with line numbers, and what is wrong with it in plain words."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wyoming_pocket_tts.config.fields import Key
from wyoming_pocket_tts.core.errors import ConfigError

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
class YamlIssue:
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

    def slips(self) -> list[YamlIssue]:
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


def _read_names(root: yaml.Node | None) -> list[YamlIssue]:
    """Let keys be the text that they are written as; tell of those that YAML takes for something else.

    And of keys that a mapping holds twice, of which YAML takes the last; and of ``{from:alba}``, which is a key alone.
    """
    slips: list[YamlIssue] = []
    open_nodes, seen = [root], {id(root)}  # aliases make a node part of several others, or of itself
    while open_nodes:
        names: set[str] = set()
        node = open_nodes.pop()
        slips += _part_at_colons(node)
        for key, value in _pairs(node):
            if isinstance(key, yaml.ScalarNode):
                slips += [YamlIssue(key.start_mark.line + 1, text) for text in _wrong_with(key, names)]
                key.tag = _TEXT if key.tag in _TAKEN_FOR else key.tag
                names.add(key.value)
            if id(value) not in seen:
                seen.add(id(value))
                open_nodes.append(value)
    return slips


def _part_at_colons(node: yaml.Node | None) -> Iterator[YamlIssue]:
    """Make key and value of keys in braces that hold a colon and have no value; tell of them."""
    for position, (key, value) in enumerate(_pairs(node)):
        parts = _RUN_TOGETHER.fullmatch(key.value) if isinstance(key, yaml.ScalarNode) and key.style is None else None
        if parts and node is not None and getattr(node, "flow_style", False) and value.value == "":
            yield YamlIssue(key.start_mark.line + 1, f"a space belongs behind the colon: '{parts[1]}: {parts[2]}'")
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


_BLANK = re.compile(r"\s*(#.*)?")


@dataclass(frozen=True, slots=True)
class YamlSyntaxIssue:
    """What is wrong."""

    line: int
    """From 1; 0 where nobody knows."""
    text: str


def trouble(error: yaml.MarkedYAMLError, text: str) -> YamlSyntaxIssue:
    """Explain an error of the parser about a text."""
    problem, context = error.problem or "", error.context or ""
    noticed = error.problem_mark.line + 1 if error.problem_mark else 0
    began = error.context_mark.line + 1 if error.context_mark else noticed
    lines = text.splitlines()
    if "'\\t'" in problem:
        return YamlSyntaxIssue(noticed, "there is a tab; indent with spaces")
    if problem == "could not find expected ':'":
        return YamlSyntaxIssue(began, _no_colon(lines[began - 1]))
    if problem == "mapping values are not allowed here" or "<document start>" in problem:
        return _colon_too_many(lines, noticed)
    return _unfinished(problem, context, noticed=noticed, began=began)


def _unfinished(problem: str, context: str, *, noticed: int, began: int) -> YamlSyntaxIssue:
    """What began at a line and does not end as it should; or else what the parser says."""
    if "quoted scalar" in context and "end of stream" in problem:
        return YamlSyntaxIssue(began, "the quotation mark that is opened here is not closed")
    if found := re.search(r"parsing a flow (sequence|mapping)", context):
        opened, closed = ("[", "]") if found[1] == "sequence" else ("{", "}")
        where = "here" if noticed == began else f"at line {noticed}"
        return YamlSyntaxIssue(
            began, f"the '{opened}' of this line is not closed: a '{closed}' or a comma is missing {where}"
        )
    if "<block end>" in problem:
        return YamlSyntaxIssue(noticed, f"the line is not indented like those that it belongs to, from line {began} on")
    return YamlSyntaxIssue(noticed, problem or context)


def _colon_too_many(lines: list[str], number: int) -> YamlSyntaxIssue:
    """A key that has no colon and the next line are one text for YAML, in which a colon is one too many."""
    before = next((at for at in range(number - 1, 0, -1) if not _BLANK.fullmatch(lines[at - 1])), 0)
    if before and ":" not in lines[before - 1]:
        return YamlSyntaxIssue(before, _no_colon(lines[before - 1]))
    return YamlSyntaxIssue(number, "a colon too many, or too deep an indent; text with ': ' needs quotes")


def _no_colon(line: str) -> str:
    key = line.partition("#")[0].strip()
    return f"a colon is missing: '{key}:'" if re.fullmatch(r"[\w-]+", key) else f"a colon is missing in '{key}'"
