"""Asks an endpoint over HTTP, with a client that is not ours. Knows no page."""

import asyncio
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    body: str
    headers: dict[str, str]


async def get(address: str, path: str, method: str = "GET") -> Got:
    """Ask once."""

    def ask() -> Got:
        parts = urlsplit(address)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return Got(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


def values(exposition: str) -> dict[str, float]:
    """Samples of a Prometheus exposition, with their labels as they are written."""
    lines = [line for line in exposition.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
