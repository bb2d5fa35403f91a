"""Announces the server over zeroconf (mDNS), so that Home Assistant finds it. Knows neither server nor protocol.

Home Assistant connects as soon as it hears of a server and gives up when nobody answers: announce what listens already.
"""

import asyncio
import logging
import re
import socket
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zeroconf import Error as ZeroconfError
from zeroconf import NonUniqueNameException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.serving.address import TcpAddress, parse_uri
from wyoming_pocket_tts.serving.network import IpAddress, cards_of, multicast_interfaces, reachable_addresses

_LOGGER = logging.getLogger(__name__)

SERVICE_TYPE = "_wyoming._tcp.local."

_POLL_SECONDS = 10.0
"""How often to look for changes, and to try again after a failure."""
_LABEL_BYTES = 63
"""The longest name that DNS can hold."""
_SAME_NAMES_TRIED = 20


@dataclass(frozen=True, slots=True)
class _Whereabouts:
    """What an announcement rests on.

    Attributes:
        addresses: what to announce for each port.
        cards: the network cards that have them. Other ones need another responder, whatever their addresses.
    """

    addresses: Mapping[int, tuple[IpAddress, ...]]
    cards: frozenset[int]

    @property
    def every_address(self) -> tuple[IpAddress, ...]:
        return tuple(address for of_port in self.addresses.values() for address in of_port)


_NOWHERE = _Whereabouts({}, frozenset())


class Announcer:
    """Keeps a server announced under the addresses the machine has at the time. Fills the server's ``Announcer`` role.

    Trouble with the network is logged and tried again, never raised.
    """

    def __init__(
        self,
        name_for: Callable[[int], str],
        *,
        find_addresses: Callable[[Collection[str]], tuple[IpAddress, ...]] = reachable_addresses,
        find_cards: Callable[[Collection[IpAddress]], frozenset[int]] = cards_of,
        poll_seconds: float = _POLL_SECONDS,
        service_type: str = SERVICE_TYPE,
    ) -> None:
        """Prepare to announce each port under the name that ``name_for`` gives it.

        Args:
            name_for: gives a port's name.
            find_addresses: finds where others reach what is bound to these hosts.
            find_cards: finds the network cards that have these addresses.
            poll_seconds: how often to look whether either has changed.
            service_type: as what to announce; another type is for who looks whether announcing works.
        """
        self._name_for = name_for
        self._find_addresses = find_addresses
        self._find_cards = find_cards
        self._poll_seconds = poll_seconds
        self._service_type = service_type
        self._bound_hosts: dict[int, list[str]] = {}
        self._announced = _NOWHERE
        self._zeroconf: AsyncZeroconf | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_problem = ""

    async def announce(self, addresses: Sequence[str]) -> None:
        """Begin to announce the listening URIs among ``addresses`` that are TCP; goes on in the background."""
        for address in map(parse_uri, addresses):
            if isinstance(address, TcpAddress):
                self._bound_hosts.setdefault(address.port, []).append(address.host)
        if self._bound_hosts:
            self._task = asyncio.create_task(self._keep_announced(), name="zeroconf")

    async def withdraw(self) -> None:
        """Take the announcement back and release the sockets. May be called more than once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._silence()

    async def _keep_announced(self) -> None:
        while True:
            try:
                wanted = self._find()
                if not wanted.addresses:
                    await self._silence()
                    self._note_problem("this machine has no address that others can reach")
                elif wanted != self._announced:
                    await self._announce_afresh(wanted)
            except (OSError, RuntimeError, ZeroconfError) as error:
                self._note_problem(str(error) or type(error).__name__)
                await self._silence()
            await asyncio.sleep(self._poll_seconds)

    def _find(self) -> _Whereabouts:
        found = {port: self._find_addresses(hosts) for port, hosts in self._bound_hosts.items()}
        reachable = _Whereabouts({port: addresses for port, addresses in found.items() if addresses}, frozenset())
        return replace(reachable, cards=self._find_cards(reachable.every_address))

    async def _announce_afresh(self, wanted: _Whereabouts) -> None:
        """Replace the announcement. A new responder each time: its sockets belong to the interfaces there were."""
        await self._silence()
        self._zeroconf = _responder(wanted.every_address)
        for port, addresses in wanted.addresses.items():
            name = await self._register(self._zeroconf, port, addresses)
            _LOGGER.info("Announced as '%s' at %s, port %d", name, ", ".join(map(str, addresses)), port)
        self._announced = wanted
        self._last_problem = ""

    async def _register(self, zeroconf: AsyncZeroconf, port: int, addresses: tuple[IpAddress, ...]) -> str:
        for attempt in range(1, _SAME_NAMES_TRIED + 1):
            name = _label(self._name_for(port), "" if attempt == 1 else f"-{attempt}")
            try:
                sent = await zeroconf.async_register_service(_describe(name, self._service_type, addresses, port))
            except NonUniqueNameException:
                _LOGGER.warning("Another server in this network is called '%s'; --zeroconf NAME gives a name", name)
                continue
            await sent
            return name
        raise ZeroconfError(f"{_SAME_NAMES_TRIED} servers are called '{self._name_for(port)}'")

    async def _silence(self) -> None:
        self._announced = _NOWHERE
        if self._zeroconf is None:
            return
        try:
            await self._zeroconf.async_close()
        except (OSError, ZeroconfError) as error:
            _LOGGER.warning("Could not withdraw the announcement: %s", error)
        # Only now: a close that was cancelled is finished by ``withdraw``.
        self._zeroconf = None

    def _note_problem(self, problem: str) -> None:
        if problem != self._last_problem:
            _LOGGER.warning("Cannot announce the server: %s. Trying again every %g s", problem, self._poll_seconds)
        self._last_problem = problem


def stable_name(data_dir: Path, port: int) -> str:
    """Make the name that this server announces unless it is given one; the same after every restart.

    Home Assistant knows a server by this name. It comes from the host's name and from chance at the first start, and
    is then kept in ``data_dir``: containers change their host names. Servers that share the directory differ by port.
    """
    kept = data_dir / "zeroconf-name"
    try:
        name = kept.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if not name:
        name = f"pocket-tts-{_host_label()}-{uuid.uuid4().hex[:6]}"
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            kept.write_text(name + "\n", encoding="utf-8")
        except OSError as error:
            # Without memory the name must follow from what stays: the host alone.
            name = f"pocket-tts-{_host_label()}-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{uuid.getnode():x}').hex[:6]}"
            _LOGGER.warning("Cannot keep the server's name in %s (%s); using '%s'", kept, error, name)
    return f"{name}-{port}"


def _host_label() -> str:
    first_label = socket.gethostname().partition(".")[0]
    return re.sub(r"[^A-Za-z0-9-]+", "-", first_label).strip("-")[:24] or "host"


def _responder(addresses: Collection[IpAddress]) -> AsyncZeroconf:
    if all(address.is_loopback for address in addresses):
        # The multicast stays on this machine, where alone such an address means anything.
        return AsyncZeroconf(interfaces=["127.0.0.1"])
    return AsyncZeroconf(interfaces=multicast_interfaces(addresses))


def _label(name: str, suffix: str) -> str:
    """Join the two, cutting the name so that DNS can hold the whole."""
    return name.encode()[: _LABEL_BYTES - len(suffix)].decode(errors="ignore") + suffix


def _describe(label: str, service_type: str, addresses: tuple[IpAddress, ...], port: int) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        service_type,
        f"{label}.{service_type}",
        port=port,
        addresses=[address.packed for address in addresses],
        # A host name that nobody else uses: were it shared, one server's farewell would take the other's address.
        server=f"pocket-tts-{uuid.uuid4().hex[:12]}.local.",
    )
