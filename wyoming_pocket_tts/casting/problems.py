"""What is wrong with settings, and where. Knows no setting."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from wyoming_pocket_tts.settings.clashes import Key


class Severity(Enum):
    """What a problem means for the service."""

    ERROR = auto()
    """The service does not start."""
    MISSING = auto()
    """A file or voice is not there: the service starts without it."""
    WARNING = auto()
    """Worth a line in the log."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where a person can change it."""

    key: Key
    text: str
    severity: Severity

    def line(self, where: Callable[[Key], str]) -> str:
        """Write it for a person; ``where`` names the place of the key."""
        return f"{where(self.key)}: {'.'.join(map(str, self.key))}: {self.text}"


class Problems:
    """Collects problems; ``at`` gives a view on a part of the settings that collects into the same."""

    def __init__(self, key: Key = (), found: list[Problem] | None = None) -> None:
        self._key = key
        self._found: list[Problem] = [] if found is None else found

    def at(self, *key: str) -> "Problems":
        """The same collection, for a key below this one."""
        return Problems((*self._key, *key), self._found)

    def found(self) -> tuple[Problem, ...]:
        """All of them, in the order in which they were found."""
        return tuple(self._found)

    def error(self, text: str) -> None:
        """What cannot be."""
        self._found.append(Problem(self._key, text, Severity.ERROR))

    def missing(self, text: str) -> None:
        """What is not there, and may be one day."""
        self._found.append(Problem(self._key, text, Severity.MISSING))

    def warn(self, text: str) -> None:
        """What is allowed and perhaps not meant."""
        self._found.append(Problem(self._key, text, Severity.WARNING))
