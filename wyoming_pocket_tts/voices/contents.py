"""Looks into the file of a voice by itself: an exported voice, a recording, or neither. Knows no model."""

from pathlib import Path

from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.voices.prompt import read_audio
from wyoming_pocket_tts.voices.state import VoiceState, read_state
from wyoming_pocket_tts.voices.styles import is_exported


def content_of(file: Path) -> VoiceState | None:
    """An exported voice; None for a recording, of which the first 30 s are read.

    Raises:
        VoiceError: it is neither, or cannot be read.
    """
    if is_exported(file):
        return read_state(file)
    read_audio(file, truncate=True)
    return None


def complaint_about(file: Path) -> str:
    """Why a file is no voice for any model, beginning with its path; nothing if it may be one."""
    try:
        content_of(file)
    except VoiceError as error:
        return about(file, str(error))
    return ""


def about(file: Path, reason: str) -> str:
    """A reason as a line about a file, which it may name already."""
    return reason if str(file) in reason else f"{file}: {reason}"
