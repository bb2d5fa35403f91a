"""Where a setting was set: names the place that a person has to change. Knows no single setting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.settings import leaves
from wyoming_pocket_tts.settings.clashes import Key
from wyoming_pocket_tts.settings.complaints import dotted
from wyoming_pocket_tts.settings.yaml_file import YamlFile

Where = Callable[[Key], str]
"""Names the place in the sources where a key was set."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that a person has to change."""

    line: int
    """In the settings file; 0 for what stands elsewhere."""
    text: str
    """What is wrong, with its place."""


class Origins:
    """Names the place of a key in sources that were read before: an option, a variable, a line of the file."""

    def __init__(
        self, file: Path | None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
    ) -> None:
        """Read the file again.

        Raises:
            ConfigError: it is not what it was.
        """
        self._file = None if file is None else YamlFile(file)
        options = {key for key, value in (flags or {}).items() if value is not None}
        variables = {name for name, text in (environment or {}).items() if text}
        self._elsewhere: dict[Key, str] = {}
        for leaf in leaves():
            if leaf.yaml_key in options:
                self._elsewhere[leaf.key] = option_of(leaf.flag)
            elif leaf.variable in variables:
                self._elsewhere[leaf.key] = f"environment variable {leaf.variable}"

    def __call__(self, key: Key) -> str:
        """The place of a key, for a message."""
        line = self.line(key)
        return self._elsewhere.get(key) or (f"{self._file.path}, line {line}" if self._file and line else "settings")

    def line(self, key: Key) -> int:
        """The line of a key; 0 if it does not stand in the file, or something else counts more."""
        if self._file is None or key in self._elsewhere:
            return 0
        values = self._file.values
        section, *below = key
        in_file = isinstance(values, dict) and section in values
        if in_file and below and isinstance(values[section], dict):
            in_file = below[0] in values[section]
        return self._file.line(key) if in_file else 0

    def mistake(self, key: Key, text: str) -> Mistake:
        """What is wrong at a key."""
        return Mistake(self.line(key), f"{self(key)}: {dotted(key)}: {text}")


def option_of(flag: str) -> str:
    """How messages name an option of the command line."""
    return f"option {flag}"
