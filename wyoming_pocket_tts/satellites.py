"""Who is asking: finds the satellite behind a name, a client's address or a port. A pure look-up.

Knows no voice, no socket and no settings file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from wyoming_pocket_tts.voices.names import same
from wyoming_pocket_tts.voices.overrides import Overrides

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """A room, or whoever else is spoken to in a way of its own."""

    name: str
    """Unique among satellites and voices, whatever its case."""
    voice: str | None = None
    """The listed voice that it has; None for the default one."""
    description: str = ""
    """What people read; empty to have it made."""
    networks: tuple[Network, ...] = ()
    """Clients with an address in these are this satellite. No two satellites have the same one."""
    port: int | None = None
    """Clients of this port are this satellite."""
    announced_as: str | None = None
    """Under which name its port is announced; None to have one made for the port."""
    listed: bool = True
    """Whether clients can ask for it by name."""
    overrides: Overrides = field(default_factory=Overrides)


class Satellites:
    """All satellites of the house."""

    def __init__(self, satellites: Sequence[Satellite]) -> None:
        self._all = tuple(satellites)
        # One look-up for each length of prefix there is, the narrowest networks first.
        self._by_prefix: dict[tuple[int, int], dict[int, Satellite]] = {}
        for satellite in self._all:
            for network in satellite.networks:
                of_length = self._by_prefix.setdefault((network.version, network.prefixlen), {})
                of_length[int(network.network_address)] = satellite
        self._prefixes = sorted(self._by_prefix, key=lambda prefix: -prefix[1])

    def __iter__(self) -> Iterator[Satellite]:
        """All of them, in the order of the settings."""
        return iter(self._all)

    def named(self, name: str, of_port: str | None = None) -> Satellite | None:
        """The satellite that a client asks for: one that is listed, or the one of the port, ``of_port``."""
        alike = (satellite for satellite in self._all if same(satellite.name, name))
        return next((satellite for satellite in alike if satellite.listed or satellite.name == of_port), None)

    def asking(self, *, address: str, satellite: str | None) -> Satellite | None:
        """Who asks: the satellite whose port it is, else that of the narrowest network with the client's address.

        Args:
            address: the client's IP address, with or without a zone; empty or no address (a Unix socket) is nobody's.
            satellite: the name of the satellite whose own port the client connected to.
        """
        if satellite is not None:
            of_port = next((each for each in self._all if each.name == satellite), None)
            if of_port is not None:
                return of_port
        client = _plain_address(address)
        return None if client is None else self._at(client)

    def _at(self, client: Address) -> Satellite | None:
        bits = client.max_prefixlen
        for version, length in self._prefixes:
            if version == client.version:
                network = int(client) >> (bits - length) << (bits - length)
                satellite = self._by_prefix[version, length].get(network)
                if satellite is not None:
                    return satellite
        return None


def _plain_address(text: str) -> Address | None:
    """An address, that of an IPv4 client of an IPv6 socket as IPv4. A zone (``%eth0``) makes no difference."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
