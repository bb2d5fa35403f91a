"""The commands doctor, benchmark and compare."""

import os
from pathlib import Path
from typing import Annotated

import typer

from wyoming_pocket_tts.cli.benchmark import BenchmarkOptions
from wyoming_pocket_tts.cli.benchmark import benchmark as run_benchmark
from wyoming_pocket_tts.cli.compare import CompareOptions
from wyoming_pocket_tts.cli.compare import compare as run_comparison
from wyoming_pocket_tts.cli.doctor.base import DoctorContext
from wyoming_pocket_tts.cli.doctor.command import doctor as run_doctor
from wyoming_pocket_tts.cli.model_choice import ModelSelection
from wyoming_pocket_tts.cli.options import (
    CandidatesOption,
    ComparedVoiceOption,
    ComparisonOption,
    ConfigOption,
    DataDirOption,
    JsonFlag,
    LanguageOption,
    ModelConfigOption,
    OptionalTextArgument,
    PrecisionOption,
    QuietFlag,
    SettingsOption,
    ThreadsOption,
)
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.core.logging import set_up_logging
from wyoming_pocket_tts.kokoro.synthesizer import described_voices
from wyoming_pocket_tts.server.components import EmbeddedEngine, default_thread_count, load_engine

app = typer.Typer(rich_markup_mode=None)


@app.command()
def doctor(
    *,
    as_json: JsonFlag = False,
    config: ConfigOption = None,
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri",
            metavar="URI",
            help="A running service to examine: tcp://HOST:PORT or unix:///PATH. Default: the one of the settings.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDirOption = None,
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
        load_embedded=lambda: load_engine(EmbeddedEngine.KOKORO),
    )
    if not run_doctor(context, as_json=as_json, tell=typer.echo):
        raise typer.Exit(1)


@app.command()
def benchmark(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure one size: that of the settings' first model.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="FILE", help="Write the choice into this settings file; comments and all else stay."
        ),
    ] = None,
    as_json: JsonFlag = False,
    precision: PrecisionOption = None,
    threads: ThreadsOption = None,
    quiet: QuietFlag = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Measure which models this machine runs in real time.

    Downloads nothing.
    """
    flags = {"data_dir": data_dir, "models.precision": precision, "models.threads": threads}
    file = config or (write if write is not None and write.exists() else None)
    settings = read_settings(file, flags, log_level="error" if quiet else "warning")
    wanted = BenchmarkOptions(quick=quick, write=write, threads=settings.models.threads or default_thread_count())
    run_benchmark(settings, wanted, as_json=as_json, quiet=quiet, tell=typer.echo)


@app.command()
def compare(
    text: OptionalTextArgument = None,
    *,
    language: LanguageOption = None,
    config: ModelConfigOption = None,
    precision: CandidatesOption = None,
    voice: ComparedVoiceOption = None,
    output: ComparisonOption = Path("comparison"),
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Compare speed, size and accuracy of precisions.

    Every precision says the same text on this machine.
    """
    flags = {"data_dir": data_dir, "models.threads": threads}
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    wanted = CompareOptions(
        text=text,
        voice=voice,
        candidates=precision or (),
        threads=settings.models.threads or default_thread_count(),
        output=output,
        data_dir=settings.data_dir,
        given_data_dir=data_dir,
    )
    run_comparison(
        wanted, ModelSelection(language=language, config=config), quiet=quiet, as_json=as_json, tell=typer.echo
    )
