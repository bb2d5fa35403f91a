"""``check``, which health checks use: a server that speaks, and every way of not doing so."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from wyoming.event import async_read_event, async_write_event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice

from tests.cli.doctor.stranger import stranger
from tests.server.client import service as tone_service
from tests.support.service import LIMIT_SECONDS, service
from wyoming_pocket_tts.cli.client import check_server, describe, local_address, synthesize, words_of
from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import ConfigError, ServerOverloaded, TtsError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]
NOBODY = Attribution(name="", url="")


@asynccontextmanager
async def server(info: Info | None) -> AsyncIterator[str]:
    """Answers every event with the information; without any, never."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await async_read_event(reader):
            if info is not None:
                await async_write_event(info.event(), writer)
        writer.close()

    handler: Handler = serve
    listening = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with listening:
        yield f"tcp://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def program(*, installed: bool = True, speaks: bool = True) -> TtsProgram:
    voice = TtsVoice(
        name="Anna", attribution=NOBODY, installed=speaks, description=None, version=None, languages=["en"]
    )
    return TtsProgram(
        name="scripted", attribution=NOBODY, installed=installed, description=None, version="1.2", voices=[voice]
    )


async def run_check(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wyoming_pocket_tts", "check", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()


async def test_a_running_service_is_well_whether_it_is_named_or_found_by_the_settings(tmp_path: Path) -> None:
    async with service(tmp_path=tmp_path) as running:
        uri = await running.uri()
        code, told, complaints = await run_check(uri)
        assert (code, complaints) == (0, "")
        assert told.startswith("wyoming-pocket-tts ")
        everywhere = uri.replace("127.0.0.1", "0.0.0.0")
        assert await run_check(WYOMING_POCKET_TTS_SERVER_URI=everywhere) == (0, told, "")
    code, told, complaints = await run_check(uri)
    assert (code, told) == (1, "")
    assert f"no server answers at {uri} (Connection refused): is the service running?" in complaints


async def test_what_is_no_wyoming_server_is_told_from_nobody() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        uri = f"tcp://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        with pytest.raises(TtsError, match=f"{uri} closes the connection .*: is it a Wyoming server"):
            await describe(uri, seconds=LIMIT_SECONDS)


async def test_a_name_that_nobody_knows_is_told_in_the_systems_words() -> None:
    with pytest.raises(TtsError, match=r"nobody\.invalid:10200 \([A-Z][^\[\]]+\): is the service running"):
        await describe("tcp://nobody.invalid:10200", seconds=LIMIT_SECONDS)


async def test_what_is_installed_is_told() -> None:
    async with server(Info(tts=[program(installed=False), program()])) as uri:
        found = await describe(uri, seconds=LIMIT_SECONDS)
    assert str(found) == "scripted 1.2 is there, with 1 voice."


@pytest.mark.parametrize(
    ("info", "complaint"),
    [
        (Info(), "offers no text to speech"),
        (Info(tts=[program(installed=False)]), "offers no text to speech"),
        (Info(tts=[program(speaks=False)]), "no voice to speak with"),
    ],
)
async def test_a_server_that_cannot_speak_is_not_well(info: Info, complaint: str) -> None:
    async with server(info) as uri:
        with pytest.raises(TtsError, match=complaint):
            await describe(uri, seconds=LIMIT_SECONDS)


async def test_a_server_that_hangs_is_not_well() -> None:
    async with server(None) as uri:
        with pytest.raises(TtsError, match=r"does not answer within 0\.05 s"):
            await describe(uri, seconds=0.05)


@pytest.mark.parametrize(
    "reply",
    [
        b'["a list"]\n',
        b'{"type": "info", "data": {"tts": 5}}\n',
        b'{"type": "info", "data": {"tts": [{"name": "without the rest"}]}}\n',
        b'{"type": "info", "data_length": "x"}\n',
    ],
)
async def test_rubbish_is_named_as_such(reply: bytes) -> None:
    with (
        stranger(reply) as port,
        pytest.raises(TtsError, match="answers, but not in the Wyoming protocol"),
    ):
        await describe(f"tcp://127.0.0.1:{port}", seconds=20.0)


async def test_standard_input_is_no_server() -> None:
    with pytest.raises(ConfigError, match="cannot connect to stdio"):
        await describe("stdio://", seconds=1)


@pytest.mark.parametrize(
    ("listens", "found"),
    [
        ("tcp://0.0.0.0:10200", "tcp://127.0.0.1:10200"),
        ("tcp://:10201", "tcp://127.0.0.1:10201"),
        ("tcp://[::]:10200", "tcp://[::1]:10200"),
        ("tcp://192.168.1.2:10200", "tcp://192.168.1.2:10200"),
        ("unix:///run/tts.sock", "unix:///run/tts.sock"),
    ],
)
def test_a_client_beside_the_server_finds_what_listens_everywhere(listens: str, found: str) -> None:
    assert local_address(listens) == found


async def test_a_full_server_is_well_and_says_that_it_is_full() -> None:
    """Whoever restarts it for its health's sake breaks off all that it says."""
    async with tone_service(limits=LimitSettings(max_connections=3)) as house, AsyncExitStack() as crowd:
        for _ in range(3):
            client = await crowd.enter_async_context(await house.connect())
            await client.send("ping")
            await client.until("pong")
        uri = house.server.addresses[0]
        code, told, complaints = await run_check(uri)
        assert (code, complaints) == (0, "")
        assert told.startswith(f"The server at {uri} is there, and has no room for another client now: ")
        assert "all connections are taken, 3 of 3 (server.limits.max_connections)" in told
        with pytest.raises(ServerOverloaded, match="refuses: 'all connections are taken, 3 of 3"):
            await synthesize(uri, words_of("Hello."), voice=None, sink=lambda *_: None)


async def test_another_refusal_is_not_well() -> None:
    reply = b'{"type": "error", "data": {"text": "go away", "code": "mood"}}\n'
    with stranger(reply) as port, pytest.raises(TtsError, match="refuses: 'go away'"):
        await check_server(f"tcp://127.0.0.1:{port}", seconds=20.0)
