"""Shows voices to people and programs. Knows nothing about where they come from."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from wyoming_pocket_tts.speech import Voice

_HEAD = ("NAME", "LANGUAGES", "SPEAKERS", "DESCRIPTION")


def as_dicts(voices: Sequence[Voice]) -> list[dict[str, Any]]:
    """Make what JSON can hold of each voice, every field under its own name."""
    return [asdict(voice) for voice in voices]


def as_table(voices: Sequence[Voice]) -> str:
    """Lay the voices out in columns; the default one is the first."""
    rows = [_HEAD, *(_row(voice) for voice in voices)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _row(voice: Voice) -> tuple[str, str, str, str]:
    description = voice.description if voice.installed else f"{voice.description} (not installed)"
    return voice.name, ", ".join(voice.languages), ", ".join(voice.speakers) or "-", description
