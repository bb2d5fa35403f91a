"""Who can be asked to speak: a voice as clients see it, and the engine's voice that speaks for it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from wyoming_pocket_tts.speech import Voice
from wyoming_pocket_tts.voices.names import spoken_language, style_name
from wyoming_pocket_tts.voices.overrides import Overrides

_RATE_OF_THE_ABSENT_HZ = 24_000
"""What a voice is listed with that cannot speak yet. Nobody hears it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSource:
    """What the engine is to make a voice of."""

    voice_name: str
    """How the engine is to call it."""
    name: str
    """How people call it."""
    model: str
    """The label of the model that speaks it."""
    path: Path | None = None
    """A recording, an exported voice, or a folder of them (``voices.styles``); None for a ready-made voice."""
    ready_made: str | None = None
    """The ready-made voice, without its model's name."""
    steps: int | None = None
    """Of the model's sampler; None for what the model needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredVoice:
    """A voice of the settings."""

    name: str
    """Unique among voices and satellites, whatever its case."""
    engine_voices: tuple[str, ...]
    """Voices of the engine that may speak for it: the first that is there does."""
    language: str = "en"
    """The tag of what its model speaks."""
    shown_language: str | None = None
    """The tag to show instead."""
    description: str = ""
    """What people read; empty to have it made."""
    styles: tuple[str, ...] = ()
    """Its styles, known before the engine has it; the default one first."""
    overrides: Overrides = field(default_factory=Overrides)
    source: VoiceSource | None = None
    """What the engine has to make for it; None where it only borrows a voice."""

    def names(self) -> Iterator[str]:
        """Yield what it and its styles are called, by people and by the engine."""
        yield self.name
        yield from (style_name(self.name, style) for style in self.styles)
        if self.source is not None:
            yield self.source.voice_name


@dataclass(frozen=True, slots=True)
class Part:
    """Somebody who can be asked to speak, and who does it."""

    voice: Voice
    """As clients see it."""
    engine: Voice | None
    """As the engine knows it; None until it does."""
    speaker: str | None
    """The style in which the engine's voice speaks; None where the client may choose."""
    overrides: Overrides
    short: str
    """What people call it among others, for example ``Anna``."""


def configured_part(voice: ConfiguredVoice, engine: Mapping[str, Voice]) -> Part:
    """Let a voice of the settings be spoken by one of the engine's, given by their names; without one it is absent."""
    there = [engine[name] for name in voice.engine_voices if name in engine]
    spoken_by = next((each for each in there if each.installed), there[0] if there else None)
    language = voice.shown_language or (spoken_by.languages[0] if spoken_by else voice.language)
    description = voice.description or f"{voice.name} ({spoken_language(language)})"
    if spoken_by is None:
        listed = replace(absent_voice(voice.name, description, language), speakers=voice.styles)
    else:
        languages = (voice.shown_language,) if voice.shown_language else spoken_by.languages
        listed = replace(spoken_by, name=voice.name, description=description, languages=languages)
    listed = replace(listed, sample_rate_hz=voice.overrides.rate_hz or listed.sample_rate_hz)
    return Part(listed, spoken_by, None, voice.overrides, voice.name)


def with_styles(part: Part) -> Iterator[Part]:
    """A voice, then each of its styles as a voice of its own: Home Assistant has no page to choose a style."""
    yield part
    if len(part.voice.speakers) > 1:
        language = spoken_language(part.voice.languages[0])
        for style in part.voice.speakers:
            short = f"{part.short}, {style}"
            voice = replace(
                part.voice,
                name=style_name(part.voice.name, style),
                description=f"{short} ({language})",
                speakers=(),
            )
            yield Part(voice, part.engine, style, part.overrides, short)


def absent_voice(name: str, description: str, language: str) -> Voice:
    """A voice that cannot speak yet."""
    return Voice(
        name=name,
        description=description or name,
        languages=(language,),
        sample_rate_hz=_RATE_OF_THE_ABSENT_HZ,
        installed=False,
    )
