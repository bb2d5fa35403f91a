"""Finds the voices that somebody dropped into a folder: files and folders by their names. Reads no recording.

A file is the voice of its name; a folder is one as well, with a style for each of its files. Below a folder called like
a model are voices for that model.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.voices.names import same
from wyoming_pocket_tts.voices.styles import LONGEST_NAME, can_be_name, is_exported, is_voice_file, style_files

__all__ = ["LONGEST_NAME", "MOST_VOICES", "DroppedVoice", "dropped_folder", "dropped_voices"]

MOST_VOICES = 200
"""In a folder; who drops more has dropped something else."""


@dataclass(frozen=True, slots=True)
class DroppedVoice:
    """A voice by its name, and its files."""

    name: str
    model: str | None
    """The label of the model that is to speak it; None for whichever can."""
    styles: Mapping[str, Path]
    """A file for each style, the default one first; a lone file's style has no name: ``""``."""
    origin: Path
    """The file or folder."""


def dropped_folder(data_dir: Path) -> Path:
    """Where voices are dropped."""
    return data_dir / "voices"


def dropped_voices(folder: Path, labels: Collection[str], *, model: str | None = None) -> Iterator[DroppedVoice]:
    """Find the voices of a folder, by name; nothing if it is not there.

    Args:
        folder: where to look.
        labels: what models are called.
        model: whose voices these are; None to look into the folders of models as well.
    """
    try:
        entries = sorted(folder.iterdir(), key=_by_name)
    except OSError:
        return
    found = 0
    for entry in entries:
        if found == MOST_VOICES:
            return
        is_folder = os.path.isdir(entry)  # noqa: PTH112  (it never raises)
        label = next((label for label in labels if same(label, entry.name)), None)
        if model is None and label is not None and is_folder:
            yield from dropped_voices(entry, labels, model=label)
        elif is_folder and can_be_name(entry.name) and (styles := style_files(entry)):
            found += 1
            yield DroppedVoice(entry.name, model, styles, entry)
        elif not is_folder and is_voice_file(entry):
            found += 1
            yield DroppedVoice(entry.stem, model, {"": entry}, entry)


def _by_name(entry: Path) -> tuple[str, bool]:
    """An exported voice before the recording that it was made of."""
    return entry.stem.casefold(), not is_exported(entry)
