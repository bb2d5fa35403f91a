"""Asks whoever listens at an address what it is, as Home Assistant does, and measures the answer. Distrusts it.

Uses no more of the protocol than the question and its answer, so that it sees also what a proper client would not.
"""

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from wyoming_pocket_tts.errors import ConfigError, NoAnswer, NobodyThere, NotWyoming, Overloaded, SpeechError, shown
from wyoming_pocket_tts.serving.address import Address, StdioAddress, TcpAddress, parse_uri

_QUESTION = b'{"type": "describe"}\n'
_LARGEST_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 16
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (to connect to, not to listen on)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says of itself.

    Attributes:
        info: the answer's data, which may hold anything.
        header_bytes: length of its header line.
        seconds: how long it took.
    """

    info: dict[str, Any]
    header_bytes: int
    seconds: float

    @property
    def program(self) -> str:
        """The name of its first program for text to speech; empty if it has none."""
        programs = self.info.get("tts")
        first = programs[0] if isinstance(programs, list) and programs else None
        return str(first.get("name", "")) if isinstance(first, dict) else ""


def ask(uri: str, *, seconds: float) -> Answer:
    """Ask what a server is.

    Args:
        uri: where; an address that means all of this machine's stands for the machine itself.
        seconds: how long to wait at most, for everything together.

    Raises:
        ConfigError: nobody can connect to such an address.
        NobodyThere: nothing listens there.
        NoAnswer: none came in time.
        NotWyoming: the answer is none.
        Overloaded: it has no room for another client.
        SpeechError: it refuses for another reason.
    """
    began = time.monotonic()
    deadline = began + seconds
    try:
        with _connect(parse_uri(connectable(uri)), seconds) as connection:
            connection.sendall(_QUESTION)
            header_bytes, info = _read_answer(_Reader(connection, deadline), uri)
    except TimeoutError as error:
        raise NoAnswer(f"{uri} does not answer 'describe' within {seconds:g} s") from error
    except ConnectionResetError as error:
        raise NotWyoming(f"{uri} closes the connection instead of answering 'describe'") from error
    return Answer(info, header_bytes, time.monotonic() - began)


def connectable(uri: str) -> str:
    """An address to connect to: where a server listens on all of this machine's, this machine itself.

    Raises:
        ConfigError: it is no address.
    """
    address = parse_uri(uri)
    if isinstance(address, TcpAddress):
        return str(TcpAddress(_EVERYWHERE.get(address.host, address.host), address.port))
    return uri


def _connect(address: Address, seconds: float) -> socket.socket:
    try:
        if isinstance(address, TcpAddress):
            return socket.create_connection((address.host, address.port), timeout=seconds)
        if isinstance(address, StdioAddress):
            raise ConfigError("nobody can connect to stdio://; give tcp://HOST:PORT or unix:///PATH")
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        try:
            connection.connect(str(address.path))
        except BaseException:
            connection.close()
            raise
    except OSError as error:  # a time-out here is a firewall's way to say that nobody is there
        raise NobodyThere(f"no server answers at {address} ({error.strerror or error})") from error
    return connection


class _Reader:
    """Reads from a connection until a moment, and never more than anybody needs."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._read = bytearray()

    def line(self) -> bytes:
        """Up to the end of the line, without it."""
        while b"\n" not in self._read:
            self._receive()
        line, _, rest = bytes(self._read).partition(b"\n")
        self._read = bytearray(rest)
        return line

    def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._read) < size:
            self._receive()
        piece = bytes(self._read[:size])
        del self._read[:size]
        return piece

    def _receive(self) -> None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        block = self._connection.recv(_BLOCK_BYTES)
        if not block:
            raise ConnectionResetError
        self._read += block
        if len(self._read) > _LARGEST_BYTES:
            raise ConnectionResetError


def _read_answer(reader: _Reader, uri: str) -> tuple[int, dict[str, Any]]:
    """The length of the header line, and the data of the answer."""
    line = reader.line()
    header = _object(line, uri)
    if header.get("type") not in ("info", "error"):
        raise NotWyoming(f"{uri} answers 'describe' with something else than 'info'")
    length = header.get("data_length", 0)
    if not isinstance(length, int) or not 0 <= length <= _LARGEST_BYTES:
        raise NotWyoming(f"{uri} announces an answer of an impossible length")
    info = header.get("data") or {}
    if not isinstance(info, dict):
        raise NotWyoming(f"{uri} answers with data that is no object")
    info |= _object(reader.exactly(length), uri) if length else {}
    if header["type"] == "error":
        refusal = Overloaded if info.get("code") == Overloaded.code else SpeechError
        raise refusal(f"the server at {uri} refuses to answer: {shown(info.get('text', ''))}")
    return len(line), info


def _object(text: bytes, uri: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NotWyoming(f"{uri} answers, but not in the Wyoming protocol")
    return value
