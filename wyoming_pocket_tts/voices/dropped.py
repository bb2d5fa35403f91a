"""Finds the voices that somebody dropped into a folder: files and folders by their names. Reads no recording.

A file is the voice of its name; a folder is one as well, with a style for each of its files. Below a folder called like
a model are voices for that model.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.voices.names import same
from wyoming_pocket_tts.voices.styles import is_voice_file, style_files

MOST_VOICES = 500
"""In a folder; who drops more has dropped something else."""
_LONGEST_NAME = 64


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
    for entry in entries[:MOST_VOICES]:
        if entry.name.startswith(".") or not entry.name.isprintable() or len(entry.stem) > _LONGEST_NAME:
            continue
        label = next((label for label in labels if same(label, entry.name)), None)
        if model is None and label is not None and entry.is_dir():
            yield from dropped_voices(entry, labels, model=label)
        elif entry.is_dir():
            if styles := style_files(entry):
                yield DroppedVoice(entry.name, model, styles, entry)
        elif is_voice_file(entry):
            yield DroppedVoice(entry.stem, model, {"": entry}, entry)


def _by_name(entry: Path) -> tuple[str, bool]:
    """An exported voice before the recording that it was made of."""
    return entry.stem.casefold(), entry.suffix.lower() != ".safetensors"
