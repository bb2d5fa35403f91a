"""Which sequences prefill or decode in the next step (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from wyoming_pocket_tts.core.types import NEWCOMER_SECONDS

T = TypeVar("T")

MOST_WAITING: Final = 64
"""Frames waiting to be decoded, five seconds, after which a sequence rests."""
ENOUGH_WAITING: Final = 32
"""Frames with which a sequence alone starts no step; one with fewer takes all others along."""
_DANGER_SECONDS = 0.12
"""A supply that may not outlast a prefill on a busy machine."""
_STEPS_BETWEEN_TEXTS = 3
"""At most so many steps before a prefill because of that: a newcomer cannot wait for a machine that is too slow."""
_SECURE_SECONDS = 0.5
_FAR_AHEAD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SequenceStatus(Generic[T]):
    """A sequence, as the scheduler sees it."""

    speech: T
    supply_seconds: float
    """Audio and frames that its listener has ahead; negative since there is nothing to hear. Of a newcomer: since it
    came, negative."""
    waiting_frames: int = 0
    """Generated, but not decoded."""
    reads: bool = False
    """Text is to be read before the next frame."""
    is_new: bool = False
    """It has no frame so far."""


@dataclass(frozen=True, slots=True)
class PrefillStep(Generic[T]):
    """Read a piece of text."""

    speech: T


@dataclass(frozen=True, slots=True)
class DecodeStep(Generic[T]):
    """Generate the next frame of each, together."""

    speeches: tuple[T, ...]


def supply(plays_until: float | None, waiting_seconds: float, now: float) -> float:
    """Seconds of audio and frames ahead of a sequence's listener; negative for how long there has been nothing.

    ``plays_until`` is when playback runs out of decoded audio, of a new sequence when it came; None before any audio.
    """
    lead = 0.0 if plays_until is None else plays_until - now
    return (max(0.0, lead) if waiting_seconds else lead) + waiting_seconds


def schedule(statuses: Sequence[SequenceStatus[T]], *, steps_since_text: int) -> PrefillStep[T] | DecodeStep[T] | None:
    """Decide the next step; None when all have enough. ``steps_since_text``: decode steps since the last prefill."""
    readers = [each for each in statuses if each.reads and each.waiting_frames < ENOUGH_WAITING]
    steppers = [each for each in statuses if not each.reads and each.waiting_frames < MOST_WAITING]
    if all(each.waiting_frames >= ENOUGH_WAITING for each in steppers):
        steppers = []
    reader = min(readers, key=lambda each: each.supply_seconds - NEWCOMER_SECONDS * each.is_new, default=None)
    if not steppers:
        return None if reader is None else PrefillStep(reader.speech)
    least = min(each.supply_seconds for each in steppers)
    is_danger = least < _DANGER_SECONDS and steps_since_text < _STEPS_BETWEEN_TEXTS
    if reader is not None and not is_danger and (reader.is_new or reader.supply_seconds <= least):
        return PrefillStep(reader.speech)
    most = _FAR_AHEAD_SECONDS if least < _SECURE_SECONDS else float("inf")
    return DecodeStep(tuple(each.speech for each in steppers if each.supply_seconds < most))
