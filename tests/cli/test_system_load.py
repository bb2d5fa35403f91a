"""Machines that have other things to do while they are measured."""

import asyncio
import logging

import pytest

from tests.cli.doctor.stranger import info, stranger
from tests.server.client import service
from wyoming_pocket_tts.cli import benchmark as command
from wyoming_pocket_tts.cli.benchmark import (
    BenchmarkOptions,
    BenchmarkResult,
    BenchmarkRunner,
    SystemLoad,
    benchmark,
    doubts,
    load_of_this_machine,
)
from wyoming_pocket_tts.cli.model_choice import ModelSizeTier
from wyoming_pocket_tts.config.schema import ServerSettings, Settings
from wyoming_pocket_tts.core.errors import TtsError
from wyoming_pocket_tts.pocket.onnx.bundle import Precision

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
    load = load_of_this_machine()
    assert load is not None
    assert load.processes >= 0
    assert load.cores >= 1


def test_doubts_are_told_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def measure(_: BenchmarkRunner, size: ModelSizeTier) -> BenchmarkResult:
        assert "the machine is busy" in caplog.text
        return BenchmarkResult(size.name, Precision.INT8, problem="not today")

    monkeypatch.setattr(command, "load_of_this_machine", lambda: SystemLoad(9.0, 2))
    monkeypatch.setattr(BenchmarkRunner, "measure", measure)
    settings = Settings(server=ServerSettings(uri=NOBODY))
    with caplog.at_level(logging.WARNING), pytest.raises(TtsError, match="nothing could be measured"):
        benchmark(settings, BenchmarkOptions(quick=True, threads=1), as_json=True, quiet=True, tell=lambda _: None)
