"""Whose turn it is, among speeches that share a model. Pure: knows no clock, thread, engine or audio.

Somebody who listens has a *supply*: what was decoded and not heard yet, and frames that wait to be decoded. The rules,
from the first to the last:

1. A speech whose frames nobody takes rests, so that memory and what is made in vain stay bounded.
2. A newcomer's text is read before all. Where somebody else would run dry meanwhile, a few frames come before.
3. The text of a next chunk is read when its hearer has the smallest supply.
4. Else all go a frame further in one call, since that costs little more than one; only where somebody is about to run
   dry, those who are far ahead wait, as each row makes the call longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_WAITING = 64
"""Frames that wait to be decoded: five seconds, after which a speech rests."""
ENOUGH_WAITING = 32
"""Frames for which nobody is disturbed any more; who has fewer takes all others along."""
_DANGER_SECONDS = 0.12
"""A supply that may not last for the reading of a text on a busy machine."""
_STEPS_BETWEEN_TEXTS = 3
"""So many calls at most come before a text because of that: a newcomer cannot wait for a machine that is too slow."""
_SECURE_SECONDS = 0.5
_FAR_AHEAD_SECONDS = 2.0
NEWCOMERS_START_SECONDS = 1.0
"""A newcomer counts like somebody who has heard nothing for this long: whoever has waited longer comes before."""


@dataclass(frozen=True, slots=True)
class Standing(Generic[T]):
    """Where a speech stands.

    Attributes:
        speech: which.
        supply_seconds: how long its hearer has something to hear; negative for how long there has been nothing. Of
            somebody who has heard nothing so far: since when, less than 0.
        waiting_frames: made, but not decoded.
        reads: whether text is to be read before the next frame.
        is_new: whether it has no frame so far.
    """

    speech: T
    supply_seconds: float
    waiting_frames: int = 0
    reads: bool = False
    is_new: bool = False

    @property
    def need(self) -> float:
        """The lowest goes first."""
        return self.supply_seconds - (NEWCOMERS_START_SECONDS if self.is_new else 0.0)


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """Read a piece of text."""

    speech: T


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """Make the next frame of each, together."""

    speeches: tuple[T, ...]


def next_turn(standings: Sequence[Standing[T]], *, steps_since_text: int) -> Read[T] | Step[T] | None:
    """Decide what the model does next; None when everybody has enough.

    Args:
        standings: of all speeches.
        steps_since_text: how many turns were a ``Step`` since the last ``Read``.
    """
    readers = [each for each in standings if each.reads and each.waiting_frames < ENOUGH_WAITING]
    steppers = [each for each in standings if not each.reads and each.waiting_frames < MOST_WAITING]
    if all(each.waiting_frames >= ENOUGH_WAITING for each in steppers):
        steppers = []
    reader = min(readers, key=lambda each: each.need, default=None)
    if not steppers:
        return None if reader is None else Read(reader.speech)
    least = min(each.supply_seconds for each in steppers)
    is_danger = least < _DANGER_SECONDS and steps_since_text < _STEPS_BETWEEN_TEXTS
    if reader is not None and not is_danger and (reader.is_new or reader.supply_seconds <= least):
        return Read(reader.speech)
    most = _FAR_AHEAD_SECONDS if least < _SECURE_SECONDS else float("inf")
    return Step(tuple(each.speech for each in steppers if each.supply_seconds < most))
