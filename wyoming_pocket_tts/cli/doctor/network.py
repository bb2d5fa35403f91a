"""Ports, discovery, address families, hub."""

import asyncio
import errno
import http.client
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceListener, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.cli.client import ask, connectable
from wyoming_pocket_tts.cli.doctor.base import ConfiguredModel, Finding, cure_of, is_ours, ok, problem, warning
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.address import TcpAddress, UnixAddress, parse_uri
from wyoming_pocket_tts.core.errors import (
    AccessDenied,
    DownloadError,
    NotAWyomingServer,
    NotFound,
    ServerNotFound,
    ServerTimeout,
    TtsError,
    Unreachable,
    quote_untrusted,
)
from wyoming_pocket_tts.pocket.hub import check_access, has_token
from wyoming_pocket_tts.server.discovery import SERVICE_TYPE, IpAddress, reachable_addresses

_ASKING_SECONDS = 3.0
_FIRST_UNPRIVILEGED_PORT = 1024
_LONGEST_HEALTH_BYTES = 1000


@dataclass(frozen=True)
class PortsCheck:
    """Whether the service can listen, or does already."""

    title: ClassVar[str] = "ports"
    limit_seconds: ClassVar[float] = 60.0
    settings: Settings

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        settings = self.settings
        address = parse_uri(settings.server.uri)
        if isinstance(address, UnixAddress):
            yield _socket(address)
        if isinstance(address, TcpAddress):
            yield _port(address, setting="--uri, server.uri")
            for name, satellite in settings.satellites.items():
                if satellite.port is not None:
                    own = TcpAddress(address.host, satellite.port)
                    yield _port(own, what=f" of the satellite {name}", setting=f"satellites.{name}.port")
        if settings.metrics.port is not None:
            yield _metrics_port(TcpAddress(settings.metrics.host, settings.metrics.port))


def _port(address: TcpAddress, *, setting: str, what: str = "") -> Finding:
    shown = f"{address}{what}"
    if address.port == 0:
        return ok(f"{shown}: takes any port that is free")
    reason = _cannot_bind(address)
    if reason is None:
        return ok(f"{shown} is free")
    if reason == errno.EADDRINUSE:
        return _asked(address, shown, setting)
    return _refused(address, shown, reason, setting)


def _asked(address: TcpAddress, shown: str, setting: str) -> Finding:
    """Who has the port."""
    stop_it = _stop_it(address, setting)
    try:
        answer = ask(str(address), seconds=_ASKING_SECONDS)
    except ServerTimeout:
        return problem(f"{shown} is taken by a program that does not answer", stop_it)
    except (NotAWyomingServer, ServerNotFound):
        return problem(f"{shown} is taken by another program", stop_it)
    except TtsError as error:
        return warning(str(error), cure_of(error, otherwise=stop_it))
    if is_ours(answer.program):
        return ok(f"{shown}: this service answers, after {answer.seconds * 1000:.0f} ms")
    return problem(f"{shown} is taken by another Wyoming server, '{answer.program or 'without a name'}'", stop_it)


def _stop_it(address: TcpAddress, setting: str) -> str:
    return f"'ss -ltnp \"sport = :{address.port}\"' names it: stop it, or take another port ({setting})"


def _refused(address: TcpAddress, shown: str, reason: int, setting: str) -> Finding:
    if reason == errno.EACCES and address.port < _FIRST_UNPRIVILEGED_PORT:
        return problem(
            f"{shown}: ports below {_FIRST_UNPRIVILEGED_PORT} are not for everybody",
            f"take a larger one, such as 10200 ({setting})",
        )
    if reason == errno.EADDRNOTAVAIL:
        return problem(
            f"{shown}: {address.host} is no address of this machine",
            "listen on 0.0.0.0, or on an address that 'ip addr' shows",
        )
    return problem(f"{shown}: cannot be listened on: {os.strerror(reason)}", f"take another address ({setting})")


def _metrics_port(address: TcpAddress) -> Finding:
    shown = f"metrics at {address.host}, port {address.port}"
    reason = _cannot_bind(address) if address.port else None
    if reason is None:
        return ok(f"{shown}: free")
    if reason != errno.EADDRINUSE:
        return _refused(address, shown, reason, "metrics.port")
    health = _health(address)
    if health is None:
        return problem(f"{shown}: is taken by another program", _stop_it(address, "metrics.port"))
    if health:
        return warning(f"{shown}: this service says that it is not well: {health}", "restart it, and look at its log")
    return ok(f"{shown}: this service answers")


def _health(address: TcpAddress) -> str | None:
    """What our endpoint complains about; nothing if all is well, None if the port is not one of ours."""
    where = parse_uri(connectable(str(address)))
    assert isinstance(where, TcpAddress), "it was one"  # noqa: S101  (our own invariant)
    connection = http.client.HTTPConnection(where.host, where.port, timeout=_ASKING_SECONDS)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        text = answer.read(_LONGEST_HEALTH_BYTES).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if answer.status == HTTPStatus.OK and text == "ok":
        return ""
    return quote_untrusted(text) if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else None


def _cannot_bind(address: TcpAddress) -> int | None:
    """The system's error number for an address that cannot be listened on; None if it can."""
    try:
        places = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        return errno.EADDRNOTAVAIL
    for family, kind, protocol, _, place in places:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(place)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:  # a machine without IPv6
                continue
            return error.errno or errno.EINVAL
    return None


def _socket(address: UnixAddress) -> Finding:
    folder = address.path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return problem(
            f"{address}: {folder} is no directory that can be written to",
            f"make it (mkdir -p {folder}), and let the service's user write there",
        )
    if not address.path.exists():
        return ok(f"{address} is free")
    return _asked_at_socket(address)


def _asked_at_socket(address: UnixAddress) -> Finding:
    try:
        answer = ask(str(address), seconds=_ASKING_SECONDS)
    except ServerNotFound:
        return ok(f"{address}: left by a service that was killed; the next one replaces it")
    except TtsError as error:
        return problem(f"{address} is taken: {error}", "stop that program, or take another path (--uri, server.uri)")
    if is_ours(answer.program):
        return ok(f"{address}: this service answers")
    return problem(f"{address} is taken by '{answer.program}'", "take another path (--uri, server.uri)")


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
class DiscoveryCheck:
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


_EVERY_HOST = ("0.0.0.0", "::")  # noqa: S104  (to look up, not to listen on)
_HOST_NAMES = {"": _EVERY_HOST, "localhost": ("127.0.0.1",)}
_IPV6 = 6


@dataclass(frozen=True)
class AddressFamilyCheck:
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


_HUB_ASKING_SECONDS = 5.0
_HUB = "hf://"


def downloads() -> Path:
    """Where what comes from the hub is kept."""
    from huggingface_hub import constants  # noqa: PLC0415  (light, as long as nothing else of it is asked for)

    return Path(constants.HF_HUB_CACHE)


@dataclass(frozen=True)
class HubCheck:
    """Whether the models of the settings can be had."""

    title: ClassVar[str] = "hub"
    limit_seconds: ClassVar[float] = 45.0
    models: Sequence[ConfiguredModel]
    local_files_only: bool = False

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        models = [model for model in self.models if (model.wanted.config.weights_path or "").startswith(_HUB)]
        if not models:
            yield ok("nothing has to be downloaded: the settings name no model of the hub")
            return
        if self.local_files_only:
            yield ok("the settings say to download nothing (models.local_files_only)")
            return
        for model in models:
            finding, goes_on = self._of(model)
            yield finding
            if not goes_on:  # the others would only make us wait
                return

    def _of(self, model: ConfiguredModel) -> tuple[Finding, bool]:
        """What there is to say about a model, and whether the next one is worth asking for."""
        label, config = model.wanted.label, model.wanted.config
        open_weights = config.weights_path_without_voice_cloning
        try:
            if open_weights is not None:
                check_access(open_weights, timeout_seconds=_HUB_ASKING_SECONDS)
        except AccessDenied:
            why = "the token that this machine has is refused" if has_token() else "the hub asks for a token"
            return problem(
                f"{label}: {why}, even for what is open to everybody",
                "make a new one on the hub's page of settings, then 'hf auth login' or HF_TOKEN; or remove the old one",
            ), True
        except NotFound as error:
            return problem(f"{label}: {error}", "install a newer version of this program"), True
        except Unreachable as error:
            return self._offline(str(error)), False
        except DownloadError as error:
            return problem(f"{label}: {error}", "do what the message says"), True
        return self._cloning(label, config.weights_path or ""), True

    def _cloning(self, label: str, weights: str) -> Finding:
        try:
            check_access(weights, timeout_seconds=_HUB_ASKING_SECONDS)
        except AccessDenied as error:
            advice = str(error).partition(": ")[2]
            return warning(f"{label}: can be downloaded, but not what makes voices of recordings", advice)
        except DownloadError as error:
            return warning(f"{label}: can be downloaded; what makes voices of recordings: {error}", "try again later")
        return ok(f"{label}: can be downloaded, voice cloning included")

    def _offline(self, reason: str) -> Finding:
        here = [model.wanted.label for model in self.models if model.is_installed]
        lacking = [model.wanted.label for model in self.models if not model.is_installed]
        connect = _why_unconnected(reason)
        without = f"works without: {', '.join(['the embedded voices', *here])}"
        if not lacking:
            return warning(f"the hub cannot be asked ({reason})", f"nothing for now: {without}")
        return warning(
            f"the hub cannot be asked ({reason})",
            f"{without}. For {', '.join(lacking)}: {connect}, or run 'wyoming-pocket-tts download' on"
            " another machine and copy the data directory",
        )


def _why_unconnected(reason: str) -> str:
    """What to do so that the hub answers."""
    if "HF_HUB_OFFLINE" in reason:
        return "remove HF_HUB_OFFLINE from the environment"
    if "certificate" in reason.lower():
        return "see that the clock is right; a proxy that looks into connections needs its certificate in SSL_CERT_FILE"
    return "connect this machine (cable, router, DNS, proxy)"
