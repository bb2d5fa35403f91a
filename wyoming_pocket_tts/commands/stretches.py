"""Cuts a text, plain or SSML, into what one voice says in one style. Knows no model.

Sentences of one style stay together: a model that hears them as one text gives them one melody.
"""

from collections.abc import Callable
from dataclasses import dataclass

from wyoming_pocket_tts.offline import pieces_of
from wyoming_pocket_tts.speech import SILENT_DB, Manner, Reading
from wyoming_pocket_tts.text.pieces import Style
from wyoming_pocket_tts.text.reading import read_aloud

Tell = Callable[[str], None]

_SLOWEST, _FASTEST, _LOUDEST_DB = 0.5, 2.0, 20.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Text to be spoken in one go."""

    text: str
    """As it is said; empty for silence at the end."""
    pause_seconds: float
    """Silence ahead of it."""
    manner: Manner
    """Its speed and volume."""


def stretches_of(text: str, language: str, reading: Reading, *, tell: Tell) -> list[Stretch]:
    """Cut a text and read it aloud.

    Args:
        text: what to say.
        language: what the voice speaks, as two letters.
        reading: what becomes of the text.
        tell: is given what the text asks for in vain, each once.
    """
    found: list[Stretch] = []
    last: Style | None = None
    others: set[str] = set()
    for piece in pieces_of(text, language, tell=tell):
        said = read_aloud(piece.text, piece.style.language or language, reading).strip()
        if piece.style.voice is not None and piece.style.voice not in others:
            others.add(piece.style.voice)
            tell(
                f"the text asks for voice {piece.style.voice!r}; one voice reads it all here, a service changes voices"
            )
        if found and piece.style == last and not piece.pause_seconds:
            before = found.pop()
            found.append(Stretch(f"{before.text} {said}".strip(), before.pause_seconds, before.manner))
        else:
            found.append(Stretch(said, piece.pause_seconds, _manner(piece.style)))
        last = piece.style
    return found


def _manner(style: Style) -> Manner:
    speed = min(max(style.speed, _SLOWEST), _FASTEST)
    return Manner(speed=speed, volume_db=min(max(style.volume_db, SILENT_DB), _LOUDEST_DB))
