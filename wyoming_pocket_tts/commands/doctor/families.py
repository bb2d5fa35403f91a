"""Looks at which addresses, of IPv4 and IPv6, others can reach the service. Sends nothing."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.serving.address import TcpAddress, parse_uri
from wyoming_pocket_tts.serving.network import IpAddress, reachable_addresses

_EVERY_HOST = ("0.0.0.0", "::")  # noqa: S104  (to look up, not to listen on)
_HOST_NAMES = {"": _EVERY_HOST, "localhost": ("127.0.0.1",)}
_IPV6 = 6


@dataclass(frozen=True)
class AddressFamilies:
    """Where Home Assistant can reach the service."""

    title: ClassVar[str] = "addresses"
    limit_seconds: ClassVar[float] = 10.0
    uri: str
    find: Callable[[Collection[str]], tuple[IpAddress, ...]] = reachable_addresses

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        address = parse_uri(self.uri)
        if not isinstance(address, TcpAddress):
            yield ok(f"{address} is for this machine alone")
            return
        try:
            here = self.find(_HOST_NAMES.get(address.host, (address.host,)))
        except ValueError:  # a name
            yield ok(f"the service listens on what '{address.host}' stands for")
            return
        if address.is_loopback:
            yield warning(
                f"{address} is for this machine alone",
                "right if Home Assistant runs here; else listen on tcp://0.0.0.0:10200 or tcp://:10200 (IPv6 as well)",
            )
        elif not here and self.find(_EVERY_HOST):
            yield problem(
                f"{address}: this machine has addresses, and none of that family",
                "listen on tcp://:10200, which takes IPv4 and IPv6",
            )
        elif not here:
            yield warning(
                f"{address}: this machine has no address that others can reach",
                "connect it to the network; in a container, use the host's network (network_mode: host)",
            )
        else:
            yield ok(f"others reach it at {', '.join(map(str, here))}{self._unused(here)}")

    def _unused(self, here: Collection[IpAddress]) -> str:
        ipv6 = [address for address in self.find(_EVERY_HOST) if address.version == _IPV6]
        if not ipv6 or any(address.version == _IPV6 for address in here):
            return ""
        return f"; IPv6 ({ipv6[0]}) is not listened on: tcp://:10200 would take both"
