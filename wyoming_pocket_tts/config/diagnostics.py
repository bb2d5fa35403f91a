"""Mistakes in settings: messages for wrong keys and values, conflicts between settings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import yaml
from pydantic_core import ErrorDetails

from wyoming_pocket_tts.config.fields import Key, SatelliteSettings, SettingsModel, keys_of, section_in
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import quote_untrusted, suggest


class Severity(Enum):
    """Consequence of an issue."""

    ERROR = auto()
    """The service does not start."""
    MISSING = auto()
    """A file or voice is absent: the service starts without it."""
    WARNING = auto()


@dataclass(frozen=True, slots=True)
class ConfigIssue:
    """What is wrong, and where to change it."""

    key: Key
    """Empty if the text names the key."""
    text: str
    severity: Severity = Severity.ERROR
    place: str = ""
    """Line of the file, variable or option."""
    line: int = 0
    """In the settings file; 0 for other places."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, dotted(self.key), self.text) if part)


def dotted(key: Key) -> str:
    return ".".join(map(str, key))


_EXPECTED = {
    "bool": "true or false",
    "float": "a number",
    "finite_number": "a number with an end",
    "int": "a whole number",
    "path": "a file or folder, as text",
    "tuple": "a list of names",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
}
"""Expected value, by pydantic's error type or its first word."""


def explain_error(problem: ErrorDetails, key: Key) -> ConfigIssue:
    """Describe pydantic's error at a key; place and line are left empty."""
    kind, value, limits = problem["type"], problem["input"], problem.get("ctx", {})
    actual = _describe(value)
    if key[-1:] == ("[key]",):
        key, subject = (), f"the key {value!r} of {dotted(key[:-2])}: "
    else:
        subject = ""
    match kind:
        case "extra_forbidden":
            allowed = sorted(keys_of(_section_at(key[:-1])))
            text = f"unknown key '{dotted(key)}'{suggest(str(key[-1]), allowed)}; allowed here: {', '.join(allowed)}"
            key = ()
        case "missing":
            text = f"is missing: {keys_of(_section_at(key[:-1]))[str(key[-1])].description}"
        case "model_type" | "dict_type" | "mapping_type":
            text = f"must hold keys of its own, not {actual}{_suggest_value(key, value)}"
        case "string_type":
            text = f"should be text, not {actual}{'' if value is None else '; text in quotes is always text'}"
        case "value_error":  # from our own checks, which name the value
            text = problem["msg"].removeprefix("Value error, ")
        case "string_too_long":
            text = f"should have {limits['max_length']} characters at most, not {actual}"
        case "too_long":
            text = f"should hold {limits['max_length']} entries at most, not {actual}"
        case _:
            expected = _EXPECTED.get(kind) or _EXPECTED.get(kind.partition("_")[0])
            should = f"should be {expected}" if expected else problem["msg"].removeprefix("Input ")
            text = f"{should}, not {actual}"
    return ConfigIssue(key, subject + text)


def _describe(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case list() | tuple() | dict() if not value:
            return "an empty one"
    return quote_untrusted(value)


_EXAMPLES = {"voices": "Anna: {from: alba}", "satellites": "Kitchen: {voice: alba}"}
_MAIN_KEYS = {
    "voice": "default",
    "models": "names",
    "server": "uri",
    "log": "level",
    "voices": "from",
    "satellites": "voice",
}
"""Section -> the key that a value in place of the section is most likely for."""


def _suggest_value(key: Key, value: object) -> str:
    """The end of a message: what to write in place of a value where keys belong; empty if unknown."""
    section = str(key[0]) if key else ""
    if len(key) == 1 and section in _EXAMPLES:
        return f"; names stand below it, as in {_EXAMPLES[section]}"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    run_together = re.fullmatch(r"(\w+)(:| +)(\S.*)", value) if isinstance(value, str) else None
    if run_together and run_together[1] in keys_of(_section_at(key)):
        missing = "a space belongs behind the colon" if run_together[2] == ":" else "a colon is missing"
        return f"; {missing}: '{run_together[1]}: {run_together[3]}'"
    if section in _MAIN_KEYS and len(key) == (2 if section in _EXAMPLES else 1):
        written = yaml.safe_dump({_MAIN_KEYS[section]: value}, default_flow_style=True, width=1000).strip()
        return f"; did you mean {key[-1]}: {written}?"
    return ""


def _section_at(key: Key) -> type[SettingsModel]:
    section: type[SettingsModel] = Settings
    for part in key:
        field = keys_of(section).get(str(part))
        section = (field and section_in(field)) or section  # a name of a voice or satellite stays in the section
    return section


class _Owners(dict[tuple[str, object], str]):
    """Settings, by kind and value of what only one of them may have."""

    def other(self, kind: str, value: object, owner: str) -> str | None:
        """The setting that has the value already."""
        other = self.setdefault((kind, value), owner)
        return other if other != owner else None


def find_conflicts(settings: Settings) -> Iterator[ConfigIssue]:
    owners = _Owners()
    for section, names in (("voices", settings.voices), ("satellites", settings.satellites)):
        for name in names:
            if other := owners.other("name", name.casefold(), f"{section}.{name}"):
                yield ConfigIssue(
                    (section, name), f"'{name}' is the name of {other} already; each needs one of its own"
                )
    address, metrics = parse_uri(settings.server.uri), settings.metrics.port
    if isinstance(address, TcpAddress):
        owners["port", address.port] = "server.uri"
    if settings.discovery.name:
        owners["announced", settings.discovery.name.casefold()] = "discovery.name"
    for name, satellite in settings.satellites.items():
        yield from _satellite_conflicts(name, satellite, settings, owners)
    if metrics and isinstance(address, TcpAddress) and (other := owners.other("port", metrics, "metrics.port")):
        yield ConfigIssue(("metrics", "port"), f"{metrics} is the port of {other} already; take another")


def _satellite_conflicts(
    name: str, satellite: SatelliteSettings, settings: Settings, owners: _Owners
) -> Iterator[ConfigIssue]:
    key, own, uri = ("satellites", name), f"satellites.{name}", settings.server.uri
    for position, network in enumerate(satellite.address):  # nested ones are clear: the narrowest counts
        if other := owners.other("network", network, own):
            written = network.compressed.removesuffix(f"/{network.max_prefixlen}")
            index = (position,) if len(satellite.address) > 1 else ()
            yield ConfigIssue((*key, "address", *index), f"{written} is an address of {other} already")
    if satellite.port is not None and not isinstance(parse_uri(uri), TcpAddress):
        text = f"needs a server.uri of tcp://, beside which it is opened, not {uri}"
        yield ConfigIssue((*key, "port"), text)
    elif satellite.port is not None and (other := owners.other("port", satellite.port, own)):
        yield ConfigIssue((*key, "port"), f"{satellite.port} is the port of {other} already; take another")
    announced = satellite.announced_as(name, server=settings.discovery.name)
    if satellite.name is not None and satellite.port is None:
        text = "is what a port is announced as; give the satellite a port, or leave the name out"
        yield ConfigIssue((*key, "name"), text)
    elif announced and (other := owners.other("announced", announced.casefold(), f"{own}.name")):
        what = "is" if satellite.name is not None else f"would be '{announced}', which is"
        yield ConfigIssue((*key, "name"), f"{what} announced already, as {other}; each needs one of its own")
    if not (satellite.visible or satellite.address or satellite.port):
        text = "is not visible and has neither address nor port: nothing would ever be recognised as it"
        yield ConfigIssue(key, text)
