"""Messages for wrong keys, values, YAML; conflicts."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic_core import ErrorDetails

from wyoming_pocket_tts.config.fields import Key, Network, SettingsModel, keys_of, section_in
from wyoming_pocket_tts.config.schema import Settings, leaves
from wyoming_pocket_tts.config.yaml_file import YamlFile
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import quote_untrusted

_KINDS = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number with an end",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "path_type": "a file or folder, as text",
    "tuple_type": "a list of names",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
}
"""What is allowed, by what the check found."""


def dotted(key: Key) -> str:
    """As a key is written in messages: ``log.level``."""
    return ".".join(str(part) for part in key)


def explain_error(problem: ErrorDetails, key: Key) -> str:
    """A sentence about what the check found at a key."""
    name = dotted(key)
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        allowed = keys_of(section_at(key[:-1]))
        return f"unknown key '{name}'{nearest(str(key[-1]), allowed)}; allowed here: {listed(allowed)}"
    if kind == "missing":
        return f"{name}: is missing: {keys_of(section_at(key[:-1]))[str(key[-1])].description}"
    if kind in ("model_type", "dict_type", "mapping_type"):
        return f"{name}: must hold keys of its own, not {plain(value)}{instead(key, value)}"
    if key[-1:] == ("[key]",):
        name = f"the key {value!r} of {dotted(key[:-2])}"
    if kind == "string_type":
        return f"{name}: should be text, not {plain(value)}{'' if value is None else '; text in quotes is always text'}"
    if kind == "value_error":  # from our own checks, which name the value
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{name}: {_allowed(problem)}, not {plain(value)}"


def _allowed(problem: ErrorDetails) -> str:
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "string_too_long":
            return f"should have {limits['max_length']} characters at most"
        case "too_long":
            return f"should hold {limits['max_length']} entries at most"
        case kind if kind in _KINDS:
            return f"should be {_KINDS[kind]}"
    return problem["msg"].removeprefix("Input ")


def plain(value: object) -> str:
    """A value as somebody who writes settings would call it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case list() | tuple() | dict() if not value:
            return "an empty one"
    return quote_untrusted(value)


def nearest(name: str, known: Mapping[str, Any] | set[str]) -> str:
    """A question for a message, or nothing where nothing is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def listed(names: Mapping[str, Any]) -> str:
    """Names for a message."""
    return ", ".join(sorted(names))


_NAMED = {"voices": "Anna: {from: alba}", "satellites": "Kitchen: {voice: alba}"}
_MEANT = {
    "voice": "default",
    "models": "names",
    "server": "uri",
    "log": "level",
    "voices": "from",
    "satellites": "voice",
}
"""Section, or section of named things -> the key that a lone value is most likely for."""
_NAMED_KEY_LENGTH = 2


def instead(key: Key, value: object) -> str:
    """The end of a message: what to write in place of a value where keys belong; nothing if nobody knows."""
    if len(key) == 1 and key[0] in _NAMED:
        return f"; names stand below it, as in {_NAMED[str(key[0])]}"
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    known = keys_of(section_at(key))
    run_together = re.fullmatch(r"(\w+)(:| +)(\S.*)", value) if isinstance(value, str) else None
    if run_together and run_together[1] in known:
        missing = "a space belongs behind the colon" if run_together[2] == ":" else "a colon is missing"
        return f"; {missing}: '{run_together[1]}: {run_together[3]}'"
    is_named = len(key) == _NAMED_KEY_LENGTH and key[0] in _NAMED
    if (len(key) == 1 or is_named) and key[0] in _MEANT:
        shown = yaml.safe_dump({_MEANT[str(key[0])]: value}, default_flow_style=True, width=1000).strip()
        return f"; did you mean {key[-1]}: {shown}?"
    return ""


def section_at(key: Key) -> type[SettingsModel]:
    """The section that a key leads to, past names that people gave."""
    section: type[SettingsModel] = Settings
    for part in key:
        field = keys_of(section).get(str(part))
        below = section_in(field) if field is not None else None
        section = below or section
    return section


Where = Callable[[Key], str]
"""Names the place in the sources where a key was set."""


@dataclass(frozen=True, slots=True)
class ConfigIssue:
    """Something that a person has to change."""

    line: int
    """In the settings file; 0 for what stands elsewhere."""
    text: str
    """What is wrong, with its place."""


class SourceMap:
    """Names the place of a key in sources that were read before: an option, a variable, a line of the file."""

    def __init__(
        self, file: Path | None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
    ) -> None:
        """Read the file again.

        Raises:
            ConfigError: it is not what it was.
        """
        self._file = None if file is None else YamlFile(file)
        options = {key for key, value in (flags or {}).items() if value is not None}
        variables = {name for name, text in (environment or {}).items() if text}
        self._elsewhere: dict[Key, str] = {}
        for leaf in leaves():
            if leaf.yaml_key in options:
                self._elsewhere[leaf.key] = option_of(leaf.flag)
            elif leaf.variable in variables:
                self._elsewhere[leaf.key] = f"environment variable {leaf.variable}"

    def __call__(self, key: Key) -> str:
        """The place of a key, for a message."""
        line = self.line(key)
        return self._elsewhere.get(key) or (f"{self._file.path}, line {line}" if self._file and line else "settings")

    def line(self, key: Key) -> int:
        """The line of a key; 0 if it does not stand in the file, or something else counts more."""
        if self._file is None or key in self._elsewhere:
            return 0
        values = self._file.values
        section, *below = key
        in_file = isinstance(values, dict) and section in values
        if in_file and below and isinstance(values[section], dict):
            in_file = below[0] in values[section]
        return self._file.line(key) if in_file else 0

    def mistake(self, key: Key, text: str) -> ConfigIssue:
        """What is wrong at a key."""
        return ConfigIssue(self.line(key), f"{self(key)}: {dotted(key)}: {text}")


def option_of(flag: str) -> str:
    """How messages name an option of the command line."""
    return f"option {flag}"


Thing = TypeVar("Thing")
Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class Conflict:
    """What is wrong, and where a person can change it."""

    key: Key
    text: str


def find_conflicts(settings: Settings) -> Iterator[Conflict]:
    """Yield what keeps these settings from being used."""
    yield from _names(settings)
    yield from _networks(settings)
    yield from _ports(settings)
    yield from _announced_names(settings)
    yield from _never_recognised(settings)


def _names(settings: Settings) -> Iterator[Conflict]:
    """Clients ask by name, whatever its case."""
    keys = [("voices", name) for name in settings.voices] + [("satellites", name) for name in settings.satellites]
    for first, second in _pairs((name.casefold(), (section, name)) for section, name in keys):
        yield Conflict(second, f"'{second[1]}' is the name of {'.'.join(first)} already; each needs one of its own")


def _networks(settings: Settings) -> Iterator[Conflict]:
    """Nested networks are clear, since the narrowest counts; equal ones are not."""
    seen: dict[Network, str] = {}
    for name, satellite in settings.satellites.items():
        for position, network in enumerate(satellite.address):
            other = seen.setdefault(network, name)
            key: Key = ("satellites", name, "address")
            if len(satellite.address) > 1:
                key += (position,)
            if other != name:
                yield Conflict(key, f"{_shown(network)} is an address of satellites.{other} already")


def _ports(settings: Settings) -> Iterator[Conflict]:
    address = parse_uri(settings.server.uri)
    ports = [(satellite.port, name) for name, satellite in settings.satellites.items() if satellite.port is not None]
    if not isinstance(address, TcpAddress):
        for _, name in ports:
            text = f"needs a server.uri of tcp://, beside which it is opened, not {settings.server.uri}"
            yield Conflict(("satellites", name, "port"), text)
        return
    for port, name in ports:
        if port == address.port:
            yield Conflict(("satellites", name, "port"), f"{port} is the port of server.uri already; take another")
    metrics = settings.metrics.port
    for port, owner in [*ports, (address.port, "server.uri")]:
        if metrics and port == metrics:
            other = owner if owner == "server.uri" else f"satellites.{owner}"
            yield Conflict(("metrics", "port"), f"{metrics} is the port of {other} already; take another")
    for first, second in _pairs(ports):
        text = f"{settings.satellites[second].port} is the port of satellites.{first} already; take another"
        yield Conflict(("satellites", second, "port"), text)


def _announced_names(settings: Settings) -> Iterator[Conflict]:
    server = settings.discovery.name
    names = [("discovery.name", server)] if server else []
    for name, satellite in settings.satellites.items():
        if satellite.name is not None and satellite.port is None:
            text = "is what a port is announced as; give the satellite a port, or leave the name out"
            yield Conflict(("satellites", name, "name"), text)
            continue
        if announced := satellite.announced_as(name, server=server):
            names.append((name, announced))
    announced_as = dict(names)
    for first, second in _pairs((announced.casefold(), name) for name, announced in names):
        other = first if first == "discovery.name" else f"satellites.{first}.name"
        is_given = settings.satellites[second].name is not None
        what = "is announced already" if is_given else f"would be '{announced_as[second]}', which is announced already"
        yield Conflict(("satellites", second, "name"), f"{what}, as {other}; each needs one of its own")


def _never_recognised(settings: Settings) -> Iterator[Conflict]:
    for name, satellite in settings.satellites.items():
        if not (satellite.listed or satellite.address or satellite.port):
            text = "is not listed and has neither address nor port: nothing would ever be recognised as it"
            yield Conflict(("satellites", name), text)


def _pairs(owned: Iterable[tuple[Thing, Owner]]) -> Iterator[tuple[Owner, Owner]]:
    """Yield the first owner of a thing together with each later one."""
    first: dict[Thing, Owner] = {}
    for thing, owner in owned:
        if thing in first:
            yield first[thing], owner
        else:
            first[thing] = owner


def _shown(network: Network) -> str:
    return str(network.network_address if network.num_addresses == 1 else network)
