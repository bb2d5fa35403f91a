"""TCP, Unix, stdio."""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from wyoming_pocket_tts.core.address import Address, StdioAddress, TcpAddress, UnixAddress, parse_uri
from wyoming_pocket_tts.core.errors import ConfigError

_KERNEL_BYTES: Final = 128 * 1024
"""What the kernel may keep for a client that does not read; it takes about twice that for itself. Left alone, it keeps
4 MB, wakes a writer when a third of them is free, and so makes one that reads as fast as it plays look like one that
reads nothing for half a minute. Home Assistant reads faster than anybody speaks; a second of audio is 48 kB."""

_TCP_TROUBLE: Final = {
    errno.EADDRINUSE: "another program has it, perhaps a second copy of this one: ss -ltnp 'sport = :{port}' names it;"
    " stop that one, or take another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 stands for all that it has",
    errno.EACCES: "ports below 1024 are not for everybody: take a larger one, such as 10200",
}
"""What the system's reasons mean to the person who chose the address."""

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], None]
"""Takes over a new client's streams and its address, empty where there is none. Must not block."""


class Listener(Protocol):
    """Accepts clients until it is closed."""

    addresses: tuple[str, ...]
    """Bound URIs, with real port numbers."""

    def close(self) -> None:
        """Accept no more. Clients stay."""
        ...

    async def wait_closed(self) -> None:
        """Release what is left, after the clients have gone."""
        ...


async def listen(uri: str, accept: Accept, *, buffer_bytes: int) -> Listener:
    """Listen on a URI.

    Args:
        uri: ``tcp://host:port``, ``unix:///path`` or ``stdio://``.
        accept: called for each client.
        buffer_bytes: limit of each client's input buffer.

    Raises:
        ConfigError: the URI cannot be understood or bound.
    """
    address = parse_uri(uri)
    try:
        match address:
            case TcpAddress(host, port):
                return await _Sockets.tcp(host, port, accept, buffer_bytes)
            case UnixAddress(path):
                return await _Sockets.unix(path, accept, buffer_bytes)
            case StdioAddress():
                return await _Stdio.open(accept, buffer_bytes)
    except OSError as error:
        raise ConfigError(f"cannot listen on {uri}: {_meaning_of(error, address)}") from error


def _meaning_of(error: OSError, address: Address) -> str:
    if isinstance(address, TcpAddress) and error.errno in _TCP_TROUBLE:
        return f"{os.strerror(error.errno).lower()} ({_TCP_TROUBLE[error.errno].format(port=address.port)})"
    if isinstance(error, socket.gaierror):
        return "this machine knows no such name; 0.0.0.0 stands for all its addresses"
    if isinstance(error, FileNotFoundError):
        return "there is no such folder; make it, or choose another place"
    return error.strerror or str(error)


class _Sockets:
    """A listening TCP or Unix socket."""

    def __init__(self, server: asyncio.Server, addresses: tuple[str, ...], path: Path | None = None) -> None:
        self.addresses = addresses
        self._server = server
        self._path = path
        self._inode = path.stat().st_ino if path else None

    @classmethod
    async def tcp(cls, host: str, port: int, accept: Accept, buffer_bytes: int) -> "_Sockets":
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            accept(reader, writer, peer[0] if peer else "")  # no name: gone again already

        server = await asyncio.start_server(connected, host, port, limit=buffer_bytes)
        for listening in server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)  # clients' sockets inherit it
        return cls(server, tuple(str(TcpAddress(*bound.getsockname()[:2])) for bound in server.sockets))

    @classmethod
    async def unix(cls, path: Path, accept: Accept, buffer_bytes: int) -> "_Sockets":
        _remove_stale(path)
        server = await asyncio.start_unix_server(
            lambda reader, writer: accept(reader, writer, ""), path, limit=buffer_bytes
        )
        return cls(server, (str(UnixAddress(path)),), path)

    def close(self) -> None:
        self._server.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == self._inode:  # not another server's by now
                    self._path.unlink()

    async def wait_closed(self) -> None:
        await self._server.wait_closed()


class _Stdio:
    """One client, on standard input and output, which it accepts at once."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = (str(StdioAddress()),)

    @classmethod
    async def open(cls, accept: Accept, buffer_bytes: int) -> "_Stdio":
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=buffer_bytes)
        # Duplicates: the transports close what they are given, and standard input and output are not ours to close.
        source, sink = os.fdopen(os.dup(sys.stdin.fileno()), "rb", 0), os.fdopen(os.dup(sys.stdout.fileno()), "wb", 0)
        try:
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
            transport, protocol = await loop.connect_write_pipe(
                lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sink
            )
        except ValueError as error:
            raise ConfigError(f"stdio:// needs pipes or sockets as standard input and output: {error}") from None
        accept(reader, asyncio.StreamWriter(transport, protocol, None, loop), "")
        return cls()

    def close(self) -> None:
        pass

    async def wait_closed(self) -> None:
        pass


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a server that is no more.

    Raises:
        OSError: somebody listens there, or it is no socket.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise FileExistsError(f"another server listens on {path}")
