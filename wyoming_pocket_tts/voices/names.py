"""What voices are called: by clients, by people, and between the parts of the service. Pure."""

import re
from collections.abc import Iterable

_LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
"""Those that models speak; others are shown as their tags."""
_OWN = "own"


def ready_made_name(model: str, voice: str) -> str:
    """What clients call a ready-made voice of a model."""
    return f"{model}-{voice}"


def library_voice_name(model: str, name: str) -> str:
    """What the engine calls the voice that it makes for a voice of the settings, from files of the user's."""
    return f"{_OWN}-{model}-{slug(name)}"


def may_come_later(name: str, models: Iterable[str]) -> bool:
    """Whether a voice of this name may come while the service runs: it is called like one of a model."""
    return any(name.casefold().startswith(f"{model.casefold()}-") for model in (*models, _OWN))


def slug(name: str) -> str:
    """A name as a part of another: lower-cased, its letters and digits joined by hyphens."""
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-") or "voice"


def style_name(voice: str, style: str) -> str:
    """What clients call a voice that speaks in one of its styles."""
    return f"{voice} ({style})"


def same(name: str, other: str) -> bool:
    """Whether a client that says the one may mean the other: case does not count."""
    return name.casefold() == other.casefold()


def spoken_language(tag: str) -> str:
    """A language for people to read: German for ``de-AT``."""
    return _LANGUAGES.get(tag.replace("_", "-").partition("-")[0].lower(), tag)
