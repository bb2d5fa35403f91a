"""Announces the server over zeroconf (mDNS), so that Home Assistant finds it. Knows neither server nor protocol.

Home Assistant connects as soon as it hears of a server and gives up when nobody answers: announce what listens already.
"""

import asyncio
import logging
import re
import socket
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, NonUniqueNameException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.serving.network import IpAddress, reachable_addresses

_LOGGER = logging.getLogger(__name__)

SERVICE_TYPE = "_wyoming._tcp.local."

_POLL_SECONDS = 10.0
"""How often to look for changed addresses, and to try again after a failure."""
_LABEL_BYTES = 63
"""The longest name that DNS can hold."""
_SAME_NAMES_TRIED = 20


class Announcer:
    """Keeps one server announced under the addresses the machine has at the time. ``start`` it, then ``stop`` it."""

    def __init__(
        self,
        *,
        name: str,
        port: int,
        bound_hosts: Collection[str],
        find_addresses: Callable[[Collection[str]], tuple[IpAddress, ...]] = reachable_addresses,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        """Prepare to announce ``name`` for a server whose listening sockets are bound to ``bound_hosts``."""
        self._name = name
        self._port = port
        self._bound_hosts = tuple(bound_hosts)
        self._find_addresses = find_addresses
        self._poll_seconds = poll_seconds
        self._task: asyncio.Task[None] | None = None
        self._zeroconf: AsyncZeroconf | None = None
        self._announced: tuple[IpAddress, ...] = ()
        self._last_problem = ""

    def start(self) -> None:
        """Begin in the background; trouble with the network is logged and tried again, never raised."""
        self._task = asyncio.create_task(self._keep_announced(), name="zeroconf")

    async def stop(self) -> None:
        """Withdraw the announcement and release the sockets."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._withdraw()

    async def _keep_announced(self) -> None:
        while True:
            try:
                addresses = self._find_addresses(self._bound_hosts)
                if addresses != self._announced or not addresses:
                    await self._announce_afresh(addresses)
            except (OSError, RuntimeError, ZeroconfError) as error:
                self._note_problem(str(error) or type(error).__name__)
                await self._withdraw()
            await asyncio.sleep(self._poll_seconds)

    async def _announce_afresh(self, addresses: tuple[IpAddress, ...]) -> None:
        """Replace the announcement. A new responder each time: its sockets belong to the interfaces there were."""
        await self._withdraw()
        if not addresses:
            self._note_problem("this machine has no address that others can reach")
            return
        name = await self._register(addresses)
        self._announced = addresses
        self._last_problem = ""
        _LOGGER.info("Announced as '%s' at %s, port %d", name, ", ".join(map(str, addresses)), self._port)

    async def _register(self, addresses: tuple[IpAddress, ...]) -> str:
        self._zeroconf = _responder(addresses)
        for attempt in range(1, _SAME_NAMES_TRIED + 1):
            name = _label(self._name, "" if attempt == 1 else f"-{attempt}")
            try:
                sent = await self._zeroconf.async_register_service(_describe(name, addresses, self._port))
            except NonUniqueNameException:
                _LOGGER.warning("Another server in this network is called '%s'; --zeroconf NAME gives a name", name)
                continue
            await sent
            return name
        raise ZeroconfError(f"{_SAME_NAMES_TRIED} servers are called '{self._name}'")

    async def _withdraw(self) -> None:
        self._announced = ()
        if self._zeroconf is None:
            return
        try:
            await self._zeroconf.async_close()
        except (OSError, ZeroconfError) as error:
            _LOGGER.warning("Could not withdraw the announcement: %s", error)
        # Only now: a cancelled close is finished by ``stop``.
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


def _responder(addresses: tuple[IpAddress, ...]) -> AsyncZeroconf:
    if all(address.is_loopback for address in addresses):
        # The multicast stays on this machine, where alone such an address means anything.
        return AsyncZeroconf(interfaces=["127.0.0.1"])
    has_ipv6 = any(address.version == 6 for address in addresses)  # noqa: PLR2004  (the protocol's name)
    return AsyncZeroconf(ip_version=IPVersion.All if has_ipv6 else IPVersion.V4Only)


def _label(name: str, suffix: str) -> str:
    """Join the two, cutting the name so that DNS can hold the whole."""
    return name.encode()[: _LABEL_BYTES - len(suffix)].decode(errors="ignore") + suffix


def _describe(label: str, addresses: tuple[IpAddress, ...], port: int) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{label}.{SERVICE_TYPE}",
        port=port,
        addresses=[address.packed for address in addresses],
        # A host name that nobody else uses: were it shared, one server's farewell would take the other's address.
        server=f"pocket-tts-{uuid.uuid4().hex[:12]}.local.",
    )
