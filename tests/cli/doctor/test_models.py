"""Directories, models and voices that are missing, full or damaged."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.cli.doctor.checking import MODEL, findings, make_bundle, named, only
from wyoming_pocket_tts.cli.doctor.base import Finding, configured_models
from wyoming_pocket_tts.cli.doctor.base import FindingSeverity as Severity
from wyoming_pocket_tts.cli.doctor.machine import check_data_directory
from wyoming_pocket_tts.cli.doctor.models import check_models, check_voices
from wyoming_pocket_tts.cli.voices import list_voices
from wyoming_pocket_tts.config.schema import ModelSettings, Settings
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket.onnx.bundle import Precision

EMBEDDED = [Voice(name="beep", description="Beep", languages=("en",), sample_rate_hz=16_000)]


def settings(data_dir: Path, *names: str) -> Settings:
    return Settings(data_dir=data_dir, models=ModelSettings(names=names or (MODEL,)))


def models(data_dir: Path, *names: str) -> Iterable[Finding]:
    return check_models(configured_models(settings(data_dir, *names)), data_dir, Precision.INT8)


def test_a_directory_that_is_there_and_one_that_will_be_are_well(tmp_path: Path) -> None:
    assert only(check_data_directory(tmp_path)).severity is Severity.OK
    named(findings(check_data_directory(tmp_path / "new" / "one")), Severity.OK, "(to be made)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "text", "advice"),
    [
        (errno.EACCES, "Permission denied", "run doctor as the service's user"),
        (errno.ENOSPC, "No space left on device", "the disk is full: free some space"),
        (errno.EDQUOT, "Disk quota exceeded", "the disk is full: free some space"),
        (errno.EROFS, "Read-only file system", "mounted read-only"),
        (errno.EIO, "Input/output error", "dmesg"),
    ],
)
def test_a_directory_that_cannot_be_written_to_is_named_with_what_keeps_it_so(
    number: int, text: str, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = only(check_data_directory(tmp_path / "data"))
    assert (found.severity, found.found) == (Severity.PROBLEM, f"{tmp_path}: cannot be written to: {text}")
    assert advice in found.advice
    assert ("belongs to" in found.advice) == (number == errno.EACCES)


def test_a_directory_that_nobody_writes_to_is_named() -> None:
    for place in ("/proc/self", "/proc/self/data"):  # not even root does
        named(findings(check_data_directory(Path(place))), Severity.PROBLEM, "/proc/self: cannot be written to")


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path / "lost")
    found = only(check_data_directory(tmp_path / "data"))
    assert (found.severity, "leads nowhere" in found.advice) == (Severity.PROBLEM, True)


def test_where_downloads_are_kept_is_looked_at_while_some_are_to_come(tmp_path: Path) -> None:
    lacking = [model.size for model in configured_models(settings(tmp_path))]
    named(findings(check_data_directory(tmp_path, lacking, tmp_path / "hub")), Severity.OK, "downloads: ")
    found = findings(check_data_directory(tmp_path, lacking, Path("/proc/self/hub")))
    named(found, Severity.PROBLEM, "/proc/self: cannot be written to")
    assert "HF_HOME" in found[-1].advice
    assert only(check_data_directory(tmp_path, (), Path("/proc/self/hub"))).severity is Severity.OK


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a directory away")
def test_who_may_not_look_is_told_so_and_not_to_report_it(tmp_path: Path) -> None:
    """As a person sees the directory of a service that has a user of its own."""
    closed = tmp_path / "closed"
    (closed / "data").mkdir(parents=True)
    (tmp_path / "link").symlink_to(closed / "data")
    os.chown(closed, 10200, 10200)
    closed.chmod(0o700)
    arguments = ["--json", "--data-dir", str(tmp_path / "link")]
    command = [sys.executable, "-m", "wyoming_pocket_tts", "doctor", *arguments]
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "WYOMING_POCKET_TTS_DISCOVERY_ANNOUNCE": "false"}
    done = subprocess.run(powerless, capture_output=True, text=True, check=False, timeout=55, env=environment)
    problems = {
        each["check"]: each["advice"] for each in json.loads(done.stdout)["findings"] if each["severity"] == "problem"
    }
    assert problems.keys() >= {"data directory", "models"}
    for check in ("data directory", "models"):
        assert "as the service's user" in problems[check]


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    named(findings(check_data_directory(tmp_path / "data")), Severity.PROBLEM, "is no directory")


def test_a_full_disk_is_named_with_what_is_needed(tmp_path: Path) -> None:
    lacking = [model.size for model in configured_models(settings(tmp_path))]
    full = check_data_directory(tmp_path, lacking, free=lambda _: 10_000_000)
    named(findings(full), Severity.PROBLEM, f"are needed to bring {MODEL}")
    nearly = check_data_directory(tmp_path, free=lambda _: 100_000_000)
    named(findings(nearly), Severity.WARNING, "100 MB free, which is nearly full")


def test_a_model_that_is_not_here_is_named_with_what_brings_it(tmp_path: Path) -> None:
    found = only(models(tmp_path))
    assert found.severity is Severity.WARNING
    assert f"wyoming-pocket-tts download {MODEL}" in found.advice
    named(findings(models(tmp_path, "none")), Severity.OK, "embedded voices alone")


def test_a_whole_model_is_well(tmp_path: Path) -> None:
    make_bundle(tmp_path)
    named(findings(models(tmp_path)), Severity.OK, "whole")


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("flow.data", b"flow.dat4" * 100, "flow.data: is damaged: its hash is another"),
        ("codec.data", b"short", "codec.data: is damaged: it has 5 bytes"),
        ("manifest.json", b"{}", "manifest.json: has another format"),
    ],
)
def test_a_damaged_model_is_named_with_its_file(tmp_path: Path, file: str, content: bytes, text: str) -> None:
    (make_bundle(tmp_path) / file).write_bytes(content)
    named(findings(models(tmp_path)), Severity.PROBLEM, text)


def test_a_damaged_model_that_nobody_wants_is_named_as_well(tmp_path: Path) -> None:
    directory = make_bundle(tmp_path)
    (directory / "flow.data").unlink()
    found = [each for each in findings(models(tmp_path, "none")) if each.severity is Severity.PROBLEM]
    assert [each.advice for each in found] == [f"delete it: rm -r '{directory}'"]


def test_a_damaged_voice_is_named_and_the_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    folder.mkdir()
    (folder / "Grandma.safetensors").write_bytes(b"no voice at all")
    found = findings(check_voices(lambda: list_voices(settings(tmp_path), embedded=EMBEDDED)))
    named(found, Severity.PROBLEM, "Grandma.safetensors")
    named(found, Severity.OK, "1 of ")


def test_nobody_to_speak_with_is_a_problem(tmp_path: Path) -> None:
    named(
        findings(check_voices(lambda: list_voices(settings(tmp_path), embedded=[]))),
        Severity.PROBLEM,
        "no voice to speak",
    )
