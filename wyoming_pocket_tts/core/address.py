"""Listen URIs: tcp, unix, stdio."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from wyoming_pocket_tts.core.errors import ConfigError

DEFAULT_PORT = 10200  # of Wyoming text to speech
_MAX_UNIX_PATH_BYTES = 107  # Linux's ``sockaddr_un``


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An empty host is all interfaces; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    path: Path

    def __str__(self) -> str:
        return f"unix://{self.path}"


@dataclass(frozen=True, slots=True)
class StdioAddress:
    """One connection over standard input and output."""

    def __str__(self) -> str:
        return "stdio://"


Address = TcpAddress | UnixAddress | StdioAddress


def parse_uri(uri: str) -> Address:
    """Raises ``ConfigError``."""
    scheme, separator, rest = uri.partition("://")
    match scheme if separator else "":
        case "tcp":
            return _parse_tcp(uri)
        case "unix":
            return _parse_unix(uri, rest)
        case "stdio" if not rest:
            return StdioAddress()
    raise ConfigError(f"'{uri}' should be tcp://HOST:PORT, unix:///PATH or stdio://")


def _parse_tcp(uri: str) -> TcpAddress:
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"'{uri}' should be tcp://HOST:PORT with a port from 0 to 65535") from error
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ConfigError(f"'{uri}' should be tcp://HOST:PORT and nothing else")
    return TcpAddress(host or "", DEFAULT_PORT if port is None else port)


def _parse_unix(uri: str, path: str) -> UnixAddress:
    if not path.startswith("/"):
        raise ConfigError(f"'{uri}' should hold a full path, with three slashes: unix:///run/tts.sock")
    if len(path.encode()) > _MAX_UNIX_PATH_BYTES:
        raise ConfigError(f"'{uri}' is longer than the {_MAX_UNIX_PATH_BYTES} bytes that a socket's path may have")
    return UnixAddress(Path(path))
