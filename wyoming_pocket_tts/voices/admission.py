"""Which of the voices that somebody dropped there can be: those whose name is theirs alone, and whose model there is.

Reads no file.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.voices.dropped import DroppedVoice
from wyoming_pocket_tts.voices.styles import is_exported


@dataclass(frozen=True, slots=True)
class Refused:
    """A file or folder that is not the voice it could be."""

    origin: Path
    reason: str


def admitted(
    wishes: Iterable[DroppedVoice], *, labels: Collection[str], taken: Collection[str], elsewhere: Collection[Path] = ()
) -> Iterator[DroppedVoice | Refused]:
    """Yield each voice, or why it is none; of several with one name the first is it.

    A voice that was exported from a recording beside it is no other one; neither is a file that the settings name.

    Args:
        wishes: what was found.
        labels: what the models are called.
        taken: names of others.
        elsewhere: files and folders of voices of the settings.
    """
    of_others = {name.casefold() for name in taken}
    of_settings = {os.path.realpath(path) for path in elsewhere}
    origins: dict[str, Path] = {}
    for wish in wishes:
        name = wish.name.casefold()
        if os.path.realpath(wish.origin) in of_settings:
            continue
        if wish.model is not None and wish.model not in labels:
            reason = f"it is for the model {wish.model}, which is not among models.names"
            yield Refused(wish.origin, reason)
        elif name in of_others:
            yield Refused(wish.origin, "another voice has this name already; give the file another one")
        elif name not in origins:
            origins[name] = wish.origin
            yield wish
        elif origins[name].with_suffix("") != wish.origin.with_suffix(""):
            yield Refused(wish.origin, f"{origins[name]} is the voice of this name; give the file another one")


def speakers_of(wish: DroppedVoice, labels: Sequence[str]) -> Sequence[str]:
    """Which models may speak a voice: an exported one fits one of them; a recording is for the most important.

    Args:
        wish: the voice; the model that it names there is.
        labels: what the models are called, the most important first.
    """
    if wish.model is not None:
        return [wish.model]
    return labels if all(map(is_exported, wish.styles.values())) else labels[:1]
