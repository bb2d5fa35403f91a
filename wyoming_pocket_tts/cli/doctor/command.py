"""All checks in order; report."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from wyoming_pocket_tts.cli.client import DescribeResponse, ask
from wyoming_pocket_tts.cli.doctor.base import Check, CheckResult, DoctorContext, Severity, models_of
from wyoming_pocket_tts.cli.doctor.machine import ClockCheck, CpuCheck, DataDirectoryCheck, MemoryCheck
from wyoming_pocket_tts.cli.doctor.models import ModelsCheck, SettingsCheck, VoicesCheck
from wyoming_pocket_tts.cli.doctor.network import AddressFamilyCheck, DiscoveryCheck, HubCheck, PortsCheck, downloads
from wyoming_pocket_tts.cli.doctor.service import HomeAssistantCheck, ServiceCheck, SynthesisCheck
from wyoming_pocket_tts.cli.voices import VoiceListing, listing
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.server.protocol import encode, info_event

_TITLE_WIDTH = 16
_INDENT = " " * 9


def line(result: CheckResult) -> str:
    """A line for what was found, and one for what to do."""
    finding = result.finding
    text = f"{finding.severity.upper():<8} {result.check:<{_TITLE_WIDTH}} {finding.found}"
    return f"{text}\n{_INDENT}-> {finding.advice}" if finding.advice else text


def summary(results: Sequence[CheckResult]) -> str:
    """The last line."""
    problems, warnings = (_count(results, severity) for severity in (Severity.PROBLEM, Severity.WARNING))
    if not problems and not warnings:
        return "All is well."
    return f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}."


def as_dict(results: Iterable[CheckResult]) -> dict[str, Any]:
    """What JSON can hold."""
    results = list(results)
    return {
        "healthy": is_healthy(results),
        "findings": [
            {
                "check": result.check,
                "severity": result.finding.severity.value,
                "found": result.finding.found,
                "advice": result.finding.advice,
            }
            for result in results
        ],
    }


def is_healthy(results: Iterable[CheckResult]) -> bool:
    """Whether there is no problem; warnings are none."""
    return all(result.finding.severity is not Severity.PROBLEM for result in results)


def _count(results: Iterable[CheckResult], severity: Severity) -> int:
    return sum(result.finding.severity is severity for result in results)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


_ASKING_SECONDS = 10.0


def checks_for(subject: DoctorContext) -> list[Check]:
    """Make the checks. Asks whether the service runs, which takes two seconds at most."""
    settings = subject.settings()
    models = models_of(settings)
    running = subject.running(settings)
    is_here = subject.uri is None and running is not None
    precision = Precision(settings.models.precision)

    @lru_cache(maxsize=1)
    def listed() -> VoiceListing:
        return listing(settings, embedded=subject.embedded)

    return [
        SettingsCheck(subject),
        CpuCheck(precision),
        ClockCheck(),
        MemoryCheck([model.size for model in models], settings.models.memory_mb, is_running=is_here),
        DataDirectoryCheck(settings.data_dir, [model.size for model in models if not model.is_installed], downloads()),
        ModelsCheck(models, settings.data_dir, precision),
        VoicesCheck(listed),
        HubCheck(models, local_files_only=settings.models.local_files_only),
        *([] if subject.uri is not None else [ServiceCheck(settings.server.uri)]),
        PortsCheck(settings),
        AddressFamilyCheck(settings.server.uri),
        DiscoveryCheck(settings, is_running=is_here),
        SynthesisCheck(running, subject.load_embedded),
        HomeAssistantCheck(_description(running, listed)),
    ]


def _description(running: str | None, listed: Callable[[], VoiceListing]) -> Callable[[], DescribeResponse]:
    """What gives the description of the running service, or else the one that it would have."""

    def would_say() -> DescribeResponse:
        event = info_event(listed().voices)
        header = encode(event).partition(b"\n")[0]
        return DescribeResponse(event.data, len(header), seconds=0.0)

    if running is None:
        return would_say
    return lambda: ask(running, seconds=_ASKING_SECONDS)
