"""Which sequences prefill or decode in the next step (pure)."""

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
class SequenceStatus(Generic[T]):
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
class PrefillStep(Generic[T]):
    """Read a piece of text."""

    speech: T


@dataclass(frozen=True, slots=True)
class DecodeStep(Generic[T]):
    """Make the next frame of each, together."""

    speeches: tuple[T, ...]


def schedule(standings: Sequence[SequenceStatus[T]], *, steps_since_text: int) -> PrefillStep[T] | DecodeStep[T] | None:
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
        return None if reader is None else PrefillStep(reader.speech)
    least = min(each.supply_seconds for each in steppers)
    is_danger = least < _DANGER_SECONDS and steps_since_text < _STEPS_BETWEEN_TEXTS
    if reader is not None and not is_danger and (reader.is_new or reader.supply_seconds <= least):
        return PrefillStep(reader.speech)
    most = _FAR_AHEAD_SECONDS if least < _SECURE_SECONDS else float("inf")
    return DecodeStep(tuple(each.speech for each in steppers if each.supply_seconds < most))
