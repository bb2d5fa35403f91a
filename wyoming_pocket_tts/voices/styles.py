"""The styles of a voice: the recordings in its folder, each named for how it sounds. Reads no recording.

What the system refuses to look at is as good as not there: nobody's odd file keeps others from speaking.
"""

import os
from pathlib import Path

VOICE_SUFFIX = ".safetensors"
"""Of an exported voice, by which its file is known as one."""
DEFAULT = "default"
"""The style that comes first, if a folder has it."""
MOST_STYLES = 20
"""Of a voice; a folder of more recordings is a collection of something else, of which the first count."""
LONGEST_NAME = 64
"""Characters of the name of a voice or style."""

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", VOICE_SUFFIX, ".wav")
"""Of recordings and exported voices, lower-cased."""


def is_voice_file(path: Path) -> bool:
    """Whether a file is a recording or an exported voice that can be a voice of its name."""
    return path.suffix.lower() in SUFFIXES and can_be_name(path.stem) and os.path.isfile(path)  # noqa: PTH113  (it never raises)


def is_exported(path: Path) -> bool:
    """Whether a file is an exported voice and no recording, by its name."""
    return path.suffix.lower() == VOICE_SUFFIX


def can_be_name(name: str) -> bool:
    """Whether people and clients can be shown a name: printable, not hidden, of moderate length."""
    return not name.startswith(".") and name.isprintable() and 0 < len(name) <= LONGEST_NAME and name == name.strip()


def style_files(path: Path) -> dict[str, Path]:
    """The file of each style, the default one first: ``default`` if there is one, else the first by name.

    Args:
        path: a folder of recordings or exported voices, or one of these alone, whose style has no name: ``""``.

    Returns:
        Nothing if it is not there or cannot be read. Of files that differ in their suffix an exported voice counts.
    """
    if os.path.isfile(path):  # noqa: PTH113  (it never raises)
        return {"": path}
    try:
        found = sorted(path.iterdir(), key=lambda file: (file.stem.casefold(), not is_exported(file)))
    except OSError:
        return {}
    files: dict[str, Path] = {}
    for file in found:
        if len(files) < MOST_STYLES and is_voice_file(file):
            files.setdefault(file.stem, file)
    return dict(sorted(files.items(), key=lambda style: style[0].casefold() != DEFAULT))
