"""``doctor`` as a person runs it, on a machine with many things wrong at once, and on one where nothing is."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.doctor.checking import MODEL, make_bundle
from tests.cli.doctor.stranger import stranger
from tests.support.service import service

ALONE = {"HF_HUB_OFFLINE": "1"}


def doctor(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wyoming_pocket_tts", "doctor", *arguments]
    variables = {**os.environ, **ALONE, "XDG_DATA_HOME": str(home), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=55, env=variables)


def said(done: subprocess.CompletedProcess[str], severity: str) -> dict[str, list[str]]:
    """What was found, by check."""
    report: dict[str, Any] = json.loads(done.stdout)
    found: dict[str, list[str]] = {}
    for finding in report["findings"]:
        if finding["severity"] == severity:
            found.setdefault(finding["check"], []).append(finding["found"])
            assert finding["advice"] or severity == "ok"
    return found


def test_every_planted_fault_is_named(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (make_bundle(data_dir) / "flow.data").write_bytes(b"x" * 900)
    (data_dir / "voices").mkdir()
    (data_dir / "voices" / "Grandma.wav").write_bytes(b"RIFF of nothing")
    file = tmp_path / "tts.yaml"
    with stranger(b"hello\r\n") as port:
        file.write_text(
            f"server: {{uri: 'tcp://127.0.0.1:{port}'}}\ndiscovery: {{announce: false}}\n"
            f"models: {{names: [{MODEL}]}}\nvoices: {{Anna: {{from: lost.wav}}}}\n"
            "satellites: {Hall: {voice: Zoe}}\n"
        )
        done = doctor(
            *("--json", "--config", str(file), "--data-dir", str(data_dir), "--uri", f"tcp://127.0.0.1:{port}"),
            home=tmp_path,
            WYOMING_POCKET_TTS_VOICE_DEFAUT="typo",
        )
    assert (done.returncode, done.stderr) == (1, "")
    problems, warnings = said(done, "problem"), said(done, "warning")
    assert problems.keys() == {"settings", "models", "voices", "ports", "speech", "home assistant"}
    assert any("line 4: voices.Anna.from" in text and "no such file" in text for text in problems["settings"])
    assert any("line 5: satellites.Hall.voice: there is no voice 'Zoe'" in text for text in problems["settings"])
    assert "flow.data" in problems["models"][0]
    assert any("Grandma.wav" in text for text in problems["voices"])
    assert "is taken by another program" in problems["ports"][0]
    assert f"tcp://127.0.0.1:{port}" in problems["speech"][0]
    assert "not in the Wyoming protocol" in problems["home assistant"][0]
    assert "VOICE_DEFAUT is not a setting" in warnings["settings"][0]
    assert "cannot be asked" in warnings["hub"][0]
    assert "for this machine alone" in warnings["addresses"][0]


def test_settings_that_cannot_be_read_do_not_end_the_examination(tmp_path: Path) -> None:
    file = tmp_path / "tts.yaml"
    file.write_text("log: {level: loud}\n")
    environment = {"WYOMING_POCKET_TTS_DISCOVERY_ANNOUNCE": "false"}
    done = doctor("--json", "--config", str(file), "--data-dir", "/proc/self/data", home=tmp_path, **environment)
    assert done.returncode == 1
    problems = said(done, "problem")
    assert "tts.yaml, line 1: log.level: should be" in problems["settings"][0]
    assert "cannot be written to" in problems["data directory"][0]
    assert "checked with the default settings" in said(done, "warning")["settings"][0]
    assert "speech" in said(done, "ok")


async def test_a_running_service_is_found_and_examined(tmp_path: Path) -> None:
    async with service("--data-dir", str(tmp_path), tmp_path=tmp_path) as running:
        uri = await running.uri()
        environment = {"WYOMING_POCKET_TTS_SERVER_URI": uri, "WYOMING_POCKET_TTS_MODELS_NAMES": "none"}
        done = await asyncio.to_thread(doctor, "--data-dir", str(tmp_path), home=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"OK       ports            {uri}: this service answers" in done.stdout
    assert f"OK       speech           {uri}: " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 problems") or done.stdout.endswith("All is well.\n")


def test_the_doctor_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {"WYOMING_POCKET_TTS_MODELS_NAMES": "none", "WYOMING_POCKET_TTS_SERVER_URI": "tcp://127.0.0.1:0"}
    done = doctor(home=tmp_path / "home", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "home").exists()
