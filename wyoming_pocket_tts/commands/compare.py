"""Compares what a model is in several precisions and engines on this machine: speed, memory, distance to fp32, sound.

Knows nothing about how a candidate is measured (``comparison/measure.py``, a process for each) or shown.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from wyoming_pocket_tts.commands.comparison.distance import distance
from wyoming_pocket_tts.commands.comparison.job import Candidate, Job, run
from wyoming_pocket_tts.commands.comparison.measure import Said
from wyoming_pocket_tts.commands.comparison.picture import Row, can_draw, draw
from wyoming_pocket_tts.commands.comparison.report import Comparison, Outcome, advice, as_dict, as_table, title
from wyoming_pocket_tts.commands.pocket_model import ModelChoice, checked_voice
from wyoming_pocket_tts.commands.progress import StatusLine
from wyoming_pocket_tts.commands.speak import default_text, pcm
from wyoming_pocket_tts.errors import ConfigError, EmptyText, SpeechError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.loading import find_model
from wyoming_pocket_tts.pocket.onnx.bundle import sampler_steps
from wyoming_pocket_tts.pocket.onnx.install import Progress, install
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.protocol import UnfitPrecision
from wyoming_pocket_tts.pocket.onnx.ready_made import bring_voices, ready_made_directory
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX
from wyoming_pocket_tts.wav import Format, open_wav

PICTURE = "compare.png"
_STAGES = {
    "wait": "waiting for another process that converts it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "fetching the voice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be compared.

    Attributes:
        text: what to say, ``-`` for what standard input says; None for a few words in the model's language.
        voice: who is to say it; None for the model's own voice.
        candidates: what to compare with fp32, by name; empty for all there are.
        threads: of the language model.
        output: the directory for recordings and picture.
        data_dir: where converted models are kept.
        given_data_dir: what somebody said about that, to be said to ``serve`` as well; None for nothing.
    """

    text: str | None = None
    voice: str | None = None
    candidates: Sequence[str] = ()
    threads: int
    output: Path
    data_dir: Path
    given_data_dir: Path | None = None


def compare(
    wanted: Wanted, choice: ModelChoice, *, quiet: bool, as_json: bool, tell: Callable[[str], None]
) -> Comparison:
    """Measure all candidates one after the other, write recordings and a picture, and tell what was found.

    What cannot be measured on this machine is named in the report, and the others go on.

    Args:
        wanted: what.
        choice: the model; nothing but which one it is counts.
        quiet: show no progress.
        as_json: tell an object instead of a table.
        tell: is given the report.

    Raises:
        ConfigError: there is no such candidate or model.
        EmptyText: the text holds nothing to say.
        SpeechError: fp32 or the voice cannot be used, or the directory cannot be written to.
    """
    candidates = _candidates(wanted.candidates)
    text = sys.stdin.read() if wanted.text == "-" else wanted.text
    text = default_text(choice.language_code()) if text is None else text
    if not text.strip():
        raise EmptyText("the text holds nothing to say")
    voice = choice.default_voice() if wanted.voice is None else checked_voice(wanted.voice)
    name, config = find_model(choice.language, choice.config)
    with (
        _directory(wanted.output),
        StatusLine(quiet=quiet) as status,
        tempfile.TemporaryDirectory(prefix="compare-") as scratch,
    ):
        bench = _Bench(wanted, name, config, text, Path(scratch), status)
        first = bench.reference(voice)
        outcomes = [first, *(bench.outcome(candidate) for candidate in candidates if candidate is not Candidate.FP32)]
        status.show("drawing ...")
        drawn = bench.draw(outcomes)
    label = choice.config or str(name)
    comparison = Comparison(label, voice, text, wanted.threads, tuple(outcomes))
    if as_json:
        tell(json.dumps(as_dict(comparison), ensure_ascii=False, indent=2))
        return comparison
    tell(as_table(outcomes))
    tell("")
    tell(_what_was_written(wanted.output, outcomes, drawn=drawn))
    tell(advice(comparison, directory=str(wanted.output), serve=_serve(label, wanted)))
    return comparison


@dataclass(slots=True)
class _Bench:
    """Where candidates are measured.

    Attributes:
        wanted: what is to be compared.
        name: the released model; None for one's own.
        config: what it is.
        text: what they say.
        scratch: a directory for what is only needed meanwhile.
        status: shows a person how far it is.
        warned: warnings that were given.
    """

    wanted: Wanted
    name: str | None
    config: ModelConfig
    text: str
    scratch: Path
    status: StatusLine
    warned: set[str] = field(default_factory=set)

    def reference(self, voice: str) -> Outcome:
        """Measure fp32, which the others are held to, after it has heard the voice that all of them use."""
        job = self._job(Candidate.FP32)
        source = str(self._ready_made(voice) or voice)
        heard = job.model_copy(update={"task": "voice", "voice": source, "result": self._voice})
        run(heard, show=lambda doing: self.status.show(f"{doing} ..."), warned=self.warned)
        return self._measured(job, None)

    def outcome(self, candidate: Candidate) -> Outcome:
        """Measure a candidate, or find out why that is not possible."""
        if candidate is Candidate.TORCH and not find_spec("torch"):  # before anything is downloaded for it
            return Outcome(candidate, problem="PyTorch is not installed: pip install 'wyoming-pocket-tts[torch]'")
        try:
            job = self._job(candidate)
            return self._measured(job, self._result(Candidate.FP32))
        except SpeechError as error:
            return Outcome(candidate, problem=" ".join(str(error).split()))

    def draw(self, outcomes: Sequence[Outcome]) -> bool:
        """Draw what was measured, if that is possible."""
        if not can_draw():
            return False
        measured = [(outcome, Said.read(self._result(outcome.candidate))) for outcome in outcomes if outcome.figures]
        rows = [Row(title(outcome), said.audio, said.decoded) for outcome, said in measured]
        draw(self.wanted.output / PICTURE, rows, rate_hz=self.config.mimi.sample_rate)
        return True

    def _measured(self, job: Job, reference: Path | None) -> Outcome:
        show = self._show(job.candidate)
        figures = run(job.model_copy(update={"reference": reference}), show=show, warned=self.warned)
        said = Said.read(job.result)
        rate = Format(rate_hz=self.config.mimi.sample_rate)
        with open_wav(str(self.wanted.output / f"{job.candidate}.wav")) as wav:
            wav.write(pcm(said.audio), rate)
            wav.finish(rate)
        return Outcome(job.candidate, figures, distance(Said.read(reference), said) if reference else None)

    def _job(self, candidate: Candidate) -> Job:
        return Job(
            task="measure",
            candidate=candidate,
            bundle=self._bundle(candidate, candidate.precision) if candidate.precision else None,
            name=self.name,
            config=self.config,
            steps=sampler_steps(self.config),
            voice=str(self._voice),
            text=self.text,
            threads=self.wanted.threads,
            result=self._result(candidate),
        )

    def _bundle(self, candidate: Candidate, precision: Precision) -> Path:
        """The converted model; made first if need be."""
        show = self._show(candidate)

        def report(progress: Progress) -> None:
            share = "" if progress.done is None else f" {progress.done:.0%}"
            show(f"{_STAGES[progress.stage]}{share}")

        bundle = install(self.name, self.config, data_dir=self.wanted.data_dir, precision=precision, report=report)
        if bundle.precision is not precision:
            raise UnfitPrecision(f"this machine cannot compute it; serve would use {bundle.precision} instead")
        return bundle.directory

    def _ready_made(self, voice: str) -> Path | None:
        """The file of a released model's own voice; None for other voices."""
        if self.name is None or voice not in configs.voice_names():
            return None
        data_dir = self.wanted.data_dir
        bring_voices(
            self.name, [voice], data_dir=data_dir, report=lambda _: self.status.show(f"fetching the voice {voice} ...")
        )
        return ready_made_directory(data_dir, self.name) / f"{voice}{VOICE_SUFFIX}"

    def _show(self, candidate: Candidate) -> Callable[[str], None]:
        return lambda doing: self.status.show(f"{candidate}: {doing} ...")

    @property
    def _voice(self) -> Path:
        return self.scratch / f"voice{VOICE_SUFFIX}"

    def _result(self, candidate: Candidate) -> Path:
        return self.scratch / f"{candidate}.npz"


def _candidates(names: Sequence[str]) -> list[Candidate]:
    """Look names up, each once and in our order; all that may work here if there are none."""
    if not names:
        return [candidate for candidate in Candidate if candidate.precision or find_spec("torch")]
    for name in names:
        if name not in list(Candidate):
            raise ConfigError(f"--precision is '{name}': possible are {', '.join(Candidate)}")
    return [candidate for candidate in Candidate if candidate in names]


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    """A directory to write to; what of it was not there is gone again if nothing comes into it."""
    made = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpeechError(f"{path}: {error.strerror or error}: choose another directory with --output") from error
    try:
        yield
    finally:
        with suppress(OSError):  # something lies there
            for each in made:
                each.rmdir()


def _what_was_written(directory: Path, outcomes: Sequence[Outcome], *, drawn: bool) -> str:
    recordings = [f"{outcome.candidate}.wav" for outcome in outcomes if outcome.figures]
    written = f"In {directory}: {', '.join([*([PICTURE] if drawn else []), *recordings])}"
    if drawn:
        return written
    return f"{written}. For a picture of them: pip install 'wyoming-pocket-tts[compare]'"


def _serve(model: str, wanted: Wanted) -> list[str]:
    data_dir = ["--data-dir", str(wanted.given_data_dir)] if wanted.given_data_dir else []
    return ["wyoming-pocket-tts", "serve", "--model", model, *data_dir]
