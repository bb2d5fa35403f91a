"""Benchmark: sizes, table, advice."""

import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.cli.client import ask
from wyoming_pocket_tts.cli.doctor.base import is_ours
from wyoming_pocket_tts.cli.measure import Candidate, Measurement, MeasureTask, run
from wyoming_pocket_tts.cli.model_choice import ModelSize, ModelSizeTier, computed_in, language_of, sizes_of
from wyoming_pocket_tts.cli.progress import StatusLine
from wyoming_pocket_tts.cli.settings_edit import check_writable, write_choice
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import ModelError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.system import cpu_flags, memory_room
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted, find_converted
from wyoming_pocket_tts.pocket.random_model import make_model, make_voice
from wyoming_pocket_tts.pocket.registry import default_voice
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX, missing_voices, ready_made_directory
from wyoming_pocket_tts.pocket.worker_client import Progress

Tell = Callable[[str], None]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """What is to be measured.

    Attributes:
        quick: only one size, that of the settings' first model.
        write: the settings file for the choice; None to write nothing.
        threads: of the language model.
    """

    quick: bool = False
    write: Path | None = None
    threads: int


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What came of a size.

    Attributes:
        name: of the model that stands for it.
        precision: what was computed in; another than was asked for where this machine cannot.
        figures: what was measured; None if it could not be.
        is_real: whether the released weights were here; else they were random.
        problem: why it could not be measured.
    """

    name: str
    precision: Precision
    figures: Measurement | None = None
    is_real: bool = False
    problem: str = ""


def benchmark(
    settings: Settings, wanted: BenchmarkOptions, *, as_json: bool, quiet: bool, tell: Tell
) -> list[BenchmarkResult]:
    """Measure, tell, and write; what makes the figures doubtful goes to the log before.

    Raises:
        ConfigError: the settings file cannot be changed; told before anything is measured.
        SpeechError: nothing could be measured.
    """
    precision = computed_in(Precision(settings.models.precision), cpu_flags())
    sizes = _sizes(settings, quick=wanted.quick)
    if wanted.write is not None:
        check_writable(wanted.write, sizes[0].name, precision.value)
    for doubt in doubts(settings.server.uri, load_of_this_machine()):
        _LOGGER.warning("%s", doubt)
    with StatusLine(quiet=quiet) as status:
        bench = BenchmarkRunner(settings.data_dir, precision, wanted.threads, status.show)
        outcomes = [bench.measure(size) for size in sizes]
    if as_json:
        tell(json.dumps(as_dict(outcomes), ensure_ascii=False, indent=2))
    else:
        tell(as_table(outcomes))
        tell("")
        tell(advice(outcomes))
    if not any(outcome.figures for outcome in outcomes):
        raise TtsError("nothing could be measured")
    if wanted.write is not None:
        line = _write(wanted.write, outcomes)
        if not as_json:
            tell(line)
    return outcomes


def _sizes(settings: Settings, *, quick: bool) -> list[ModelSizeTier]:
    names = settings.models.names
    sizes = sizes_of(language_of(names))
    if not quick:
        return sizes
    of_settings = [size for size in sizes if size.name in names]
    usual = [size for size in sizes if "_" not in size.name]
    return [*of_settings, *usual, *sizes][:1]


def _write(file: Path, outcomes: list[BenchmarkResult]) -> str:
    chosen = choice(outcomes)
    if chosen is None:
        return f"{file}: nothing was written, as no model is fast enough"
    write_choice(file, chosen.name, chosen.precision.value)
    return f"{file}: models.names and models.precision are {chosen.name} and {chosen.precision} now"


TEXT = (
    "Good evening. The lights in the living room are off, the front door is locked, and it will rain tomorrow morning."
)
_STAGES = {"convert": "converting", "verify": "comparing with the exact model"}

Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchmarkRunner:
    """Where sizes are measured.

    Attributes:
        data_dir: where converted models are; what is made up lies there for the while.
        precision: what to compute in.
        threads: of the language model.
        show: is told what goes on.
        warned: warnings that were given.
    """

    data_dir: Path
    precision: Precision
    threads: int
    show: Show
    warned: set[str] = field(default_factory=set)

    def measure(self, size: ModelSizeTier) -> BenchmarkResult:
        """Measure, or find out why that is not possible."""
        try:
            _check_memory(size, self.precision)
            with _scratch(self.data_dir) as scratch:
                bundle, voice, is_real = self._real(size) or self._made_up(size, scratch)
                job = self._job(bundle, voice, scratch / "said.npz")
                figures = run(job, show=lambda doing: self.show(f"{size.name}: {doing} ..."), warned=self.warned)
        except TtsError as error:
            return BenchmarkResult(size.name, self.precision, problem=" ".join(str(error).split()))
        except OSError as error:
            place = error.filename or self.data_dir
            return BenchmarkResult(size.name, self.precision, problem=f"{place}: {error.strerror or error}")
        return BenchmarkResult(size.name, bundle.precision, figures, is_real)

    def _real(self, size: ModelSizeTier) -> tuple[ModelBundle, Path, bool] | None:
        """The converted model and its own voice, if both are here."""
        bundle = find_converted(size.name, size.config, data_dir=self.data_dir, precision=self.precision)
        directory = ready_made_directory(self.data_dir, size.name)
        voice = default_voice(size.name)
        if bundle is None or missing_voices(directory, [voice]):
            return None
        return bundle, directory / f"{voice}{VOICE_SUFFIX}", True

    def _made_up(self, size: ModelSizeTier, scratch: Path) -> tuple[ModelBundle, Path, bool]:
        self.show(f"{size.name}: making random weights ...")
        config = make_model(scratch / "model", size.config)
        voice = scratch / f"voice{VOICE_SUFFIX}"
        make_voice(voice, config)
        bundle = ensure_converted(
            None, config, data_dir=scratch, precision=self.precision, local_files_only=True, report=self._report(size)
        )
        return bundle, voice, False

    def _report(self, size: ModelSizeTier) -> Callable[[Progress], None]:
        def report(progress: Progress) -> None:
            share = "" if progress.done is None else f" {progress.done:.0%}"
            self.show(f"{size.name}: {_STAGES.get(progress.stage, progress.stage)}{share} ...")

        return report

    def _job(self, bundle: ModelBundle, voice: Path, result: Path) -> MeasureTask:
        return MeasureTask(
            task="measure",
            candidate=Candidate(bundle.precision.value),
            bundle=bundle.directory,
            name=bundle.name,
            config=bundle.config,
            steps=bundle.steps,
            voice=str(voice),
            text=TEXT,
            threads=self.threads,
            result=result,
        )


def _check_memory(size: ModelSizeTier, precision: Precision) -> None:
    """Refuse what would take the memory of everybody else on this machine."""
    needed = ModelSize.of(size.name, size.config, precision).memory_bytes
    room = memory_room()
    if room is not None and needed > room.available:
        raise ModelError(f"needs about {needed / 1e6:.0f} MB of memory, and {room.available / 1e6:.0f} MB are free")


@contextmanager
def _scratch(data_dir: Path) -> Iterator[Path]:
    """A directory for the while: not the system's own, which is in memory on many small machines."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".benchmark-", dir=data_dir)
    except OSError as error:
        raise ModelError(
            f"{data_dir}: {error.strerror or error}; models are made there: choose another place with --data-dir"
        ) from error
    with scratch as path:
        yield Path(path)


COMFORTABLE_SPEED = 1.5
"""Times real time: less leaves nothing for Home Assistant beside it, or for a second satellite."""
_HEAD = ("MODEL", "PRECISION", "FIRST AUDIO", "SPEED", "MEMORY", "WEIGHTS", "")
_MEGABYTE = 1e6
_NOTHING = "-"


def choice(outcomes: Sequence[BenchmarkResult]) -> BenchmarkResult | None:
    """The largest that this machine carries with ease; None if there is none."""
    return next((each for each in outcomes if _speed(each) >= COMFORTABLE_SPEED), None)


def as_table(outcomes: Sequence[BenchmarkResult]) -> str:
    """Lay the outcomes out in columns."""
    rows = [_HEAD, *map(_row, outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def advice(outcomes: Sequence[BenchmarkResult]) -> str:
    """What to choose, and how."""
    chosen = choice(outcomes)
    if chosen is not None:
        command = f"wyoming-pocket-tts serve --model {chosen.name} --precision {chosen.precision}"
        return f"This machine carries {chosen.name}, the largest at {COMFORTABLE_SPEED:g} x or more: {command}"
    measured = [each for each in outcomes if each.figures]
    if not measured:
        return "Nothing could be measured; the embedded voices (--model none) need the least."
    fastest = max(measured, key=_speed)
    other = "" if fastest.precision is Precision.INT4 else ", or measure --precision int4, which may be faster"
    return (
        f"This machine carries none of them with ease: {fastest.name}, the fastest, has {_speed(fastest):.1f} x, and"
        f" {COMFORTABLE_SPEED:g} x is needed. Let the embedded voices speak (--model none){other}."
    )


def as_dict(outcomes: Sequence[BenchmarkResult]) -> dict[str, Any]:
    """What JSON can hold."""
    chosen = choice(outcomes)
    return {
        "choice": None if chosen is None else {"model": chosen.name, "precision": chosen.precision.value},
        "outcomes": [
            {
                "model": each.name,
                "precision": each.precision.value,
                "weights": _weights(each),
                "figures": None if each.figures is None else _figures(each),
                "problem": each.problem or None,
            }
            for each in outcomes
        ],
    }


def _figures(outcome: BenchmarkResult) -> dict[str, Any]:
    assert outcome.figures is not None, "who calls has looked"  # noqa: S101  (our own invariant)
    return outcome.figures.model_dump(exclude={"kind"}) | {"speed": round(_speed(outcome), 2)}


def _row(outcome: BenchmarkResult) -> tuple[str, ...]:
    figures = outcome.figures
    if figures is None:
        return (outcome.name, outcome.precision.value, _NOTHING, _NOTHING, _NOTHING, _NOTHING, outcome.problem)
    memory = _NOTHING if figures.peak_bytes is None else f"{figures.peak_bytes / _MEGABYTE:.0f} MB"
    return (
        outcome.name,
        outcome.precision.value,
        f"{figures.first_audio_seconds * 1000:.0f} ms",
        f"{figures.speed:.1f} x",
        memory,
        _weights(outcome),
        _verdict(figures.speed),
    )


def _verdict(speed: float) -> str:
    if speed >= COMFORTABLE_SPEED:
        return "comfortable"
    return "too slow" if speed < 1 else "keeps up, with nothing to spare"


def _weights(outcome: BenchmarkResult) -> str:
    return "released" if outcome.is_real else "random"


def _speed(outcome: BenchmarkResult) -> float:
    return outcome.figures.speed if outcome.figures else 0.0


_ASKING_SECONDS = 1.0
_BUSY_SHARE = 0.4
"""Of the cores. Less leaves enough of them alone to measure with."""
_TOO_LOW = "the speeds will be too low"


@dataclass(frozen=True, slots=True)
class SystemLoad:
    """How much there is to do: processes that computed or wanted to, on average over the last minute, and cores."""

    processes: float
    cores: int


def load_of_this_machine() -> SystemLoad | None:
    """The load; None where the system does not tell."""
    try:
        return SystemLoad(os.getloadavg()[0], os.cpu_count() or 1)  # in a container, too, both are those of the machine
    except OSError:
        return None


def doubts(uri: str, load: SystemLoad | None) -> Iterator[str]:
    """Sentences on why the figures will not be those of an idle machine.

    Args:
        uri: where the settings let the service listen.
        load: of the machine.
    """
    if _is_served(uri):
        yield (
            f"a service answers at {uri}, and speaks with the same cores: {_TOO_LOW} whenever it does; stop it"
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
    except TtsError:  # nobody there, or somebody else; nobody can ask at stdio://
        return False
