"""Commands with real files and a real server to speak through, in a process of their own where that is the point."""

import asyncio
import io
import json
import os
import re
import socket
import subprocess
import sys
import wave
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.cli.in_process import run
from tests.support.service import LIMIT_SECONDS, service
from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.cli.main import COMMANDS, app
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.types import Synthesizer


def command(*arguments: str) -> list[str]:
    module = "tests.support.tone_app" if "--engine" in arguments else "wyoming_pocket_tts"
    return [sys.executable, "-m", module, *arguments]


def run_alone(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*arguments), capture_output=True, check=False, timeout=LIMIT_SECONDS)


async def run_beside(*arguments: str, stdin: bytes = b"", path: str | None = None) -> tuple[int, bytes, str]:
    """Run a command while a server answers from another process."""
    process = await asyncio.create_subprocess_exec(
        *command(*arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": os.environ["PATH"] if path is None else path},
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        stdout, stderr = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, stdout, stderr.decode()


def seconds_of(wav: bytes | Path) -> float:
    with wave.open(io.BytesIO(wav) if isinstance(wav, bytes) else str(wav)) as audio:
        assert (audio.getnchannels(), audio.getsampwidth()) == (1, 2)
        samples: int = len(audio.readframes(audio.getnframes())) // 2
        return float(samples / audio.getframerate())


def test_the_version_is_told_at_both_levels() -> None:
    expected = f"wyoming-pocket-tts {__version__}\n"
    assert run_alone("--version").stdout.decode() == expected
    assert run("serve", "--version").stdout.decode() == expected


def test_without_a_command_there_is_help() -> None:
    shown = run_alone()
    assert re.search(r"generate +Turn text into a WAV file", (shown.stdout + shown.stderr).decode())


def test_help_shows_whole_summaries_in_80_columns() -> None:
    shown = run("--help").stdout.decode().splitlines()
    for name, (_, summary) in COMMANDS.items():
        (line,) = (line for line in shown if line.startswith(f"  {name} "))
        assert line.endswith(f" {summary}")
        assert len(line) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_begins_with_its_summary(name: str) -> None:
    shown = run(name, "--help")
    assert shown.returncode == 0
    assert f"\n  {COMMANDS[name][1]}\n" in shown.stdout.decode()


def test_unknown_command_suggests_similar_one() -> None:
    shown = run("voice")
    assert shown.returncode == 2
    assert "Did you mean 'voices'?" in shown.stderr.decode()


def test_wrong_usage_ends_with_2() -> None:
    assert run("serve", "--loud").returncode == 2
    assert run("serve", "--zeroconf", "--no-zeroconf").returncode == 2
    assert run("serve", "--log-format", "xml", "--engine", "tone").returncode == 2


@pytest.mark.parametrize(
    ("options", "announce", "name"),
    [
        ([], None, None),
        (["--zeroconf"], True, None),
        (["--zeroconf", "Kitchen"], True, "Kitchen"),
        (["--zeroconf=Kitchen"], True, "Kitchen"),
        (["--zeroconf", "--debug"], True, None),
        (["--no-zeroconf"], False, None),
    ],
)
def test_zeroconf_takes_a_name_or_none(
    monkeypatch: pytest.MonkeyPatch, options: list[str], announce: bool | None, name: str | None
) -> None:
    served: list[Settings] = []

    async def note(load: Callable[[], Synthesizer], settings: Settings, *, ends_process: bool) -> None:
        assert ends_process
        served.append(settings)

    run_service: Callable[..., Coroutine[None, None, None]] = note
    monkeypatch.setattr("wyoming_pocket_tts.cli.service.run_service", run_service)
    monkeypatch.setattr("wyoming_pocket_tts.config.loader.set_up_logging", lambda **_: None)
    result = CliRunner().invoke(app, ["serve", *options])
    assert result.exit_code == 0, result.output
    assert (served[0].discovery.announce, served[0].discovery.name) == (announce, name)
    assert served[0].log.level == ("debug" if "--debug" in options else "info")


def test_generate_writes_a_file(tmp_path: Path) -> None:
    wav = tmp_path / "out.wav"
    done = run("generate", "--engine", "tone", "Dinner is ready. Come in.", "--output", str(wav))
    assert done.returncode == 0, done.stderr
    assert seconds_of(wav) == pytest.approx(0.02 * len("Dinner is ready.Come in."), abs=0.001)
    assert b"tone-low" in done.stdout
    assert list(tmp_path.iterdir()) == [wav]


def test_generate_is_a_filter_too() -> None:
    done = run("generate", "--engine", "tone", "--voice", "TON", "-", "-o", "-", stdin="Grüße aus der Küche.".encode())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"RIFF")
    with wave.open(io.BytesIO(done.stdout)) as audio:
        assert audio.getframerate() == 16_000
        assert len(audio.readframes(10_000_000)) == 2 * 16_000 * 20 // 50
    assert b"'ton'" in done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("[pause 1s] One two. [pause 500ms] Three.", 1.5 + 0.02 * len("One two.Three.")),
        ("<speak>One.<break time='2s'/><prosody rate='50%'>Two.</prosody></speak>", 2 + 0.02 * len("One.Two.Two.")),
    ],
)
def test_generate_reads_pauses_and_markup_as_the_service_does(tmp_path: Path, text: str, seconds: float) -> None:
    wav = tmp_path / "out.wav"
    done = run("generate", "--engine", "tone", text, "-o", str(wav))
    assert (done.returncode, done.stderr) == (0, b"")
    assert seconds_of(wav) == pytest.approx(seconds, abs=0.04)


def test_generate_says_what_of_a_text_cannot_be_done(tmp_path: Path) -> None:
    text = "<speak>One.<voice name='Zoe'>Two.</voice></speak>"
    done = run("generate", "--engine", "tone", text, "-o", str(tmp_path / "out.wav"))
    assert done.returncode == 0
    assert b"there is no voice 'Zoe', as the text asks: 'tone-low' is used" in done.stderr
    assert run("generate", "--engine", "tone", "-q", text, "-o", str(tmp_path / "out.wav")).stderr == b""


HOUSE = """
voices:
  Anna: {from: tone-high, sample_rate: 8000}
  Bob: {from: alba}
  Cy: {from: ./lost.wav}
satellites:
  Kitchen: {voice: anna, leading_silence: 1}
  Hall: {voice: Bob, visible: false, port: 10201}
  Loft: {voice: english-jean}
"""


def test_generate_speaks_for_voices_and_satellites_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "tts.yaml").write_text(HOUSE)
    wav = tmp_path / "out.wav"
    options = ("--engine", "tone", "--settings", str(tmp_path / "tts.yaml"), "-o", str(wav))
    for voice, seconds in (("anna", 0.12), ("kitchen", 1.12)):
        done = run("generate", "Hello.", "--voice", voice, *options)
        assert done.returncode == 0, done.stderr
        assert seconds_of(wav) == pytest.approx(seconds, abs=0.01)
        with wave.open(str(wav)) as audio:
            assert audio.getframerate() == 8_000


@pytest.mark.parametrize(
    ("voice", "expected"),
    [
        ("bob", "'bob' needs a model of Pocket TTS, which a running service has: wyoming-pocket-tts say --voice bob"),
        ("Hall", "'Hall' speaks with 'Bob', which needs a model of Pocket TTS"),
        ("Loft", "'Loft' speaks with 'english-jean', which needs a model of Pocket TTS"),
        ("Cy", "lost.wav: there is no such file or folder"),
        ("nobody", "no voice is called 'nobody'; there are: Anna, Bob, Cy, Kitchen, Hall, Loft, tone-low"),
    ],
)
def test_generate_says_who_cannot_speak_without_a_model(tmp_path: Path, voice: str, expected: str) -> None:
    (tmp_path / "tts.yaml").write_text(HOUSE)
    options = ("--engine", "tone", "--settings", str(tmp_path / "tts.yaml"), "-o", str(tmp_path / "out.wav"))
    done = run("generate", "Hello.", "--voice", voice, *options)
    assert done.returncode == 1
    assert expected in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_recording_that_is_not_there_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    done = run("generate", "Hello.", "--voice", "me.wav", "--config", "none.yaml", "-o", str(tmp_path / "out.wav"))
    assert (done.returncode, done.stderr) == (1, b"wyoming-pocket-tts: me.wav: there is no such file\n")


def test_generate_says_what_is_wrong_and_leaves_nothing_behind(tmp_path: Path) -> None:
    nobody = run("generate", "--engine", "tone", "Hello.", "--voice", "nobody", "-o", str(tmp_path / "out.wav"))
    assert nobody.returncode == 1
    assert nobody.stderr.decode() == (
        "wyoming-pocket-tts: no voice is called 'nobody'; there are: tone-low, tone-high, ton\n"
    )
    nowhere = run("generate", "--engine", "tone", "Hello.", "-o", str(tmp_path / "missing" / "out.wav"))
    assert nowhere.returncode == 1
    assert b"No such file or directory" in nowhere.stderr
    assert list(tmp_path.iterdir()) == []


def test_voices_are_listed_for_people_and_programs(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("models: {names: none}\ndata_dir: data\nsatellites: {Kitchen: {voice: ton}}")
    options = ("voices", "--engine", "tone", "--config", str(settings))
    table = run(*options).stdout.decode().splitlines()
    assert table[0].split() == ["NAME", "LANGUAGES", "SPEAKERS", "DESCRIPTION"]
    assert table[1].split()[:2] == ["tone-low", "en-US"]
    assert table[-1].endswith("(not installed)")
    listed = json.loads(run(*options, "--json").stdout)
    assert [voice["name"] for voice in listed] == [
        *("tone-low", "Kitchen", "tone-high", "ton", "ton (ruhig)", "ton (heiter)", "tone-away")
    ]
    assert listed[3]["speakers"] == ["ruhig", "heiter"]


def test_voices_names_what_cannot_be_a_voice(tmp_path: Path) -> None:
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "broken.wav").write_bytes(b"RIFF rubbish")
    (tmp_path / "voices" / "cut.safetensors").write_bytes(b"\xff" * 9)
    done = run("voices", "--engine", "tone", "--data-dir", str(tmp_path))
    complaints = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert [complaint.split(": ")[1] for complaint in complaints] == [
        str(tmp_path / "voices" / name) for name in ("broken.wav", "cut.safetensors")
    ]
    rows = {line.split()[0]: line for line in done.stdout.decode().splitlines()}
    assert rows["broken"].endswith("(not installed)")
    assert rows["english-alba"].endswith("(not installed)")


@pytest.mark.parametrize("text", ["", "   ", "..."])
def test_a_text_with_nothing_to_say_fails_and_makes_no_file(tmp_path: Path, text: str) -> None:
    done = run("generate", "--engine", "tone", text, "-o", str(tmp_path / "out.wav"))
    assert (done.returncode, done.stderr) == (1, b"wyoming-pocket-tts: the text holds nothing to say\n")
    assert not list(tmp_path.iterdir())


def test_what_standard_output_holds_already_is_left_alone(tmp_path: Path) -> None:
    both = tmp_path / "both"
    with both.open("wb") as output:
        output.write(b"before")
        output.flush()
        speaking = command("generate", "--engine", "tone", "Hello.", "-o", "-")
        subprocess.run(speaking, stdout=output, check=True, timeout=LIMIT_SECONDS)
    assert both.read_bytes().startswith(b"beforeRIFF")


def test_a_full_standard_output_is_one_clear_line() -> None:
    with Path("/dev/full").open("wb") as full:
        speaking = command("generate", "--engine", "tone", "Hello.", "-o", "-")
        done = subprocess.run(speaking, stdout=full, stderr=subprocess.PIPE, check=False, timeout=LIMIT_SECONDS)
    assert done.returncode == 1
    assert done.stderr == b"wyoming-pocket-tts: cannot write standard output: No space left on device\n"


def test_nothing_is_reported_to_anybody_and_nothing_is_left_at_home(tmp_path: Path) -> None:
    """ONNX Runtime would leave a device number and a queue of events, and send them later."""
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    speaking = command("generate", "Hello.", "-o", "/dev/null")
    subprocess.run(speaking, env=environment, check=True, capture_output=True, timeout=LIMIT_SECONDS)
    assert not list(tmp_path.rglob("*"))


async def test_say_speaks_through_a_server(tmp_path: Path) -> None:
    wav = tmp_path / "out.wav"
    async with service(tmp_path=tmp_path) as running:
        uri = await running.uri()
        code, stdout, stderr = await run_beside("say", "--uri", uri, "One two three. Four five.", "-o", str(wav))
        assert (code, stderr) == (0, "")
        assert seconds_of(wav) == pytest.approx(0.02 * len("One two three.Four five."), abs=0.001)
        assert b"First audio after " in stdout
        assert b"0.48 s of speech" in stdout
        assert b"real-time factor" in stdout
        code, stdout, stderr = await run_beside("say", "--uri", uri, "-", "-o", "-", stdin=b"Typed text.")
        assert code == 0
        assert stdout.startswith(b"RIFF")
        assert "real-time factor" in stderr
        code, stdout, stderr = await run_beside("say", "--uri", uri, "...", "-o", str(wav))
        nothing = "wyoming-pocket-tts: the server sent no audio: does the text hold anything to say?\n"
        assert (code, stdout, stderr) == (1, b"", nothing)
        assert seconds_of(wav) > 0, "what was there before is kept"
        said = ("say", "--uri", uri, "Hello.", "-o", str(wav), "--voice")
        assert (await run_beside(*said, "TONE-high"))[::2] == (0, "")
        code, stdout, stderr = await run_beside(*said, "nobody")
        assert (code, stdout[:18]) == (0, b"First audio after "), "another voice speaks"
        assert stderr.startswith("wyoming-pocket-tts: the server lists no voice 'nobody': another one speaks")
        assert stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["", "   "])
def test_a_blank_text_is_not_even_taken_to_a_server(tmp_path: Path, text: str) -> None:
    done = run("say", "--uri", "tcp://127.0.0.1:9", text, "-o", str(tmp_path / "out.wav"))
    assert (done.returncode, done.stderr) == (1, b"wyoming-pocket-tts: the text holds nothing to say\n")


async def test_say_plays_through_the_first_program_there_is(tmp_path: Path) -> None:
    bin_path = tmp_path / "bin"
    bin_path.mkdir()
    async with service(tmp_path=tmp_path) as running:
        say = ("say", "--uri", await running.uri(), "Hello there.", "--voice", "tone-high")
        code, _, stderr = await run_beside(*say, path=str(bin_path))
        assert code == 1
        assert stderr.startswith("wyoming-pocket-tts: nothing here plays sound (aplay, paplay, ffplay)")

        player = bin_path / "aplay"
        player.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\n/bin/cat >{tmp_path}/played\n')
        player.chmod(0o755)
        code, stdout, stderr = await run_beside(*say, path=str(bin_path))
        assert (code, stderr) == (0, "")
        assert b"First audio after" in stdout
        silent = ("say", "--uri", say[2], "...")
        assert (await run_beside(*silent, path=str(bin_path)))[::2] == (
            1,
            "wyoming-pocket-tts: the server sent no audio: does the text hold anything to say?\n",
        )
        assert (await run_beside(*say, path=str(bin_path)))[0] == 0
        assert "-r22050 -c1" in (tmp_path / "arguments").read_text()
        assert (tmp_path / "played").stat().st_size == pytest.approx(2 * 22050 * 0.02 * len("Hello there."), abs=4)

        player.write_text("#!/bin/sh\n/bin/cat >/dev/null\nexit 3\n")
        code, _, stderr = await run_beside(*say, path=str(bin_path))
        assert code == 1
        assert "aplay failed (exit code 3)" in stderr


def test_say_without_a_server_is_one_clear_line() -> None:
    done = run("say", "--uri", "tcp://127.0.0.1:9", "Hello.", "-o", "-")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "wyoming-pocket-tts: no server answers at tcp://127.0.0.1:9 (Connection refused): is the service running? "
        "Start it with 'wyoming-pocket-tts serve', or give the address of another one with --uri\n"
    )
    assert done.stderr.count(b"\n") == 1
    assert run("say", "--uri", "stdio://", "Hello.", "-o", "-").returncode == 2


def test_a_satellites_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "tts.yaml").write_text(f"models: {{names: none}}\nsatellites: {{Kitchen: {{port: {port}}}}}\n")
        options = ("--config", str(tmp_path / "tts.yaml"), "--data-dir", str(tmp_path), "--uri", "tcp://127.0.0.1:0")
        done = run_alone("serve", "--engine", "tone", *options)
    assert done.returncode == 2
    last = done.stderr.decode().splitlines()[-1]
    assert last.startswith(f"wyoming-pocket-tts: satellites.Kitchen.port: cannot listen on tcp://127.0.0.1:{port}: ")


@pytest.mark.parametrize("words", [("generate", "Hello", "--voice", "alba"), ("download",)])
def test_without_a_network_there_is_one_reason_and_what_to_do(words: tuple[str, ...], tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    offline = {"HF_ENDPOINT": "http://nowhere.invalid", "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        command(*words, "--data-dir", str(tmp_path / "data")),
        env={**kept, **offline},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 1
    reason, advice = done.stderr.splitlines()
    assert "is not on this machine, and the hub does not answer" in reason
    assert "connect this machine" in advice
    assert "'wyoming-pocket-tts download' on another machine" in advice
    assert str(tmp_path / "hub") in advice


def test_an_interruption_amid_the_imports_ends_quietly() -> None:
    program = """
import sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from wyoming_pocket_tts.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=LIMIT_SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
