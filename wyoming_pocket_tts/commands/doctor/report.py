"""Tells people and programs what the checks found. Knows no check."""

from collections.abc import Iterable, Sequence
from typing import Any

from wyoming_pocket_tts.commands.doctor.examination import Result
from wyoming_pocket_tts.commands.doctor.finding import Severity

_TITLE_WIDTH = 16
_INDENT = " " * 9


def line(result: Result) -> str:
    """A line for what was found, and one for what to do."""
    finding = result.finding
    text = f"{finding.severity.upper():<8} {result.check:<{_TITLE_WIDTH}} {finding.found}"
    return f"{text}\n{_INDENT}-> {finding.advice}" if finding.advice else text


def summary(results: Sequence[Result]) -> str:
    """The last line."""
    problems, warnings = (_count(results, severity) for severity in (Severity.PROBLEM, Severity.WARNING))
    if not problems and not warnings:
        return "All is well."
    return f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}."


def as_dict(results: Iterable[Result]) -> dict[str, Any]:
    """What JSON can hold."""
    results = list(results)
    return {
        "healthy": is_healthy(results),
        "findings": [
            {
                "check": result.check,
                "severity": result.finding.severity.value,
                "found": result.finding.found,
                "advice": result.finding.advice,
            }
            for result in results
        ],
    }


def is_healthy(results: Iterable[Result]) -> bool:
    """Whether there is no problem; warnings are none."""
    return all(result.finding.severity is not Severity.PROBLEM for result in results)


def _count(results: Iterable[Result], severity: Severity) -> int:
    return sum(result.finding.severity is severity for result in results)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
