"""Programs that listen where they should not, or answer what they should not."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

BACKLOG = 8
TRICKLE_SECONDS = 0.02


@contextmanager
def stranger(reply: bytes | None, *, hangs_up: bool = False, trickles: bool = False) -> Iterator[int]:
    """Listen on a free port of this machine and send ``reply`` to every client; None sends nothing at all.

    ``hangs_up`` closes the connection then; ``trickles`` goes on sending a sign now and then for as long as it lasts.
    """
    over = threading.Event()
    open_connections: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # the listening socket is shut down at the end
            while True:
                connection, _ = listening.accept()
                open_connections.append(connection)
                if reply is not None:
                    with suppress(OSError):
                        connection.sendall(reply)
                with suppress(OSError):
                    while trickles and not over.wait(TRICKLE_SECONDS):
                        connection.sendall(b" ")
                if hangs_up:
                    connection.close()

    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in open_connections:
                connection.close()


def info(
    *voices: dict[str, object], header: bool = False, program: str = "wyoming-pocket-tts", **more: object
) -> bytes:
    """The bytes of a description, its data in the header line or behind it."""
    described = {"name": program, "attribution": {"name": "", "url": ""}, "installed": True, "voices": list(voices)}
    data = {"tts": [described | more]}
    if header:
        return json.dumps({"type": "info", "data": data}).encode() + b"\n"
    text = json.dumps(data).encode()
    return json.dumps({"type": "info", "data_length": len(text)}).encode() + b"\n" + text


def voice(name: str, *, languages: tuple[str, ...] = ("en",), description: str = "") -> dict[str, object]:
    return {
        "name": name,
        "description": description or name,
        "attribution": {"name": "", "url": ""},
        "installed": True,
        "languages": list(languages),
    }
