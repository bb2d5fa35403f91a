"""How Pocket TTS is to speak a text. Knows no model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What was said about how to speak; None where nothing was.

    Attributes:
        frames_after_eos: frames of 80 ms after the end of a chunk.
        max_tokens: tokens of a chunk.
        continuity_seconds: how much of a chunk's end the next one hears.
        seed: what the noise begins with.
    """

    frames_after_eos: int | None = None
    max_tokens: int | None = None
    continuity_seconds: float | None = None
    seed: int | None = None
