"""Looks into the file of a voice by itself: an exported voice, a recording, or neither. Knows no model."""

from pathlib import Path
from typing import Final

from wyoming_pocket_tts.errors import VoiceError
from wyoming_pocket_tts.voices.prompt import read_audio
from wyoming_pocket_tts.voices.state import VoiceState, read_state
from wyoming_pocket_tts.voices.styles import is_exported

LARGEST_BYTES: Final = 200 << 20
"""Five minutes of music in the best quality have 120 MB; more than this is no recording of a voice."""


def content_of(file: Path) -> VoiceState | None:
    """An exported voice; None for a recording, of which the first 30 s are read.

    Raises:
        VoiceError: it is neither, is too large for either, or cannot be read.
    """
    if _size_bytes(file) > LARGEST_BYTES:
        raise VoiceError(too_large(file))
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


def too_large(file: Path) -> str:
    """What to say of a file with more than ``LARGEST_BYTES``."""
    return f"{file}: is larger than {LARGEST_BYTES >> 20} MB; 10 to 30 s of speech make a voice"


def about(file: Path, reason: str) -> str:
    """A reason as a line about a file, which it may name already."""
    return reason if str(file) in reason else f"{file}: {reason}"


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # who reads it says more
        return 0
