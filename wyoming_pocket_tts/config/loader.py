"""Defaults < YAML < environment < flags, with source positions."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wyoming_pocket_tts.config.diagnostics import (
    ConfigIssue,
    SourceMap,
    Where,
    explain_error,
    find_conflicts,
    listed,
    nearest,
    option_of,
)
from wyoming_pocket_tts.config.fields import (
    ENVIRONMENT_PREFIX,
    Key,
    RelativePath,
    SettingsModel,
    holds_names,
    keys_of,
    section_in,
)
from wyoming_pocket_tts.config.schema import Settings, leaves
from wyoming_pocket_tts.config.yaml_file import YamlFile
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.logging import set_up_logging


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Settings without what is wrong with them, and all of that."""

    settings: Settings
    mistakes: tuple[ConfigIssue, ...]
    left_out: tuple[Key, ...]
    """What was wrong, and is therefore as if nobody had said it."""

    def has_whole(self, *sections: str) -> bool:
        """Whether nothing of these sections was left out."""
        return not any(key[:1] == (section,) or not key for key in self.left_out for section in sections)


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
    found = load_with_issues(file=file, environment=environment, flags=flags)
    lines = in_order([*found.mistakes, *clash_mistakes(found, places_in(file, environment=environment, flags=flags))])
    if lines:
        raise ConfigError("\n".join(lines))
    return found.settings


def read_settings(file: Path | None, flags: Mapping[str, Any], *, log_level: str | None = None) -> Settings:
    """Load the settings of this process and set up logging; ``log_level`` is for commands, which log plain lines."""
    settings = load_settings(file=file, environment=os.environ, flags=flags)
    style = settings.log.format
    set_up_logging(
        level=log_level or settings.log.level, style="plain" if log_level is not None and style == "text" else style
    )
    for text in unknown_variables(os.environ):
        logging.getLogger(__name__).warning("%s", text)
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
    found = load_with_issues(file=file, environment=environment, flags=flags)
    if found.mistakes:
        raise ConfigError("\n".join(in_order(found.mistakes)))
    return found.settings


def load_with_issues(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadResult:
    """Merge what is right in the sources, and tell what is not.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    sources = [_read_file(file)] if file is not None else []
    sources += [*_read_environment(environment or {}), *_read_flags(flags or {})]
    values: dict[str, Any] = {}
    for source in sources:
        values = _merge(values, source.values)
    mistakes = tuple(mistake for source in sources for mistake in source.mistakes)
    left_out = tuple(key for source in sources for key in source.left_out)
    return LoadResult(Settings.model_validate(values), mistakes, left_out)


def in_order(mistakes: Iterable[ConfigIssue]) -> list[str]:
    """The lines to tell: those about the file from top to bottom, then the others as they were found."""
    return [mistake.text for mistake in sorted(mistakes, key=lambda mistake: mistake.line or sys.maxsize)]


def clash_mistakes(found: LoadResult, places: SourceMap) -> Iterator[ConfigIssue]:
    """Say which settings cannot be together. Nothing follows from what was left out."""
    if found.has_whole("server", "discovery", "metrics"):
        for clash in find_conflicts(found.settings):
            if not any(key[:2] == clash.key[:2] for key in found.left_out):
                yield places.mistake(clash.key, clash.text)


def places_in(
    file: Path | None, *, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> SourceMap:
    """Make what names the place of a key in sources that were read before.

    Raises:
        ConfigError: the file is not what it was.
    """
    return SourceMap(file, environment, flags)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Name the variables that look like ours but set nothing.

    They are worth a warning, no more: Kubernetes itself invents such names for a service that is called like us.
    """
    known = {leaf.variable for leaf in leaves() if not leaf.file_only}
    strangers = sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
    return [f"{name} is not a setting{nearest(name, known)}" for name in strangers]


@dataclass(frozen=True, slots=True)
class _Source:
    """What is right in a source, and what is not."""

    values: dict[str, Any]
    mistakes: tuple[ConfigIssue, ...] = ()
    left_out: tuple[Key, ...] = ()


def _read_file(path: Path) -> _Source:
    """Read and check a file; its paths then start where it lies.

    Raises:
        ConfigError: it cannot be read at all.
    """
    file = YamlFile(path)
    if not isinstance(file.values, dict):
        raise ConfigError(f"{path}, line 1: must hold keys such as {listed(Settings.model_fields)}")
    slips = [ConfigIssue(slip.line, f"{path}, line {slip.line}: {slip.text}") for slip in file.slips()]
    read = _check(_without_empty(file.values, Settings), lambda key: f"{path}, line {file.line(key)}", file.line)
    anchored = _anchored(read.values, Settings.model_validate(read.values), path.absolute().parent)
    return _Source(anchored, (*slips, *read.mistakes), read.left_out)


def _anchored(values: Mapping[str, Any], section: SettingsModel, folder: Path) -> dict[str, Any]:
    """Let the paths among the values start at the folder; ``section`` is what the values became."""
    anchored = dict(values)
    for name, field in type(section).model_fields.items():
        key = field.alias or name
        if key not in values:
            continue
        checked = getattr(section, name)
        if isinstance(checked, SettingsModel):
            anchored[key] = _anchored(values[key], checked, folder)
        elif holds_names(field) and section_in(field) is not None:
            anchored[key] = {each: _anchored(values[key][each], below, folder) for each, below in checked.items()}
        for mark in field.metadata:
            if isinstance(mark, RelativePath):
                anchored[key] = mark.anchor(checked, folder)
    return anchored


def _read_environment(environment: Mapping[str, str]) -> Iterator[_Source]:
    for leaf in leaves():
        # Compose files pass variables on as empty text when nobody has set them.
        if text := environment.get(leaf.variable):
            yield _check(_nested(leaf.key, text), _always(f"environment variable {leaf.variable}"))


def _read_flags(flags: Mapping[str, Any]) -> Iterator[_Source]:
    by_key = {leaf.yaml_key: leaf for leaf in leaves()}
    for key, value in flags.items():
        if value is not None:
            leaf = by_key[key]
            yield _check(_nested(leaf.key, value), _always(option_of(leaf.flag)))


def _always(place: str) -> Where:
    return lambda _: place


def _check(values: Mapping[str, Any], where: Where, line: Callable[[Key], int] = lambda _: 0) -> _Source:
    """Leave out what is wrong. What is wrong only without it is no mistake of its own."""
    mistakes: list[ConfigIssue] = []
    left_out: list[Key] = []
    kept = dict(values)
    while True:
        try:
            Settings.model_validate(kept)
        except ValidationError as error:
            problems = [(problem, _as_written(problem["loc"], kept)) for problem in error.errors()]
            if not mistakes:
                mistakes = [
                    ConfigIssue(line(key), f"{where(key)}: {explain_error(each, key)}") for each, key in problems
                ]
            for key in {_present(key, kept) for _, key in problems}:
                left_out.append(key)
                kept = _without(kept, key)
        else:
            return _Source(kept, tuple(mistakes), tuple(left_out))


def _as_written(key: Key, values: Mapping[str, Any]) -> Key:
    """The key without the numbers of a list that is none in the source: one address needs no list."""
    written: list[str | int] = []
    value: Any = values
    for part in key:
        if isinstance(part, int) and not isinstance(value, list | tuple):
            continue
        written.append(part)
        value = value.get(part) if isinstance(value, dict) else None if isinstance(part, str) else value[part]
    return tuple(written)


def _present(key: Key, values: Mapping[str, Any]) -> Key:
    """As much of a key as leads to something that a person gave."""
    present: list[str | int] = []
    value: Any = values
    for part in key:
        if not isinstance(value, dict) or part not in value:
            break
        present.append(part)
        value = value[part]
    return tuple(present)


def _without(values: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """Values without one of them; without a key nothing is left."""
    if not key:
        return {}
    first, *rest = key
    if not rest:
        return {name: value for name, value in values.items() if name != first}
    return {name: _without(value, tuple(rest)) if name == first else value for name, value in values.items()}


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


def _without_empty(values: Mapping[str, Any], section: type[SettingsModel]) -> dict[str, Any]:
    """Drop a section's keys without a value: a section whose lines are all commented out is not an error.

    A name that somebody gave stays, as that of something of which nothing is said.
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
                name: _without_empty(each or {}, below) if each is None or isinstance(each, dict) else each
                for name, each in value.items()
            }
        else:
            kept[key] = _without_empty(value, below)
    return kept
