"""Config check, config show."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.types import OptionOverrides, SynthesisOptions
from wyoming_pocket_tts.voices.catalog import ConfiguredVoice, Satellite
from wyoming_pocket_tts.voices.matching import spoken_language
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, check_settings

Tell = Callable[[str], None]


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
    examined = check_settings(file, environment=environment, embedded=embedded)
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


def summary(settings: Settings, casting: ResolvedVoices) -> Iterator[str]:
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


def _manner(overrides: OptionOverrides) -> str:
    """What differs from speaking plainly."""
    manner, plain = overrides.on(SynthesisOptions()), SynthesisOptions()
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


def _ports(casting: ResolvedVoices) -> str:
    return _phrases(*(f"{each.port} is {each.name}" for each in casting.satellites if each.port)) or "none has one"


def _networks(casting: ResolvedVoices) -> str:
    """In the order in which they count: the narrowest first."""
    owned = [(network, satellite.name) for satellite in casting.satellites for network in satellite.networks]
    owned.sort(key=lambda pair: pair[0].max_prefixlen - pair[0].prefixlen)
    parts = [f"{network.compressed.removesuffix(f'/{network.max_prefixlen}')} is {name}" for network, name in owned]
    return _phrases(*parts) or "none has one"


def _plain(satellite: Satellite) -> list[str]:
    return [network.compressed.removesuffix(f"/{network.max_prefixlen}") for network in satellite.networks]


def _first_voices(settings: Settings, casting: ResolvedVoices) -> list[str]:
    own = [voice.name for voice in casting.voices]
    models = [f"those of {name}" for name in settings.models.names if name.lower() != "none"]
    return [*own, *models, "the embedded ones"]


def _phrases(*phrases: str) -> str:
    return ", ".join(phrase for phrase in phrases if phrase)
