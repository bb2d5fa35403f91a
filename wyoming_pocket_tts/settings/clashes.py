"""Finds settings that are right each and cannot be together. Knows no voice that there is, and no file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from wyoming_pocket_tts.serving.address import TcpAddress, parse_uri
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.settings.speaking import Network

Key = tuple[str | int, ...]
"""The way to a value through mappings and lists."""


Thing = TypeVar("Thing")
Owner = TypeVar("Owner")


@dataclass(frozen=True, slots=True)
class Clash:
    """What is wrong, and where a person can change it."""

    key: Key
    text: str


def clashes(settings: Settings) -> Iterator[Clash]:
    """Yield what keeps these settings from being used."""
    yield from _names(settings)
    yield from _networks(settings)
    yield from _ports(settings)
    yield from _announced_names(settings)
    yield from _never_recognised(settings)


def _names(settings: Settings) -> Iterator[Clash]:
    """Clients ask by name, whatever its case."""
    keys = [("voices", name) for name in settings.voices] + [("satellites", name) for name in settings.satellites]
    for first, second in _pairs((name.casefold(), (section, name)) for section, name in keys):
        yield Clash(second, f"'{second[1]}' is the name of {'.'.join(first)} already; each needs one of its own")


def _networks(settings: Settings) -> Iterator[Clash]:
    """Nested networks are clear, since the narrowest counts; equal ones are not."""
    seen: dict[Network, str] = {}
    for name, satellite in settings.satellites.items():
        for position, network in enumerate(satellite.address):
            other = seen.setdefault(network, name)
            key: Key = ("satellites", name, "address")
            if len(satellite.address) > 1:
                key += (position,)
            if other != name:
                yield Clash(key, f"{_shown(network)} is an address of satellites.{other} already")


def _ports(settings: Settings) -> Iterator[Clash]:
    address = parse_uri(settings.server.uri)
    ports = [(satellite.port, name) for name, satellite in settings.satellites.items() if satellite.port is not None]
    if not isinstance(address, TcpAddress):
        for _, name in ports:
            text = f"needs a server.uri of tcp://, beside which it is opened, not {settings.server.uri}"
            yield Clash(("satellites", name, "port"), text)
        return
    for port, name in ports:
        if port == address.port:
            yield Clash(("satellites", name, "port"), f"{port} is the port of server.uri already; take another")
    metrics = settings.metrics.port
    for port, owner in [*ports, (address.port, "server.uri")]:
        if metrics and port == metrics:
            other = owner if owner == "server.uri" else f"satellites.{owner}"
            yield Clash(("metrics", "port"), f"{metrics} is the port of {other} already; take another")
    for first, second in _pairs(ports):
        text = f"{settings.satellites[second].port} is the port of satellites.{first} already; take another"
        yield Clash(("satellites", second, "port"), text)


def _announced_names(settings: Settings) -> Iterator[Clash]:
    server = settings.discovery.name
    names = [("discovery.name", server)] if server else []
    for name, satellite in settings.satellites.items():
        if satellite.name is not None and satellite.port is None:
            text = "is what a port is announced as; give the satellite a port, or leave the name out"
            yield Clash(("satellites", name, "name"), text)
            continue
        if announced := satellite.announced_as(name, server=server):
            names.append((name, announced))
    announced_as = dict(names)
    for first, second in _pairs((announced.casefold(), name) for name, announced in names):
        other = first if first == "discovery.name" else f"satellites.{first}.name"
        is_given = settings.satellites[second].name is not None
        what = "is announced already" if is_given else f"would be '{announced_as[second]}', which is announced already"
        yield Clash(("satellites", second, "name"), f"{what}, as {other}; each needs one of its own")


def _never_recognised(settings: Settings) -> Iterator[Clash]:
    for name, satellite in settings.satellites.items():
        if not (satellite.listed or satellite.address or satellite.port):
            text = "is not listed and has neither address nor port: nothing would ever be recognised as it"
            yield Clash(("satellites", name), text)


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
