"""Ports, discovery, address families, hub."""

import asyncio
import errno
import http.client
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from zeroconf import Error as ZeroconfError
from zeroconf import IPVersion, ServiceListener, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.cli.client import ask, is_ours, local_address
from wyoming_pocket_tts.cli.doctor.base import ConfiguredModel, Finding, advice_on, ok, problem, warning
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

FindAddresses = Callable[[Collection[str]], tuple[IpAddress, ...]]

_ASKING_SECONDS = 3.0
_HUB_SECONDS = 5.0
_LISTENING_SECONDS = 5.0
_FIRST_UNPRIVILEGED_PORT = 1024
_LONGEST_HEALTH_BYTES = 1000
_IPV4, _IPV6 = 4, 6
_EVERY_HOST = ("0.0.0.0", "::")  # noqa: S104  (to look up, not to listen on)
_HOST_NAMES = {"": _EVERY_HOST, "localhost": ("127.0.0.1",)}
_TRIAL_TYPE = "_wyoming-check._tcp.local."
_TRIAL_PORT = 10200
_OPEN_NETWORK = (
    "let UDP port 5353 through the firewall; a container needs the host's network (network_mode: host); some access"
    " points drop multicast between clients. Meanwhile add the service in Home Assistant by host and port"
)
_FREE_MDNS_PORT = (
    "another program keeps UDP port 5353 for itself: 'ss -lunp \"sport = :5353\"' names it; stop it, or let it share"
)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Whether the service can listen at the addresses of the settings, or does already."""
    address = parse_uri(settings.server.uri)
    if isinstance(address, UnixAddress):
        yield _check_socket(address)
    if isinstance(address, TcpAddress):
        yield _check_port(address, str(address), setting="--uri, server.uri")
        for name, satellite in settings.satellites.items():
            if satellite.port is not None:
                own = TcpAddress(address.host, satellite.port)
                yield _check_port(own, f"{own} of the satellite {name}", setting=f"satellites.{name}.port")
    if settings.metrics.port is not None:
        yield _check_metrics_port(TcpAddress(settings.metrics.host, settings.metrics.port))


def _check_port(address: TcpAddress, label: str, *, setting: str) -> Finding:
    if address.port == 0:
        return ok(f"{label}: takes any port that is free")
    reason = _bind_error(address)
    if reason is None:
        return ok(f"{label} is free")
    if reason != errno.EADDRINUSE:
        return _unusable(address, label, reason, setting)
    return _check_taken_port(address, label, _stop_it(address, setting))


def _check_taken_port(address: TcpAddress, label: str, stop_it: str) -> Finding:
    try:
        answer = ask(str(address), seconds=_ASKING_SECONDS)
    except ServerTimeout:
        return problem(f"{label} is taken by a program that does not answer", stop_it)
    except (NotAWyomingServer, ServerNotFound):
        return problem(f"{label} is taken by another program", stop_it)
    except TtsError as error:
        return warning(str(error), advice_on(error, otherwise=stop_it))
    if is_ours(answer.program):
        return ok(f"{label}: this service answers, after {answer.seconds * 1000:.0f} ms")
    return problem(f"{label} is taken by another Wyoming server, '{answer.program or 'without a name'}'", stop_it)


def _stop_it(address: TcpAddress, setting: str) -> str:
    return f"'ss -ltnp \"sport = :{address.port}\"' names it: stop it, or take another port ({setting})"


def _unusable(address: TcpAddress, label: str, reason: int, setting: str) -> Finding:
    if reason == errno.EACCES and address.port < _FIRST_UNPRIVILEGED_PORT:
        return problem(
            f"{label}: ports below {_FIRST_UNPRIVILEGED_PORT} need special rights",
            f"take a larger one, such as 10200 ({setting})",
        )
    if reason == errno.EADDRNOTAVAIL:
        return problem(
            f"{label}: {address.host} is no address of this machine",
            "listen on 0.0.0.0, or on an address that 'ip addr' shows",
        )
    return problem(f"{label}: cannot be listened on: {os.strerror(reason)}", f"take another address ({setting})")


def _check_metrics_port(address: TcpAddress) -> Finding:
    label = f"metrics at {address.host}, port {address.port}"
    reason = _bind_error(address) if address.port else None
    if reason is None:
        return ok(f"{label}: free")
    if reason != errno.EADDRINUSE:
        return _unusable(address, label, reason, "metrics.port")
    health = _health(address)
    if health is None:
        return problem(f"{label}: is taken by another program", _stop_it(address, "metrics.port"))
    if health:
        return warning(f"{label}: this service reports that it is not well: {health}", "restart it; look at its log")
    return ok(f"{label}: this service answers")


def _health(address: TcpAddress) -> str | None:
    """What this service reports at /health; empty if all is well, None if another program answers."""
    where = parse_uri(local_address(str(address)))
    assert isinstance(where, TcpAddress)  # noqa: S101  (for the type checker)
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


def _bind_error(address: TcpAddress) -> int | None:
    """The errno for an address that cannot be bound; None if it can."""
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
            if error.errno != errno.EAFNOSUPPORT:  # which is a machine without IPv6
                return error.errno or errno.EINVAL
    return None


def _check_socket(address: UnixAddress) -> Finding:
    folder = address.path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return problem(
            f"{address}: {folder} is no directory that can be written to",
            f"make it (mkdir -p {folder}), and let the service's user write there",
        )
    if not address.path.exists():
        return ok(f"{address} is free")
    try:
        answer = ask(str(address), seconds=_ASKING_SECONDS)
    except ServerNotFound:
        return ok(f"{address}: left by a service that was killed; the next one replaces it")
    except TtsError as error:
        return problem(f"{address} is taken: {error}", "stop that program, or take another path (--uri, server.uri)")
    if is_ours(answer.program):
        return ok(f"{address}: this service answers")
    return problem(f"{address} is taken by '{answer.program}'", "take another path (--uri, server.uri)")


def check_addresses(uri: str, *, find: FindAddresses = reachable_addresses) -> Iterator[Finding]:
    address = parse_uri(uri)
    if not isinstance(address, TcpAddress):
        yield ok(f"{address} is for this machine alone")
        return
    try:
        here = find(_HOST_NAMES.get(address.host, (address.host,)))
    except ValueError:  # a name
        yield ok(f"the service listens on what '{address.host}' stands for")
        return
    if address.is_loopback:
        yield warning(
            f"{address} is for this machine alone",
            "right if Home Assistant runs here; else listen on tcp://0.0.0.0:10200 or tcp://:10200 (IPv6 as well)",
        )
    elif here:
        ipv6 = [each for each in find(_EVERY_HOST) if each.version == _IPV6]
        is_unused = ipv6 and all(each.version != _IPV6 for each in here)
        unused = f"; IPv6 ({ipv6[0]}) is not listened on: tcp://:10200 would take both" if is_unused else ""
        yield ok(f"others reach it at {', '.join(map(str, here))}{unused}")
    elif find(_EVERY_HOST):
        yield problem(
            f"{address}: this machine has addresses, and none of that family",
            "listen on tcp://:10200, which takes IPv4 and IPv6",
        )
    else:
        yield warning(
            f"{address}: this machine has no address that others can reach",
            "connect it to the network; in a container, use the host's network (network_mode: host)",
        )


def check_discovery(
    settings: Settings,
    *,
    is_running: bool,
    find: FindAddresses = reachable_addresses,
    listening_seconds: float = _LISTENING_SECONDS,
) -> Iterator[Finding]:
    """Whether a second socket receives the service's announcement, in each address family.

    If the service does not run on this machine, an announcement of another type is made: Home Assistant connects to
    every service of the real type.
    """
    address = parse_uri(settings.server.uri)
    announce = settings.discovery.announce
    if not isinstance(address, TcpAddress) or (address.is_loopback and announce is None):
        yield ok("an address of this machine alone is not announced")
        return
    if announce is False:
        yield ok("the settings say not to announce (discovery.announce)")
        return
    try:
        here = find(_bound_addresses(address))
    except OSError as error:
        reason = error.strerror or error
        yield problem(f"'{address.host}' stands for no address: {reason}", "listen on an address, or on 0.0.0.0")
        return
    if not here:
        yield warning("there is no address to announce", "connect this machine to the network")
        return
    try:
        names = asyncio.run(_announced_names(here, address.port if is_running else None, listening_seconds))
    except (OSError, ZeroconfError) as error:
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        found = f"multicast cannot be used: {str(error) or type(error).__name__}"
        yield problem(found, _FREE_MDNS_PORT if is_taken else _OPEN_NETWORK)
        return
    for version, name in names.items():
        family = f"IPv{version}"
        if name is None:
            what = "the service's announcement" if is_running else "an announcement from this machine"
            finding = problem if version == _IPV4 else warning
            yield finding(f"{family}: {what} is not heard", _OPEN_NETWORK)
        elif is_running:
            yield ok(f"{family}: the service is announced as '{name}', and heard")
        else:
            yield ok(f"{family}: announcements from this machine are heard")


def _bound_addresses(address: TcpAddress) -> Sequence[str]:
    if not address.host:
        return _EVERY_HOST
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return sorted({str(place[4][0]) for place in found})


async def _announced_names(here: Collection[IpAddress], port: int | None, seconds: float) -> dict[int, str | None]:
    """By IP version, the announced name of the service at ``port``, or with None of a trial announcement."""
    versions = sorted({address.version for address in here})
    if port is not None:
        return {version: await _announced_name(here, version, SERVICE_TYPE, port, seconds) for version in versions}
    async with _trial_announcement(here):
        return {
            version: await _announced_name(here, version, _TRIAL_TYPE, _TRIAL_PORT, seconds) for version in versions
        }


async def _announced_name(
    here: Collection[IpAddress], version: int, service_type: str, port: int, seconds: float
) -> str | None:
    # Bound to the addresses that others use: what a machine sends to itself passes firewalls that nothing else passes.
    browser = AsyncZeroconf(
        interfaces=[str(address) for address in here if address.version == version],
        ip_version=IPVersion.V4Only if version == _IPV4 else IPVersion.V6Only,
    )
    listener = _Listener()
    own = {str(address) for address in here}
    try:
        await browser.async_add_service_listener(service_type, listener)
        async with asyncio.timeout(seconds):
            while True:
                name = await listener.names.get()
                info = AsyncServiceInfo(service_type, name)
                if not await info.async_request(browser.zeroconf, 1000):
                    continue
                if info.port == port and not own.isdisjoint(info.parsed_addresses()):
                    return name.removesuffix(f".{service_type}")
    except TimeoutError:
        return None
    finally:
        await browser.async_close()


class _Listener(ServiceListener):
    """Queues the names of announced services."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:  # noqa: ARG002  (zeroconf's interface)
        self.names.put_nowait(name)

    update_service = add_service

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        pass


@asynccontextmanager
async def _trial_announcement(here: Collection[IpAddress]) -> AsyncIterator[None]:
    name = f"doctor-{secrets.token_hex(4)}"
    responder = AsyncZeroconf(interfaces=[str(address) for address in here])
    try:
        packed, server = [address.packed for address in here], f"{name}.local."
        info = AsyncServiceInfo(_TRIAL_TYPE, f"{name}.{_TRIAL_TYPE}", port=_TRIAL_PORT, addresses=packed, server=server)
        await (await responder.async_register_service(info))
        yield
    finally:
        await responder.async_close()


def check_hub(models: Sequence[ConfiguredModel], *, local_files_only: bool = False) -> Iterator[Finding]:
    of_hub = [model for model in models if (model.wanted.config.weights_path or "").startswith("hf://")]
    if not of_hub:
        yield ok("nothing has to be downloaded: the settings name no model of the hub")
        return
    if local_files_only:
        yield ok("the settings say to download nothing (models.local_files_only)")
        return
    for model in of_hub:
        try:
            yield _check_download(model)
        except Unreachable as error:  # the other models would only take the same time
            yield _offline(str(error), models)
            return


def _check_download(model: ConfiguredModel) -> Finding:
    label, config = model.wanted.label, model.wanted.config
    try:
        if config.weights_path_without_voice_cloning is not None:
            check_access(config.weights_path_without_voice_cloning, timeout_seconds=_HUB_SECONDS)
    except AccessDenied:
        why = "the token that this machine has is refused" if has_token() else "the hub asks for a token"
        return problem(
            f"{label}: {why}, even for public files",
            "make a new one on the hub's page of settings, then 'hf auth login' or HF_TOKEN; or remove the old one",
        )
    except NotFound as error:
        return problem(f"{label}: {error}", "install a newer version of this program")
    except Unreachable:
        raise
    except DownloadError as error:
        return problem(f"{label}: {error}", "do what the message says")
    try:
        check_access(config.weights_path or "", timeout_seconds=_HUB_SECONDS)
    except AccessDenied as error:
        advice = str(error).partition(": ")[2]
        return warning(f"{label}: can be downloaded, but not what makes voices of recordings", advice)
    except DownloadError as error:
        return warning(f"{label}: can be downloaded; what makes voices of recordings: {error}", "try again later")
    return ok(f"{label}: can be downloaded, voice cloning included")


def _offline(reason: str, models: Sequence[ConfiguredModel]) -> Finding:
    here = [model.wanted.label for model in models if model.is_installed]
    missing = [model.wanted.label for model in models if not model.is_installed]
    works = f"works without: {', '.join(['the embedded voices', *here])}"
    remedy = "connect this machine (cable, router, DNS, proxy)"
    if "HF_HUB_OFFLINE" in reason:
        remedy = "remove HF_HUB_OFFLINE from the environment"
    elif "certificate" in reason.lower():
        remedy = "see that the clock is right; a proxy that decrypts connections needs its certificate in SSL_CERT_FILE"
    elsewhere = "or run 'wyoming-pocket-tts download' on another machine and copy the data directory"
    advice = f"{works}. For {', '.join(missing)}: {remedy}, {elsewhere}" if missing else f"nothing for now: {works}"
    return warning(f"the hub cannot be asked ({reason})", advice)
