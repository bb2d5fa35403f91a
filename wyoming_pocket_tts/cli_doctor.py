"""The commands that look at a machine: parses, builds objects, calls. Decides nothing itself.

Like ``cli.py``, imports what is slow when it is needed.
"""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from wyoming_pocket_tts import options
from wyoming_pocket_tts.cli_support import read_settings
from wyoming_pocket_tts.engines import Engine, load_engine, threads_of_this_machine

RunningOption = Annotated[
    str | None,
    typer.Option(
        "--uri",
        metavar="URI",
        help="A running service to examine: tcp://HOST:PORT or unix:///PATH. Default: the one of the settings.",
        show_default=False,
    ),
]
QuickFlag = Annotated[bool, typer.Option("--quick", help="Measure one size: that of the settings' first model.")]
WriteOption = Annotated[
    Path | None,
    typer.Option(
        "--write", metavar="FILE", help="Write the choice into this settings file; comments and all else stay."
    ),
]


def register(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(doctor)
    app.command()(benchmark)


def doctor(
    *,
    as_json: options.JsonFlag = False,
    config: options.ConfigOption = None,
    uri: RunningOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Look for everything that could keep the service from speaking, and say what to do about it."""
    from wyoming_pocket_tts.commands.doctor.diagnosis import checks_for  # noqa: PLC0415  (the models)
    from wyoming_pocket_tts.commands.doctor.examination import Result, examine  # noqa: PLC0415
    from wyoming_pocket_tts.commands.doctor.report import as_dict, is_healthy, line, summary  # noqa: PLC0415
    from wyoming_pocket_tts.commands.doctor.subject import Subject  # noqa: PLC0415
    from wyoming_pocket_tts.kokoro.runtime import VOICE_FOLDER, Description  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.logs import set_up_logging  # noqa: PLC0415

    set_up_logging(level="critical", style="plain")  # the report says it all
    subject = Subject(
        file=config,
        uri=uri,
        flags={"data_dir": data_dir},
        environment=os.environ,
        embedded=[speaker.voice for speaker in Description.load(VOICE_FOLDER / "voice.json").speakers],
        load_embedded=lambda: load_engine(Engine.KOKORO),
    )
    results: list[Result] = []
    for result in examine(checks_for(subject)):
        results.append(result)
        if not as_json:
            typer.echo(line(result))
    typer.echo(json.dumps(as_dict(results), ensure_ascii=False, indent=2) if as_json else summary(results))
    if not is_healthy(results):
        raise typer.Exit(1)


def benchmark(
    *,
    quick: QuickFlag = False,
    write: WriteOption = None,
    as_json: options.JsonFlag = False,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = None,
    quiet: options.QuietFlag = False,
    config: options.ConfigOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Measure which models this machine speaks with in real time. Downloads nothing."""
    flags = {"data_dir": data_dir, "models.precision": precision, "models.threads": threads}
    file = config or (write if write is not None and write.exists() else None)
    settings = read_settings(file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.benchmark.command import Wanted, benchmark  # noqa: PLC0415  (numpy)

    wanted = Wanted(quick=quick, write=write, threads=settings.models.threads or threads_of_this_machine())
    benchmark(settings, wanted, as_json=as_json, quiet=quiet, tell=typer.echo)
