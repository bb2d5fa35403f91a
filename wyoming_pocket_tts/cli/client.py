"""Wyoming client: say, check."""

import asyncio
import codecs
import json
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info, TtsProgram, TtsVoice
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from wyoming_pocket_tts.audio.files import AudioFormat, AudioPlayer, WavWriter, open_player, open_wav
from wyoming_pocket_tts.cli.console import Tell, print_error, print_result
from wyoming_pocket_tts.cli.options import TextArgument
from wyoming_pocket_tts.core.address import Address, StdioAddress, TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import (
    ConfigError,
    EmptyText,
    NotAWyomingServer,
    ServerNotFound,
    ServerOverloaded,
    ServerTimeout,
    TtsError,
    quote_untrusted,
)

Sink = Callable[[bytes, AudioFormat], None]
"""Takes samples as they arrive; called on a thread of its own, so it may block."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
"""Longest silence of a server: a large model on a small machine is slow to start."""
_READ_BYTES = 4096
_MAX_NAMES: Final = 10

app = typer.Typer(rich_markup_mode=None)


@app.command()
def say(
    text: TextArgument,
    *,
    uri: Annotated[
        str, typer.Option("--uri", metavar="URI", help="The server: tcp://HOST:PORT or unix:///PATH.")
    ] = "tcp://127.0.0.1:10200",
    voice: Annotated[str | None, typer.Option("--voice", metavar="NAME", help="Voice to ask for.")] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="WAV file, or - for standard output, instead of playing."),
    ] = None,
) -> None:
    """Speak through a running server, and show how fast it is."""
    if not text.strip():
        raise EmptyText("the text holds nothing to say")
    deltas = typed_text() if text == "-" else words_of(text)
    target: AbstractContextManager[AudioPlayer | WavWriter] = open_player() if output is None else open_wav(output)
    with target as audio:
        timing = asyncio.run(synthesize(uri, deltas, voice=voice, sink=audio.write, warn=print_error))
        if timing.first_audio_seconds is None:
            raise EmptyText(str(timing))
        if isinstance(audio, WavWriter):
            audio.finish(AudioFormat(rate_hz=16_000))
    print_result(str(timing), output)


async def words_of(text: str) -> AsyncIterator[str]:
    """Yield a text word by word, as a language model would produce it."""
    for word in text.split(" "):
        yield word + " "


async def typed_text() -> AsyncIterator[str]:
    """Yield standard input as it is typed, to its end."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        with suppress(RuntimeError):  # the loop may be closed before the input ends
            while True:
                read = os.read(sys.stdin.fileno(), _READ_BYTES)
                loop.call_soon_threadsafe(chunks.put_nowait, read)
                if not read:
                    return

    # The blocking read cannot be interrupted, so the thread is not joined: it ends with the process.
    threading.Thread(target=read, name="standard-input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := await chunks.get():
        yield decoder.decode(chunk)


@dataclass(frozen=True, slots=True)
class ClientTiming:
    """Speed of a server, counted from the first event of the request; time spent on playback does not count."""

    first_audio_seconds: float | None
    """None if there was no audio."""
    total_seconds: float
    audio_seconds: float

    def __str__(self) -> str:
        if self.first_audio_seconds is None:
            return "the server sent no audio: does the text hold anything to say?"
        return (
            f"First audio after {self.first_audio_seconds * 1000:.0f} ms; {self.audio_seconds:.2f} s of speech in "
            f"{self.total_seconds:.2f} s (real-time factor {self.total_seconds / self.audio_seconds:.3f})."
        )


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """What a server tells about itself."""

    program: str
    version: str | None
    voices: tuple[str, ...]
    """Names of the installed ones."""

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.program}{version} is there, with {len(self.voices)} voice{'' if len(self.voices) == 1 else 's'}."


class _Closed(TtsError):  # noqa: N818  (named for the state)
    """The connection ended before the response was complete."""


async def describe(uri: str, *, seconds: float) -> ServerDescription:
    """Ask a server for its description.

    Raises:
        ConfigError: a client cannot connect to such a URI.
        Overloaded: the server accepts no further client.
        SpeechError: the server cannot be reached, has no voice, or does not answer within ``seconds``.
    """
    client = _client_for(uri)
    try:
        async with asyncio.timeout(seconds):
            await client.connect()
            async with _closing(client):
                program = await _program_at(uri, client)
    except TimeoutError as error:
        raise ServerTimeout(f"the server at {uri} does not answer within {seconds:g} s") from error
    except (OSError, EOFError) as error:
        raise ServerNotFound(
            f"no server answers at {uri} ({_reason(error)}): is the service running? From another machine: does it"
            " listen on more than 127.0.0.1, and does a firewall let the port through?"
        ) from error
    voices = tuple(voice.name for voice in program.voices if voice.installed)
    if not voices:
        raise TtsError(f"the server at {uri} has no voice to speak with")
    return ServerDescription(program.name, program.version, voices)


def local_address(uri: str) -> str:
    """The address for a client on the same machine as a server that listens on ``uri``."""
    address = parse_uri(uri)
    if isinstance(address, TcpAddress) and address.host in ("", "0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        return str(TcpAddress("::1" if address.host == "::" else "127.0.0.1", address.port))
    return uri


async def synthesize(
    uri: str, text: AsyncIterable[str], *, voice: str | None, sink: Sink, warn: Tell = lambda _: None
) -> ClientTiming:
    """Send text to a server, streamed if the server supports that, and pass the audio on to ``sink`` as it arrives.

    ``warn`` is called first if the server will probably use another voice than ``voice``.

    Raises:
        ConfigError: a client cannot connect to such a URI.
        SpeechError: the server cannot be reached, refuses, closes the connection or is silent for too long.
    """
    client = _client_for(uri)
    try:
        await client.connect()
    except OSError as error:  # also a timeout
        raise ServerNotFound(
            f"no server answers at {uri} ({_reason(error)}): is the service running? Start it with"
            " 'wyoming-pocket-tts serve', or give the address of another one with --uri"
        ) from error
    try:
        async with _closing(client):
            async with asyncio.timeout(_ANSWER_SECONDS):
                program = await _program_at(uri, client)
            if voice is not None and (warning := voice_mismatch_warning(voice, program.voices)):
                warn(warning)
            streams = bool(program.supports_synthesize_streaming)
            return await _exchange(client, text, voice=voice, sink=sink, streams=streams)
    except TimeoutError as error:
        raise ServerTimeout(f"the server at {uri} does not answer") from error
    except (OSError, EOFError) as error:
        raise TtsError(f"cannot speak through {uri}: {error}") from error


def voice_mismatch_warning(name: str, voices: Sequence[TtsVoice]) -> str:
    """Why a server that lists ``voices`` may use another voice than ``name``, a voice or a speaker; else empty.

    Most servers use another voice without an error.
    """
    wanted = name.casefold()
    installed = [voice for voice in voices if voice.installed]
    if any(wanted in _names(voice) for voice in installed):
        return ""
    titled = next((voice.name for voice in installed if (voice.description or "").casefold() == wanted), None)
    if titled is not None:
        return f"'{name}' is how the voice '{titled}' is shown; another voice may speak: ask for '{titled}'"
    if any(wanted in _names(voice) for voice in voices):
        return f"the voice '{name}' is listed and not there yet: another one speaks"
    names = [voice.name for voice in installed]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (
        f"the server lists no voice '{name}': another one speaks, unless its settings have a satellite of that name"
        f" (voices: {', '.join(names[:_MAX_NAMES])}{more})"
    )


def _names(voice: TtsVoice) -> set[str]:
    return {voice.name.casefold(), *(speaker.name.casefold() for speaker in voice.speakers or ())}


def _client_for(uri: str) -> AsyncClient:
    address = parse_uri(uri)
    if isinstance(address, StdioAddress):
        raise ConfigError("a client cannot connect to stdio://; tcp://HOST:PORT or unix:///PATH")
    return AsyncClient.from_uri(str(address), connect_timeout=_CONNECT_SECONDS)


@asynccontextmanager
async def _closing(client: AsyncClient) -> AsyncIterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # the server closed it first; reading and writing report that
            await client.disconnect()


def _reason(error: OSError | EOFError) -> str:
    """The system's own text, without what asyncio and the name resolver put around it."""
    if isinstance(error, EOFError) or error.errno is None:
        return str(error) or "it took too long"
    return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)


async def _program_at(uri: str, client: AsyncClient) -> TtsProgram:
    """The first installed program, which Home Assistant would use."""
    try:
        await client.write_event(Describe().event())
        while not Info.is_type((event := await _next_event(client)).type):
            if Error.is_type(event.type):
                raise _refusal(event)
    except (_Closed, EOFError, ConnectionResetError, BrokenPipeError) as error:
        raise NotAWyomingServer(f"what listens at {uri} does not say what it is: is it a Wyoming server?") from error
    with _protocol_errors():
        programs = [program for program in Info.from_event(event).tts if program.installed]
    if not programs:
        raise TtsError("this Wyoming server offers no text to speech")
    return programs[0]


async def _exchange(
    client: AsyncClient, text: AsyncIterable[str], *, voice: str | None, sink: Sink, streams: bool
) -> ClientTiming:
    """Send, receive and pass on concurrently, so that slow typing or slow playback does not delay the others."""
    received: asyncio.Queue[AudioChunk | None] = asyncio.Queue()
    async with asyncio.timeout(None) as silence:
        sending = asyncio.create_task(_send(client, text, silence, voice=voice, streams=streams))
        receiving = asyncio.create_task(_receive(client, received, silence, streams=streams))
        passing_on = asyncio.create_task(_pass_on(received, sink))
        tasks = (sending, receiving, passing_on)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
            return await receiving
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _send(
    client: AsyncClient, text: AsyncIterable[str], silence: asyncio.Timeout, *, voice: str | None, streams: bool
) -> None:
    chosen = SynthesizeVoice(name=voice) if voice else None
    if streams:
        await client.write_event(SynthesizeStart(voice=chosen).event())
        async for delta in text:
            await client.write_event(SynthesizeChunk(text=delta).event())
        await client.write_event(SynthesizeStop().event())
    else:
        whole = "".join([delta async for delta in text])
        await client.write_event(Synthesize(text=whole, voice=chosen).event())
    _restart(silence)  # not before: typing may take any time


async def _receive(
    client: AsyncClient, received: asyncio.Queue[AudioChunk | None], silence: asyncio.Timeout, *, streams: bool
) -> ClientTiming:
    begin = time.perf_counter()
    first_audio_seconds: float | None = None
    audio_seconds = 0.0
    while True:
        event = await _next_event(client)
        if silence.when() is not None:
            _restart(silence)
        if AudioChunk.is_type(event.type):
            with _protocol_errors():
                chunk = AudioChunk.from_event(event)
            if first_audio_seconds is None and chunk.audio:
                first_audio_seconds = time.perf_counter() - begin
            audio_seconds += chunk.seconds
            received.put_nowait(chunk)
        elif Error.is_type(event.type):
            raise _refusal(event)
        elif SynthesizeStopped.is_type(event.type) or (not streams and AudioStop.is_type(event.type)):
            received.put_nowait(None)
            silence.reschedule(None)
            return ClientTiming(first_audio_seconds, time.perf_counter() - begin, audio_seconds)


async def _pass_on(received: asyncio.Queue[AudioChunk | None], sink: Sink) -> None:
    while (chunk := await received.get()) is not None:
        audio = AudioFormat(rate_hz=chunk.rate, width_bytes=chunk.width, channels=chunk.channels)
        await asyncio.to_thread(sink, chunk.audio, audio)


def _restart(silence: asyncio.Timeout) -> None:
    silence.reschedule(asyncio.get_running_loop().time() + _ANSWER_SECONDS)


async def _next_event(client: AsyncClient) -> Event:
    with _protocol_errors():
        event = await client.read_event()
    if event is None:
        raise _Closed("the server closed the connection before it had finished")
    return event


def _refusal(event: Event) -> TtsError:
    with _protocol_errors():
        error = Error.from_event(event)
    kind = ServerOverloaded if error.code == ServerOverloaded.code else TtsError
    return kind(f"the server refuses: {error.text}")


@contextmanager
def _protocol_errors() -> Iterator[None]:
    """Translate what the library raises for bytes that are no event, and for events without required fields."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotAWyomingServer("what answers there does not speak the Wyoming protocol") from error


_QUESTION = b'{"type": "describe"}\n'
_LARGEST_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 16
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (to connect to, not to listen on)


@dataclass(frozen=True, slots=True)
class DescribeResponse:
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


def ask(uri: str, *, seconds: float) -> DescribeResponse:
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
        raise ServerTimeout(f"{uri} does not answer 'describe' within {seconds:g} s") from error
    except ConnectionResetError as error:
        raise NotAWyomingServer(f"{uri} closes the connection instead of answering 'describe'") from error
    return DescribeResponse(info, header_bytes, time.monotonic() - began)


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
        raise ServerNotFound(f"no server answers at {address} ({error.strerror or error})") from error
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
        raise NotAWyomingServer(f"{uri} answers 'describe' with something else than 'info'")
    length = header.get("data_length", 0)
    if not isinstance(length, int) or not 0 <= length <= _LARGEST_BYTES:
        raise NotAWyomingServer(f"{uri} announces an answer of an impossible length")
    info = header.get("data") or {}
    if not isinstance(info, dict):
        raise NotAWyomingServer(f"{uri} answers with data that is no object")
    info |= _object(reader.exactly(length), uri) if length else {}
    if header["type"] == "error":
        refusal = ServerOverloaded if info.get("code") == ServerOverloaded.code else TtsError
        raise refusal(f"the server at {uri} refuses to answer: {quote_untrusted(info.get('text', ''))}")
    return len(line), info


def _object(text: bytes, uri: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NotAWyomingServer(f"{uri} answers, but not in the Wyoming protocol")
    return value
