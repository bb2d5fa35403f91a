"""The service as a real process, and everything around it goes wrong: docs/reliability.md says what is expected."""

import asyncio
import contextlib
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.server.client import Client, audio_seconds, errors, kinds, shape
from tests.support.service import Service, service

SENTENCE = "Once upon a time there was a very long story. "
STORY = SENTENCE * 430
"""More audio than all the buffers on the way hold."""
STORY_SECONDS = 430 * 0.02 * len(SENTENCE.strip())


@pytest.fixture
def port() -> int:
    """One that is free, and stays the same when the service starts again."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
        return number


@asynccontextmanager
async def connected(uri: str) -> AsyncIterator[Client]:
    client = await Client.connect(uri)
    try:
        yield client
    finally:
        await client.close()


async def speaks(uri: str) -> None:
    async with connected(uri) as client:
        await client.send("synthesize", text="All is well.")
        assert shape(await client.until("audio-stop")) == ["audio-start", "audio-chunk", "audio-stop"]


async def announced_name(running: Service) -> str:
    await running.until_logged("Announced as '")
    return running.log.partition("Announced as '")[2].partition("'")[0]


@pytest.mark.slow
async def test_killed_amid_speech_it_starts_again_where_it_was(tmp_path: Path, port: int) -> None:
    names = []
    for life in range(2):
        async with service(
            *("--uri", f"tcp://127.0.0.1:{port}", "--zeroconf"),
            tmp_path=tmp_path,
            notify_address=str(tmp_path / str(life)),
        ) as running:
            uri = await running.uri()
            names.append(await announced_name(running))
            async with connected(uri) as client:
                await client.send("synthesize", text=STORY)
                await client.until("audio-chunk")
                await speaks(uri)
                assert await running.stop(signal.SIGKILL) == -signal.SIGKILL
    assert names[0] == names[1]


async def test_a_socket_file_that_a_killed_service_left_is_no_hindrance(tmp_path: Path) -> None:
    uri = f"unix://{tmp_path}/tts"
    for life in range(2):
        async with service("--uri", uri, tmp_path=tmp_path, notify_address=str(tmp_path / str(life))) as running:
            await running.uri()
            await speaks(uri)
            await running.stop(signal.SIGKILL)
        assert (tmp_path / "tts").is_socket()


async def test_an_order_to_stop_under_load_lets_speech_end_and_nothing_begin(tmp_path: Path) -> None:
    async with service(tmp_path=tmp_path, WYOMING_POCKET_TTS_SERVER_SHUTDOWN_TIMEOUT="60") as running:
        uri = await running.uri()
        clients = [await Client.connect(uri) for _ in range(4)]
        for client in clients:
            await client.send("synthesize", text=STORY)
        heard = [await client.until("audio-chunk") for client in clients]
        idle = await Client.connect(uri)
        await idle.send("ping")
        await idle.until("pong")
        running.process.send_signal(signal.SIGTERM)
        await running.until_reported("STOPPING=1")
        assert await idle.rest() == []
        await clients[0].send("synthesize", text="One more.")
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(uri)
        for client, events in zip(clients, heard, strict=True):
            events.extend(await client.rest())
            assert shape(events)[:3] == ["audio-start", "audio-chunk", "audio-stop"]
            assert audio_seconds(events) == pytest.approx(STORY_SECONDS)
        assert [code for code, _ in errors(heard[0])] == ["overloaded"]
        assert kinds(heard[0])[-3:] == ["audio-stop", "error", "audio-stop"]
        for client in (*clients, idle):
            await client.close()
        assert await running.exit_code() == 0
        assert "Traceback" not in running.log


def in_a_mount_namespace(*commands: str) -> tuple[str, ...]:
    """Run the service where its file system looks different; skip the test where nobody may do that."""
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mount namespaces are not for us here")
    return ("unshare", "-m", "sh", "-e", "-c", "; ".join((*commands, 'exec "$@"')), "sh")


FILE_SYSTEMS = {
    "read-only": ("mount --bind {place} {place}", "mount -o remount,bind,ro {place}"),
    "full": ("mount -t tmpfs -o size=16k tmpfs {place}", "cat /dev/zero > {place}/everything || true"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FILE_SYSTEMS)
async def test_it_speaks_and_is_announced_with_nowhere_to_write(case: str, tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.mkdir()
    through = in_a_mount_namespace(*(command.format(place=place) for command in FILE_SYSTEMS[case]))
    names = []
    for life in range(2):
        async with service(
            *("--zeroconf", "--data-dir", str(place)),
            tmp_path=tmp_path,
            notify_address=str(tmp_path / str(life)),
            through=through,
        ) as running:
            uri = await running.uri()
            await running.until_logged(f"Cannot keep the server's name in {place}/zeroconf-name")
            names.append((await announced_name(running)).rpartition("-")[0])
            await speaks(uri)
            assert await running.stop() == 0
            assert "Traceback" not in running.log
    assert names[0] == names[1], "it follows from the machine"


@pytest.mark.slow
async def test_a_flood_of_connections_beyond_the_open_files_passes(tmp_path: Path) -> None:
    through = ("sh", "-c", 'ulimit -n 48; exec "$@"', "sh")
    async with service(tmp_path=tmp_path, through=through) as running:
        uri = await running.uri()
        flood = [await Client.connect(uri) for _ in range(100)]
        await running.until_logged("out of system resource")
        for client in flood:
            await client.close()
        await speaks(uri)
        assert await running.stop() == 0


async def test_a_flood_of_connections_is_turned_away_and_forgotten(tmp_path: Path) -> None:
    async with service(tmp_path=tmp_path) as running:
        uri = await running.uri()
        await speaks(uri)
        files = Path(f"/proc/{running.process.pid}/fd")
        before = len(await asyncio.to_thread(lambda: list(files.iterdir())))
        flood = await asyncio.gather(*(Client.connect(uri) for _ in range(400)))
        async with await Client.connect(uri, local_address="127.0.0.9") as neighbour:
            await neighbour.send("synthesize", text="Hello.")
            assert shape(await neighbour.until("audio-stop")) == ["audio-start", "audio-chunk", "audio-stop"]
        for client in flood:
            await client.close()
        async with asyncio.timeout(30):
            while len(await asyncio.to_thread(lambda: list(files.iterdir()))) > before:  # noqa: ASYNC110  (nobody tells)
                await asyncio.sleep(0.05)
        await speaks(uri)
        assert await running.stop() == 0
        assert running.log.count("Turned") < 200, "nobody can fill the log"


TCP_REPAIR = 19
"""Of Linux: a socket in this mode says no farewell when it is closed."""


def vanish(client: Client) -> None:
    """Be gone like a machine without power; skip the test where that needs more rights."""
    peer = client.writer.get_extra_info("socket")
    try:
        peer.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        client.writer.transport.abort()
        pytest.skip("sockets cannot be made to vanish here")
    client.writer.transport.abort()


@pytest.mark.parametrize("amid_speech", [True, False])
async def test_a_client_that_vanishes_leaves_its_place(tmp_path: Path, *, amid_speech: bool) -> None:
    settings = {"WYOMING_POCKET_TTS_SERVER_LIMITS_MAX_CONNECTIONS": "1"}
    settings |= {
        "WYOMING_POCKET_TTS_SERVER_LIMITS_IDLE_TIMEOUT": "1",
        "WYOMING_POCKET_TTS_SERVER_LIMITS_WRITE_TIMEOUT": "1",
    }
    async with service(tmp_path=tmp_path, **settings) as running:
        uri = await running.uri()
        client = await Client.connect(uri)
        await client.send("synthesize" if amid_speech else "ping", text=STORY)
        await client.until("audio-chunk" if amid_speech else "pong")
        vanish(client)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(AssertionError, ConnectionError):
                    await speaks(uri)
                    break
                await asyncio.sleep(0.1)
        assert await running.stop() == 0
