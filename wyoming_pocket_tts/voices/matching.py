"""Name, speaker, language -> voice; fallback."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from wyoming_pocket_tts.core.errors import VoiceError, quote_untrusted
from wyoming_pocket_tts.core.types import SynthesisOptions, Voice

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
    return f"{model}-{voice}"


def library_voice_name(model: str, name: str) -> str:
    """What the engine calls the voice that it makes for a voice of the settings, from files of the user's."""
    return f"{_OWN}-{model}-{slug(name)}"


def may_be_installed_later(name: str, models: Iterable[str]) -> bool:
    """Whether a voice of this name may come while the service runs: it is called like one of a model."""
    return any(name.casefold().startswith(f"{model.casefold()}-") for model in (*models, _OWN))


def slug(name: str) -> str:
    """A name as a part of another: lower-cased, its letters and digits joined by hyphens."""
    return re.sub(r"[\W_]+", "-", name.casefold()).strip("-") or "voice"


def style_name(voice: str, style: str) -> str:
    """What clients call a voice that speaks in one of its styles."""
    return f"{voice} ({style})"


def same_name(name: str, other: str) -> bool:
    """Whether a client that says the one may mean the other: case does not count."""
    return name.casefold() == other.casefold()


def spoken_language(tag: str) -> str:
    return _LANGUAGES.get(tag.replace("_", "-").partition("-")[0].lower(), tag)


T = TypeVar("T")

_LONGEST_LIST: Final = 300
"""Characters of names in a warning: a house may have a hundred voices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceMatch:
    """The voice to speak with, and what of the request could not be met."""

    voice: Voice
    speaker: str | None = None
    warnings: tuple[str, ...] = ()
    """Sentences for the log, written for the owner of the client."""
    options: SynthesisOptions = field(default_factory=SynthesisOptions)
    """How it is to speak."""
    why: str = field(default="", compare=False)
    """By which rule it was found, for the debug log."""


def choose_voice(
    voices: Sequence[Voice],
    *,
    name: str | None = None,
    speaker: str | None = None,
    language: str | None = None,
    default: str | None = None,
    others: Sequence[str] = (),
) -> VoiceMatch:
    """Choose among the installed voices. A request for a name never fails: another voice replaces it, with a warning.

    That is one of the language asked for, or else of the language of the voice that is meant, if there is any. A
    ``name`` of a voice or speaker wins over the language; without one, a ``speaker`` is a style of any voice.
    ``default`` is for clients that name none; ``others`` can be asked for besides, and are listed in warnings. Raises
    ``VoiceError`` if no voice is installed, or none is named and none has the language.
    """
    installed = [voice for voice in voices if voice.installed]
    if not installed:
        raise VoiceError("no voice is installed")
    if name:
        return _named(voices, name, speaker=speaker, language=language, default=default, others=others)
    if speaker:
        spoken_here = _speaking(installed, language) if language else installed
        voice = _by_speaker(spoken_here, speaker)
        if voice is not None:
            return _with_speaker(voice, speaker, why="it has the style that the client names")
    fallback = _default(installed, language=language, default=default)
    wish = _with_speaker(fallback.voice, speaker, why=fallback.why)
    return replace(wish, warnings=fallback.warnings + wish.warnings)


def _named(
    voices: Sequence[Voice],
    name: str,
    *,
    speaker: str | None,
    language: str | None,
    default: str | None,
    others: Sequence[str],
) -> VoiceMatch:
    """The voice of that name, or the one with a style of that name, or else a substitute."""
    installed = [voice for voice in voices if voice.installed]
    voice = _by_name(installed, name)
    if voice is not None:
        return _with_speaker(voice, speaker, why="the client names it")
    voice = _by_speaker(installed, name)
    if voice is not None:
        return _with_speaker(voice, speaker or name, why="the client names its style")
    missing = _by_name(voices, name)
    fallback = _substitute(installed, language or (missing.languages[0] if missing else None), default)
    where = "is not installed" if missing else "does not exist"
    names = _names([*others, *(voice.name for voice in installed)])
    warning = f"voice {quote_untrusted(name)} {where}; {fallback.voice.name!r} speaks instead (voices: {names})"
    return replace(
        fallback, warnings=(warning, *fallback.warnings), why=f"{quote_untrusted(name)} {where}: {fallback.why}"
    )


def _substitute(installed: Sequence[Voice], language: str | None, default: str | None) -> VoiceMatch:
    """A voice of the language, or if there is none, the default voice."""
    try:
        return _default(installed, language=language, default=default)
    except VoiceError:
        choice = _default(installed, language=None, default=default)
        return replace(choice, why=f"no voice speaks {quote_untrusted(language)}: {choice.why}")


def _default(installed: Sequence[Voice], *, language: str | None, default: str | None) -> VoiceMatch:
    """The default voice if it speaks the language, else the first that does."""
    voice = _by_name(installed, default) if default else None
    warnings: tuple[str, ...] = ()
    why = "it is the default voice" if voice is not None else "it is the first that is installed"
    if voice is None:
        voice = installed[0]
        if default:
            warnings = (f"the default voice {default!r} is not installed; {voice.name!r} takes its place",)
    if language:
        able = _speaking(installed, language)
        if voice not in able:
            voice, why = able[0], f"it is the first that speaks {quote_untrusted(language)}"
    return VoiceMatch(voice=voice, speaker=_default_speaker(voice), warnings=warnings, why=why)


def _speaking(installed: Sequence[Voice], language: str) -> list[Voice]:
    """The voices that speak a language best: those that list the very tag, else its equal, else its kin."""
    wanted = _tag(language)
    kinds = (
        lambda listed: listed == language,
        lambda listed: _tag(listed) == wanted,
        lambda listed: _tag(listed)[0] == wanted[0],
    )
    for matches in kinds:
        able = [voice for voice in installed if any(map(matches, voice.languages))]
        if able:
            return able
    spoken = sorted({listed for voice in installed for listed in voice.languages})
    raise VoiceError(f"no voice speaks {quote_untrusted(language)}; languages: {', '.join(spoken)}")


def _tag(language: str) -> tuple[str, ...]:
    return tuple(language.strip().lower().replace("_", "-").split("-"))


def _by_name(voices: Iterable[Voice], name: str) -> Voice | None:
    return _first_match([(voice.name, voice) for voice in voices], name)


def _by_speaker(voices: Iterable[Voice], speaker: str) -> Voice | None:
    return _first_match([(listed, voice) for voice in voices for listed in voice.speakers], speaker)


def _with_speaker(voice: Voice, speaker: str | None, *, why: str) -> VoiceMatch:
    if not speaker:
        return VoiceMatch(voice=voice, speaker=_default_speaker(voice), why=why)
    listed = _first_match([(listed, listed) for listed in voice.speakers], speaker)
    if listed is not None:
        return VoiceMatch(voice=voice, speaker=listed, why=why)
    known = f"it has {', '.join(map(repr, voice.speakers))}" if voice.speakers else "it has none"
    warning = f"voice {voice.name!r} has no speaker {quote_untrusted(speaker)}; {known}"
    return VoiceMatch(voice=voice, speaker=_default_speaker(voice), warnings=(warning,), why=why)


def _first_match(candidates: Sequence[tuple[str, T]], wanted: str) -> T | None:
    """The candidate with the very key, else the first that differs only in case."""
    exact = (found for key, found in candidates if key == wanted)
    folded = (found for key, found in candidates if key.casefold() == wanted.casefold())
    return next(exact, next(folded, None))


def _default_speaker(voice: Voice) -> str | None:
    return voice.speakers[0] if voice.speakers else None


def _names(names: Sequence[str]) -> str:
    listed, length = [], 0
    for name in map(repr, names):
        length += len(name) + 2
        if length > _LONGEST_LIST:
            break
        listed.append(name)
    more = len(names) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more else "")
