"""Says what was measured, to people and to programs, and what to choose. Knows nothing about how it was measured."""

from collections.abc import Sequence
from typing import Any

from wyoming_pocket_tts.commands.benchmark.measuring import Outcome
from wyoming_pocket_tts.pocket.onnx.precision import Precision

COMFORTABLE_SPEED = 1.5
"""Times real time: less leaves nothing for Home Assistant beside it, or for a second satellite."""
_HEAD = ("MODEL", "PRECISION", "FIRST AUDIO", "SPEED", "MEMORY", "WEIGHTS", "")
_MEGABYTE = 1e6
_NOTHING = "-"


def choice(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The largest that this machine carries with ease; None if there is none."""
    return next((each for each in outcomes if _speed(each) >= COMFORTABLE_SPEED), None)


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Lay the outcomes out in columns."""
    rows = [_HEAD, *map(_row, outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def advice(outcomes: Sequence[Outcome]) -> str:
    """What to choose, and how."""
    chosen = choice(outcomes)
    if chosen is not None:
        command = f"wyoming-pocket-tts serve --model {chosen.name} --precision {chosen.precision}"
        return f"This machine carries {chosen.name}, the largest at {COMFORTABLE_SPEED:g} x or more: {command}"
    measured = [each for each in outcomes if each.figures]
    if not measured:
        return "Nothing could be measured; the embedded voices (--model none) need the least."
    fastest = max(measured, key=_speed)
    other = "" if fastest.precision is Precision.INT4 else ", or measure --precision int4, which may be faster"
    return (
        f"This machine carries none of them with ease: {fastest.name}, the fastest, has {_speed(fastest):.1f} x, and"
        f" {COMFORTABLE_SPEED:g} x is needed. Let the embedded voices speak (--model none){other}."
    )


def as_dict(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What JSON can hold."""
    chosen = choice(outcomes)
    return {
        "choice": None if chosen is None else {"model": chosen.name, "precision": chosen.precision.value},
        "outcomes": [
            {
                "model": each.name,
                "precision": each.precision.value,
                "weights": _weights(each),
                "figures": None if each.figures is None else _figures(each),
                "problem": each.problem or None,
            }
            for each in outcomes
        ],
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    assert outcome.figures is not None, "who calls has looked"  # noqa: S101  (our own invariant)
    return outcome.figures.model_dump(exclude={"kind"}) | {"speed": round(_speed(outcome), 2)}


def _row(outcome: Outcome) -> tuple[str, ...]:
    figures = outcome.figures
    if figures is None:
        return (outcome.name, outcome.precision.value, _NOTHING, _NOTHING, _NOTHING, _NOTHING, outcome.problem)
    memory = _NOTHING if figures.peak_bytes is None else f"{figures.peak_bytes / _MEGABYTE:.0f} MB"
    return (
        outcome.name,
        outcome.precision.value,
        f"{figures.first_audio_seconds * 1000:.0f} ms",
        f"{figures.speed:.1f} x",
        memory,
        _weights(outcome),
        _verdict(figures.speed),
    )


def _verdict(speed: float) -> str:
    if speed >= COMFORTABLE_SPEED:
        return "comfortable"
    return "too slow" if speed < 1 else "keeps up, with nothing to spare"


def _weights(outcome: Outcome) -> str:
    return "released" if outcome.is_real else "random"


def _speed(outcome: Outcome) -> float:
    return outcome.figures.speed if outcome.figures else 0.0
