"""What ``config check`` and ``config show`` do: explain what is wrong with settings, and tell what they amount to.

Loads no model and listens nowhere.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wyoming_pocket_tts.casting import Casting, Severity, resolve
from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.satellites import Satellite
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.settings_sources import Survey, clash_mistakes, in_order, places_in, survey
from wyoming_pocket_tts.speech import Manner
from wyoming_pocket_tts.voices.contents import complaint_about
from wyoming_pocket_tts.voices.names import spoken_language
from wyoming_pocket_tts.voices.overrides import Overrides
from wyoming_pocket_tts.voices.parts import ConfiguredVoice
from wyoming_pocket_tts.wanted import label_of, voices_dropped_in

Tell = Callable[[str], None]

_LENGTH_OF_AN_ENTRY = 2
"""Of a key such as ``voices.Anna``."""


@dataclass(frozen=True, slots=True)
class Examined:
    """Settings without what is wrong with them, and all of that."""

    settings: Settings
    casting: Casting
    problems: list[str]
    """A line for each thing that has to be changed: those of the file from top to bottom, then the others."""
    warnings: list[str]
    unusable: list[str]
    """A line for each file among the user's voices that is none."""
    is_whole: bool
    """Whether every value could be taken; otherwise some are as if nobody had set them."""


def examine(
    file: Path | None,
    *,
    environment: Mapping[str, str],
    embedded: Collection[str],
    flags: Mapping[str, Any] | None = None,
) -> Examined:
    """Read settings as the service would, and find out whether their parts go together and what they name is there.

    Args:
        file: the settings; None for what the environment says alone.
        environment: lies over the file.
        embedded: names of the embedded voices.
        flags: lie over both.

    Raises:
        ConfigError: the file cannot be read at all.
    """
    found = survey(file=file, environment=environment, flags=flags)
    settings = found.settings
    # Voices of which too little is right are not there, but who names them makes no mistake.
    dropped, unusable = _dropped(settings)
    casting = resolve(settings, embedded=embedded, dropped=[*dropped, *_left_out_voices(found)])
    origins = places_in(file, environment=environment, flags=flags)
    named = casting.problems if _tells_names(found) else ()
    told = [(problem.severity is Severity.WARNING, origins.mistake(problem.key, problem.text)) for problem in named]
    mistakes = [
        *found.mistakes,
        *clash_mistakes(found, origins),
        *(each for is_warning, each in told if not is_warning),
    ]
    warnings = in_order(each for is_warning, each in told if is_warning)
    return Examined(settings, casting, in_order(mistakes), warnings, unusable, is_whole=not found.left_out)


def _dropped(settings: Settings) -> tuple[list[str], list[str]]:
    """Names of the voices in the data directory's folder for them, and what is wrong with files there."""
    names: list[str] = []
    unusable: list[str] = []
    for voice in voices_dropped_in(settings.data_dir, [label_of(name) for name in settings.models.names]):
        complaints = [complaint_about(file) for file in voice.styles.values()]
        names += [] if all(complaints) else [voice.name]
        unusable += filter(None, complaints)
    return names, unusable


def _left_out_voices(found: Survey) -> Iterator[str]:
    """Names of voices of the settings that were left out altogether."""
    return (str(key[1]) for key in found.left_out if key[:1] == ("voices",) and len(key) == _LENGTH_OF_AN_ENTRY)


def _tells_names(found: Survey) -> bool:
    """Whether a name that is not there is a mistake of its own, and not what follows from another one."""
    return found.has_whole("models") and ("voices",) not in found.left_out


def check(file: Path, *, environment: Mapping[str, str], embedded: Collection[str], tell: Tell, complain: Tell) -> None:
    """Check a settings file as the service would read it, and what it names besides.

    Args:
        file: the settings.
        environment: lies over them, as it does in the service.
        embedded: names of the embedded voices.
        tell: takes the lines that say who speaks how.
        complain: takes warnings.

    Raises:
        ConfigError: a line for each thing that is wrong.
    """
    examined = examine(file, environment=environment, embedded=embedded)
    warnings = [*examined.warnings, *examined.unusable]
    for warning in warnings:
        complain(f"warning: {warning}")
    if examined.problems:
        raise ConfigError("\n".join(examined.problems))
    count = len(warnings)
    warned = f", and {count} warning{'' if count == 1 else 's'} (above)" if count else ""
    tell(f"{file}: no mistakes{warned}")
    for line in summary(examined.settings, examined.casting):
        tell(line)


def show(settings: Settings) -> str:
    """Write all settings as they are in effect, as YAML that could be a settings file."""
    values = _without_empty(settings.model_dump(mode="json", by_alias=True, exclude_none=True))
    return yaml.safe_dump(values, allow_unicode=True, sort_keys=False).rstrip()


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    pruned = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in pruned.items() if value not in ({}, [])}


def summary(settings: Settings, casting: Casting) -> Iterator[str]:
    """Say who speaks how, and who gets whom."""
    if casting.voices:
        yield "\nVoices"
        for voice in casting.voices:
            yield f"  {voice.name}: {_phrases(_origin(voice), _styles(voice), _manner(voice.overrides))}"
    if casting.satellites:
        yield "\nSatellites"
        for satellite in casting.satellites:
            speaks = satellite.voice or "the default voice"
            yield f"  {satellite.name}: {_phrases(speaks, _manner(satellite.overrides), _recognised(satellite))}"
    yield "\nWho speaks: the first of these that there is"
    yield "  1. the voice that the client names"
    yield f"  2. the satellite of the port: {_ports(casting)}"
    yield f"  3. the satellite of the address: {_networks(casting)}"
    yield f"  4. voice.default: {casting.default or 'not set'}"
    yield f"  5. the first voice that is installed, of {', '.join(_first_voices(settings, casting))}"


def _origin(voice: ConfiguredVoice) -> str:
    language = spoken_language(voice.shown_language or voice.language)
    if voice.source is None:
        return _phrases(voice.engine_voices[0] if voice.engine_voices else "never installed", language)
    made_of = str(voice.source.path or voice.source.ready_made)
    steps = f"{voice.source.steps} steps" if voice.source.steps else ""
    return _phrases(f"{made_of} by the model {voice.source.model}", steps, language)


def _styles(voice: ConfiguredVoice) -> str:
    return f"styles {', '.join(voice.styles)}" if voice.styles else ""


def _manner(overrides: Overrides) -> str:
    """What differs from speaking plainly."""
    manner, plain = overrides.on(Manner()), Manner()
    units = {
        "speed": (manner.speed, plain.speed, "speed {:g}"),
        "volume": (manner.volume_db, plain.volume_db, "volume {:+g} dB"),
        "rate": (manner.rate_hz, None, "{} Hz"),
        "temperature": (manner.temperature, None, "temperature {:g}"),
        "eos_threshold": (manner.eos_threshold, None, "EOS threshold {:g}"),
        "before": (manner.pauses.before, plain.pauses.before, "{:g} s of silence before"),
        "between": (manner.pauses.between, plain.pauses.between, "{:g} s between sentences"),
        "after": (manner.pauses.after, plain.pauses.after, "{:g} s of silence behind"),
        "normalize": (overrides.normalize is True, False, "numbers and units said as a person would"),
        "unread": (overrides.normalize is False, False, "texts said as they are written"),
        "emoji": (overrides.emoji, None, "emoji: {}"),
        "replacements": (len(manner.reading.replacements), 0, "replacements of its own: {}"),
        "pronunciations": (len(manner.reading.pronunciations), 0, "pronunciations of its own: {}"),
    }
    return _phrases(*(form.format(value) for value, usual, form in units.values() if value not in (None, usual)))


def _recognised(satellite: Satellite) -> str:
    ways = ["its name"] if satellite.listed else []
    ways += [f"the address {network}" for network in _plain(satellite)]
    if satellite.port is not None:
        name = f", announced as '{satellite.announced_as}'" if satellite.announced_as else ""
        ways.append(f"port {satellite.port}{name}")
    return f"recognised by {' or '.join(ways)}"


def _ports(casting: Casting) -> str:
    return _phrases(*(f"{each.port} is {each.name}" for each in casting.satellites if each.port)) or "none has one"


def _networks(casting: Casting) -> str:
    """In the order in which they count: the narrowest first."""
    owned = [(network, satellite.name) for satellite in casting.satellites for network in satellite.networks]
    owned.sort(key=lambda pair: pair[0].max_prefixlen - pair[0].prefixlen)
    parts = [f"{network.compressed.removesuffix(f'/{network.max_prefixlen}')} is {name}" for network, name in owned]
    return _phrases(*parts) or "none has one"


def _plain(satellite: Satellite) -> list[str]:
    return [network.compressed.removesuffix(f"/{network.max_prefixlen}") for network in satellite.networks]


def _first_voices(settings: Settings, casting: Casting) -> list[str]:
    own = [voice.name for voice in casting.voices]
    models = [f"those of {name}" for name in settings.models.names if name.lower() != "none"]
    return [*own, *models, "the embedded ones"]


def _phrases(*phrases: str) -> str:
    return ", ".join(phrase for phrase in phrases if phrase)
