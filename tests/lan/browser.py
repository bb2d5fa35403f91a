"""Looks for Wyoming servers and calls on each, as Home Assistant does. A program of its own: knows nothing of ours.

``python browser.py 4`` listens over IPv4 alone, ``6`` over IPv6 alone. It writes one JSON object a line, as it comes:
what was found, under which addresses who answers there, and what is gone. It ends with its standard input.
"""

import contextlib
import json
import socket
import sys
import threading
from typing import Any

from zeroconf import IPVersion, ServiceBrowser, ServiceListener, Zeroconf

SERVICE_TYPE = "_wyoming._tcp.local."
_SECONDS = 5.0


class Caller(ServiceListener):
    """Writes down who comes and goes, and asks who comes what it is."""

    def __init__(self) -> None:
        self._writing = threading.Lock()

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Somebody is there."""
        # Not on zeroconf's own thread, which has to bring the answers.
        threading.Thread(target=self._call, args=(zc, type_, name), daemon=True).start()

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Somebody changed."""
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        """Somebody left."""
        self._write(name=name.removesuffix(f".{type_}"), found=False)

    def _call(self, zc: Zeroconf, type_: str, name: str) -> None:
        info = zc.get_service_info(type_, name, timeout=int(_SECONDS * 1000))
        if info is None:
            self._write(name=name.removesuffix(f".{type_}"), found=False)
            return
        assert info.port is not None
        self._write(
            name=name.removesuffix(f".{type_}"),
            found=True,
            port=info.port,
            txt={key.decode(): (value or b"").decode() for key, value in info.properties.items()},
            answers={address: ask(address, info.port) for address in info.parsed_addresses()},
        )

    def _write(self, **line: Any) -> None:  # noqa: ANN401  (whatever JSON holds)
        with self._writing:
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


def ask(address: str, port: int) -> str:
    """Ask who answers there; its program's name, or why there is none."""
    try:
        with (
            socket.create_connection((address, port), timeout=_SECONDS) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(b'{"type": "describe"}\n')
            header = json.loads(answer.readline())
            data = json.loads(answer.read(header["data_length"]))
            return str(data["tts"][0]["name"])
    except (OSError, ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}"


def main(version: str) -> None:
    """Look until standard input ends."""
    zeroconf = Zeroconf(ip_version=IPVersion.V4Only if version == "4" else IPVersion.V6Only)
    ServiceBrowser(zeroconf, SERVICE_TYPE, Caller())
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    zeroconf.close()


if __name__ == "__main__":
    main(sys.argv[1])
