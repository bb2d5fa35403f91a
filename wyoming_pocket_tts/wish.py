"""Says whether a server lists the voice that a client asks for. Knows neither servers nor connections.

Servers of every kind are asked; most let another voice speak and tell nobody but their log.
"""

from collections.abc import Sequence
from typing import Final

from wyoming.info import TtsVoice

_MOST_NAMES: Final = 10
"""In a message: a house may have a hundred voices."""


def doubt_about(name: str, voices: Sequence[TtsVoice]) -> str:
    """What speaks against it that this very voice will speak; nothing if nothing does.

    Args:
        name: what is asked for: a voice, or a speaker of one. Case does not count.
        voices: what the server lists.
    """
    wanted = name.casefold()
    installed = [voice for voice in voices if voice.installed]
    if any(wanted in _names(voice) for voice in installed):
        return ""
    shown = next((voice.name for voice in installed if (voice.description or "").casefold() == wanted), None)
    if shown is not None:
        return f"'{name}' is how the voice '{shown}' is shown; another voice may speak: ask for '{shown}'"
    if any(wanted in _names(voice) for voice in voices):
        return f"the voice '{name}' is listed and not there yet: another one speaks"
    return (
        f"the server lists no voice '{name}': another one speaks, unless its settings have a satellite of that name"
        f" (voices: {_listed([voice.name for voice in installed])})"
    )


def _names(voice: TtsVoice) -> set[str]:
    return {voice.name.casefold(), *(speaker.name.casefold() for speaker in voice.speakers or ())}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
