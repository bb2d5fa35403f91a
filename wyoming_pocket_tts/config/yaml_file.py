"""A YAML file with line numbers, and its mistakes in plain words."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from wyoming_pocket_tts.config.diagnostics import ConfigIssue, Severity, dotted
from wyoming_pocket_tts.config.fields import ANY_NAME, Key
from wyoming_pocket_tts.core.errors import ConfigError

_TEXT = "tag:yaml.org,2002:str"
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp")}
_RUN_TOGETHER = re.compile(r"([a-z_]+):(\S.*)")
"""A key and its value without the space between them."""


class YamlFile:
    """A settings file, read once.

    ``renamed`` maps former keys to their present ones; ``NAME`` in them stands for any key.
    """

    def __init__(self, path: Path, renamed: Mapping[str, str] | None = None) -> None:
        """Raise ``ConfigError`` if the file cannot be read or is not YAML."""
        self.path = path
        text = _read(path)
        try:
            loader = _Loader(text)
            self._root = loader.get_single_node()
            renames = list(_rename(self._root, renamed or {}))
            self.values: Any = {} if self._root is None else loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            line, why = _explain_syntax(error, text)
            raise ConfigError(f"{path}{f', line {line}' if line else ''}: is not valid YAML: {why}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
        if self.values is None:
            self.values = {}
        self.issues = [
            ConfigIssue((), why, severity, self.place(line), line)
            for severity, found in ((Severity.ERROR, loader.mistakes), (Severity.WARNING, renames))
            for line, why in found
        ]
        """Mistakes that YAML accepts silently (errors), and former keys (warnings)."""

    def place(self, line: int) -> str:
        return f"{self.path}, line {line}"

    def line(self, key: Key) -> int:
        line, node = 1, self._root
        for part in key:
            found = next((pair for pair in _pairs(node) if pair[0].value == str(part)), None)
            if found is not None:
                line, node = _line(found[0]), found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = _line(node)
            else:
                break
        return line


class _Loader(yaml.SafeLoader):
    """Takes keys as the text that is written (``no``, ``24``), and notes mistakes with their lines."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.mistakes: list[tuple[int, str]] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401  (as the stubs have it)
        node = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for position, (key, value) in enumerate(node.value):
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.tag in _PLAIN:
                key.tag = _TEXT
            parts = _RUN_TOGETHER.fullmatch(key.value) if node.flow_style and key.style is None else None
            if parts and value.value == "":  # "{from:alba}" is a key without a value
                self.mistakes.append((_line(key), f"a space belongs behind the colon: '{parts[1]}: {parts[2]}'"))
                key.value = parts[1]
                node.value[position] = key, yaml.ScalarNode(_TEXT, parts[2], key.start_mark, key.end_mark)
            elif key.value in names:  # YAML takes the last one
                self.mistakes.append((_line(key), f"key '{key.value}' stands there a second time"))
            names.add(key.value)
        return node


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _rename(root: yaml.Node | None, renamed: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Give former keys their present names, except beside those; yield a line and a warning for each."""
    for former, present in renamed.items():
        *path, old = former.split(".")
        new = present.rpartition(".")[2]
        found: list[tuple[Key, yaml.Node | None]] = [((), root)]
        for part in path:
            found = [
                ((*at, key.value), value)
                for at, node in found
                for key, value in _pairs(node)
                if part in (key.value, ANY_NAME)
            ]
        for at, node in found:
            keys = {key.value: key for key, _ in _pairs(node)}
            if old in keys and new not in keys:
                keys[old].value = new
                yield _line(keys[old]), f"{dotted((*at, old))} is now called {dotted((*at, new))}"


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return [(key, value) for key, value in pairs if isinstance(key, yaml.ScalarNode)]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _explain_syntax(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line of a syntax error, 0 if unknown, and the reason."""
    problem, context = error.problem or "", error.context or ""
    noticed = error.problem_mark.line + 1 if error.problem_mark else 0
    began = error.context_mark.line + 1 if error.context_mark else noticed
    lines = text.splitlines()
    line, why = noticed, problem or context
    if "'\\t'" in problem:
        why = "there is a tab; indent with spaces"
    elif problem == "could not find expected ':'":
        line, why = began, _missing_colon(lines[began - 1])
    elif problem == "mapping values are not allowed here" or "<document start>" in problem:
        # A key without a colon and the next line are one text for YAML, in which the second colon is an error.
        before = next((at for at in range(noticed - 1, 0, -1) if lines[at - 1].partition("#")[0].strip()), 0)
        if before and ":" not in lines[before - 1]:
            line, why = before, _missing_colon(lines[before - 1])
        else:
            why = "a colon too many, or too deep an indent; text with ': ' needs quotes"
    elif "quoted scalar" in context and "end of stream" in problem:
        line, why = began, "the quotation mark that is opened here is not closed"
    elif found := re.search(r"parsing a flow (sequence|mapping)", context):
        opened, closed = "[]" if found[1] == "sequence" else "{}"
        where = "here" if noticed == began else f"at line {noticed}"
        line, why = began, f"the '{opened}' of this line is not closed: a '{closed}' or a comma is missing {where}"
    elif "<block end>" in problem:
        why = f"the line is not indented like those that it belongs to, from line {began} on"
    return line, why


def _missing_colon(line: str) -> str:
    key = line.partition("#")[0].strip()
    return f"a colon is missing: '{key}:'" if re.fullmatch(r"[\w-]+", key) else f"a colon is missing in '{key}'"
