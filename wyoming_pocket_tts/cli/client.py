"""Wyoming client: say, check."""

import asyncio
import codecs
import os
import sys
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from wyoming.audio import AudioChunk, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info, TtsProgram, TtsVoice
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from wyoming_pocket_tts.audio.files import AudioFormat, AudioPlayer, WavWriter, open_player, open_wav
from wyoming_pocket_tts.cli.console import Tell, print_error, print_result
from wyoming_pocket_tts.cli.options import ConfigOption, TextArgument
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.core.address import StdioAddress, TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import (
    ConfigError,
    EmptyText,
    NotAWyomingServer,
    ProtocolError,
    ServerNotFound,
    ServerOverloaded,
    ServerTimeout,
    TtsError,
    quote_untrusted,
)
from wyoming_pocket_tts.server.protocol import PROGRAM, EventLimits, EventReader, encode

Sink = Callable[[bytes, AudioFormat], None]
"""Takes samples as they arrive; called on a thread of its own, so it may block."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
"""Longest silence of a server: a large model on a small machine is slow to start."""
_READ_BYTES = 4096
_LARGEST_BYTES = 16 << 20
_LIMITS = EventLimits(
    header_bytes=_LARGEST_BYTES,
    data_bytes=_LARGEST_BYTES,
    payload_bytes=_LARGEST_BYTES,
    event_seconds=_ANSWER_SECONDS,
)
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


@app.command()
def check(
    uri: Annotated[
        str | None,
        typer.Argument(
            metavar="[URI]",
            help="The server: tcp://HOST:PORT or unix:///PATH. Default: where the settings let this machine's listen.",
            show_default=False,
        ),
    ] = None,
    *,
    config: ConfigOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="N", min=0.1, help="How long the answer may take.")
    ] = 5.0,
) -> None:
    """Check that a running server answers and has voices.

    It is asked as Home Assistant does. For health checks, too.
    """
    settings = read_settings(config, {}, log_level="warning")
    typer.echo(asyncio.run(check_server(uri or local_address(settings.server.uri), seconds=seconds)))


async def check_server(uri: str, *, seconds: float) -> str:
    """Describe a server in a sentence. A server that accepts no further client is healthy."""
    try:
        return str(await describe(uri, seconds=seconds))
    except ServerOverloaded as error:
        return f"The server at {uri} is there, and has no room for another client now: {error}."


async def words_of(text: str) -> AsyncIterator[str]:
    for word in text.split(" "):
        yield word + " "


async def typed_text() -> AsyncIterator[str]:
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
    """Name, version and installed voices of a server."""

    program: str
    version: str | None
    voices: tuple[str, ...]

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.program}{version} is there, with {len(self.voices)} voice{'' if len(self.voices) == 1 else 's'}."


@dataclass(frozen=True, slots=True)
class DescribeResponse:
    """What a server describes: unchecked data, the length of its header line, and how long it took."""

    info: dict[str, Any]
    header_bytes: int
    seconds: float

    @property
    def program(self) -> str:
        programs = self.info.get("tts")
        first = programs[0] if isinstance(programs, list) and programs else None
        return str(first.get("name", "")) if isinstance(first, dict) else ""


def is_ours(program: str) -> bool:
    """Whether this program answered; at the port of a satellite its name is followed by the satellite's."""
    return program == PROGRAM or program.startswith(f"{PROGRAM} ")


def local_address(uri: str) -> str:
    """The address for a client on the same machine as a server that listens on ``uri``."""
    address = parse_uri(uri)
    if isinstance(address, TcpAddress) and address.host in ("", "0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        return str(TcpAddress("::1" if address.host == "::" else "127.0.0.1", address.port))
    return uri


def ask(uri: str, *, seconds: float) -> DescribeResponse:
    """Ask a server to describe itself, within ``seconds`` altogether. Not to be called on an event loop."""
    return asyncio.run(_ask(uri, seconds))


async def describe(uri: str, *, seconds: float) -> ServerDescription:
    """Ask as ``ask`` does; a server without an installed voice is an error, too."""
    advice = (
        ": is the service running? From another machine: does it listen on more than 127.0.0.1, and does a firewall let"
        " the port through?"
    )
    program = _program(await _ask(uri, seconds, advice), uri)
    voices = tuple(voice.name for voice in program.voices if voice.installed)
    if not voices:
        raise TtsError(f"the server at {uri} has no voice to speak with")
    return ServerDescription(program.name, program.version, voices)


async def _ask(uri: str, seconds: float, advice: str = "") -> DescribeResponse:
    deadline = asyncio.get_running_loop().time() + seconds
    async with _connect(uri, seconds=seconds, advice=advice) as connection:
        try:
            async with asyncio.timeout_at(deadline):
                return await connection.describe()
        except TimeoutError as error:
            raise ServerTimeout(f"the server at {uri} does not answer within {seconds:g} s") from error


async def synthesize(
    uri: str, text: AsyncIterable[str], *, voice: str | None, sink: Sink, warn: Tell = lambda _: None
) -> ClientTiming:
    """Send text to a server, streamed if the server supports that, and pass the audio on to ``sink`` as it arrives.

    ``warn`` is called first if the server will probably use another voice than ``voice``. A server that cannot be
    reached, refuses, closes the connection or is silent for too long raises a TtsError.
    """
    advice = (
        ": is the service running? Start it with 'wyoming-pocket-tts serve', or give the address of another one with"
        " --uri"
    )
    try:
        async with _connect(uri, seconds=_CONNECT_SECONDS, advice=advice) as connection:
            async with asyncio.timeout(_ANSWER_SECONDS):
                program = _program(await connection.describe(), uri)
            if voice is not None and (warning := voice_mismatch_warning(voice, program.voices)):
                warn(warning)
            streams = bool(program.supports_synthesize_streaming)
            return await _exchange(connection, text, voice=voice, sink=sink, streams=streams)
    except TimeoutError as error:
        raise ServerTimeout(f"the server at {uri} does not answer") from error
    except OSError as error:
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


# --- a connection


class _MeasuredStream(asyncio.StreamReader):
    """Keeps the length of the last line, for an ``EventReader``, which reads its first byte separately."""

    line_bytes = 0

    async def readuntil(self, separator: Any = b"\n") -> bytes:  # noqa: ANN401  (as its base by version)
        line = await super().readuntil(separator)
        self.line_bytes = len(line)
        return line


class _Connection:
    """A client's end of a Wyoming connection."""

    def __init__(self, uri: str, stream: _MeasuredStream, writer: asyncio.StreamWriter, began: float) -> None:
        self.uri = uri
        self._stream = stream
        self._reader = EventReader(stream, _LIMITS)
        self._writer = writer
        self._began = began

    async def send(self, event: Event) -> None:
        self._writer.write(encode(event))
        await self._writer.drain()

    async def receive(self) -> Event | None:
        """The next event, None at the end of the connection; a refusal is raised."""
        try:
            event = await self._reader.read()
        except ProtocolError as error:
            raise _not_wyoming(self.uri) from error
        if event is not None and Error.is_type(event.type):
            refusal = ServerOverloaded if event.data.get("code") == ServerOverloaded.code else TtsError
            raise refusal(f"the server at {self.uri} refuses: {quote_untrusted(event.data.get('text', ''))}")
        return event

    async def describe(self) -> DescribeResponse:
        try:
            await self.send(Describe().event())
            event = await self.receive()
        except ConnectionError:
            event = None
        if event is None:
            raise NotAWyomingServer(
                f"{self.uri} closes the connection instead of answering 'describe': is it a Wyoming server?"
            )
        if not Info.is_type(event.type):
            raise NotAWyomingServer(f"{self.uri} answers 'describe' with something else than 'info'")
        seconds = asyncio.get_running_loop().time() - self._began
        return DescribeResponse(event.data, self._stream.line_bytes, seconds)


def _not_wyoming(uri: str) -> NotAWyomingServer:
    return NotAWyomingServer(f"{uri} answers, but not in the Wyoming protocol")


@asynccontextmanager
async def _connect(uri: str, *, seconds: float, advice: str = "") -> AsyncIterator[_Connection]:
    """Connect within ``seconds``; ``advice`` ends the message if no server is there."""
    address = parse_uri(local_address(uri))
    if isinstance(address, StdioAddress):
        raise ConfigError("a client cannot connect to stdio://; give tcp://HOST:PORT or unix:///PATH")
    loop = asyncio.get_running_loop()
    began = loop.time()
    stream = _MeasuredStream(limit=_LARGEST_BYTES)
    protocol = asyncio.StreamReaderProtocol(stream)
    transport: asyncio.Transport
    try:
        async with asyncio.timeout(seconds):
            if isinstance(address, TcpAddress):
                transport, _ = await loop.create_connection(lambda: protocol, address.host, address.port)
            else:
                transport, _ = await loop.create_unix_connection(lambda: protocol, str(address.path))
    except OSError as error:  # a timeout here is a firewall that drops packets
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        found = f"no server answers at {address} ({reason or str(error) or 'it took too long'})"
        raise ServerNotFound(f"{found}{advice}") from error
    writer = asyncio.StreamWriter(transport, protocol, stream, loop)
    try:
        yield _Connection(uri, stream, writer, began)
    finally:
        if transport.get_write_buffer_size():
            transport.abort()  # closing would wait for a server that reads nothing
        with suppress(OSError):  # the server closed it first; reading and writing report that
            writer.close()
            await writer.wait_closed()


def _program(answer: DescribeResponse, uri: str) -> TtsProgram:
    """The first installed program, which Home Assistant would use."""
    try:
        programs = [program for program in Info.from_event(Event("info", answer.info)).tts if program.installed]
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # fields are missing or of another type
        raise _not_wyoming(uri) from error
    if not programs:
        raise TtsError("this Wyoming server offers no text to speech")
    return programs[0]


async def _exchange(
    connection: _Connection, text: AsyncIterable[str], *, voice: str | None, sink: Sink, streams: bool
) -> ClientTiming:
    received: asyncio.Queue[AudioChunk | None] = asyncio.Queue()
    async with asyncio.timeout(None) as silence:
        sending = asyncio.create_task(_send(connection, text, silence, voice=voice, streams=streams))
        receiving = asyncio.create_task(_receive(connection, received, silence, streams=streams))
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
    connection: _Connection, text: AsyncIterable[str], silence: asyncio.Timeout, *, voice: str | None, streams: bool
) -> None:
    chosen = SynthesizeVoice(name=voice) if voice else None
    if streams:
        await connection.send(SynthesizeStart(voice=chosen).event())
        async for delta in text:
            await connection.send(SynthesizeChunk(text=delta).event())
        await connection.send(SynthesizeStop().event())
    else:
        whole = "".join([delta async for delta in text])
        await connection.send(Synthesize(text=whole, voice=chosen).event())
    _restart(silence)  # not before: typing may take any time


async def _receive(
    connection: _Connection, received: asyncio.Queue[AudioChunk | None], silence: asyncio.Timeout, *, streams: bool
) -> ClientTiming:
    begin = time.perf_counter()
    first_audio_seconds: float | None = None
    audio_seconds = 0.0
    while (event := await connection.receive()) is not None:
        if silence.when() is not None:
            _restart(silence)
        if AudioChunk.is_type(event.type):
            try:
                chunk = AudioChunk.from_event(event)
            except (KeyError, TypeError, ValueError) as error:
                raise _not_wyoming(connection.uri) from error
            if first_audio_seconds is None and chunk.audio:
                first_audio_seconds = time.perf_counter() - begin
            audio_seconds += chunk.seconds
            received.put_nowait(chunk)
        elif SynthesizeStopped.is_type(event.type) or (not streams and AudioStop.is_type(event.type)):
            received.put_nowait(None)
            silence.reschedule(None)
            return ClientTiming(first_audio_seconds, time.perf_counter() - begin, audio_seconds)
    raise TtsError("the server closed the connection before it had finished")


async def _pass_on(received: asyncio.Queue[AudioChunk | None], sink: Sink) -> None:
    while (chunk := await received.get()) is not None:
        audio = AudioFormat(rate_hz=chunk.rate, width_bytes=chunk.width, channels=chunk.channels)
        await asyncio.to_thread(sink, chunk.audio, audio)


def _restart(silence: asyncio.Timeout) -> None:
    silence.reschedule(asyncio.get_running_loop().time() + _ANSWER_SECONDS)
