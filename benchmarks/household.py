"""Who soaks a server: clients that speak, play, leave, stall, dawdle and babble. Knows nothing of what they leave."""

import asyncio
import contextlib
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psutil
from wyoming.event import Event, async_read_event, async_write_event

from tests.server.mutation import mutant

GOOD_SECONDS = 60.0
"""An answer that takes longer hangs."""
LEAST_SECONDS_PER_CHARACTER = 0.01
"""Less audio than that is no answer to a text."""
GOOD_ADDRESS = "127.0.0.1"
BAD_ADDRESSES = ("127.0.0.2", "127.0.0.3")
GOOD_CLIENTS = 3
BAD_CLIENTS = 10
SAMPLE_SECONDS = 1.0
LONG = (
    "Tomorrow will be sunny, with a high of twenty three degrees and a low of eleven, so leave the umbrella at home. "
    "The day after, rain is likely from noon on. The weekend stays dry."
)
TEXTS = (
    "The kitchen light is on.",
    "It is half past seven, and outside it is 12.5 °C. Do not forget the bins, they are collected today.",
    LONG,
)


@dataclass(slots=True)
class Tally:
    """What happened."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    first_audio: list[float] = field(default_factory=list)
    describes: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)


class Client:
    """One connection from an address of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, address: str, *, small: bool = False) -> "Client":
        peer = socket.socket()
        if small:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.setblocking(False)  # noqa: FBT003  (the library's)
        peer.bind((address, 0))
        await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=peer, limit=1_024 if small else 2**16))

    async def send(self, kind: str, /, **data: object) -> None:
        await async_write_event(Event(kind, dict(data)), self.writer)

    async def stream(self, text: str, chance: random.Random) -> None:
        """Ask as Home Assistant does."""
        await self.send("synthesize-start")
        at = 0
        while at < len(text):
            size = chance.randrange(1, 60)
            await self.send("synthesize-chunk", text=text[at : at + size])
            at += size
        await self.send("synthesize", text=text)
        await self.send("synthesize-stop")

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Leave with a reset, not a farewell."""
        peer = self.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.writer.transport.abort()


class Household:
    """Everybody in the house."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)  # noqa: S311  (no secret)
        self.tally = Tally()

    async def run(self, seconds: float, process: psutil.Process) -> None:
        people = [*[self.speak] * GOOD_CLIENTS, self.describe, *[self.misbehave] * BAD_CLIENTS]
        tasks = [asyncio.create_task(self._again_and_again(person, seconds)) for person in people]
        sampler = asyncio.create_task(self._sample(process))
        await asyncio.gather(*tasks)
        sampler.cancel()
        await asyncio.gather(sampler, return_exceptions=True)

    async def _again_and_again(self, person: Callable[[], Awaitable[None]], seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await person()

    async def _sample(self, process: psutil.Process) -> None:
        while True:
            self.tally.megabytes.append(process.memory_info().rss / 1e6)
            await asyncio.sleep(SAMPLE_SECONDS)

    # Good ones

    async def describe(self) -> None:
        client = await Client.connect(self._port, GOOD_ADDRESS)
        start = time.monotonic()
        try:
            async with asyncio.timeout(GOOD_SECONDS):
                await client.send("describe")
                event = await async_read_event(client.reader)
            if event is None or event.type != "info":
                self._fail("describe", f"got {event and event.type}")
        except (TimeoutError, OSError) as error:
            self._fail("describe", repr(error))
        self.tally.describes.append(time.monotonic() - start)
        self.tally.done["describe"] += 1
        await client.close()
        await asyncio.sleep(0.25)

    async def speak(self) -> None:
        text = self._chance.choice(TEXTS)
        streams, plays = self._chance.random() < 0.7, self._chance.random() < 0.2
        what = f"{'stream' if streams else 'whole text'}{', played' if plays else ''}"
        try:
            client = await Client.connect(self._port, GOOD_ADDRESS)
            async with asyncio.timeout(GOOD_SECONDS):
                start = time.monotonic()
                await (client.stream(text, self._chance) if streams else client.send("synthesize", text=text))
                await self._listen(client, what, text, start, streams=streams, plays=plays)
            await client.close()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            self._fail(what, repr(error))
        self.tally.done[what] += 1

    async def _listen(self, client: Client, what: str, text: str, start: float, *, streams: bool, plays: bool) -> None:
        kinds: list[str] = []
        seconds = 0.0
        last = "synthesize-stopped" if streams else "audio-stop"
        while not kinds or kinds[-1] != last:
            event = await async_read_event(client.reader)
            if event is None or event.type == "error":
                self._fail(what, "ended early" if event is None else str(event.data))
                return
            if event.type == "audio-chunk" and event.payload:
                if not seconds:
                    self.tally.first_audio.append(time.monotonic() - start)
                played = len(event.payload) / 2 / event.data["rate"]
                seconds += played
                if plays:
                    await asyncio.sleep(played / 4)
            if not kinds or kinds[-1] != event.type:
                kinds.append(event.type)
        expected = ["audio-start", "audio-chunk", "audio-stop", *(["synthesize-stopped"] if streams else [])]
        if kinds != expected or seconds < LEAST_SECONDS_PER_CHARACTER * len(text):
            self._fail(what, f"{kinds}, {seconds:.2f} s for {len(text)} characters")

    # Bad ones

    async def misbehave(self) -> None:
        deed = self._chance.choice((self._leave, self._leave, self._stall, self._babble, self._babble, self._dawdle))
        self.tally.done[deed.__name__.strip("_")] += 1
        small = deed == self._stall
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):  # it may be thrown out
            client = await Client.connect(self._port, self._chance.choice(BAD_ADDRESSES), small=small)
            try:
                await deed(client)
            finally:
                client.reset() if self._chance.random() < 0.5 else await client.close()

    async def _leave(self, client: Client) -> None:
        """In the midst of an answer."""
        await client.stream(LONG, self._chance)
        for _ in range(self._chance.randrange(12)):
            async with asyncio.timeout(GOOD_SECONDS):
                await async_read_event(client.reader)

    async def _stall(self, client: Client) -> None:
        """Ask for much and read nothing, at times for longer than the server bears."""
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send("synthesize", text=LONG * 20)
        await asyncio.sleep(self._chance.choice((0.2, 0.5, 1, 3, 10, 40)))

    async def _babble(self, client: Client) -> None:
        """Rubbish, or nearly."""
        client.writer.write(mutant(self._chance.getrandbits(48)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._chance.choice((0.1, 1))):
                while await client.reader.read(65_536):
                    pass

    async def _dawdle(self, client: Client) -> None:
        """An event that never ends, or a stream that is never stopped."""
        if self._chance.random() < 0.5:
            client.writer.write(b'{"type": "synth')
        else:
            await client.send("synthesize-start")
            await client.send("synthesize-chunk", text="And so they")
        await asyncio.sleep(self._chance.choice((0.1, 1, 3, 15)))

    def _fail(self, what: str, why: str) -> None:
        self.tally.failures.append(f"{what}: {why}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_ready(port: int) -> None:
    while True:
        try:
            client = await Client.connect(port, GOOD_ADDRESS)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            await client.close()
            return
