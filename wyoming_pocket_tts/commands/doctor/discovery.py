"""Looks whether an announcement over zeroconf (mDNS) is heard by others, each family of addresses by itself.

Where no service runs, an announcement of another type is made for the while, so that Home Assistant, which connects to
whatever it hears of, does not come for nothing.
"""

import asyncio
import errno
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceListener, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.serving.address import TcpAddress, parse_uri
from wyoming_pocket_tts.serving.discovery import SERVICE_TYPE
from wyoming_pocket_tts.serving.network import IpAddress, reachable_addresses
from wyoming_pocket_tts.settings import Settings

_TRIAL_TYPE = "_wyoming-check._tcp.local."
_TRIAL_PORT = 10200
_LISTENING_SECONDS = 5.0
_IPV4 = 4
_NETWORK = (
    "let UDP port 5353 through the firewall; a container needs the host's network (network_mode: host); some access"
    " points drop multicast between clients. Meanwhile add the service in Home Assistant by host and port"
)
_IN_USE = (
    "another program keeps UDP port 5353 for itself: 'ss -lunp \"sport = :5353\"' names it; stop it, or let it share"
)


@dataclass(frozen=True)
class Discovery:
    """Whether Home Assistant can find the service by itself."""

    title: ClassVar[str] = "discovery"
    limit_seconds: ClassVar[float] = 30.0
    settings: Settings
    is_running: bool
    """Whether the service of these settings runs on this machine, and should be announced."""
    find: Callable[[Collection[str]], tuple[IpAddress, ...]] = reachable_addresses
    listening_seconds: float = _LISTENING_SECONDS

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        address = parse_uri(self.settings.server.uri)
        announce = self.settings.discovery.announce
        if not isinstance(address, TcpAddress) or (address.is_loopback and announce is None):
            yield ok("an address of this machine alone is not announced")
            return
        if announce is False:
            yield ok("the settings say not to announce (discovery.announce)")
            return
        try:
            here = self.find(_addresses_of(address))
        except OSError as error:
            reason = error.strerror or error
            yield problem(f"'{address.host}' stands for no address: {reason}", "listen on an address, or on 0.0.0.0")
            return
        if not here:
            yield warning("there is no address to announce", "connect this machine to the network")
            return
        yield from asyncio.run(self._hear(here, address.port))

    async def _hear(self, here: Collection[IpAddress], port: int) -> list[Finding]:
        versions = sorted({address.version for address in here})
        try:
            if self.is_running:
                heard = [await self._hears(here, version, SERVICE_TYPE, port) for version in versions]
            else:
                async with _trial(here) as trial_port:
                    heard = [await self._hears(here, version, _TRIAL_TYPE, trial_port) for version in versions]
        except (OSError, ZeroconfError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            return [
                problem(
                    f"multicast cannot be used: {str(error) or type(error).__name__}", _IN_USE if taken else _NETWORK
                )
            ]
        return [
            _finding(version, name, is_running=self.is_running) for version, name in zip(versions, heard, strict=True)
        ]

    async def _hears(self, here: Collection[IpAddress], version: int, service_type: str, port: int) -> str | None:
        """The announced name that leads to this machine's port, as a second socket of that family hears it."""
        own = [address for address in here if address.version == version]
        browser = AsyncZeroconf(
            interfaces=_interfaces(own), ip_version=IPVersion.V4Only if version == _IPV4 else IPVersion.V6Only
        )
        listener = _Listener()
        try:
            await browser.async_add_service_listener(service_type, listener)
            async with asyncio.timeout(self.listening_seconds):
                while True:
                    name = await listener.names.get()
                    if await _leads_here(browser, service_type, name, here, port):
                        return name.removesuffix(f".{service_type}")
        except TimeoutError:
            return None
        finally:
            await browser.async_close()


def _addresses_of(address: TcpAddress) -> list[str]:
    """What is bound to: a name stands for what it leads to."""
    if not address.host:
        return ["0.0.0.0", "::"]  # noqa: S104  (to look up)
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return sorted({str(place[4][0]) for place in found})


class _Listener(ServiceListener):
    """Passes on the names that it hears of."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:  # noqa: ARG002  (zeroconf's interface)
        """Somebody is there."""
        self.names.put_nowait(name)

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Somebody changed."""
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Somebody left."""


@asynccontextmanager
async def _trial(here: Collection[IpAddress]) -> AsyncIterator[int]:
    """Announce something for the while, where the service would be announced and nowhere else."""
    name = f"doctor-{secrets.token_hex(4)}"
    responder = AsyncZeroconf(interfaces=_interfaces(here))
    try:
        told = await responder.async_register_service(
            AsyncServiceInfo(
                _TRIAL_TYPE,
                f"{name}.{_TRIAL_TYPE}",
                port=_TRIAL_PORT,
                addresses=[address.packed for address in here],
                server=f"{name}.local.",
            )
        )
        await told
        yield _TRIAL_PORT
    finally:
        await responder.async_close()


def _interfaces(own: Iterable[IpAddress]) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """Where others are. What this machine says to itself passes firewalls that nothing else passes."""
    return [str(address) for address in own]


async def _leads_here(
    browser: AsyncZeroconf, service_type: str, name: str, here: Collection[IpAddress], port: int
) -> bool:
    info = AsyncServiceInfo(service_type, name)
    if not await info.async_request(browser.zeroconf, 1000):
        return False
    return info.port == port and not {str(address) for address in here}.isdisjoint(info.parsed_addresses())


def _finding(version: int, name: str | None, *, is_running: bool) -> Finding:
    family = f"IPv{version}"
    if name is None:
        what = "the service's announcement" if is_running else "an announcement from this machine"
        say = warning if version != _IPV4 else problem
        return say(f"{family}: {what} is not heard", _NETWORK)
    if is_running:
        return ok(f"{family}: the service is announced as '{name}', and heard")
    return ok(f"{family}: announcements from this machine are heard")
