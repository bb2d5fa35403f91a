"""Says what was found, to people and to programs, and what to choose. Knows nothing about how it was measured."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wyoming_pocket_tts.commands.comparison.distance import Distance
from wyoming_pocket_tts.commands.comparison.job import Candidate, Figures

NEAR_LATENT_ERROR = 0.05
NEAR_CODEC_DB = 2.0
"""What is nearer than both is called near: with random weights, 8 bits have 2.6 % and 0.5 dB, 4 bits 28 %."""
_HEAD = ("", "LOAD", "FIRST AUDIO", "SPEED", "MEMORY", "LATENTS", "END", "CODEC", "SPEECH", "LENGTH")
_NOTHING = "-"
_MEGABYTE = 1e6
LEGEND = """\
LOAD: until it can speak. SPEED: times as fast as it plays. MEMORY: the most that its process had.
LATENTS, END: the language model, led: each step reads what fp32 had made so far, so that small differences do not add
up to another reading of the text. Error of what it makes of that, and of the logit that ends the speech.
CODEC: log-spectral distance of the audio that it makes of fp32's latents.
SPEECH: the same of what it says when left to itself, where that is as long as fp32's; much of it may be taste."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a candidate.

    Attributes:
        candidate: which one.
        figures: what was measured; None if it could not be.
        distance: to fp32; None for that itself, too.
        problem: why it could not be measured.
    """

    candidate: Candidate
    figures: Figures | None = None
    distance: Distance | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what came of it; the reference comes first.

    Attributes:
        model: name or config of the model.
        voice: who spoke.
        text: what.
        threads: of the language model.
        outcomes: of all candidates.
    """

    model: str
    voice: str
    text: str
    threads: int
    outcomes: tuple[Outcome, ...]

    @property
    def choice(self) -> Candidate:
        """The fastest precision of those near fp32; PyTorch is not for the service."""
        near = [outcome for outcome in self.outcomes if outcome.candidate.precision and is_near(outcome)]
        return max(near, key=lambda outcome: outcome.figures.speed if outcome.figures else 0.0).candidate


def is_near(outcome: Outcome) -> bool:
    """Whether it was measured and is so near to fp32 that the difference should not be heard."""
    if outcome.figures is None:
        return False
    off = outcome.distance
    return off is None or (off.latent_error <= NEAR_LATENT_ERROR and off.codec_db <= NEAR_CODEC_DB)


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Lay the outcomes out in columns, numbers to the right, with what the columns mean below."""
    rows = [_HEAD, *(_row(outcome) for outcome in outcomes)]
    complete = [row for row in rows if len(row) == len(_HEAD)]
    first = max(len(row[0]) for row in rows)
    others = [max(len(row[column]) for row in complete) for column in range(1, len(_HEAD))]
    lines = [
        "  ".join([row[0].ljust(first), *(map(str.rjust, row[1:], others) if row in complete else row[1:])])
        for row in rows
    ]
    return "\n".join([*lines, "", LEGEND])


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Make what JSON can hold; lengths are in seconds, errors are ratios."""
    return {
        "model": comparison.model,
        "voice": comparison.voice,
        "text": comparison.text,
        "threads": comparison.threads,
        "reference": comparison.outcomes[0].candidate,
        "choice": comparison.choice,
        "candidates": [_as_dict(outcome) for outcome in comparison.outcomes],
    }


def advice(comparison: Comparison, *, directory: str, serve: Sequence[str]) -> str:
    """What to do next.

    Args:
        comparison: what was found.
        directory: where the recordings are.
        serve: the command that serves the model, but for the precision.
    """
    choice = comparison.choice
    command = shlex.join([*serve, "--precision", choice])
    if choice is comparison.outcomes[0].candidate:
        return f"Next: keep {choice}; nothing that is near to it is faster here: {command}"
    return (
        f"Next: listen to {directory}/{choice}.wav and {directory}/{comparison.outcomes[0].candidate}.wav. "
        f"{choice} is the fastest here of those near fp32 (latents within {NEAR_LATENT_ERROR:.0%}, codec within "
        f"{NEAR_CODEC_DB:.0f} dB). If you like it: {command}"
    )


def title(outcome: Outcome) -> str:
    """A line for a picture."""
    figures, off = outcome.figures, outcome.distance
    if figures is None:
        return f"{outcome.candidate}: {outcome.problem}"
    words = [f"{figures.speed:.1f} x as fast as it plays", f"first audio {figures.first_audio_seconds * 1e3:.0f} ms"]
    if figures.peak_bytes:
        words.append(_megabytes(figures.peak_bytes))
    if off is not None:
        words += [f"latents {off.latent_error:.1%}", f"codec {off.codec_db:.2f} dB"]
    return f"{outcome.candidate}: {', '.join(words)}"


def _row(outcome: Outcome) -> tuple[str, ...]:
    """The cells of a line; of one that could not be measured, its name and the reason."""
    figures, off = outcome.figures, outcome.distance
    if figures is None:
        return outcome.candidate, f"not here: {outcome.problem}"
    speech_db = off.speech_db if off else None
    return (
        outcome.candidate,
        f"{figures.load_seconds:.2f} s",
        f"{figures.first_audio_seconds * 1e3:.0f} ms",
        f"{figures.speed:.1f} x",
        _megabytes(figures.peak_bytes) if figures.peak_bytes else _NOTHING,
        f"{off.latent_error:.2%}" if off else _NOTHING,
        f"{off.eos_error:.3f}" if off else _NOTHING,
        f"{off.codec_db:.2f} dB" if off else _NOTHING,
        _NOTHING if speech_db is None else f"{speech_db:.2f} dB",
        f"{figures.speech_seconds:.2f} s",
    )


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {"name": outcome.candidate, "problem": outcome.problem, "near": is_near(outcome)}
    if outcome.figures:
        found |= outcome.figures.model_dump(exclude={"kind"}) | {"times_realtime": outcome.figures.speed}
    if outcome.distance:
        found |= asdict(outcome.distance)
    return found


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"
