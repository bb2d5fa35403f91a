"""Decides who leaves memory to make room. Pure: knows no clock, no thread and no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Occupant(Generic[T]):
    """Somebody in memory."""

    who: T
    size_bytes: int
    is_held: bool
    """Whether somebody speaks with it, or it cannot leave for another reason."""
    used_at: float
    """When it was last spoken with, in seconds; minus infinity for never."""


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """What to do for somebody who wants in."""

    leaving: tuple[T, ...] = ()
    wait_until: float | None = None
    """Ask again then: somebody who has spoken just now may be between two sentences. Nobody leaves before."""
    fits: bool = True
    """Whether all is within the budget afterwards."""


def make_room(
    there: Sequence[Occupant[T]], *, wanted_bytes: int, budget_bytes: float, now: float, rest_seconds: float
) -> Decision[T]:
    """Decide who leaves for somebody who is to speak now.

    Those leave that nobody speaks with, the least recently used first, and no more than have to. If all of them are
    too few, they leave and it comes in all the same, beyond the budget: people are to hear something.

    Args:
        there: all that are in memory.
        wanted_bytes: what the newcomer takes.
        budget_bytes: what all may take together.
        now: the time, in seconds.
        rest_seconds: how long somebody stays after it was last spoken with.
    """
    missing = sum(each.size_bytes for each in there) + wanted_bytes - budget_bytes
    leaving: list[T] = []
    for each in _idle(there):
        if missing <= 0:
            break
        if now < each.used_at + rest_seconds:
            return Decision(wait_until=each.used_at + rest_seconds)
        leaving.append(each.who)
        missing -= each.size_bytes
    return Decision(tuple(leaving), fits=missing <= 0)


def surplus(there: Sequence[Occupant[T]], *, budget_bytes: float, now: float, rest_seconds: float) -> tuple[T, ...]:
    """Say who is to leave because all together take too much, nobody wanting in.

    The last that was spoken with stays, however large: it would be the first to come back.
    """
    missing = sum(each.size_bytes for each in there) - budget_bytes
    leaving: list[T] = []
    idle = _idle(there)
    for each in idle if len(idle) < len(there) else idle[:-1]:
        if missing <= 0 or now < each.used_at + rest_seconds:
            break
        leaving.append(each.who)
        missing -= each.size_bytes
    return tuple(leaving)


def _idle(there: Sequence[Occupant[T]]) -> list[Occupant[T]]:
    return sorted((each for each in there if not each.is_held), key=lambda each: each.used_at)
