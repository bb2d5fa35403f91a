"""Processors and memories as machines have them."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.doctor.checking import findings, named, only
from wyoming_pocket_tts.cli.doctor.base import Finding, configured_models
from wyoming_pocket_tts.cli.doctor.base import FindingSeverity as Severity
from wyoming_pocket_tts.cli.doctor.machine import check_clock, check_memory, check_processor
from wyoming_pocket_tts.cli.model_choice import ModelSize
from wyoming_pocket_tts.config.schema import ModelSettings, Settings
from wyoming_pocket_tts.core.system import memory_info
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.onnx.bundle import Precision

PLAIN_X86 = "sse sse2 ssse3 sse4_1 sse4_2 avx"
PI_4 = "fp asimd evtstrm crc32 cpuid"
PI_5 = f"{PI_4} aes sha1 sha2 asimdhp asimdrdm asimddp"
ENGLISH = ModelSize.of("english", configs.released_model("english"), Precision.INT8)


def processor(
    tmp_path: Path, flags: str, architecture: str = "x86_64", precision: Precision = Precision.INT8
) -> Iterable[Finding]:
    cpu_info = tmp_path / "cpuinfo"
    key = "flags" if architecture == "x86_64" else "Features"
    cpu_info.write_text(f"processor\t: 0\n{key}\t\t: {flags}\n" if flags else "")
    return check_processor(precision, cpu_info=cpu_info, architecture=architecture, cores=lambda: 4)


@pytest.mark.parametrize(
    ("flags", "architecture", "severity", "text"),
    [
        (f"{PLAIN_X86} avx2 fma", "x86_64", Severity.OK, "x86_64, 4 cores, AVX2"),
        (f"{PLAIN_X86} avx2 avx512_vnni", "x86_64", Severity.OK, "AVX-512 VNNI"),
        (PLAIN_X86, "x86_64", Severity.WARNING, "lacks AVX2: models are computed in fp32 instead of int8"),
        ("sse sse2", "x86_64", Severity.PROBLEM, "lacks SSE4.2"),
        (PI_5, "aarch64", Severity.OK, "ASIMD with dot product"),
        (PI_4, "aarch64", Severity.WARNING, "no dot product (ARMv8.0, as in a Raspberry Pi 4)"),
        ("neon vfpv4", "armv7l", Severity.PROBLEM, "no packages for this architecture"),
        ("", "x86_64", Severity.WARNING, "does not report the processor's instructions"),
    ],
)
def test_what_a_processor_lacks_is_named(
    tmp_path: Path, flags: str, architecture: str, severity: Severity, text: str
) -> None:
    named(findings(processor(tmp_path, flags, architecture)), severity, text)


def test_exact_numbers_need_no_instructions_for_few_bits(tmp_path: Path) -> None:
    for flags, architecture in ((PLAIN_X86, "x86_64"), (PI_4, "aarch64")):
        for precision in (Precision.FP32, Precision.INT4):
            assert only(processor(tmp_path, flags, architecture, precision)).severity is Severity.OK


def memory(
    tmp_path: Path,
    *,
    total_mb: int,
    available_mb: int,
    limit: str = "max",
    is_running: bool = False,
    models: Sequence[ModelSize] = (ENGLISH,),
    budget_mb: int | None = None,
) -> Iterable[Finding]:
    info = tmp_path / "meminfo"
    info.write_text(f"MemTotal:       {total_mb * 1000} kB\nMemAvailable:   {available_mb * 1000} kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    limits = [tmp_path / "memory.max", tmp_path / "none"]
    found = memory_info(info, limits)
    return check_memory(models, budget_mb, is_running=is_running, memory=lambda: found)


def test_memory_is_held_against_the_models(tmp_path: Path) -> None:
    assert only(memory(tmp_path, total_mb=4000, available_mb=3000)).severity is Severity.OK
    named(findings(memory(tmp_path, total_mb=4000, available_mb=200)), Severity.WARNING, "english needs about")
    named(findings(memory(tmp_path, total_mb=400, available_mb=300)), Severity.PROBLEM, "english needs about")


GERMAN = replace(ENGLISH, label="german")


def needed_mb(found: Finding) -> int:
    return int(re.findall(r"needs? about (\d+) MB", found.found)[0])


def test_models_that_take_turns_need_no_more_than_their_budget(tmp_path: Path) -> None:
    def of(budget_mb: int | None, *models: ModelSize) -> Finding:
        return only(memory(tmp_path, total_mb=9000, available_mb=8000, models=models, budget_mb=budget_mb))

    alone, both = of(None, ENGLISH), of(None, ENGLISH, GERMAN)
    assert "english, german need about" in both.found
    assert needed_mb(alone) < needed_mb(of(300, ENGLISH, GERMAN)) < needed_mb(both)
    assert needed_mb(of(250, ENGLISH, GERMAN)) == needed_mb(alone), "the largest has to be there"
    assert needed_mb(of(2000, ENGLISH, GERMAN)) == needed_mb(both)
    assert "within models.memory_budget_mb (300)" in of(300, ENGLISH, GERMAN).found
    none = of(100)
    assert (needed_mb(none), none.found.startswith("the embedded voice needs")) == (160, True)


def test_a_budget_that_holds_no_model_is_named_with_the_least_that_does(tmp_path: Path) -> None:
    def of(budget_mb: int) -> list[Finding]:
        models = (ENGLISH, GERMAN)
        return findings(memory(tmp_path, total_mb=9000, available_mb=8000, models=models, budget_mb=budget_mb))

    found = of(5)
    named(found, Severity.WARNING, "models.memory_budget_mb is 5, and english alone takes about ")
    least_mb, all_mb = map(int, re.findall(r"\d+", found[0].advice))
    assert all_mb > 2 * least_mb > 300
    assert [each.severity for each in of(least_mb)] == [Severity.OK]
    assert [each.severity for each in of(least_mb - 1)] == [Severity.WARNING, Severity.OK]
    named(
        findings(memory(tmp_path, total_mb=9000, available_mb=8000, models=(), budget_mb=5)),
        Severity.WARNING,
        "45",
    )


def test_what_a_running_service_has_is_not_asked_for_twice(tmp_path: Path) -> None:
    assert only(memory(tmp_path, total_mb=4000, available_mb=200, is_running=True)).severity is Severity.OK
    found = findings(memory(tmp_path, total_mb=400, available_mb=300, is_running=True))
    named(found, Severity.PROBLEM, "english needs about")


def test_models_are_as_large_as_the_processor_makes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, models=ModelSettings(names=("english",)))
    sizes = []
    for flags in (PI_5, PI_4):
        known = frozenset(flags.split())
        monkeypatch.setattr("wyoming_pocket_tts.cli.doctor.base.cpu_flags", lambda known=known: known)
        sizes.append(configured_models(settings)[0].size.converted_bytes)
    assert sizes[1] > 3 * sizes[0], "in 32 bits instead of 8"


def clock(tmp_path: Path, now: str) -> Iterable[Finding]:
    return check_clock(lambda: datetime.fromisoformat(now).timestamp(), installed=tmp_path)


def test_a_clock_that_stands_before_the_programs_time_is_named(tmp_path: Path) -> None:
    os.utime(tmp_path, times=(0.0, datetime.fromisoformat("2027-05-01T00:00Z").timestamp()))
    for early in ("1970-01-01T00:00Z", "2027-04-01T00:00Z"):
        found = findings(clock(tmp_path, early))
        named(found, Severity.PROBLEM, f"it cannot be {early[:10]} 00:00 UTC")
        assert "timedatectl" in found[0].advice
    named(findings(clock(tmp_path, "2027-05-02T08:30Z")), Severity.OK, "2027-05-02 08:30 UTC")
    os.utime(tmp_path, times=(0.0, 0.0))
    named(findings(clock(tmp_path, "1970-01-02T00:00Z")), Severity.PROBLEM, "it cannot be 1970-01-02")


def test_a_containers_limit_counts_as_all_there_is(tmp_path: Path) -> None:
    found = findings(memory(tmp_path, total_mb=4000, available_mb=3000, limit="256000000"))
    named(found, Severity.PROBLEM, "there are 256 MB in all")


def test_a_system_that_tells_nothing_is_no_problem(tmp_path: Path) -> None:
    named(
        findings(check_memory([ENGLISH], memory=lambda: memory_info(tmp_path / "none"))),
        Severity.WARNING,
        "does not report",
    )
