"""Measures one size of model in processes of its own: converted and with its voice if it is here, else made up.

Knows nothing about what the figures are for.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wyoming_pocket_tts.commands.benchmark.sizes import Size
from wyoming_pocket_tts.commands.benchmark.synthetic import make_model, make_voice
from wyoming_pocket_tts.commands.comparison.job import Candidate, Figures, Job, run
from wyoming_pocket_tts.commands.doctor.memory import memory_room
from wyoming_pocket_tts.commands.doctor.sizes import ModelSize
from wyoming_pocket_tts.errors import ModelError, SpeechError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.install import Progress, install, installed
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.ready_made import missing_voices, ready_made_directory
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX

TEXT = (
    "Good evening. The lights in the living room are off, the front door is locked, and it will rain tomorrow morning."
)
_STAGES = {"convert": "converting", "verify": "comparing with the exact model"}

Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
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
    figures: Figures | None = None
    is_real: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
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

    def measure(self, size: Size) -> Outcome:
        """Measure, or find out why that is not possible."""
        try:
            _check_memory(size, self.precision)
            with _scratch(self.data_dir) as scratch:
                bundle, voice, is_real = self._real(size) or self._made_up(size, scratch)
                job = self._job(bundle, voice, scratch / "said.npz")
                figures = run(job, show=lambda doing: self.show(f"{size.name}: {doing} ..."), warned=self.warned)
        except SpeechError as error:
            return Outcome(size.name, self.precision, problem=" ".join(str(error).split()))
        except OSError as error:
            place = error.filename or self.data_dir
            return Outcome(size.name, self.precision, problem=f"{place}: {error.strerror or error}")
        return Outcome(size.name, bundle.precision, figures, is_real)

    def _real(self, size: Size) -> tuple[Bundle, Path, bool] | None:
        """The converted model and its own voice, if both are here."""
        bundle = installed(size.name, size.config, data_dir=self.data_dir, precision=self.precision)
        directory = ready_made_directory(self.data_dir, size.name)
        voice = configs.default_voice(size.name)
        if bundle is None or missing_voices(directory, [voice]):
            return None
        return bundle, directory / f"{voice}{VOICE_SUFFIX}", True

    def _made_up(self, size: Size, scratch: Path) -> tuple[Bundle, Path, bool]:
        self.show(f"{size.name}: making random weights ...")
        config = make_model(scratch / "model", size.config)
        voice = scratch / f"voice{VOICE_SUFFIX}"
        make_voice(voice, config)
        bundle = install(
            None, config, data_dir=scratch, precision=self.precision, local_files_only=True, report=self._report(size)
        )
        return bundle, voice, False

    def _report(self, size: Size) -> Callable[[Progress], None]:
        def report(progress: Progress) -> None:
            share = "" if progress.done is None else f" {progress.done:.0%}"
            self.show(f"{size.name}: {_STAGES.get(progress.stage, progress.stage)}{share} ...")

        return report

    def _job(self, bundle: Bundle, voice: Path, result: Path) -> Job:
        return Job(
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


def _check_memory(size: Size, precision: Precision) -> None:
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
