"""Config check, config show."""

import os
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from wyoming_pocket_tts.cli.console import print_error
from wyoming_pocket_tts.cli.options import ConfigOption
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.types import OptionOverrides, SynthesisOptions
from wyoming_pocket_tts.kokoro.synthesizer import voice_names
from wyoming_pocket_tts.voices.catalog import ConfiguredVoice, Satellite
from wyoming_pocket_tts.voices.matching import spoken_language
from wyoming_pocket_tts.voices.resolver import ResolvedVoices, check_settings

app = typer.Typer(rich_markup_mode=None)
config_app = typer.Typer(
    help="Check settings, or show those that are in effect.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(config_app, name="config")


@config_app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with settings.", show_default=False)],
) -> None:
    """Explain mistakes in a settings file.

    Without mistakes, list its voices and satellites.
    """
    report = check_settings(file, environment=os.environ, embedded=voice_names())
    warnings = [*report.warnings, *report.unusable]
    for warning in warnings:
        print_error(f"warning: {warning}")
    if report.problems:
        raise ConfigError("\n".join(report.problems))
    count = len(warnings)
    warned = f", and {count} warning{'' if count == 1 else 's'} (above)" if count else ""
    typer.echo(f"{file}: no mistakes{warned}")
    for line in _summary(report.settings, report.casting):
        typer.echo(line)


@config_app.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="YAML file with settings.", show_default=False)
    ] = None,
    *,
    config: ConfigOption = None,
) -> None:
    """Show the settings in effect, from file and environment, as YAML."""
    if file is not None and config is not None:
        raise typer.BadParameter("give the file once: as FILE or with --config")
    settings = read_settings(file or config, {}, log_level="warning")
    values = _without_empty(settings.model_dump(mode="json", by_alias=True, exclude_none=True))
    typer.echo(yaml.safe_dump(values, allow_unicode=True, sort_keys=False).rstrip())


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    pruned = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in pruned.items() if value not in ({}, [])}


def _summary(settings: Settings, casting: ResolvedVoices) -> Iterator[str]:
    if casting.voices:
        yield "\nVoices"
        for voice in casting.voices:
            yield f"  {voice.name}: {_phrases(_origin(voice), _options(voice.overrides))}"
    if casting.satellites:
        yield "\nSatellites"
        for satellite in casting.satellites:
            speaks = satellite.voice or "the default voice"
            yield f"  {satellite.name}: {_phrases(speaks, _options(satellite.overrides), _recognised(satellite))}"
    ports = _phrases(*(f"{each.port} is {each.name}" for each in casting.satellites if each.port))
    models = [f"those of {name}" for name in settings.models.names if name.lower() != "none"]
    first = [*(voice.name for voice in casting.voices), *models, "the embedded ones"]
    yield "\nVoice of a request: the first of these that exists"
    yield "  1. the voice that the client names"
    yield f"  2. the satellite of the port: {ports or 'none has one'}"
    yield f"  3. the satellite of the address: {_networks(casting)}"
    yield f"  4. voice.default: {casting.default or 'not set'}"
    yield f"  5. the first voice that is installed, of {', '.join(first)}"


def _origin(voice: ConfiguredVoice) -> str:
    language = spoken_language(voice.shown_language or voice.language)
    styles = f"styles {', '.join(voice.styles)}" if voice.styles else ""
    if voice.source is None:
        return _phrases(voice.engine_voices[0] if voice.engine_voices else "never installed", language, styles)
    made_of = str(voice.source.path or voice.source.ready_made)
    steps = f"{voice.source.steps} steps" if voice.source.steps else ""
    return _phrases(f"{made_of} by the model {voice.source.model}", steps, language, styles)


def _options(overrides: OptionOverrides) -> str:
    options, default = overrides.on(SynthesisOptions()), SynthesisOptions()
    shown = (
        (options.speed, default.speed, "speed {:g}"),
        (options.volume_db, default.volume_db, "volume {:+g} dB"),
        (options.rate_hz, None, "{} Hz"),
        (options.temperature, None, "temperature {:g}"),
        (options.eos_threshold, None, "EOS threshold {:g}"),
        (options.pauses.before, default.pauses.before, "{:g} s of silence before"),
        (options.pauses.between, default.pauses.between, "{:g} s between sentences"),
        (options.pauses.after, default.pauses.after, "{:g} s of silence after"),
        (overrides.normalize is True, False, "numbers and units in words"),
        (overrides.normalize is False, False, "texts said as they are written"),
        (overrides.emoji, None, "emoji: {}"),
        (len(options.text.replacements), 0, "replacements of its own: {}"),
        (len(options.text.pronunciations), 0, "pronunciations of its own: {}"),
    )
    return _phrases(*(form.format(value) for value, usual, form in shown if value not in (None, usual)))


def _recognised(satellite: Satellite) -> str:
    ways = ["its name"] if satellite.listed else []
    ways += [f"the address {_address(network)}" for network in satellite.networks]
    if satellite.port is not None:
        name = f", announced as '{satellite.announced_as}'" if satellite.announced_as else ""
        ways.append(f"port {satellite.port}{name}")
    return f"recognised by {' or '.join(ways)}"


def _networks(casting: ResolvedVoices) -> str:
    """In the order of precedence: the narrowest first."""
    owned = [(network, satellite.name) for satellite in casting.satellites for network in satellite.networks]
    owned.sort(key=lambda pair: pair[0].max_prefixlen - pair[0].prefixlen)
    return _phrases(*(f"{_address(network)} is {name}" for network, name in owned)) or "none has one"


def _address(network: IPv4Network | IPv6Network) -> str:
    return network.compressed.removesuffix(f"/{network.max_prefixlen}")


def _phrases(*phrases: str) -> str:
    return ", ".join(phrase for phrase in phrases if phrase)
