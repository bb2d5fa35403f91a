"""Finds the voice that a client means. Pure: knows nothing about clients, files or models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from wyoming_pocket_tts.errors import VoiceError, shown
from wyoming_pocket_tts.speech import Manner, Voice

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The voice to speak with, and what of the wish could not be granted."""

    voice: Voice
    speaker: str | None = None
    warnings: tuple[str, ...] = ()
    """Sentences for the log, written for the person who set the client up."""
    manner: Manner = field(default_factory=Manner)
    """How it is to speak."""


def choose_voice(
    voices: Sequence[Voice],
    *,
    name: str | None = None,
    speaker: str | None = None,
    language: str | None = None,
    default: str | None = None,
) -> Choice:
    """Choose among the installed voices. A wish for a name never ends in silence: another voice speaks, with a warning.

    Args:
        voices: all voices, the first installed one being the default of defaults.
        name: a voice's name, or a speaker's; wins over the language.
        speaker: a style of the voice; without a name, any voice that has it.
        language: a tag such as ``en``, ``en_US`` or ``en-US``.
        default: the name of the voice for those who ask for none.

    Raises:
        VoiceError: no voice is installed, or none speaks the language asked for.
    """
    installed = [voice for voice in voices if voice.installed]
    if not installed:
        raise VoiceError("no voice is installed")
    if name:
        voice = _by_name(installed, name)
        if voice is not None:
            return _with_speaker(voice, speaker)
        voice = _by_speaker(installed, name)
        if voice is not None:
            return _with_speaker(voice, speaker or name)
        fallback = _default(installed, language=language, default=default)
        where = "is not installed" if _by_name(voices, name) else "does not exist"
        warning = f"voice {shown(name)} {where}; {fallback.voice.name!r} speaks instead (voices: {_names(installed)})"
        return Choice(voice=fallback.voice, speaker=fallback.speaker, warnings=(warning, *fallback.warnings))
    if speaker:
        spoken_here = _speaking(installed, language) if language else installed
        voice = _by_speaker(spoken_here, speaker)
        if voice is not None:
            return _with_speaker(voice, speaker)
    fallback = _default(installed, language=language, default=default)
    wish = _with_speaker(fallback.voice, speaker)
    return Choice(voice=wish.voice, speaker=wish.speaker, warnings=fallback.warnings + wish.warnings)


def _default(installed: Sequence[Voice], *, language: str | None, default: str | None) -> Choice:
    """The default voice if it speaks the language, else the first that does."""
    voice = _by_name(installed, default) if default else installed[0]
    warnings: tuple[str, ...] = ()
    if voice is None:
        voice = installed[0]
        warnings = (f"the default voice {default!r} is not installed; {voice.name!r} takes its place",)
    if language:
        able = _speaking(installed, language)
        voice = voice if voice in able else able[0]
    return Choice(voice=voice, speaker=_default_speaker(voice), warnings=warnings)


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
    raise VoiceError(f"no voice speaks {shown(language)}; languages: {', '.join(spoken)}")


def _tag(language: str) -> tuple[str, ...]:
    return tuple(language.strip().lower().replace("_", "-").split("-"))


def _by_name(voices: Iterable[Voice], name: str) -> Voice | None:
    return _first_match([(voice.name, voice) for voice in voices], name)


def _by_speaker(voices: Iterable[Voice], speaker: str) -> Voice | None:
    return _first_match([(listed, voice) for voice in voices for listed in voice.speakers], speaker)


def _with_speaker(voice: Voice, speaker: str | None) -> Choice:
    if not speaker:
        return Choice(voice=voice, speaker=_default_speaker(voice))
    listed = _first_match([(listed, listed) for listed in voice.speakers], speaker)
    if listed is not None:
        return Choice(voice=voice, speaker=listed)
    known = f"it has {', '.join(map(repr, voice.speakers))}" if voice.speakers else "it has none"
    warning = f"voice {voice.name!r} has no speaker {shown(speaker)}; {known}"
    return Choice(voice=voice, speaker=_default_speaker(voice), warnings=(warning,))


def _first_match(candidates: Sequence[tuple[str, T]], wanted: str) -> T | None:
    """The candidate with the very key, else the first that differs only in case."""
    exact = (found for key, found in candidates if key == wanted)
    folded = (found for key, found in candidates if key.casefold() == wanted.casefold())
    return next(exact, next(folded, None))


def _default_speaker(voice: Voice) -> str | None:
    return voice.speakers[0] if voice.speakers else None


def _names(voices: Iterable[Voice]) -> str:
    return ", ".join(repr(voice.name) for voice in voices)
