"""All checks in order; report."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
from huggingface_hub import constants

from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.client import DescribeResponse, ask
from wyoming_pocket_tts.cli.doctor.base import (
    Check,
    CheckResult,
    DoctorContext,
    FindingSeverity,
    configured_models,
    examine,
)
from wyoming_pocket_tts.cli.doctor.machine import check_clock, check_data_directory, check_memory, check_processor
from wyoming_pocket_tts.cli.doctor.models import check_config, check_models, check_voices
from wyoming_pocket_tts.cli.doctor.network import check_addresses, check_discovery, check_hub, check_ports
from wyoming_pocket_tts.cli.doctor.service import check_home_assistant, check_service, check_speech
from wyoming_pocket_tts.cli.voices import VoiceListing, list_voices
from wyoming_pocket_tts.core.logging import set_up_logging
from wyoming_pocket_tts.kokoro.synthesizer import described_voices, load_kokoro
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.server.protocol import encode, info_event

_DESCRIBE_SECONDS = 10.0
_TITLE_WIDTH = 16
_INDENT = " " * 9


app = typer.Typer(rich_markup_mode=None)


@app.command()
def doctor(
    *,
    as_json: options.JsonFlag = False,
    config: options.ConfigOption = None,
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri",
            metavar="URI",
            help="A running service to examine: tcp://HOST:PORT or unix:///PATH. Default: the one of the settings.",
            show_default=False,
        ),
    ] = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Find what keeps the service from working.

    Each finding comes with advice.
    """
    set_up_logging(level="critical", style="plain")  # the report covers everything
    context = DoctorContext(
        file=config,
        uri=uri,
        flags={"data_dir": data_dir},
        environment=os.environ,
        embedded=described_voices(),
        load_embedded=load_kokoro,
    )
    results: list[CheckResult] = []
    for result in examine(checks_for(context)):
        results.append(result)
        if not as_json:
            typer.echo(line(result))
    typer.echo(json.dumps(as_dict(results), ensure_ascii=False, indent=2) if as_json else summary(results))
    if not is_healthy(results):
        raise typer.Exit(1)


def checks_for(context: DoctorContext) -> list[Check]:
    """All checks. Asks whether the service runs, for two seconds at most."""
    settings = context.settings()
    models = configured_models(settings)
    sizes = [model.size for model in models]
    missing = [model.size for model in models if not model.is_installed]
    running = context.running(settings)
    is_here = context.uri is None and running is not None
    precision = Precision(settings.models.precision)

    downloads = Path(constants.HF_HUB_CACHE)

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
        Check(
            "data directory",
            10,
            partial(check_data_directory, settings.data_dir, missing, downloads),
        ),
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
    finding = result.finding
    text = f"{finding.severity.upper():<8} {result.check:<{_TITLE_WIDTH}} {finding.found}"
    return f"{text}\n{_INDENT}-> {finding.advice}" if finding.advice else text


def summary(results: Sequence[CheckResult]) -> str:
    if all(result.finding.severity is FindingSeverity.OK for result in results):
        return "All is well."
    counts = Counter(result.finding.severity for result in results)
    shown = (FindingSeverity.PROBLEM, FindingSeverity.WARNING)
    return f"{', '.join(f'{counts[each]} {each}' + ('' if counts[each] == 1 else 's') for each in shown)}."


def as_dict(results: Sequence[CheckResult]) -> dict[str, Any]:
    findings = [{"check": result.check, **asdict(result.finding)} for result in results]
    return {"healthy": is_healthy(results), "findings": findings}


def is_healthy(results: Iterable[CheckResult]) -> bool:
    return all(result.finding.severity is not FindingSeverity.PROBLEM for result in results)
