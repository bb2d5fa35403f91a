"""What a check of the doctor is, and what it says. Knows no check."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Severity(StrEnum):
    """How bad something is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well as it could."""
    PROBLEM = "problem"
    """Something that was asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        severity: how bad it is.
        found: what was found, for a person.
        advice: what to do about it; empty where there is nothing to do.
    """

    severity: Severity
    found: str
    advice: str = ""


class Check(Protocol):
    """Looks at one thing. Changes nothing that outlives it."""

    @property
    def title(self) -> str:
        """What it looks at, in a word or two."""
        ...

    @property
    def limit_seconds(self) -> float:
        """How long it may take at most; it should end before by itself."""
        ...

    def look(self) -> Iterator[Finding]:
        """Yield what was found, each as soon as it is known.

        Raises:
            SpeechError: something is wrong, and its message says what to do; it becomes a problem.
        """
        ...


def ok(found: str) -> Finding:
    """All is well."""
    return Finding(Severity.OK, found)


def warning(found: str, advice: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(Severity.WARNING, found, advice)


def problem(found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Severity.PROBLEM, found, advice)
