"""Looks at the addresses of the settings: free, or answered by us, or taken by somebody else. Listens nowhere."""

import errno
import http.client
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.asking import ask, connectable
from wyoming_pocket_tts.commands.doctor.cures import cure_of
from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.subject import is_ours
from wyoming_pocket_tts.errors import NoAnswer, NobodyThere, NotWyoming, SpeechError, shown
from wyoming_pocket_tts.serving.address import TcpAddress, UnixAddress, parse_uri
from wyoming_pocket_tts.settings import Settings

_ASKING_SECONDS = 3.0
_FIRST_UNPRIVILEGED_PORT = 1024
_LONGEST_HEALTH_BYTES = 1000


@dataclass(frozen=True)
class Ports:
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
    except NoAnswer:
        return problem(f"{shown} is taken by a program that does not answer", stop_it)
    except (NotWyoming, NobodyThere):
        return problem(f"{shown} is taken by another program", stop_it)
    except SpeechError as error:
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
    return shown(text) if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else None


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
    except NobodyThere:
        return ok(f"{address}: left by a service that was killed; the next one replaces it")
    except SpeechError as error:
        return problem(f"{address} is taken: {error}", "stop that program, or take another path (--uri, server.uri)")
    if is_ours(answer.program):
        return ok(f"{address}: this service answers")
    return problem(f"{address} is taken by '{answer.program}'", "take another path (--uri, server.uri)")
