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

_SEND_BUFFER_BYTES: Final = 128 * 1024
"""Kernel buffer of a client. The default grows to 4 MB and wakes a writer when a third is free: a client that reads as
fast as it plays (48 kB a second) would look for half a minute like one that reads nothing."""
_DISCARD_BYTES: Final = 64 * 1024
LINGER_SECONDS: Final = 1.0
"""For a client to read the last events."""

_TCP_ERRORS: Final = {
    errno.EADDRINUSE: "another program has it, perhaps a second copy of this one: ss -ltnp 'sport = :{port}' names it;"
    " stop that one, or take another port",
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 stands for all that it has",
    errno.EACCES: "ports below 1024 need special rights: take a larger one, such as 10200",
}

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], None]
"""Takes a new client's streams and address, which may be empty. Must not block."""


class Listener(Protocol):
    addresses: tuple[str, ...]
    """Bound URIs, with real port numbers."""

    def close(self) -> None: ...

    async def wait_closed(self) -> None: ...


async def listen(uri: str, accept: Accept, *, buffer_bytes: int) -> Listener:
    """Raises ``ConfigError``. ``buffer_bytes`` limits each client's input buffer."""
    address = parse_uri(uri)
    try:
        match address:
            case TcpAddress(host, port):
                return await _SocketListener.tcp(host, port, accept, buffer_bytes)
            case UnixAddress(path):
                return await _SocketListener.unix(path, accept, buffer_bytes)
            case StdioAddress():
                return await _StdioListener.open(accept, buffer_bytes)
    except OSError as error:
        raise ConfigError(f"cannot listen on {uri}: {_explain(error, address)}") from error


def _explain(error: OSError, address: Address) -> str:
    if isinstance(address, TcpAddress) and error.errno in _TCP_ERRORS:
        return f"{os.strerror(error.errno).lower()} ({_TCP_ERRORS[error.errno].format(port=address.port)})"
    if isinstance(error, socket.gaierror):
        return "this machine cannot resolve the name; 0.0.0.0 stands for all its addresses"
    if isinstance(error, FileNotFoundError):
        return "there is no such folder; make it, or choose another place"
    return error.strerror or str(error)


class _SocketListener:
    def __init__(self, server: asyncio.Server, addresses: tuple[str, ...], path: Path | None = None) -> None:
        self.addresses = addresses
        self._server = server
        self._path = path
        self._inode = path.stat().st_ino if path else None

    @classmethod
    async def tcp(cls, host: str, port: int, accept: Accept, buffer_bytes: int) -> "_SocketListener":
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            accept(reader, writer, peer[0] if peer else "")  # no name: disconnected already

        server = await asyncio.start_server(connected, host, port, limit=buffer_bytes)
        for listening in server.sockets:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)  # inherited by connections
        return cls(server, tuple(str(TcpAddress(*bound.getsockname()[:2])) for bound in server.sockets))

    @classmethod
    async def unix(cls, path: Path, accept: Accept, buffer_bytes: int) -> "_SocketListener":
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


class _StdioListener:
    """Accepts one client at once, on standard input and output."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = (str(StdioAddress()),)

    @classmethod
    async def open(cls, accept: Accept, buffer_bytes: int) -> "_StdioListener":
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=buffer_bytes)
        # Duplicates: the transports close what they are given, and standard input and output must stay open.
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
    """Remove the socket file of a killed server; ``OSError`` if a server listens there or it is no socket."""
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


async def close_gracefully(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, write_seconds: float) -> None:
    """Close so that the client can read what was written; no error of the peer is raised.

    Closing with unread input resets the connection, and the client loses what it has not read. So: send all, end our
    side, discard input for a moment, then close.
    """
    writer.transport.set_write_buffer_limits(high=0)  # draining means: all is sent
    try:
        async with asyncio.timeout(write_seconds):
            await writer.drain()
        async with asyncio.timeout(LINGER_SECONDS):
            if writer.can_write_eof():
                writer.write_eof()
                while await reader.read(_DISCARD_BYTES):
                    pass
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError):
        pass
    finally:
        abort(writer)


def abort(writer: asyncio.StreamWriter) -> None:
    """Unsent data is lost."""
    transport = writer.transport
    if not transport.is_closing() or transport.get_write_buffer_size():  # a pipe must not be closed twice
        transport.abort()
