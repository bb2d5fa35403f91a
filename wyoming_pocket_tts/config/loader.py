"""Defaults < YAML < environment < flags, with source positions."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wyoming_pocket_tts.config.diagnostics import ConfigIssue, Severity, explain_error, find_conflicts
from wyoming_pocket_tts.config.fields import (
    ANY_NAME,
    ENVIRONMENT_PREFIX,
    Key,
    SettingInfo,
    variable_of,
)
from wyoming_pocket_tts.config.schema import Settings, leaves
from wyoming_pocket_tts.config.yaml_file import YamlFile
from wyoming_pocket_tts.core.errors import ConfigError, suggest
from wyoming_pocket_tts.core.logging import set_up_logging

RENAMED: Mapping[str, str] = {
    "server.shutdown_seconds": "server.shutdown_timeout",
    "server.limits.connections_per_address": "server.limits.max_connections_per_client",
    "server.limits.connections": "server.limits.max_connections",
    "server.limits.queued_requests": "server.limits.max_queued_requests",
    "server.limits.text_characters": "server.limits.max_text_length",
    "server.limits.idle_seconds": "server.limits.idle_timeout",
    "server.limits.write_seconds": "server.limits.write_timeout",
    "server.limits.queue_seconds": "server.limits.queue_timeout",
    "server.limits.active_streams": "server.limits.max_running",
    "server.limits.waiting_streams": "server.limits.max_waiting",
    "server.limits.real_time": "server.limits.limit_to_realtime",
    "server.limits.overload": "server.limits.on_overload",
    "models.memory_mb": "models.memory_budget_mb",
    "voices.NAME.rate": "voices.NAME.sample_rate",
    "voices.NAME.pause": "voices.NAME.sentence_silence",
    "voices.NAME.steps": "voices.NAME.sampler_steps",
    "satellites.NAME.rate": "satellites.NAME.sample_rate",
    "satellites.NAME.pause": "satellites.NAME.sentence_silence",
    "satellites.NAME.listed": "satellites.NAME.visible",
}
"""Former key -> present key, in the same section. Former keys, and their environment variables, stay valid."""


class SourceMap:
    """The sources of the settings; finds the place of a key."""

    def __init__(
        self, file: Path | None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
    ) -> None:
        """Raise ``ConfigError`` if the file cannot be read at all."""
        self.file = None if file is None else YamlFile(file, RENAMED)
        self.issues = [] if self.file is None else [*self.file.issues]
        """Mistakes in YAML, and former keys."""
        self.values: list[tuple[Key, Any, str]] = []
        """Key, value and place of what variables and options set, the strongest last."""
        self._places: dict[Key, str] = {}
        former = {present: old for old, present in RENAMED.items()}
        names = [(leaf, name) for leaf in leaves() for name in (former.get(leaf.yaml_key), leaf.yaml_key) if name]
        for leaf, name in names:
            text = "" if leaf.file_only else (environment or {}).get(variable_of(name))
            if text:  # Compose files pass on unset variables as empty text
                self._set(leaf, name, text, f"environment variable {variable_of(name)}")
        for leaf, name in names:
            if (value := (flags or {}).get(name)) is not None:
                self._set(leaf, name, value, f"option {leaf.flag}")

    def _set(self, leaf: SettingInfo, name: str, value: object, place: str) -> None:
        self.values.append((leaf.key, value, place))
        self._places[leaf.key] = place
        if name != leaf.yaml_key:
            text = f"{name} is now called {leaf.yaml_key}"
            self.issues.append(ConfigIssue((), text, Severity.WARNING, place))

    def line(self, key: Key) -> int:
        """The line of a key in the file; 0 if it is not in the file or a stronger source sets it."""
        if self.file is None or key in self._places:
            return 0
        values = self.file.values
        for part in key[:2]:
            if isinstance(values, dict):
                if part not in values:
                    return 0
                values = values[part]
        return self.file.line(key)

    def place(self, key: Key) -> str:
        line = self.line(key)
        return self._places.get(key) or (self.file.place(line) if self.file and line else "settings")

    def locate(self, issue: ConfigIssue) -> ConfigIssue:
        return replace(issue, place=self.place(issue.key), line=self.line(issue.key))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The valid part of the settings, and all mistakes in them."""

    settings: Settings
    issues: tuple[ConfigIssue, ...]
    """Errors, and warnings about former keys."""
    left_out: tuple[Key, ...]
    """Invalid keys; their settings have the defaults."""
    sources: SourceMap

    def is_complete(self, *sections: str) -> bool:
        """Whether nothing of these sections was left out."""
        return not any(key[:1] == (section,) or not key for key in self.left_out for section in sections)

    def conflicts(self) -> Iterator[ConfigIssue]:
        if self.is_complete("server", "discovery", "metrics"):
            for issue in find_conflicts(self.settings):
                if not any(key[:2] == issue.key[:2] for key in self.left_out):
                    yield self.sources.locate(issue)


def load_settings(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    check_conflicts: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> Settings:
    """Merge the sources into one valid tree. ``flags`` maps dotted keys (``"log.level"``) to values; None is unset.

    Raises ``ConfigError`` with a line for each mistake: the file and line, the variable or the option.
    """
    found = load_with_issues(file=file, environment=environment, flags=flags)
    issues = [*found.issues, *(found.conflicts() if check_conflicts else ())]
    if errors := [issue for issue in issues if issue.severity is Severity.ERROR]:
        raise ConfigError("\n".join(sort_issues(errors)))
    for line in sort_issues(issues):
        warn(line)
    return found.settings


def read_settings(file: Path | None, flags: Mapping[str, Any], *, log_level: str | None = None) -> Settings:
    """Load the settings of this process and set up logging; ``log_level`` is for commands, which log plain lines."""
    warnings: list[str] = []
    settings = load_settings(file=file, environment=os.environ, flags=flags, warn=warnings.append)
    style = settings.log.format
    set_up_logging(
        level=log_level or settings.log.level, style="plain" if log_level is not None and style == "text" else style
    )
    for text in [*warnings, *unknown_variables(os.environ)]:
        logging.getLogger(__name__).warning("%s", text)
    return settings


def load_with_issues(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> LoadResult:
    """Merge the valid parts of the sources, and collect the mistakes; a ``ConfigError`` if the file cannot be read."""
    sources = SourceMap(file, environment, flags)
    issues = [*sources.issues]
    left_out: list[Key] = []
    values: dict[str, Any] = {}
    if sources.file is not None:
        if not isinstance(sources.file.values, dict):
            sections = ", ".join(sorted(Settings.model_fields))
            raise ConfigError(f"{sources.file.place(1)}: must hold keys such as {sections}")
        values = _check(sources.file.values, sources.file, issues, left_out)
    for key, value, place in sources.values:
        nested = value
        for part in reversed(key):
            nested = {part: nested}
        values = _merge(values, _check(nested, place, issues, left_out))
    return LoadResult(Settings.model_validate(values), tuple(issues), tuple(left_out), sources)


def sort_issues(issues: Iterable[ConfigIssue]) -> list[str]:
    """One line for each: those about the file from top to bottom, then the others in their order."""
    return [str(issue) for issue in sorted(issues, key=lambda issue: issue.line or sys.maxsize)]


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Describe variables with our prefix that set nothing.

    Not errors: Kubernetes itself sets such names for a service that is called like ours.
    """
    known = {leaf.variable for leaf in leaves() if not leaf.file_only}
    former = {variable_of(name) for name in RENAMED if ANY_NAME not in name}
    ours = {name for name in environment if name.startswith(ENVIRONMENT_PREFIX)}
    return [f"{name} is not a setting{suggest(name, known)}" for name in sorted(ours - known - former)]


def _check(
    values: dict[str, Any], origin: YamlFile | str, issues: list[ConfigIssue], left_out: list[Key]
) -> dict[str, Any]:
    """Return the valid values of a source. Errors that follow from leaving others out are not reported."""
    folder = None if isinstance(origin, str) else origin.path.absolute().parent
    for attempt in count():
        try:
            settings = Settings.model_validate(values, context=folder)
        except ValidationError as error:
            invalid: set[Key] = set()
            for problem in error.errors():
                written, present = _find(problem["loc"], values)
                invalid.add(present)
                if attempt == 0:
                    line = 0 if isinstance(origin, str) else origin.line(written)
                    place = origin if isinstance(origin, str) else origin.place(line)
                    issues.append(replace(explain_error(problem, written), place=place, line=line))
            left_out += invalid
            for key in invalid:
                values = _without(values, key)
        else:
            break
    return settings.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _find(location: Key, values: Mapping[str, Any]) -> tuple[Key, Key]:
    """The key as it is written (one address needs no list, so no index), and the part of it that is in the mappings."""
    written: Key = ()
    present: Key = ()
    value: Any = values
    for part in location:
        is_index = isinstance(part, int) and isinstance(value, list | tuple)
        if isinstance(part, int) and not is_index:
            continue
        is_present = isinstance(value, dict) and part in value
        if is_present and present == written:
            present += (part,)
        written += (part,)
        value = value[part] if is_index or is_present else None
    return written, present


def _without(values: Mapping[str, Any], key: Key) -> dict[str, Any]:
    if not key:
        return {}
    first, *rest = key
    if not rest:
        return {name: value for name, value in values.items() if name != first}
    return {name: _without(value, tuple(rest)) if name == first else value for name, value in values.items()}


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
