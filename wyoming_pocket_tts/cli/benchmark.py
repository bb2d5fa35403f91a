"""Benchmark: sizes, table, advice."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.client import ask, is_ours
from wyoming_pocket_tts.cli.console import ProgressDisplay, StatusLine, Tell, table
from wyoming_pocket_tts.cli.measure import Candidate, Measurement, MeasureTask, run_task
from wyoming_pocket_tts.cli.model_choice import ModelSize, ModelSizeTier, computed_in, language_of, size_tiers
from wyoming_pocket_tts.cli.settings_edit import check_writable, write_choice
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ModelError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.system import cpu_flags, memory_info
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted, find_converted
from wyoming_pocket_tts.pocket.random_model import make_model, make_voice
from wyoming_pocket_tts.pocket.registry import default_voice
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX, missing_voices, ready_made_directory
from wyoming_pocket_tts.server.components import default_thread_count

_LOGGER = logging.getLogger(__name__)

COMFORTABLE_SPEED = 1.5
"""Times real time: below, nothing is left for Home Assistant on the same machine, or for a second satellite."""
_TEXT = (
    "Good evening. The lights in the living room are off, the front door is locked, and it will rain tomorrow morning."
)
_HEAD = ("MODEL", "PRECISION", "FIRST AUDIO", "SPEED", "MEMORY", "WEIGHTS", "")
_NOTHING = "-"
_MEGABYTE = 1e6
_ASKING_SECONDS = 1.0
_BUSY_SHARE = 0.4
"""Of the cores. Less leaves enough of them idle to measure with."""
_TOO_LOW = "the speeds will be too low"


app = typer.Typer(rich_markup_mode=None)


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
    as_json: options.JsonFlag = False,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = None,
    quiet: options.QuietFlag = False,
    config: options.ConfigOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Measure which models this machine runs in real time.

    Downloads nothing.
    """
    flags = {"data_dir": data_dir, "models.precision": precision, "models.threads": threads}
    file = config or (write if write is not None and write.exists() else None)
    settings = read_settings(file, flags, log_level="error" if quiet else "warning")
    measure_models(settings, quick=quick, write=write, as_json=as_json, quiet=quiet, tell=typer.echo)


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """Measurement of a size, or why there is none."""

    name: str
    precision: Precision
    """Differs from the wanted one if this machine cannot compute it."""
    figures: Measurement | None = None
    is_real: bool = False
    """Whether the weights were the released ones; otherwise random."""
    problem: str = ""

    @property
    def speed(self) -> float:
        return self.figures.speed if self.figures else 0.0

    @property
    def weights(self) -> str:
        return "released" if self.is_real else "random"


def measure_models(
    settings: Settings, *, quick: bool, write: Path | None = None, as_json: bool, quiet: bool, tell: Tell
) -> list[BenchmarkResult]:
    """Measure, report, and write the choice into the file ``write``, which is checked before anything is measured.

    Reasons to doubt the figures are logged before.
    """
    precision = computed_in(Precision(settings.models.precision), cpu_flags())
    sizes = _sizes(settings, quick=quick)
    if write is not None:
        check_writable(write, sizes[0].name, precision.value)
    for doubt in doubts(settings.server.uri, SystemLoad.now()):
        _LOGGER.warning("%s", doubt)
    with StatusLine(quiet=quiet) as status:
        threads = settings.models.threads or default_thread_count()
        runner = BenchmarkRunner(settings.data_dir, precision, threads, status)
        results = [runner.measure(size) for size in sizes]
    if as_json:
        tell(json.dumps(as_dict(results), ensure_ascii=False, indent=2))
    else:
        tell(f"{as_table(results)}\n")
        tell(advice(results))
    if not any(result.figures for result in results):
        raise TtsError("nothing could be measured")
    if write is not None:
        chosen = choice(results)
        line = f"{write}: nothing was written, as no model is fast enough"
        if chosen is not None:
            write_choice(write, chosen.name, chosen.precision.value)
            line = f"{write}: models.names and models.precision are {chosen.name} and {chosen.precision} now"
        if not as_json:
            tell(line)
    return results


def _sizes(settings: Settings, *, quick: bool) -> list[ModelSizeTier]:
    names = settings.models.names
    sizes = size_tiers(language_of(names))
    if not quick:
        return sizes
    of_settings = [size for size in sizes if size.name in names]
    usual = [size for size in sizes if "_" not in size.name]
    return [*of_settings, *usual, *sizes][:1]


# --- measuring


@dataclass(frozen=True, slots=True)
class BenchmarkRunner:
    """Measures sizes of models."""

    data_dir: Path
    """Random models lie there, too, while they are measured."""
    precision: Precision
    threads: int
    status: StatusLine
    warned: set[str] = field(default_factory=set)
    """Warnings that were logged already."""

    def measure(self, size: ModelSizeTier) -> BenchmarkResult:
        try:
            _check_memory(size, self.precision)
            with _scratch(self.data_dir) as scratch:
                bundle, voice, is_real = self._released(size) or self._random(size, scratch)
                task = MeasureTask(
                    task="measure",
                    candidate=Candidate(bundle.precision.value),
                    bundle=bundle.directory,
                    name=bundle.name,
                    config=bundle.config,
                    steps=bundle.steps,
                    voice=str(voice),
                    text=_TEXT,
                    threads=self.threads,
                    result=scratch / "result.npz",
                )
                show = partial(self._show, size.name)
                figures = run_task(task, show=show, warned=self.warned)
        except TtsError as error:
            return BenchmarkResult(size.name, self.precision, problem=" ".join(str(error).split()))
        except OSError as error:
            place = error.filename or self.data_dir
            return BenchmarkResult(size.name, self.precision, problem=f"{place}: {error.strerror or error}")
        return BenchmarkResult(size.name, bundle.precision, figures, is_real)

    def _show(self, name: str, text: str) -> None:
        self.status.show(f"{name}: {text} ...")

    def _released(self, size: ModelSizeTier) -> tuple[ModelBundle, Path, bool] | None:
        bundle = find_converted(size.name, size.config, data_dir=self.data_dir, precision=self.precision)
        directory = ready_made_directory(self.data_dir, size.name)
        voice = default_voice(size.name)
        if bundle is None or missing_voices(directory, [voice]):
            return None
        return bundle, directory / f"{voice}{VOICE_SUFFIX}", True

    def _random(self, size: ModelSizeTier, scratch: Path) -> tuple[ModelBundle, Path, bool]:
        report = ProgressDisplay(size.name, self.status, lambda _: None)
        self.status.show(f"{size.name}: making random weights ...")
        config = make_model(scratch / "model", size.config)
        voice = scratch / f"voice{VOICE_SUFFIX}"
        make_voice(voice, config)
        bundle = ensure_converted(
            None, config, data_dir=scratch, precision=self.precision, local_files_only=True, report=report
        )
        return bundle, voice, False


def _check_memory(size: ModelSizeTier, precision: Precision) -> None:
    needed = ModelSize.of(size.name, size.config, precision).memory_bytes
    memory = memory_info()
    if memory is not None and needed > memory.available:
        raise ModelError(f"needs about {needed / 1e6:.0f} MB of memory, and {memory.available / 1e6:.0f} MB are free")


@contextmanager
def _scratch(data_dir: Path) -> Iterator[Path]:
    """A temporary directory; not the system's, which is in memory on many small machines."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".benchmark-", dir=data_dir)
    except OSError as error:
        raise ModelError(
            f"{data_dir}: {error.strerror or error}; models are made there: choose another place with --data-dir"
        ) from error
    with scratch as path:
        yield Path(path)


@dataclass(frozen=True, slots=True)
class SystemLoad:
    """Load average of the last minute, and cores: those of the machine, in a container too."""

    processes: float
    cores: int

    @classmethod
    def now(cls) -> "SystemLoad | None":
        """None if the system does not report it."""
        try:
            return cls(os.getloadavg()[0], os.cpu_count() or 1)
        except OSError:
            return None


def doubts(uri: str, load: SystemLoad | None) -> Iterator[str]:
    if _is_served(uri):
        yield (
            f"a service answers at {uri}, and uses the same cores: {_TOO_LOW} whenever it does; stop it"
            " meanwhile ('systemctl stop wyoming-pocket-tts', 'docker compose stop')"
        )
    if load is not None and load.processes > _BUSY_SHARE * load.cores:
        cores = f"{load.cores} core{'' if load.cores == 1 else 's'}"
        yield (
            f"the machine is busy, with a load of {load.processes:.1f} on {cores} in the last minute: {_TOO_LOW}; look"
            " what keeps it busy ('top'), and measure again when that has ended"
        )


def _is_served(uri: str) -> bool:
    try:
        return is_ours(ask(uri, seconds=_ASKING_SECONDS).program)
    except ServerOverloaded:
        return True
    except TtsError:  # no server, another one, or stdio://
        return False


# --- the report


def choice(results: Sequence[BenchmarkResult]) -> BenchmarkResult | None:
    return next((each for each in results if each.speed >= COMFORTABLE_SPEED), None)


def as_table(results: Sequence[BenchmarkResult]) -> str:
    return table(_HEAD, *map(_row, results))


def _row(result: BenchmarkResult) -> tuple[str, ...]:
    figures = result.figures
    if figures is None:
        return (result.name, result.precision.value, _NOTHING, _NOTHING, _NOTHING, _NOTHING, result.problem)
    verdict = "too slow" if figures.speed < 1 else "keeps up, with nothing to spare"
    return (
        result.name,
        result.precision.value,
        f"{figures.first_audio_seconds * 1000:.0f} ms",
        f"{figures.speed:.1f} x",
        _NOTHING if figures.peak_bytes is None else f"{figures.peak_bytes / _MEGABYTE:.0f} MB",
        result.weights,
        "comfortable" if figures.speed >= COMFORTABLE_SPEED else verdict,
    )


def advice(results: Sequence[BenchmarkResult]) -> str:
    chosen = choice(results)
    if chosen is not None:
        command = f"wyoming-pocket-tts serve --model {chosen.name} --precision {chosen.precision}"
        return f"This machine runs {chosen.name}, the largest at {COMFORTABLE_SPEED:g} x or more: {command}"
    measured = [each for each in results if each.figures]
    if not measured:
        return "Nothing could be measured; the embedded voices (--model none) need the least."
    fastest = max(measured, key=lambda each: each.speed)
    other = "" if fastest.precision is Precision.INT4 else ", or measure --precision int4, which may be faster"
    return (
        f"This machine runs none of them with ease: {fastest.name}, the fastest, has {fastest.speed:.1f} x, and"
        f" {COMFORTABLE_SPEED:g} x is needed. Use the embedded voices (--model none){other}."
    )


def as_dict(results: Sequence[BenchmarkResult]) -> dict[str, Any]:
    chosen = choice(results)
    return {
        "choice": None if chosen is None else {"model": chosen.name, "precision": chosen.precision.value},
        "outcomes": [
            {
                "model": each.name,
                "precision": each.precision.value,
                "weights": each.weights,
                "figures": each.figures and each.figures.model_dump(exclude={"kind"}) | {"speed": round(each.speed, 2)},
                "problem": each.problem or None,
            }
            for each in results
        ],
    }
