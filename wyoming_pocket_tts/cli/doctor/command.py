"""All checks in order; report."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from wyoming_pocket_tts.cli.doctor.base import (
    Check,
    CheckResult,
    DescribeResponse,
    DoctorContext,
    Severity,
    ask,
    configured_models,
    examine,
)
from wyoming_pocket_tts.cli.doctor.machine import check_clock, check_data_directory, check_memory, check_processor
from wyoming_pocket_tts.cli.doctor.models import check_config, check_models, check_voices
from wyoming_pocket_tts.cli.doctor.network import (
    check_addresses,
    check_discovery,
    check_hub,
    check_ports,
    downloads_directory,
)
from wyoming_pocket_tts.cli.doctor.service import check_home_assistant, check_service, check_speech
from wyoming_pocket_tts.cli.voices import VoiceListing, list_voices
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.server.protocol import encode, info_event

_DESCRIBE_SECONDS = 10.0
_TITLE_WIDTH = 16
_INDENT = " " * 9


def doctor(context: DoctorContext, *, as_json: bool, tell: Callable[[str], None]) -> bool:
    """Run all checks and report them, as text while they run; return whether there is no problem."""
    results: list[CheckResult] = []
    for result in examine(checks_for(context)):
        results.append(result)
        if not as_json:
            tell(line(result))
    tell(json.dumps(as_dict(results), ensure_ascii=False, indent=2) if as_json else summary(results))
    return is_healthy(results)


def checks_for(context: DoctorContext) -> list[Check]:
    """All checks. Asks whether the service runs, for two seconds at most."""
    settings = context.settings()
    models = configured_models(settings)
    sizes = [model.size for model in models]
    missing = [model.size for model in models if not model.is_installed]
    running = context.running(settings)
    is_here = context.uri is None and running is not None
    precision = Precision(settings.models.precision)

    @lru_cache(maxsize=1)
    def listed() -> VoiceListing:
        return list_voices(settings, embedded=context.embedded)

    def described() -> DescribeResponse:
        if running is not None:
            return ask(running, seconds=_DESCRIBE_SECONDS)
        event = info_event(listed().voices)
        return DescribeResponse(event.data, len(encode(event).partition(b"\n")[0]), seconds=0.0)

    service = Check("service", 10, partial(check_service, settings.server.uri))
    return [
        Check("settings", 10, partial(check_config, context)),
        Check("processor", 5, partial(check_processor, precision)),
        Check("clock", 5, check_clock),
        Check("memory", 5, partial(check_memory, sizes, settings.models.memory_budget_mb, is_running=is_here)),
        Check("data directory", 10, partial(check_data_directory, settings.data_dir, missing, downloads_directory())),
        Check("models", 300, partial(check_models, models, settings.data_dir, precision)),  # perhaps on a memory card
        Check("voices", 120, partial(check_voices, listed)),  # reads every recording
        Check("hub", 45, partial(check_hub, models, local_files_only=settings.models.local_files_only)),
        *([service] if context.uri is None else []),
        Check("ports", 60, partial(check_ports, settings)),
        Check("addresses", 10, partial(check_addresses, settings.server.uri)),
        Check("discovery", 30, partial(check_discovery, settings, is_running=is_here)),
        Check("speech", 60, partial(check_speech, running, context.load_embedded)),
        Check("home assistant", 130, partial(check_home_assistant, described)),  # may wait for the list of voices
    ]


def line(result: CheckResult) -> str:
    """One line for the finding, and one for the advice."""
    finding = result.finding
    text = f"{finding.severity.upper():<8} {result.check:<{_TITLE_WIDTH}} {finding.found}"
    return f"{text}\n{_INDENT}-> {finding.advice}" if finding.advice else text


def summary(results: Sequence[CheckResult]) -> str:
    if all(result.finding.severity is Severity.OK for result in results):
        return "All is well."
    return f"{_count(results, Severity.PROBLEM)}, {_count(results, Severity.WARNING)}."


def as_dict(results: Iterable[CheckResult]) -> dict[str, Any]:
    """The report as JSON."""
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
    """Whether there is no problem; warnings do not count."""
    return all(result.finding.severity is not Severity.PROBLEM for result in results)


def _count(results: Iterable[CheckResult], severity: Severity) -> str:
    number = sum(result.finding.severity is severity for result in results)
    return f"{number} {severity}{'' if number == 1 else 's'}"
