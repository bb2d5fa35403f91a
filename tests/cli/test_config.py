"""``config check`` and ``config show`` as a person runs them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from tests.cli.in_process import run
from wyoming_pocket_tts.config.loader import load_settings


def config(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = run("config", *arguments)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tts.yaml"


def test_a_file_without_mistakes_is_told_as_who_speaks_how(file: Path) -> None:
    file.write_text(
        "models: {names: [english, german]}\n"
        "voices:\n"
        "  Anna: {from: alba, speed: 0.9, sentence_silence: 0.5}\n"
        "  Karl: {from: german-juergen, language: de-AT, text: {replacements: {WLAN: Funknetz}}}\n"
        "satellites:\n"
        "  Kitchen: {voice: anna, volume: 6, address: 10.0.0.0/8}\n"
        "  Office: {voice: Karl, address: [10.0.0.1, 'fd00::/16'], port: 10201, name: office, visible: false}\n"
        "  Hall: {temperature: 0}\n"
        "voice: {default: Anna}\n"
    )
    done = config("check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"""{file}: no mistakes

Voices
  Anna: english-alba, English, speed 0.9, 0.5 s between sentences
  Karl: german-juergen, German, replacements of its own: 1

Satellites
  Kitchen: Anna, volume +6 dB, recognised by its name or the address 10.0.0.0/8
  Office: Karl, recognised by the address 10.0.0.1 or the address fd00::/16 or port 10201, announced as 'office'
  Hall: the default voice, temperature 0, recognised by its name

Voice of a request: the first of these that exists
  1. the voice that the client names
  2. the satellite of the port: 10201 is Office
  3. the satellite of the address: 10.0.0.1 is Office, 10.0.0.0/8 is Kitchen, fd00::/16 is Office
  4. voice.default: Anna
  5. the first voice that is installed, of Anna, Karl, those of english, those of german, the embedded ones
"""
    )


def test_all_mistakes_come_at_once_each_with_its_line_and_the_code_says_so(file: Path) -> None:
    file.write_text(
        "voices:\n"
        "  Anna: {from: lost.wav}\n"
        "  Karl: {from: kokoro-rai}\n"
        "satellites:\n"
        "  anna: {}\n"
        "  Hall: {voice: Zoe, port: 10200}\n"
    )
    done = config("check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    problems = done.stderr.splitlines()
    assert all(problem.startswith(f"wyoming-pocket-tts: {file}, line ") for problem in problems)
    for expected in (
        "line 5: satellites.anna: 'anna' is the name of voices.Anna already",
        "line 6: satellites.Hall.port: 10200 is the port of server.uri already",
        f"line 2: voices.Anna.from: {file.parent}/lost.wav: there is no such file or folder",
        "line 3: voices.Karl.from: there is no voice 'kokoro-rai' (did you mean 'kokoro-ray'?)",
        "line 6: satellites.Hall.voice: there is no voice 'Zoe'",
    ):
        assert sum(expected in problem for problem in problems) == 1
    assert len(problems) == 5


def test_wrong_values_and_missing_files_end_with_the_same_code(file: Path) -> None:
    assert config("check", str(file)).returncode == 2
    file.write_text("log: {level: loud}")
    done = config("check", str(file))
    assert done.returncode == 2
    assert "line 1: log.level: should be 'debug', 'info', 'warning' or 'error', not 'loud'" in done.stderr


def test_warnings_are_no_mistakes(file: Path) -> None:
    file.write_text("satellites: {Hall: {voice: english-bob}}")
    done = config("check", str(file))
    assert done.returncode == 0
    assert "line 1: satellites.Hall.voice: there is no voice 'english-bob' yet" in done.stderr
    assert "no mistakes" in done.stdout


def test_the_settings_in_effect_are_shown_as_a_settings_file(file: Path) -> None:
    file.write_text(
        "voices: {Anna: {from: anna.wav, speed: 0.9}}\nsatellites: {Küche: {voice: Anna, address: 10.0.0.1}}\n"
    )
    done = config("show", "--config", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    again = file.parent / "again" / "tts.yaml"
    again.parent.mkdir()
    again.write_text(done.stdout, encoding="utf-8")
    assert load_settings(file=again) == load_settings(file=file)
    shown = yaml.safe_load(done.stdout)
    assert shown["voices"] == {"Anna": {"speed": 0.9, "from": str(file.parent / "anna.wav")}}
    assert "Küche" in done.stdout


def test_everything_that_is_wrong_is_told_at_once_from_top_to_bottom(file: Path) -> None:
    """A wrong value hides neither a wrong name elsewhere nor what cannot be together."""
    (file.parent / "empty.yaml").touch()
    file.write_text(
        "log: {level: loud}\n"
        "satellites:\n"
        "  Yes: {voice: Anna}\n"
        "  Den: {address: 10.0.0.300, visible: maybe}\n"
        "  Hall: {voice: Zoe, port: 10200}\n"
        "  Loft: {voice: Bob}\n"
        "  Attic: {voice: german-alba}\n"
        "voices:\n"
        "  Anna: {from: alba, speed: fast}\n"
        "  Bob:\n"
        "  Cy: {from: german-juergen}\n"
        "  Dee: {from: ./empty.yaml}\n"
        "data_dir: 5\n"
        "log: {format: text}\n"
    )
    done = config("check", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    told = [line.removeprefix(f"wyoming-pocket-tts: {file}, line ") for line in done.stderr.splitlines()]
    expected = [
        "4: satellites.Den.address: '10.0.0.300' should be an IP address or network, such as 192.168.1.0/24",
        "4: satellites.Den.visible: should be true or false, not 'maybe'",
        "5: satellites.Hall.port: 10200 is the port of server.uri already; take another",
        "5: satellites.Hall.voice: there is no voice 'Zoe'",
        "7: satellites.Attic.voice: 'german-alba' is a voice of the model german, which is not in models.names",
        "9: voices.Anna.speed: should be a number, not 'fast'",
        "10: voices.Bob.from: is missing: Source of the voice",
        "11: voices.Cy.from: 'german-juergen' is a voice of the model german, which is not in models.names",
        f"12: voices.Dee.from: {file.parent}/empty.yaml: is no recording (",
        "13: data_dir: should be a file or folder, as text, not 5",
        "14: key 'log' stands there a second time",
    ]
    assert len(told) == len(expected)
    for line, beginning in zip(told, expected, strict=True):
        assert line.startswith(beginning)


def test_nothing_is_told_that_only_follows_from_another_mistake(file: Path) -> None:
    file.write_text(
        "models: {names: 5}\nserver: {uri: x}\nsatellites: {Hall: {voice: german-eve, port: 10200}, Den: {voice: Zoe}}"
    )
    told = config("check", str(file)).stderr.splitlines()
    assert [line.partition("line ")[2].partition(": ")[0] for line in told] == ["1", "2"]
    assert "models.names: should be a list of names, not 5" in told[0]


def test_warnings_are_counted(file: Path) -> None:
    file.write_text("voice: {default: albba}\nsatellites: {Hall: {voice: english-bob}}")
    done = config("check", str(file))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{file}: no mistakes, and 2 warnings (above)\n")
    assert "warning: " in done.stderr
    assert "voice.default: there is no voice 'albba' (did you mean 'alba'?)" in done.stderr


def test_a_satellite_of_which_nothing_is_said_is_spoken_to_as_everybody(file: Path) -> None:
    file.write_text("satellites:\n  Kitchen:\n  Hall: {text: {normalize: false}}\n")
    done = config("check", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Kitchen: the default voice, recognised by its name\n" in done.stdout
    assert "Hall: the default voice, texts said as they are written, recognised by its name\n" in done.stdout


def test_what_is_wrong_outside_the_file_names_its_place(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("log: {level: info}\n")
    monkeypatch.setenv("WYOMING_POCKET_TTS_SERVER_URI", "tcp://h:x")
    monkeypatch.setenv("WYOMING_POCKET_TTS_VOICE_DEFAULT", "nobody")
    told = config("check", str(file)).stderr
    assert "environment variable WYOMING_POCKET_TTS_SERVER_URI: server.uri: 'tcp://h:x' should be tcp://HOST" in told
    assert "cast" not in told
    assert "environment variable WYOMING_POCKET_TTS_VOICE_DEFAULT: voice.default: there is no voice 'nobody'" in told


def test_show_takes_the_file_as_check_does(file: Path) -> None:
    file.write_text("log: {level: error}\n")
    assert "level: error" in config("show", str(file)).stdout
    assert config("show", str(file), "--config", str(file)).returncode == 2


def test_a_file_that_is_no_voice_is_named_and_its_name_not_offered(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "voices"
    folder.mkdir(parents=True)
    (folder / "Bad.wav").write_text("no audio")
    (folder / "Good").mkdir()
    for style in ("calm", "default"):
        soundfile.write(folder / "Good" / f"{style}.wav", np.full(24_000, 0.1), 24_000)
    (folder / "Good" / "loud.wav").write_text("no audio either")
    file.write_text("data_dir: data\nsatellites: {Hall: {voice: nobody}}\n")
    done = config("check", str(file))
    *warnings, problem = done.stderr.splitlines()
    for bad in (folder / "Bad.wav", folder / "Good" / "loud.wav"):
        assert sum(line.startswith(f"wyoming-pocket-tts: warning: {bad}: ") for line in warnings) == 1
    assert "Good" in problem
    assert "Bad" not in problem
