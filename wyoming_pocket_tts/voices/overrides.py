"""What a voice or a satellite changes about how is spoken, and what comes of several such changes. Pure."""

from dataclasses import dataclass
from typing import Literal

from wyoming_pocket_tts.speech import Manner, Pauses, Reading

Words = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """One layer of changes; what is None stays as the layers below have it. Units as in ``speech.Manner``."""

    speed: float | None = None
    volume_db: float | None = None
    rate_hz: int | None = None
    temperature: float | None = None
    eos_threshold: float | None = None
    pause_before: float | None = None
    """Seconds, as the two that follow."""
    pause_between: float | None = None
    pause_after: float | None = None
    normalize: bool | None = None
    emoji: Literal["drop", "speak"] | None = None
    replacements: Words = ()
    """Added to those of the layers below, and stronger."""
    pronunciations: Words = ()
    """Likewise."""

    def on(self, below: Manner) -> Manner:
        """Change a manner."""
        pauses, reading = below.pauses, below.reading
        return Manner(
            speed=_either(self.speed, below.speed),
            volume_db=_either(self.volume_db, below.volume_db),
            rate_hz=self.rate_hz or below.rate_hz,
            temperature=below.temperature if self.temperature is None else self.temperature,
            eos_threshold=below.eos_threshold if self.eos_threshold is None else self.eos_threshold,
            pauses=Pauses(
                before=_either(self.pause_before, pauses.before),
                between=_either(self.pause_between, pauses.between),
                after=_either(self.pause_after, pauses.after),
            ),
            reading=Reading(
                normalize=reading.normalize if self.normalize is None else self.normalize,
                emoji=self.emoji or reading.emoji,
                replacements=_laid_over(reading.replacements, self.replacements),
                pronunciations=_laid_over(reading.pronunciations, self.pronunciations),
            ),
        )


def _either(above: float | None, below: float) -> float:
    return below if above is None else above


def _laid_over(below: Words, above: Words) -> Words:
    """Words of both layers; what is written the same, whatever its case, has the meaning of the upper one."""
    if not above:
        return below  # the very same, of which there may be thousands
    taken = {written.casefold() for written, _ in above}
    return (*above, *(pair for pair in below if pair[0].casefold() not in taken))
