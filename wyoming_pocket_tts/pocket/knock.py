"""Finds out within seconds whether a web server can be reached at all. Asks it for nothing, and knows no files."""

import contextlib
import socket
import time
import urllib.request
from urllib.parse import urlsplit

_LIMIT_SECONDS = 10.0
"""For all addresses of a server together."""
_PORTS = {"http": 80, "https": 443}


def knock(url: str, *, limit_seconds: float = _LIMIT_SECONDS) -> None:
    """Return if a connection to the server of a URL comes about; behind a proxy, which would make it, at once.

    Raises:
        OSError: its name has no address, or none of its addresses takes the connection.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if host is None or (parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)):
        return
    found = socket.getaddrinfo(host, parts.port or _PORTS.get(parts.scheme, 443), type=socket.SOCK_STREAM)
    deadline_seconds = time.monotonic() + limit_seconds
    reason: OSError | None = None
    for position, (family, kind, protocol, _, address) in enumerate(found):
        patience_seconds = (deadline_seconds - time.monotonic()) / (len(found) - position)
        try:
            with contextlib.closing(socket.socket(family, kind, protocol)) as connection:
                connection.settimeout(max(patience_seconds, 0.1))
                connection.connect(address)
                return
        except OSError as error:
            reason = error
    if reason is not None:
        raise reason
