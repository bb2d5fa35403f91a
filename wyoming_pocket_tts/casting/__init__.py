"""From settings to the cast: whose voice is meant where, and what of it cannot be. Loads no model, reads no recording.

Most of what is wrong is refused. Two things are not, so that nothing that happens to files takes a service down: a
recording that is not there, whose voice is then listed as not installed, and a voice that may come while the service
runs, which is called like one of a model (``english-...``).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from wyoming_pocket_tts.cast import Cast
from wyoming_pocket_tts.casting.models import Models
from wyoming_pocket_tts.casting.names import Names
from wyoming_pocket_tts.casting.problems import Problem, Problems, Severity
from wyoming_pocket_tts.casting.voices import overrides_of, resolve_voice
from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.satellites import Satellite
from wyoming_pocket_tts.settings import SatelliteEntry, Settings
from wyoming_pocket_tts.settings.clashes import Key
from wyoming_pocket_tts.speech import Reading, Voice
from wyoming_pocket_tts.voices.names import slug
from wyoming_pocket_tts.voices.parts import ConfiguredVoice, VoiceSource

__all__ = ["Casting", "Problem", "Severity", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Casting:
    """Settings that say who speaks how, with every name found."""

    voices: tuple[ConfiguredVoice, ...]
    satellites: tuple[Satellite, ...]
    reading: Reading
    """What becomes of texts unless a voice or satellite says otherwise."""
    default: str | None
    """The voice for clients that name none; None for the first that is installed."""
    problems: tuple[Problem, ...]

    def names(self) -> frozenset[str]:
        """What voices of the settings, their styles and satellites are called, by the engine too: nobody else is."""
        of_voices = {name for voice in self.voices for name in voice.names()}
        return frozenset(of_voices | {each.name for each in self.satellites})

    def sources(self) -> list[VoiceSource]:
        """What the engine has to make voices of."""
        return [voice.source for voice in self.voices if voice.source is not None]

    def cast(self, engine: Callable[[], Sequence[Voice]]) -> Cast:
        """Let an engine play it; ``engine`` gives the engine's voices, from any thread."""
        return Cast(engine, voices=self.voices, satellites=self.satellites, reading=self.reading, default=self.default)

    def needed(self) -> frozenset[str]:
        """Names of the engine's voices that somebody here speaks with: what has to be fetched in any case."""
        of_voices = {name for voice in self.voices for name in voice.engine_voices}
        named = {satellite.voice for satellite in self.satellites} | {self.default}
        own = {voice.name for voice in self.voices}
        return frozenset(of_voices | {name for name in named if name is not None and name not in own})

    def admit(self, where: Callable[[Key], str], *, strictly: bool = False) -> list[str]:
        """Refuse what cannot be; return the warnings, a line each.

        Args:
            where: names the place of a key, as ``settings_sources.places_in`` makes it.
            strictly: also refuse what is missing.

        Raises:
            ConfigError: a line for each problem.
        """
        refused = {Severity.ERROR, Severity.MISSING} if strictly else {Severity.ERROR}
        errors = [problem.line(where) for problem in self.problems if problem.severity in refused]
        if errors:
            raise ConfigError("\n".join(errors))
        return [problem.line(where) for problem in self.problems]


def resolve(settings: Settings, *, embedded: Collection[str], dropped: Collection[str] = ()) -> Casting:
    """Find everybody that the settings name.

    Args:
        settings: checked.
        embedded: names of the embedded voices.
        dropped: names of the voices that lie in the data directory's folder for them; they come and go.
    """
    problems = Problems()
    models = Models.of(settings.models, problems)
    voices = tuple(
        resolve_voice(name, entry, models=models, embedded=embedded, problems=problems.at("voices", name))
        for name, entry in settings.voices.items()
    )
    names = Names(voices, settings.satellites, models=models, embedded=embedded, dropped=dropped)
    _check_names(voices, settings, names, problems)
    satellites = tuple(
        _satellite(name, entry, names, problems.at("satellites", name), server=settings.discovery.name)
        for name, entry in settings.satellites.items()
    )
    default = settings.voice.default
    if default is not None:
        default = names.default(default, problems.at("voice"))
    return Casting(
        voices=voices,
        satellites=satellites,
        reading=settings.text.as_reading(),
        default=default,
        problems=problems.found(),
    )


def _satellite(name: str, entry: SatelliteEntry, names: Names, problems: Problems, *, server: str | None) -> Satellite:
    return Satellite(
        name=name,
        voice=None if entry.voice is None else names.voice(entry.voice, problems),
        description=entry.description or "",
        networks=entry.address,
        port=entry.port,
        announced_as=entry.announced_as(name, server=server),
        listed=entry.listed,
        overrides=overrides_of(entry),
    )


def _check_names(voices: Sequence[ConfiguredVoice], settings: Settings, names: Names, problems: Problems) -> None:
    """Every name that a client can ask for means one voice."""
    for section, given in (("voices", settings.voices), ("satellites", settings.satellites)):
        for name in given:
            taken = names.taken_by(name)
            if taken:
                problems.at(section, name).error(f"'{name}' is the name of {taken} already; take another")
    for first, second in _same_slug(voices):
        text = f"'{second}' and '{first}' differ in signs alone, which is too little; take another name"
        problems.at("voices", second).error(text)


def _same_slug(voices: Sequence[ConfiguredVoice]) -> Iterator[tuple[str, str]]:
    first: dict[str, str] = {}
    for voice in voices:
        if voice.source is not None and first.setdefault(slug(voice.name), voice.name) != voice.name:
            yield first[slug(voice.name)], voice.name
