"""The command benchmark: with the smallest model, without room, on a busy machine; its report and advice."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.doctor.stranger import info, stranger
from tests.server.client import service
from wyoming_pocket_tts.cli import benchmark as command
from wyoming_pocket_tts.cli.benchmark import (
    BenchmarkResult,
    BenchmarkRunner,
    SystemLoad,
    advice,
    as_dict,
    as_table,
    choice,
    doubts,
    measure_models,
)
from wyoming_pocket_tts.cli.console import StatusLine
from wyoming_pocket_tts.cli.measure import Measurement
from wyoming_pocket_tts.cli.model_choice import ModelSizeTier, computed_in, language_of, size_tiers
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.config.schema import ServerSettings, Settings
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
    return BenchmarkRunner(data_dir, Precision.INT8, 1, StatusLine(quiet=True))


def test_no_model_takes_memory_that_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "memory_info", lambda: MemoryInfo(total=900_000_000, available=100_000_000))
    outcome = bench(tmp_path).measure(size_tiers("english")[0])
    assert outcome.figures is None
    assert "MB of memory, and 100 MB are free" in outcome.problem


def test_a_place_that_cannot_be_written_to_is_named() -> None:
    outcome = bench(Path("/proc/self/data")).measure(size_tiers("english")[-1])
    assert outcome.problem.startswith("/proc/self/data: ")
    assert "--data-dir" in outcome.problem


def test_a_file_that_cannot_be_written_is_named_before_anybody_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measure(*_: object) -> None:
        raise AssertionError("nothing is measured for nothing")

    monkeypatch.setattr(BenchmarkRunner, "measure", measure)
    file = tmp_path / "nowhere" / "tts.yaml"
    with pytest.raises(TtsError, match=r"nowhere/tts\.yaml: cannot be written"):
        measure_models(load_settings(), quick=True, write=file, as_json=False, quiet=True, tell=print)


NOBODY = "tcp://127.0.0.1:0"
IDLE = SystemLoad(0.2, 4)


def test_an_idle_machine_is_not_doubted() -> None:
    assert list(doubts(NOBODY, IDLE)) == []
    assert list(doubts("stdio://", None)) == []


@pytest.mark.parametrize(
    ("load", "text"), [(SystemLoad(1.8, 4), "a load of 1.8 on 4 cores"), (SystemLoad(0.6, 1), "on 1 core in")]
)
def test_a_busy_machine_is_named(load: SystemLoad, text: str) -> None:
    (doubt,) = doubts(NOBODY, load)
    assert text in doubt
    assert "the speeds will be too low" in doubt


async def test_a_service_beside_it_is_to_be_stopped() -> None:
    async with service() as running:
        (doubt,) = await asyncio.to_thread(lambda: list(doubts(running.server.addresses[0], IDLE)))
    assert "a service answers at tcp://" in doubt
    assert "stop it meanwhile" in doubt


def test_a_service_that_is_full_is_one_all_the_more() -> None:
    with stranger(b'{"type": "error", "data": {"text": "full", "code": "overloaded"}}\n') as port:
        (doubt,) = doubts(f"tcp://127.0.0.1:{port}", IDLE)
    assert "stop it meanwhile" in doubt


def test_another_program_is_none_of_our_business() -> None:
    with stranger(info(program="piper")) as port:
        assert list(doubts(f"tcp://127.0.0.1:{port}", IDLE)) == []


def test_the_load_of_this_machine_is_known() -> None:
    load = SystemLoad.now()
    assert load is not None
    assert load.processes >= 0
    assert load.cores >= 1


def test_doubts_are_told_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def measure(_: BenchmarkRunner, size: ModelSizeTier) -> BenchmarkResult:
        assert "the machine is busy" in caplog.text
        return BenchmarkResult(size.name, Precision.INT8, problem="not today")

    monkeypatch.setattr(SystemLoad, "now", lambda: SystemLoad(9.0, 2))
    monkeypatch.setattr(BenchmarkRunner, "measure", measure)
    settings = Settings(server=ServerSettings(uri=NOBODY))
    with caplog.at_level(logging.WARNING), pytest.raises(TtsError, match="nothing could be measured"):
        measure_models(settings, quick=True, as_json=True, quiet=True, tell=lambda _: None)


def outcome(name: str, speed: float, precision: Precision = Precision.INT8) -> BenchmarkResult:
    figures = Measurement(
        load_seconds=1.0, first_audio_seconds=0.05, took_seconds=10.0, speech_seconds=10 * speed, peak_bytes=200_000_000
    )
    return BenchmarkResult(name, precision, figures)


REFUSED = BenchmarkResult("german_24l", Precision.INT8, problem="needs about 557 MB of memory, and 300 MB are free")


def test_the_largest_that_is_fast_enough_is_chosen() -> None:
    outcomes = [REFUSED, outcome("english", 1.49), outcome("english_18m", 1.5), outcome("english_7m", 9.0)]
    chosen = choice(outcomes)
    assert chosen is not None
    assert chosen.name == "english_18m"
    assert "serve --model english_18m --precision int8" in advice(outcomes)
    assert as_dict(outcomes)["choice"] == {"model": "english_18m", "precision": "int8"}


def test_a_machine_that_carries_none_is_told_what_is_left() -> None:
    outcomes = [outcome("english", 0.4), outcome("english_2m", 1.2)]
    assert choice(outcomes) is None
    assert "english_2m, the fastest, has 1.2 x, and 1.5 x is needed" in advice(outcomes)
    assert "--model none" in advice(outcomes)
    assert "int4" in advice(outcomes)
    assert "int4" not in advice([outcome("english", 0.4, Precision.INT4)])
    assert "Nothing could be measured" in advice([REFUSED])


def test_the_table_says_for_each_size_what_it_means() -> None:
    table = as_table([REFUSED, outcome("english", 0.9), outcome("english_7m", 1.2), outcome("english_2m", 4.0)])
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["MODEL", "PRECISION", "FIRST", "AUDIO", "SPEED", "MEMORY", "WEIGHTS"]
    assert table.splitlines()[1].endswith("300 MB are free")
    assert rows[2] == ["english", "int8", "50", "ms", "0.9", "x", "200", "MB", "random", "too", "slow"]
    assert "nothing to spare" in table.splitlines()[3]
    assert rows[4][-1] == "comfortable"


def test_eight_bits_are_not_measured_where_the_processor_cannot_multiply_them() -> None:
    raspberry_pi_4, raspberry_pi_5 = frozenset({"asimd", "crc32"}), frozenset({"asimd", "asimddp"})
    assert computed_in(Precision.INT8, raspberry_pi_4) is Precision.FP32
    assert computed_in(Precision.INT4, raspberry_pi_4) is Precision.INT4
    assert computed_in(Precision.INT8, raspberry_pi_5) is Precision.INT8
    assert computed_in(Precision.INT8, frozenset()) is Precision.INT8


def test_each_language_has_its_sizes_largest_first() -> None:
    assert [size.name for size in size_tiers("english")] == [
        "english_2026-09_24l",
        "english",
        "english_18m_2026-10",
        "english_7m_2026-10",
        "english_2m_2026-10",
    ]
    assert [size.name for size in size_tiers("german")] == ["german_24l", "german"]


def test_the_language_is_that_of_the_first_released_model() -> None:
    assert language_of(("mine.yaml", "german_24l", "english")) == "german"
    assert language_of(("none",)) == "english"
