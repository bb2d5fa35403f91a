"""``benchmark`` as a person runs it, with the smallest model; and where there is no room for any."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wyoming_pocket_tts.cli import benchmark as measuring
from wyoming_pocket_tts.cli.benchmark import BenchmarkOptions, BenchmarkRunner, benchmark
from wyoming_pocket_tts.cli.model_choice import sizes_of
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.core.system import MemoryInfo
from wyoming_pocket_tts.pocket.onnx.bundle import Precision

MODEL = "english_2m_2026-10"


def test_a_machine_is_measured_without_a_download_and_the_choice_is_written(tmp_path: Path) -> None:
    file, data_dir = tmp_path / "tts.yaml", tmp_path / "data"
    file.write_text(f"# mine\nmodels:\n  names: [{MODEL}]  # small\n  precision: int8\n")
    command = [sys.executable, "-m", "wyoming_pocket_tts", "benchmark", "--quick", "--json", "--quiet"]
    command += ["--precision", "fp32", "--write", str(file), "--data-dir", str(data_dir)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=55, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    (outcome,) = report["outcomes"]
    assert (outcome["model"], outcome["precision"], outcome["weights"]) == (MODEL, "fp32", "random")
    figures = outcome["figures"]
    assert 2 < figures["speech_seconds"] < 20
    assert figures["speed"] == pytest.approx(figures["speech_seconds"] / figures["took_seconds"], abs=0.01)
    assert 0 < figures["first_audio_seconds"] < figures["took_seconds"]
    assert figures["peak_bytes"] > 50e6
    written = load_settings(file=file).models
    chosen = report["choice"] or {"model": MODEL, "precision": "int8"}  # a very busy machine may carry none
    assert (written.names, written.precision) == ((chosen["model"],), chosen["precision"])
    assert "# small" in file.read_text()
    assert list(data_dir.iterdir()) == []


def bench(data_dir: Path) -> BenchmarkRunner:
    return BenchmarkRunner(data_dir, Precision.INT8, 1, lambda _: None)


def test_no_model_takes_memory_that_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "memory_room", lambda: MemoryInfo(total=900_000_000, available=100_000_000))
    outcome = bench(tmp_path).measure(sizes_of("english")[0])
    assert outcome.figures is None
    assert "MB of memory, and 100 MB are free" in outcome.problem


def test_a_place_that_cannot_be_written_to_is_named() -> None:
    outcome = bench(Path("/proc/self/data")).measure(sizes_of("english")[-1])
    assert outcome.problem.startswith("/proc/self/data: ")
    assert "--data-dir" in outcome.problem


def test_a_file_that_cannot_be_written_is_named_before_anybody_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measure(*_: object) -> None:
        raise AssertionError("nothing is measured for nothing")

    monkeypatch.setattr(BenchmarkRunner, "measure", measure)
    wanted = BenchmarkOptions(quick=True, write=tmp_path / "nowhere" / "tts.yaml", threads=1)
    with pytest.raises(TtsError, match=r"nowhere/tts\.yaml: cannot be written"):
        benchmark(load_settings(), wanted, as_json=False, quiet=True, tell=print)
