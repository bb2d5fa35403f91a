"""Reads the settings: defaults < YAML file < environment < flags. Knows the tree only by its shape, no single setting.

Each source is checked on its own, so that an error can name the place that a person has to change.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.settings import ENVIRONMENT_PREFIX, Settings, leaves
from wyoming_pocket_tts.settings.clashes import Key, clashes
from wyoming_pocket_tts.settings.section import RelativeToFile, Section, holds_names, keys_of, section_in

Where = Callable[[Key], str]
"""Names the place in the sources where a key was set."""


def load_settings(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Merge the sources into one checked tree whose parts go together.

    ``flags`` maps dotted keys (``"log.level"``) to values; None means that the flag was not given.

    Raises:
        ConfigError: a source cannot be read or holds what is not allowed; one line per problem, each naming the file
            and line, the variable or the flag, and what is allowed.
    """
    settings = merge_sources(file=file, environment=environment, flags=flags)
    if any(clashes(settings)):
        raise ConfigError("\n".join(clash_lines(settings, places_in(file))))
    return settings


def merge_sources(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The same, whether the parts go together or not: each value alone is right.

    Raises:
        ConfigError: as ``load_settings``.
    """
    merged: dict[str, Any] = {}
    if file is not None:
        merged = _read_file(file)
    merged = _merge(merged, _read_environment(environment or {}))
    merged = _merge(merged, _read_flags(flags or {}))
    return _check(merged, _always("settings"))


def clash_lines(settings: Settings, where: Where) -> list[str]:
    """Say which settings cannot be together, a line each."""
    return [f"{where(clash.key)}: {dotted(clash.key)}: {clash.text}" for clash in clashes(settings)]


def places_in(file: Path | None) -> Where:
    """Make what names the line of a key in a settings file that was read before; what stands elsewhere has no line.

    Raises:
        ConfigError: the file is not what it was.
    """
    if file is None:
        return _always("settings")
    root, values = _parse(file)

    def place(key: Key) -> str:
        section, *below = key
        in_file = isinstance(values, dict) and section in values
        if in_file and below and isinstance(values[section], dict):
            in_file = below[0] in values[section]
        return f"{file}, line {_line_of(root, key)}" if in_file else "settings"

    return place


def dotted(key: Key) -> str:
    """As a key is written in messages: ``log.level``."""
    return ".".join(str(part) for part in key)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Name the variables that look like ours but set nothing.

    They are worth a warning, no more: Kubernetes itself invents such names for a service that is called like us.
    """
    known = {leaf.variable for leaf in leaves() if not leaf.file_only}
    strangers = sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
    return [f"{name} is not a setting{_nearest(name, known)}" for name in strangers]


def _read_file(path: Path) -> dict[str, Any]:
    """Read and check a file; its paths then start where it lies.

    Raises:
        ConfigError: as ``load_settings``.
    """
    root, values = _parse(path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}, line 1: must hold keys such as {_listed(Settings.model_fields)}")
    for line, name in _repeated_keys(root):
        raise ConfigError(f"{path}, line {line}: key '{name}' stands there a second time")
    values = _without_empty(values, Settings)
    checked = _check(values, lambda key: f"{path}, line {_line_of(root, key)}")
    return _anchored(values, checked, path.absolute().parent)


def _parse(path: Path) -> tuple[yaml.Node | None, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        place = f"{path}, line {error.problem_mark.line + 1}" if error.problem_mark else path
        raise ConfigError(f"{place}: is not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error


def _anchored(values: Mapping[str, Any], section: Section, folder: Path) -> dict[str, Any]:
    """Let the paths among the values start at the folder; ``section`` is what the values became."""
    anchored = dict(values)
    for name, field in type(section).model_fields.items():
        key = field.alias or name
        if key not in values:
            continue
        checked = getattr(section, name)
        if isinstance(checked, Section):
            anchored[key] = _anchored(values[key], checked, folder)
        elif holds_names(field) and section_in(field) is not None:
            anchored[key] = {each: _anchored(values[key][each], below, folder) for each, below in checked.items()}
        for mark in field.metadata:
            if isinstance(mark, RelativeToFile):
                anchored[key] = mark.anchor(checked, folder)
    return anchored


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for leaf in leaves():
        # Compose files pass variables on as empty text when nobody has set them.
        if text := environment.get(leaf.variable):
            one = _nested(leaf.key, text)
            _check(one, _always(f"environment variable {leaf.variable}"))
            values = _merge(values, one)
    return values


def _read_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    by_key = {leaf.yaml_key: leaf for leaf in leaves()}
    values: dict[str, Any] = {}
    for key, value in flags.items():
        if value is not None:
            leaf = by_key[key]
            one = _nested(leaf.key, value)
            _check(one, _always(f"option {leaf.flag}"))
            values = _merge(values, one)
    return values


def _always(place: str) -> Callable[[Key], str]:
    return lambda _: place


def _check(values: Mapping[str, Any], where: Callable[[Key], str]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = [f"{where(problem['loc'])}: {_explain(problem)}" for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from error


def _explain(problem: ErrorDetails) -> str:
    *parents, last = problem["loc"] or ("",)
    key = dotted(problem["loc"])
    if problem["type"] == "extra_forbidden":
        allowed = keys_of(_section_at(tuple(parents)))
        return f"unknown key '{key}'{_nearest(str(last), allowed)}; allowed here: {_listed(allowed)}"
    if problem["type"] == "missing":
        meant = keys_of(_section_at(tuple(parents)))[str(last)]
        return f"{key}: is missing: {meant.description}"
    if problem["type"] in ("model_type", "dict_type", "mapping_type"):
        return f"{key}: must hold keys of its own, not {problem['input']!r}"
    if last == "[key]":
        key = f"the key {problem['input']!r} of {dotted(tuple(parents[:-1]))}"
    if problem["type"] == "string_type":
        return f"{key}: should be text, not {problem['input']!r}; text in quotes is always text"
    if problem["type"] == "value_error":  # from our own checks, which name the value
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}"
    message = problem["msg"].removeprefix("Input ")
    return f"{key}: {message}, not {problem['input']!r}"


def _section_at(key: Key) -> type[Section]:
    """The section that a key leads to, past names that people gave."""
    section: type[Section] = Settings
    for part in key:
        field = keys_of(section).get(str(part))
        below = section_in(field) if field is not None else None
        section = below or section
    return section


def _nearest(name: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names))


def _nested(key: tuple[str, ...], value: object) -> dict[str, Any]:
    first, *rest = key
    return {first: _nested(tuple(rest), value) if rest else value}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one source over another; sections merge, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _without_empty(values: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    """Drop a section's keys without a value: a section whose lines are all commented out is not an error.

    Names that people give stay: what has a name and no value is a mistake.
    """
    known = keys_of(section)
    kept: dict[str, Any] = {}
    for key, value in values.items():
        field = known.get(str(key))
        below = section_in(field) if field is not None else None
        if value is None:
            continue
        if field is None or below is None or not isinstance(value, dict):
            kept[key] = value
        elif holds_names(field):
            kept[key] = {
                name: _without_empty(each, below) if isinstance(each, dict) else each for name, each in value.items()
            }
        else:
            kept[key] = _without_empty(value, below)
    return kept


def _line_of(root: yaml.Node | None, key: Key) -> int:
    """Find the line of a key, or that of the nearest part of it that stands in the file."""
    line, node = 1, root
    for part in key:
        found = next((pair for pair in _pairs(node) if pair[0].value == str(part)), None)
        if found is not None:
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _pairs(node: yaml.Node | None) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _repeated_keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each key that a mapping holds twice: YAML silently takes the last one."""
    seen: set[str] = set()
    for key, value in _pairs(node):
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(key.value)
        yield from _repeated_keys(value)
