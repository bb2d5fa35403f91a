"""Listening, announcing, draining and closing."""

import asyncio
import contextlib
import logging
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import Describe
from wyoming.tts import Synthesize

from tests.server.client import Client, errors, kinds, service, shape
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.server import Server

ANSWER = ["audio-start", "audio-chunk", "audio-stop"]
TEXT = "A sentence with several blocks."


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unix sockets allow some hundred characters only."""
    return tmp_path_factory.mktemp("s") / "s"


def sockets(beside: Path) -> list[Path]:
    return [path for path in beside.parent.iterdir() if stat.S_ISSOCK(path.stat().st_mode)]


@asynccontextmanager
async def workers(tone: ToneSynthesizer | None = None) -> AsyncIterator[Scheduler]:
    async with Scheduler(tone or ToneSynthesizer()) as running:
        yield running


@pytest.mark.parametrize(
    ("uri", "prefix"), [("tcp://127.0.0.1:0", "tcp://127.0.0.1:"), ("tcp://[::1]:0", "tcp://[::1]:")]
)
async def test_tcp_addresses_carry_their_real_ports(uri: str, prefix: str) -> None:
    async with service(uri=uri) as house:
        [address] = house.server.addresses
        assert address.startswith(prefix)
        assert not address.endswith(":0")
        await house.speaks()
    assert house.server.addresses == ()


async def test_an_empty_host_means_all_interfaces() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with service(uri=f"tcp://:{port}") as house:
        assert set(house.server.addresses) == {f"tcp://0.0.0.0:{port}", f"tcp://[::]:{port}"}
        for host in ("127.0.0.1", "[::1]"):
            async with await Client.connect(f"tcp://{host}:{port}") as client:
                await client.send("ping")
                await client.until("pong")


async def test_several_addresses_at_once(short_path: Path) -> None:
    async with workers() as speakers:
        server = Server(speakers, uris=["tcp://127.0.0.1:0", f"unix://{short_path}"])
        await server.start()
        for address in server.addresses:
            async with await Client.connect(address) as client:
                await client.send("synthesize", text="Hello.")
                assert shape(await client.until("audio-stop")) == ANSWER
        await server.aclose(0)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "tcp://127.0.0.1:99999",
        "http://127.0.0.1:1",
        "unix://",
        "stdio://x",
        "nonsense",
    ],
)
async def test_addresses_that_cannot_be_understood_are_named(uri: str) -> None:
    async with workers() as speakers:
        with pytest.raises(ConfigError, match="should"):
            await Server(speakers, uris=[uri]).start()


async def test_when_one_address_cannot_be_bound_none_listens() -> None:
    async with service() as house:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        server = Server(house.workers, uris=[f"tcp://127.0.0.1:{free}", house.server.addresses[0]])
        with pytest.raises(ConfigError, match=r"cannot listen on tcp://127.0.0.1:\d+: .*in use"):
            await server.start()
        assert server.addresses == ()
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(f"tcp://127.0.0.1:{free}")


async def test_a_stale_socket_file_is_replaced_and_removed_on_exit(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(short_path))
    async with service(uri=f"unix://{short_path}") as house:
        await house.speaks()
        assert short_path in sockets(short_path)
    assert not sockets(short_path)


async def test_a_socket_in_use_is_left_alone(short_path: Path) -> None:
    async with service(uri=f"unix://{short_path}") as house:
        with pytest.raises(ConfigError, match="another server listens"):
            await Server(house.workers, uris=[f"unix://{short_path}"]).start()
        await house.speaks()


def test_a_file_that_is_no_socket_is_left_alone(short_path: Path) -> None:
    async def start() -> None:
        async with workers() as speakers:
            await Server(speakers, uris=[f"unix://{short_path}"]).start()

    short_path.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        asyncio.run(start())
    assert short_path.read_text() == "precious"


class Announcer:
    """Notes what it is asked, and whether the server answers at that moment."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.notes: list[str] = []
        self._fault = fault
        self._addresses: Sequence[str] = ()

    async def announce(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        await self._note("announce")

    async def withdraw(self) -> None:
        await self._note("withdraw")

    async def _note(self, what: str) -> None:
        async with await Client.connect(self._addresses[0]) as client:
            await client.send("describe")
            self.notes.append(f"{what}: {(await client.until('info'))[-1].type}")
        if self._fault is not None:
            raise self._fault


async def test_it_announces_once_it_listens_and_withdraws_before_it_stops() -> None:
    async with workers() as speakers:
        announcer = Announcer()
        server = Server(speakers, uris=["tcp://127.0.0.1:0"], announcer=announcer)
        await server.start()
        assert announcer.notes == ["announce: info"]
        await server.aclose(1)
        await server.aclose(1)
        assert announcer.notes == ["announce: info", "withdraw: info"]


async def test_a_close_that_is_hurried_still_withdraws() -> None:
    class Slow(Announcer):
        """Is cut off the first time."""

        def __init__(self) -> None:
            super().__init__()
            self.begun = asyncio.Event()

        async def withdraw(self) -> None:
            if not self.begun.is_set():
                self.begun.set()
                await asyncio.Event().wait()
            await super().withdraw()

    async with workers() as speakers:
        announcer = Slow()
        server = Server(speakers, uris=["tcp://127.0.0.1:0"], announcer=announcer)
        await server.start()
        closing = asyncio.create_task(server.aclose(10))
        await announcer.begun.wait()
        closing.cancel()
        await asyncio.wait({closing})
        await server.aclose(0)
        assert announcer.notes == ["announce: info", "withdraw: info"]


async def test_when_announcing_fails_nothing_is_left(caplog: pytest.LogCaptureFixture) -> None:
    async with workers() as speakers:
        announcer = Announcer(RuntimeError("no network"))
        server = Server(speakers, uris=["tcp://127.0.0.1:0"], announcer=announcer)
        with pytest.raises(RuntimeError, match="no network"):
            await server.start()
        assert server.addresses == ()
        assert announcer.notes == ["announce: info", "withdraw: info"]
        assert "could not be withdrawn" in caplog.text


async def test_serving_ends_when_stop_is_set() -> None:
    async with service() as house:
        stop = asyncio.Event()
        serving = asyncio.create_task(house.server.serve_until(stop))
        await house.speaks()
        assert not serving.done()
        stop.set()
        await serving


async def test_draining_lets_speech_finish_and_refuses_everything_new() -> None:
    gate = Gate()
    async with service(ToneSynthesizer(gate=lambda _: gate)) as house:
        speaking, idle = await house.connect(), await house.connect()
        await idle.send("ping")
        await idle.until("pong")
        await speaking.stream(TEXT)
        gate.let(1)
        await speaking.until("audio-chunk")
        address = house.server.addresses[0]
        closing = asyncio.create_task(house.server.aclose(deadline_seconds=30))
        assert await idle.rest() == []  # nothing was owed: it is closed at once
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(address)
        await speaking.send("synthesize", text="One more.")
        await speaking.send("ping")
        await speaking.until("pong")  # the request before it has come, too
        assert not closing.done()
        gate.open()
        events = await speaking.rest()
        assert shape(events) == ["audio-chunk", "audio-stop", "synthesize-stopped", "error", "audio-stop"]
        assert errors(events) == [("overloaded", "the server is stopping")]
        await closing
        await speaking.close()
        await idle.close()


async def test_response_beyond_the_deadline_ends_with_an_error() -> None:
    gate = Gate()
    async with service(ToneSynthesizer(gate=lambda _: gate)) as house, await house.connect() as client:
        await client.stream(TEXT)
        gate.let(1)
        await client.until("audio-chunk")
        closing = asyncio.create_task(house.server.aclose(deadline_seconds=0.05))
        events = await client.rest()
        assert kinds(events) == ["error", "audio-stop", "synthesize-stopped"]
        assert errors(events) == [("cancelled", "the server is stopping")]
        await client.close()
        await closing
        gate.open()


async def test_clients_that_do_not_listen_cannot_hold_up_the_end() -> None:
    gate = Gate()
    async with service(ToneSynthesizer(gate=lambda _: gate)) as house:
        deaf = await house.connect()
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await deaf.send("synthesize", text=TEXT)
        await house.happened("begin")
        async with asyncio.timeout(10):
            await house.server.aclose(deadline_seconds=0)
        assert house.server.connections == 0
        gate.open()
        await deaf.close()


STDIO = """
import asyncio, logging
from tests.support.tone import ToneSynthesizer
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.server import Server

async def main():
    async with Scheduler(ToneSynthesizer()) as workers:
        server = Server(workers, uris=["stdio://"])
        await server.start()
        await server.serve_until(asyncio.Event())
        await server.aclose(5)

logging.basicConfig(level=logging.WARNING)
asyncio.run(main(), debug=True)
print("done", flush=True)
"""


async def test_standard_input_and_output_serve_one_client_and_end_with_it() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error::ResourceWarning",
        "-c",
        STDIO,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await async_write_event(Describe().event(), process.stdin)
    await async_write_event(Synthesize(text="Hello there.").event(), process.stdin)
    process.stdin.write_eof()
    events: list[Event] = []
    async with asyncio.timeout(30):
        while not events or events[-1].type != "audio-stop":
            event = await async_read_event(process.stdout)
            assert event is not None
            events.append(event)
        rest, complaints = await process.communicate()
    assert shape(events) == ["info", *ANSWER]
    assert (rest.decode(), process.returncode) == ("done\n", 0), complaints.decode()
    assert "never retrieved" not in complaints.decode()


async def test_standard_output_that_closes_ends_the_speech() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        STDIO.replace("ToneSynthesizer()", "ToneSynthesizer(seconds_per_character=60)"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    await async_write_event(Synthesize(text="Hello there. " * 50).event(), process.stdin)
    await async_read_event(process.stdout)
    process.stdout._transport.close()  # type: ignore[attr-defined]
    async with asyncio.timeout(30):
        await process.wait()
    process.stdin.close()
    with contextlib.suppress(ConnectionError):
        await process.stdin.wait_closed()


async def test_connecting_and_leaving_in_a_flash_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with service() as house:
        for _ in range(20):
            client = await house.connect()
            client.writer.transport.abort()
        await house.speaks()
        await house.left()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
