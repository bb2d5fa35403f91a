"""Components, signals, metrics and fallback of a whole service."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from wyoming.client import AsyncClient
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize

from tests.engine.speakers import PATIENCE_SECONDS, Noting
from tests.server.test_discovery import Browser
from tests.support.service import LIMIT_SECONDS, service
from tests.support.tone import Gate, ToneSynthesizer
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.engine.pipeline import SynthesisPipeline
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server import components as engines
from wyoming_pocket_tts.server.app import run_service
from wyoming_pocket_tts.server.components import Components
from wyoming_pocket_tts.server.discovery import SERVICE_TYPE
from wyoming_pocket_tts.server.health import LivenessMonitor, ReadinessProbe
from wyoming_pocket_tts.server.http import HttpRequest, HttpResponse, HttpServer
from wyoming_pocket_tts.voices.catalog import VoiceCatalog


@pytest.mark.parametrize("models", ["none", "english"])
def test_an_embedded_voice_that_fails_is_opened_anew_and_observers_hear_of_it(
    models: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = [ToneSynthesizer(failure=lambda *_: RuntimeError("broken")), ToneSynthesizer()]
    monkeypatch.setattr(engines, "load_kokoro", lambda: tones.pop(0))
    settings = Settings.model_validate(
        {"models": {"names": models, "local_files_only": True, "memory_budget_mb": 100}, "data_dir": tmp_path}
    )
    ensemble, hears = engines.build_components(settings), Noting()
    ensemble.observe(hears)
    for helper in ensemble.helpers:
        helper.start()
    try:
        voices = [voice for voice in ensemble.synthesizer.voices() if voice.installed]
        request = SynthesisRequest(text="Hello.", voice=voices[0])
        for _ in range(3):
            with pytest.raises(RuntimeError, match="broken"):
                list(ensemble.synthesizer.synthesize(request))
        assert hears.has_rebuilt.wait(PATIENCE_SECONDS)
        assert hears.rebuilds == ["embedded voice"]
        assert list(ensemble.synthesizer.synthesize(request))
        assert ensemble.models() == ({} if models == "none" else {"english": "coming"})
    finally:
        for helper in ensemble.helpers:
            helper.stop()
        for helper in ensemble.helpers:
            helper.close()


@asynccontextmanager
async def connected(uri: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient.from_uri(uri, connect_timeout=LIMIT_SECONDS, read_timeout=LIMIT_SECONDS) as client:
        yield client


async def describe(uri: str) -> Info:
    async with connected(uri) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        return Info.from_event(event)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_reports_ready_answers_and_exits_with_zero(tmp_path: Path, number: signal.Signals) -> None:
    async with service(tmp_path=tmp_path) as running:
        info = await describe(await running.uri())
        assert info.tts[0].voices[0].name == "tone-low"
        assert await running.stop(number) == 0
        assert "STOPPING=1" in await running.until_reported("STOPPING=1")
        assert "Traceback" not in running.log


async def test_it_shows_how_to_add_it_to_home_assistant(tmp_path: Path) -> None:
    async with service("--uri", "tcp://0.0.0.0:0", "--no-zeroconf", tmp_path=tmp_path) as running:
        port = (await running.uri()).rpartition(":")[2]
        await running.until_logged(f"port {port}")
        assert "Settings > Devices & services > Add integration > Wyoming Protocol, host " in running.log
        assert "host 0.0.0.0" not in running.log
        assert "is announced" not in running.log


async def test_an_abstract_socket_hears_the_watchdog_too(tmp_path: Path) -> None:
    address = f"@wyoming-pocket-tts-{os.getpid()}"
    async with service(tmp_path=tmp_path, notify_address=address, WATCHDOG_USEC="100000") as running:
        await running.uri()
        for _ in range(3):
            await running.until_reported("WATCHDOG=1")


async def test_a_unix_socket_serves_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "tts.sock"
    async with service("--uri", f"unix://{path}", tmp_path=tmp_path) as running:
        assert await running.uri() == f"unix://{path}"
        assert (await describe(f"unix://{path}")).tts
        assert await running.stop() == 0
        assert not path.exists()


async def test_standard_output_carries_nothing_but_the_protocol(tmp_path: Path) -> None:
    async with service("--uri", "stdio://", "--debug", tmp_path=tmp_path) as running:
        stdin, stdout = running.process.stdin, running.process.stdout
        assert stdin is not None
        assert stdout is not None
        await async_write_event(Describe().event(), stdin)
        await async_write_event(Synthesize(text="Hello.").event(), stdin)
        stdin.close()
        kinds: list[str] = []
        async with asyncio.timeout(LIMIT_SECONDS):
            while event := await async_read_event(stdout):
                kinds.append(event.type)
        assert kinds[:2] == ["info", "audio-start"]
        assert set(kinds[2:-1]) == {"audio-chunk"}
        assert kinds[-1] == "audio-stop"
        assert await running.exit_code() == 0


async def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with service("--uri", f"tcp://127.0.0.1:{port}", tmp_path=tmp_path) as running:
            assert await running.exit_code() == 2
            last_line = running.log.splitlines()[-1].lower()
            assert last_line.startswith(f"wyoming-pocket-tts: cannot listen on tcp://127.0.0.1:{port}")
            assert "in use" in last_line
            assert f"ss -ltnp 'sport = :{port}' names it" in last_line
            assert "Traceback" not in running.log


async def test_wrong_settings_are_a_clear_error(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("log:\n  colour: red\n")
    async with service("--config", str(config), tmp_path=tmp_path) as running:
        assert await running.exit_code() == 2
        assert running.log.startswith(f"wyoming-pocket-tts: {config}, line 2: unknown key 'log.colour'")


async def test_an_unknown_voice_is_warned_about_and_another_speaks(tmp_path: Path) -> None:
    async with service("--voice", "nobody", tmp_path=tmp_path) as running:
        await running.uri()
        await running.until_logged("option --voice: voice.default: there is no voice 'nobody'")


async def test_a_variable_that_is_no_setting_is_warned_about(tmp_path: Path) -> None:
    async with service(tmp_path=tmp_path, WYOMING_POCKET_TTS_VIOCE_DEFAULT="x") as running:
        await running.until_logged("WYOMING_POCKET_TTS_VIOCE_DEFAULT is not a setting")


async def test_json_logs_are_json_and_hold_no_text(tmp_path: Path) -> None:
    async with service("--log-format", "json", tmp_path=tmp_path) as running:
        async with connected(await running.uri()) as client:
            await client.write_event(Synthesize(text="The alarm code is 4711.").event())
            while (event := await client.read_event()) and event.type != "audio-stop":
                pass
        assert await running.stop() == 0
        lines = [json.loads(line) for line in running.log.splitlines()]
        assert {"time", "level", "logger", "message"} <= lines[0].keys()
        assert not any("4711" in str(line) for line in lines)


def never_ending_speech() -> Event:
    """More audio than all the buffers on the way hold, for a client that does not read it."""
    return Synthesize(text="Once upon a time there was a very long story. " * 430).event()


async def test_speech_that_does_not_end_is_cut_off_at_the_deadline(tmp_path: Path) -> None:
    environment = {"WYOMING_POCKET_TTS_SERVER_SHUTDOWN_TIMEOUT": "0.2"}
    async with service(tmp_path=tmp_path, **environment) as running, connected(await running.uri()) as client:
        await client.write_event(never_ending_speech())
        assert await client.read_event()
        assert await running.stop() == 0


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    environment = {"WYOMING_POCKET_TTS_SERVER_SHUTDOWN_TIMEOUT": "300"}
    async with service(tmp_path=tmp_path, **environment) as running, connected(await running.uri()) as client:
        await client.write_event(never_ending_speech())
        assert await client.read_event()
        running.process.send_signal(signal.SIGTERM)
        await running.until_reported("STOPPING=1")
        assert running.process.returncode is None
        assert await running.stop() == 0
        assert "SIGTERM again: stopping at once" in running.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_on_the_way_out_change_nothing(tmp_path: Path, number: signal.Signals) -> None:
    async with service(tmp_path=tmp_path) as running:
        await running.uri()
        running.process.send_signal(number)
        await running.until_logged("Stopped")
        exiting = asyncio.create_task(running.exit_code())
        while not exiting.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.process.pid, number)  # asyncio's own way would take the exit code away
            await asyncio.sleep(0)
        assert await exiting == 0
        assert "Traceback" not in running.log


async def test_a_signal_while_the_model_loads_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    taken = threading.Event()
    note = logging.Handler()
    note.emit = lambda record: taken.set() if "SIGTERM" in record.getMessage() else None  # type: ignore[method-assign]
    logging.getLogger("wyoming_pocket_tts.server.app").addHandler(note)

    def load() -> Components:
        os.kill(os.getpid(), signal.SIGTERM)
        assert taken.wait(LIMIT_SECONDS)
        tone = ToneSynthesizer()
        cast = VoiceCatalog(tone.voices)
        return Components(SynthesisPipeline(tone, cast), cast)

    with caplog.at_level(logging.INFO):
        async with asyncio.timeout(LIMIT_SECONDS):
            await run_service(load, load_settings(flags={"server.uri": "tcp://127.0.0.1:0"}))
    logging.getLogger("wyoming_pocket_tts.server.app").removeHandler(note)
    assert "is ready" not in caplog.text


@asynccontextmanager
async def served(
    ensemble: Components,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    page: HttpServer | None = None,
    **limits: object,
) -> AsyncIterator[tuple[str, socket.socket]]:
    """The service in this process, until SIGTERM comes at the end: where it listens, and what it tells systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.setblocking(False)
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        flags = {"server.uri": "tcp://127.0.0.1:0", **{f"server.limits.{key}": limits[key] for key in limits}}
        running = run_service(
            lambda: ensemble, load_settings(flags=flags), make_page=(lambda _: page) if page is not None else None
        )
        serving = asyncio.create_task(running)
        async with asyncio.timeout(LIMIT_SECONDS):
            ready = (await asyncio.get_running_loop().sock_recv(systemd, 4096)).decode()
            try:
                yield ready.partition("STATUS=Listening at ")[2], systemd
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                await serving


@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_page_is_served_beside_and_a_port_that_is_taken_costs_it_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_taken: bool
) -> None:
    async def languages(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.headers["accept-language"], content_type="text/html; charset=utf-8")

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1] if is_taken else 0
        page = HttpServer({"/": languages}, host="127.0.0.1", port=port, only_from="127.0.0.1")
        stranger = HttpServer({"/": languages}, host="127.0.0.1", port=0, only_from="172.30.32.2")
        tone = ToneSynthesizer()
        cast = VoiceCatalog(tone.voices)
        ensemble = Components(SynthesisPipeline(tone, cast), cast)
        async with served(ensemble, tmp_path, monkeypatch, page=page) as (uri, _), connected(uri) as client:
            await client.write_event(Describe().event())
            assert await client.read_event() is not None
            assert ("There is no page: cannot listen" in caplog.text) == is_taken
            if not is_taken:
                answer = await asyncio.to_thread(asked, page.addresses[0], {"Accept-Language": "de"})
                assert answer == "de"
                await stranger.start()
                with pytest.raises(OSError, match=r".*"):
                    await asyncio.to_thread(asked, stranger.addresses[0], {})
                await stranger.aclose()
        assert page.addresses == ()


def asked(address: str, headers: dict[str, str]) -> str:
    with urlopen(Request(address, headers=headers), timeout=LIMIT_SECONDS) as answer:  # noqa: S310  (our own)
        return str(answer.read().decode())


@pytest.mark.parametrize(
    ("overload", "answer"), [("reject", "error"), *((value, "audio-start") for value in ("fallback", "embedded"))]
)
async def test_beyond_the_limits_of_the_settings_clients_are_told_or_an_embedded_voice_speaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, overload: str, answer: str
) -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text.startswith("Hold") else None)
    cast = VoiceCatalog(tone.voices)
    ensemble = Components(SynthesisPipeline(tone, cast), cast, embedded=("tone-high",))
    limits: dict[str, Any] = {"max_running": 1, "max_waiting": 1, "queue_timeout": 0.05, "on_overload": overload}
    async with served(ensemble, tmp_path, monkeypatch, **limits) as (uri, _), connected(uri) as first:
        await first.write_event(Synthesize(text="Hold the line.").event())
        assert await asyncio.to_thread(tone.journal.wait_for, "begin")
        async with connected(uri) as second:
            await second.write_event(Synthesize(text="And what about me?").event())
            event = await second.read_event()
        gate.open()
        assert event is not None
        assert event.type == answer


class Felt(LivenessMonitor):
    """A pulse that beats when a test says so."""

    def __init__(self, workers: Scheduler, probe: ReadinessProbe) -> None:
        super().__init__(workers, probe)
        self.word = probe
        self.is_beating, self.runs = False, False
        self.asked = 0

    @property
    def is_alive(self) -> bool:
        self.asked += 1
        return self.is_beating

    async def run(self) -> None:
        self.runs = True
        await super().run()


async def test_the_watchdog_hears_of_the_pulse_and_the_embedded_voice_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tone = ToneSynthesizer(failure=lambda asked, _: ModelError("broken") if asked.voice.name == "tone-low" else None)
    cast = VoiceCatalog(tone.voices)
    ensemble = Components(SynthesisPipeline(tone, cast), cast, embedded=("tone-high",))
    felt: list[Felt] = []

    def feel(workers: Scheduler, probe: ReadinessProbe) -> Felt:
        felt.append(Felt(workers, probe))
        return felt[-1]

    monkeypatch.setattr("wyoming_pocket_tts.server.app.LivenessMonitor", feel)
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    async with served(ensemble, tmp_path, monkeypatch) as (_, systemd):
        (pulse,) = felt
        while pulse.asked < 5:  # noqa: ASYNC110  (the notifier tells nobody but systemd)
            await asyncio.sleep(0.005)
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)
        assert pulse.runs
        assert (await pulse.word.run()).text.startswith("tone-high made")
        pulse.is_beating = True
        assert await asyncio.get_running_loop().sock_recv(systemd, 4096) == b"WATCHDOG=1"


async def test_a_browser_finds_the_service_until_it_stops(tmp_path: Path) -> None:
    browser = Browser()
    await browser.zeroconf.async_add_service_listener(SERVICE_TYPE, browser)
    async with service("--zeroconf", "The kitchen", tmp_path=tmp_path) as running:
        port = int((await running.uri()).rpartition(":")[2])
        await browser.until(present="The kitchen")
        info = await browser.look_up("The kitchen")
        assert (info.port, info.parsed_addresses()) == (port, ["127.0.0.1"])
        assert await running.stop() == 0
        await browser.until(absent="The kitchen")
    await browser.zeroconf.async_close()
