"""A Wyoming client for tests, and a server to talk to. It waits for what should come, and fails when it does not."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from wyoming.event import Event, async_read_event, async_write_event

from tests.support.tone import ToneSynthesizer
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import Synthesizer
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.segments import FindFallback
from wyoming_pocket_tts.server.server import Catalog, ListenEndpoint, Server
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import SegmentReaderFactory

PATIENCE_SECONDS = 15.0


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, address: str, *, local_address: str | None = None) -> "Client":
        """Connect; over TCP from an address of this machine, if one is given."""
        parts = urlsplit(address)
        if parts.scheme == "unix":
            return cls(*await asyncio.open_unix_connection(parts.path))
        local = (local_address, 0) if local_address else None
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, local_addr=local))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def send(self, kind: str, /, **data: object) -> None:
        await async_write_event(Event(kind, dict(data)), self.writer)

    async def send_raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def stream(self, *deltas: str, voice: dict[str, str] | None = None) -> None:
        """Ask for a stream just as Home Assistant does, the whole text once more included."""
        await self.send("synthesize-start", **({"voice": voice} if voice else {}))
        for delta in deltas:
            await self.send("synthesize-chunk", text=delta)
        await self.send("synthesize", text="".join(deltas))
        await self.send("synthesize-stop")

    async def receive(self) -> Event | None:
        """The next event; ``None`` at the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await async_read_event(self.reader)

    async def until(self, last: str) -> list[Event]:
        """Events up to and including the one of that type."""
        events: list[Event] = []
        while not events or events[-1].type != last:
            event = await self.receive()
            assert event is not None, f"ended before {last}: {kinds(events)}"
            events.append(event)
        return events

    async def rest(self) -> list[Event]:
        """Events up to the connection's end, however it comes."""
        events: list[Event] = []
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (event := await self.receive()) is not None:
                events.append(event)
        return events

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Service:
    """A server with workers and a synthesizer of tones."""

    def __init__(self, server: Server, workers: Scheduler, tone: ToneSynthesizer) -> None:
        self.server = server
        self.workers = workers
        self.tone = tone

    async def connect(self) -> Client:
        return await Client.connect(self.server.addresses[0])

    async def happened(self, what: str, text: str | None = None, *, times: int = 1) -> None:
        waited = await asyncio.to_thread(self.tone.journal.wait_for, what, text, times=times)
        assert waited, self.tone.journal.entries()

    async def speaks(self, text: str = "All is well.") -> None:
        """Prove that somebody else is served as always."""
        async with await self.connect() as client:
            await client.send("synthesize", text=text)
            events = await client.until("audio-stop")
            assert shape(events) == ["audio-start", "audio-chunk", "audio-stop"], kinds(events)
            assert audio_seconds(events) > 0

    async def disconnected(self) -> None:
        """Wait until no client is connected."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.server.connections:  # noqa: ASYNC110  (the server tells nobody but its tests)
                await asyncio.sleep(0.005)

    async def left(self) -> None:
        """Wait until no client is connected and nothing is synthesized."""
        await self.disconnected()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.workers.active:  # noqa: ASYNC110  (as above)
                await asyncio.sleep(0.005)


@asynccontextmanager
async def service(
    tone: ToneSynthesizer | None = None,
    *,
    uri: str = "tcp://127.0.0.1:0",
    limits: LimitSettings | None = None,
    threads: int = 2,
    max_active: int = 32,
    max_waiting: int = 32,
    backlog_blocks: int = 8,
    default_voice: str | None = None,
    pieces: SegmentReaderFactory = segment_reader_for,
    observer: Observer | None = None,
    synthesizer: Synthesizer | None = None,
    catalog: Catalog | None = None,
    find_fallback: FindFallback = lambda _: None,
    queue_seconds: float | None = None,
    hung_seconds: float = 30.0,
    now: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Service]:
    """Serve while the context lasts, and prove that nothing is left after it.

    A synthesizer speaks instead of the tones, which still are what the service tells about.
    """
    tone = tone or ToneSynthesizer()
    before = asyncio.all_tasks()
    async with Scheduler(
        synthesizer or tone,
        threads=threads,
        max_active=max_active,
        max_waiting=max_waiting,
        queue_seconds=queue_seconds,
        hung_seconds=hung_seconds,
        backlog_blocks=backlog_blocks,
        observer=observer,
        now=now,
    ) as workers:
        server = Server(
            workers,
            uris=[] if catalog else [uri],
            endpoints=[ListenEndpoint(uris=(uri,), catalog=catalog)] if catalog else [],
            limits=limits,
            default_voice=default_voice,
            pieces=pieces,
            find_fallback=find_fallback,
            observer=observer,
        )
        await server.start()
        try:
            yield Service(server, workers, tone)
        finally:
            await server.aclose(deadline_seconds=0)
    assert asyncio.all_tasks() == before


def kinds(events: Iterable[Event]) -> list[str]:
    return [event.type for event in events]


def shape(events: Iterable[Event]) -> list[str]:
    """The types, with neighbouring audio chunks as one."""
    types = kinds(events)
    return [kind for number, kind in enumerate(types) if kind != "audio-chunk" or types[number - 1] != kind]


def audio_seconds(events: Iterable[Event]) -> float:
    chunks = [event for event in events if event.type == "audio-chunk"]
    return sum(len(chunk.payload or b"") / 2 / float(chunk.data["rate"]) for chunk in chunks)


def errors(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Codes and texts of the errors."""
    return [(event.data["code"], event.data["text"]) for event in events if event.type == "error"]
