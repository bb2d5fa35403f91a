"""Wyoming client: say, check."""

import asyncio
import codecs
import os
import sys
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.event import Event
from wyoming.info import Describe, Info, TtsProgram, TtsVoice
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped, SynthesizeVoice

from wyoming_pocket_tts.audio.files import AudioFormat
from wyoming_pocket_tts.core.address import StdioAddress, TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import (
    ConfigError,
    NotAWyomingServer,
    ServerNotFound,
    ServerOverloaded,
    ServerTimeout,
    TtsError,
)


class _Closed(TtsError):  # noqa: N818  (named for the state)
    """The connection ended amid an answer."""


Sink = Callable[[bytes, AudioFormat], None]
"""Takes samples as they come; may block, it runs on a thread of its own."""

Tell = Callable[[str], None]
"""Takes a sentence for a person."""

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
"""How long a server may be silent: a big model on a small machine takes its time."""


@dataclass(frozen=True, slots=True)
class ClientTiming:
    """How fast the server was, counted from the request's first event; playing the audio does not count."""

    first_audio_seconds: float | None
    """Until the first samples came; None when none did."""
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
    """What a server says that it is."""

    program: str
    version: str | None
    voices: tuple[str, ...]
    """Names of those that can speak."""

    def __str__(self) -> str:
        version = f" {self.version}" if self.version else ""
        return f"{self.program}{version} is there, with {len(self.voices)} voice{'' if len(self.voices) == 1 else 's'}."


async def describe(uri: str, *, seconds: float) -> ServerDescription:
    """Ask a server what it speaks with.

    Raises:
        ConfigError: the URI is none that a client can connect to.
        Overloaded: the server is there, and has no room for another client.
        SpeechError: the server cannot be reached, offers no voice, or does not answer within the seconds.
    """
    client = _client_of(uri)
    try:
        async with asyncio.timeout(seconds), _open(client):
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
    """Where a client on the same machine finds what listens on a URI: on all interfaces means on this machine's own.

    Raises:
        ConfigError: the URI is none to listen on.
    """
    address = parse_uri(uri)
    if isinstance(address, TcpAddress) and address.host in ("", "0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        return str(TcpAddress("::1" if address.host == "::" else "127.0.0.1", address.port))
    return uri


async def synthesize(
    uri: str, text: AsyncIterable[str], *, voice: str | None, sink: Sink, tell: Tell = lambda _: None
) -> ClientTiming:
    """Have a server speak the text and pass the audio on to ``sink`` as it comes; returns when all is passed on.

    ``tell`` hears before that if another voice than the one asked for is likely to speak.

    Raises:
        ConfigError: the URI is none that a client can connect to.
        SpeechError: the server cannot be reached, refuses, breaks off or is silent for too long.
    """
    try:
        async with _connected(uri) as client:
            async with asyncio.timeout(_ANSWER_SECONDS):
                program = await _program_at(uri, client)
            if voice is not None and (doubt := voice_mismatch_warning(voice, program.voices)):
                tell(doubt)
            streams = bool(program.supports_synthesize_streaming)
            return await _exchange(client, text, voice=voice, sink=sink, streams=streams)
    except TimeoutError as error:
        raise ServerTimeout(f"the server at {uri} does not answer") from error
    except (OSError, EOFError) as error:
        raise TtsError(f"cannot speak through {uri}: {error}") from error


@asynccontextmanager
async def _connected(uri: str) -> AsyncIterator[AsyncClient]:
    client = _client_of(uri)
    try:
        await client.connect()
    except OSError as error:  # also one that took too long
        raise ServerNotFound(
            f"no server answers at {uri} ({_reason(error)}): is the service running? Start it with"
            " 'wyoming-pocket-tts serve', or give the address of another one with --uri"
        ) from error
    try:
        yield client
    finally:
        await _close(client)


@asynccontextmanager
async def _open(client: AsyncClient) -> AsyncIterator[None]:
    await client.connect()
    try:
        yield
    finally:
        await _close(client)


async def _close(client: AsyncClient) -> None:
    """Close it, also after the other side did: what that did to the connection is told by who reads and writes."""
    with suppress(OSError):
        await client.disconnect()


def _reason(error: OSError | EOFError) -> str:
    """Say it in the system's words, without what asyncio and the resolver of names put around them."""
    if isinstance(error, EOFError) or error.errno is None:
        return str(error) or "it took too long"
    return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)


def _client_of(uri: str) -> AsyncClient:
    address = parse_uri(uri)
    if isinstance(address, StdioAddress):
        raise ConfigError("a client cannot connect to stdio://; tcp://HOST:PORT or unix:///PATH")
    return AsyncClient.from_uri(str(address), connect_timeout=_CONNECT_SECONDS)


async def _program_at(uri: str, client: AsyncClient) -> TtsProgram:
    """Ask for the program that a house would use."""
    try:
        return await _program_of(client)
    except (_Closed, EOFError, ConnectionResetError, BrokenPipeError) as error:
        raise NotAWyomingServer(f"what listens at {uri} does not say what it is: is it a Wyoming server?") from error


async def _program_of(client: AsyncClient) -> TtsProgram:
    await client.write_event(Describe().event())
    event = await _next_event(client)
    while not Info.is_type(event.type):
        if Error.is_type(event.type):
            raise _refusal(event)
        event = await _next_event(client)
    with _understood():
        programs = [program for program in Info.from_event(event).tts if program.installed]
    if not programs:
        raise TtsError("this Wyoming server offers no text to speech")
    return programs[0]


async def _exchange(
    client: AsyncClient, text: AsyncIterable[str], *, voice: str | None, sink: Sink, streams: bool
) -> ClientTiming:
    """Send, receive and pass on side by side: neither slow typing nor slow playing holds the others up."""
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
    # Only from here on is it the server's turn; a person may take any time to type.
    _expect_answer(silence)


async def _receive(
    client: AsyncClient, received: asyncio.Queue[AudioChunk | None], silence: asyncio.Timeout, *, streams: bool
) -> ClientTiming:
    begin = time.perf_counter()
    first_audio_seconds: float | None = None
    audio_seconds = 0.0
    while True:
        event = await _next_event(client)
        if silence.when() is not None:
            _expect_answer(silence)
        if AudioChunk.is_type(event.type):
            with _understood():
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


def _expect_answer(silence: asyncio.Timeout) -> None:
    silence.reschedule(asyncio.get_running_loop().time() + _ANSWER_SECONDS)


async def _next_event(client: AsyncClient) -> Event:
    with _understood():
        event = await client.read_event()
    if event is None:
        raise _Closed("the server closed the connection before it had finished")
    return event


def _refusal(event: Event) -> TtsError:
    with _understood():
        complaint = Error.from_event(event)
    kind = ServerOverloaded if complaint.code == ServerOverloaded.code else TtsError
    return kind(f"the server refuses: {complaint.text}")


@contextmanager
def _understood() -> Iterator[None]:
    """What the library raises at bytes that are no event, or at an event without what it has to hold."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotAWyomingServer("what answers there does not speak the Wyoming protocol") from error


_MOST_NAMES: Final = 10
"""In a message: a house may have a hundred voices."""


def voice_mismatch_warning(name: str, voices: Sequence[TtsVoice]) -> str:
    """What speaks against it that this very voice will speak; nothing if nothing does.

    Args:
        name: what is asked for: a voice, or a speaker of one. Case does not count.
        voices: what the server lists.
    """
    wanted = name.casefold()
    installed = [voice for voice in voices if voice.installed]
    if any(wanted in _names(voice) for voice in installed):
        return ""
    shown = next((voice.name for voice in installed if (voice.description or "").casefold() == wanted), None)
    if shown is not None:
        return f"'{name}' is how the voice '{shown}' is shown; another voice may speak: ask for '{shown}'"
    if any(wanted in _names(voice) for voice in voices):
        return f"the voice '{name}' is listed and not there yet: another one speaks"
    return (
        f"the server lists no voice '{name}': another one speaks, unless its settings have a satellite of that name"
        f" (voices: {_listed([voice.name for voice in installed])})"
    )


def _names(voice: TtsVoice) -> set[str]:
    return {voice.name.casefold(), *(speaker.name.casefold() for speaker in voice.speakers or ())}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


_READ_BYTES = 4096


async def pieces_of(text: str) -> AsyncIterator[str]:
    """Yield a text word by word, as a language model would produce it."""
    for word in text.split(" "):
        yield word + " "


async def typed_pieces() -> AsyncIterator[str]:
    """Yield what comes over standard input as soon as it comes, to its end."""
    loop = asyncio.get_running_loop()
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        # The loop may be gone before the input ends.
        with suppress(RuntimeError):
            while True:
                read = os.read(sys.stdin.fileno(), _READ_BYTES)
                loop.call_soon_threadsafe(pieces.put_nowait, read)
                if not read:
                    return

    # Nobody can wake a thread that waits for a person to type, so nobody joins it: it ends with the process.
    threading.Thread(target=read, name="standard-input", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while piece := await pieces.get():
        yield decoder.decode(piece)


async def check(uri: str, *, seconds: float) -> str:
    """Ask a server what it is, and return that in a sentence.

    A server without room for another client is well: it speaks, and whoever restarts it breaks off what it says.

    Raises:
        ConfigError: the URI is none that a client can connect to.
        SpeechError: the server cannot be reached, offers no voice, or does not answer within the seconds.
    """
    try:
        return str(await describe(uri, seconds=seconds))
    except ServerOverloaded as error:
        return f"The server at {uri} is there, and has no room for another client now: {error}."
