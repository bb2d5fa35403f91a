"""The app as the Supervisor starts it: a real process with directories of its own, and a Supervisor to announce to."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.home_assistant_app.supervisor import LIMIT_SECONDS, supervisor
from wyoming_pocket_tts.cli.client import describe
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.home_assistant.app import AppPaths, main, prepare
from wyoming_pocket_tts.home_assistant.options import explain_log, explained

START = """
import sys
from pathlib import Path
from wyoming_pocket_tts.home_assistant.app import AppPaths, main
main(AppPaths(data=Path(sys.argv[1]), share=Path(sys.argv[2])))
"""


@pytest.fixture
def places(tmp_path: Path) -> AppPaths:
    (tmp_path / "data").mkdir()
    return AppPaths(data=tmp_path / "data", share=tmp_path / "share" / "wyoming-pocket-tts")


def say(places: AppPaths, **options: object) -> None:
    (places.data / "options.json").write_text(json.dumps(options))


async def start(places: AppPaths, url: str) -> tuple[asyncio.subprocess.Process, int]:
    """Start the app; return it and the port of its page."""
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as another:
        port, page_port = free.getsockname()[1], another.getsockname()[1]
    environment = {
        "INGRESS_PORT": str(page_port),
        "SUPERVISOR_TOKEN": "secret",
        "SUPERVISOR_URL": url,
        "WYOMING_POCKET_TTS_SERVER_URI": f"tcp://127.0.0.1:{port}",
    }
    app = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, places.data, places.share),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    return app, page_port


async def test_the_supervisor_hears_of_it_when_it_answers(places: AppPaths) -> None:
    say(places, models=["none"], satellites=[{"name": "Kitchen", "volume": 6}])
    with supervisor() as running:
        app, page_port = await start(places, running.url)
        try:
            path, authorization, body = await asyncio.to_thread(running.next)
            assert (path, authorization) == ("/discovery", "Bearer secret")
            assert body["service"] == "wyoming"
            host, _, port = body["config"]["uri"].removeprefix("tcp://").rpartition(":")
            assert host == socket.gethostname()
            found = await describe(f"tcp://127.0.0.1:{port}", seconds=LIMIT_SECONDS)
            assert "Kitchen" in found.voices
            reader, writer = await asyncio.open_connection("127.0.0.1", page_port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            async with asyncio.timeout(LIMIT_SECONDS):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b"", "the page is there, for the Supervisor alone"
            writer.close()
            app.send_signal(signal.SIGTERM)
            async with asyncio.timeout(LIMIT_SECONDS):
                _, log = await app.communicate()
        finally:
            if app.returncode is None:
                app.kill()
                await app.communicate()
    assert app.returncode == 0, log.decode()


def test_recordings_in_the_share_are_where_the_service_looks(places: AppPaths) -> None:
    say(places, hub_token="hf_secret")  # noqa: S106  (a made-up one)
    assert prepare(places) == "hf_secret"
    (places.share / "voices" / "anna.wav").touch()
    assert [path.name for path in (places.data / "voices").iterdir()] == ["anna.wav"]
    assert prepare(places) == "hf_secret", "again, as after each restart"
    assert "hf_secret" not in places.settings.read_text()


def test_voices_that_were_there_before_stay(places: AppPaths) -> None:
    say(places)
    (places.data / "voices").mkdir()
    (places.data / "voices" / "old.safetensors").touch()
    prepare(places)
    assert [path.name for path in (places.data / "voices").iterdir()] == ["old.safetensors"]


def test_mistakes_end_it_with_a_message_for_the_page(places: AppPaths, capsys: pytest.CaptureFixture[str]) -> None:
    say(places, satellites=[{"name": "Kitchen", "speed": 9}])
    codes: list[int] = []
    main(places, codes.append)
    told = capsys.readouterr().err
    assert codes == [2]
    assert "the app's options: satellites.Kitchen.speed" in told
    assert str(places.settings) not in told


def test_outside_of_an_app_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(TtsError, match="is this a Home Assistant app"):
        prepare(AppPaths(data=tmp_path / "nowhere", share=tmp_path))


def test_options_that_are_no_json_are_named(places: AppPaths) -> None:
    (places.data / "options.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        prepare(places)


def test_only_the_generated_file_is_explained_away(places: AppPaths) -> None:
    text = f"{places.settings}, line 3: text.emoji: x\n/etc/other.yaml, line 2: y"
    assert explained(text, places.settings) == "the app's options: emoji: x\n/etc/other.yaml, line 2: y"


def test_all_mistakes_come_at_once_each_with_its_option(places: AppPaths, capsys: pytest.CaptureFixture[str]) -> None:
    say(
        places,
        voice="Ana",
        emoji="loud",
        voices=[{"name": "Anna", "from": "albba"}],
        satellites=[{"name": "Kitchen", "volume": 60}],
    )
    codes: list[int] = []
    main(places, codes.append)
    lines = capsys.readouterr().err.splitlines()
    assert codes == [2]
    for option in ("voice", "emoji", "voices.Anna.from", "satellites.Kitchen.volume"):
        assert sum(line.startswith(f"wyoming-pocket-tts: the app's options: {option}: ") for line in lines) == 1
    assert len(lines) == 4


def test_lists_that_cannot_be_read_are_told_together(places: AppPaths, capsys: pytest.CaptureFixture[str]) -> None:
    say(places, voices=[{"from": "alba"}], replacements=[{"written": "", "spoken": "x"}])
    codes: list[int] = []
    main(places, codes.append)
    assert capsys.readouterr().err.splitlines() == [
        "wyoming-pocket-tts: the app's options: voices: each needs its 'name'",
        "wyoming-pocket-tts: the app's options: replacements: each needs its 'written'",
    ]
    assert codes == [2]


def test_the_log_names_options_too(places: AppPaths) -> None:
    handler = logging.Handler()
    told: list[str] = []
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        explain_log(places.settings)
        logging.getLogger("a").warning("%s, line 7: voice.default: there is no voice '%s'", places.settings, "Ana")
        logging.getLogger("a").warning("all of %s", "it")
    finally:
        logging.getLogger().removeHandler(handler)
    assert told == ["the app's options: voice: there is no voice 'Ana'", "all of it"]
