"""Compare: candidates, table, advice."""

import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from wyoming_pocket_tts.audio.files import AudioFormat, open_wav
from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.console import ProgressDisplay, StatusLine
from wyoming_pocket_tts.cli.generate import default_text, pcm
from wyoming_pocket_tts.cli.measure import Candidate, GeneratedOutput, Measurement, MeasureTask, run_task
from wyoming_pocket_tts.cli.model_choice import ModelSelection, checked_voice
from wyoming_pocket_tts.cli.spectrograms import OutputDistance, distance, draw
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, TtsError
from wyoming_pocket_tts.pocket.loading import find_model
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, sampler_steps
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.registry import voice_names
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX, download_voices, ready_made_directory
from wyoming_pocket_tts.pocket.worker_client import UnsupportedPrecision
from wyoming_pocket_tts.server.components import default_thread_count

PICTURE = "compare.png"
NEAR_LATENT_ERROR = 0.05
NEAR_CODEC_DB = 2.0
"""A candidate below both is near fp32: with random weights, 8 bits have 2.6 % and 0.5 dB, 4 bits 28 %."""
LEGEND = """\
LOAD: until it can generate. SPEED: times real time. MEMORY: the peak of its process.
LATENTS, END: the language model, led: each step gets what fp32 had generated so far, so that small differences do not
add up to another reading of the text. Error of its latents, and of the logit that ends the speech.
CODEC: log-spectral distance of the audio that it makes of fp32's latents.
SPEECH: the same of its own speech, where that is as long as fp32's; much of it may be taste."""
_HEAD = ("", "LOAD", "FIRST AUDIO", "SPEED", "MEMORY", "LATENTS", "END", "CODEC", "SPEECH", "LENGTH")
_NOTHING = "-"
_MEGABYTE = 1e6
app = typer.Typer(rich_markup_mode=None)


@app.command()
def compare(
    text: options.OptionalTextArgument = None,
    *,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    precision: options.CandidatesOption = None,
    voice: options.ComparedVoiceOption = None,
    output: options.ComparisonOption = Path("comparison"),
    threads: options.ThreadsOption = None,
    as_json: options.JsonFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
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
    model = ModelSelection(language=language, config=config)
    compare_candidates(wanted, model, quiet=quiet, as_json=as_json, tell=typer.echo)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What to compare, as the options name it."""

    text: str | None = None
    voice: str | None = None
    candidates: Sequence[str] = ()
    """Beside fp32; empty for all."""
    threads: int
    output: Path
    data_dir: Path
    given_data_dir: Path | None = None
    """The option ``--data-dir``, which the advice repeats."""


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """Measurement of a candidate, or why there is none."""

    candidate: Candidate
    figures: Measurement | None = None
    distance: OutputDistance | None = None
    """From fp32; None for fp32 itself."""
    problem: str | None = None

    @property
    def is_near(self) -> bool:
        """Whether the difference from fp32 should be inaudible."""
        if self.figures is None:
            return False
        off = self.distance
        return off is None or (off.latent_error <= NEAR_LATENT_ERROR and off.codec_db <= NEAR_CODEC_DB)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and the results, the reference first."""

    model: str
    voice: str
    text: str
    threads: int
    outcomes: tuple[CandidateResult, ...]

    @property
    def choice(self) -> Candidate:
        """The fastest precision near fp32; PyTorch is not for the service."""
        near = [outcome for outcome in self.outcomes if outcome.candidate.precision and outcome.is_near]
        return max(near, key=lambda outcome: outcome.figures.speed if outcome.figures else 0.0).candidate


def compare_candidates(
    wanted: CompareOptions, selection: ModelSelection, *, quiet: bool, as_json: bool, tell: Callable[[str], None]
) -> Comparison:
    """Measure all candidates, write recordings and a picture, and report.

    A candidate that cannot be measured on this machine is named in the report, and the others go on; without fp32 or
    the voice there is nothing to compare with.
    """
    candidates = _candidates(wanted.candidates)
    text = sys.stdin.read() if wanted.text == "-" else wanted.text
    text = default_text(selection.language_code()) if text is None else text
    if not text.strip():
        raise EmptyText("the text holds nothing to say")
    voice = selection.default_voice() if wanted.voice is None else checked_voice(wanted.voice)
    name, config = find_model(selection.language, selection.config)
    with (
        _directory(wanted.output),
        StatusLine(quiet=quiet) as status,
        tempfile.TemporaryDirectory(prefix="compare-") as scratch,
    ):
        runner = _Runner(wanted, name, config, text, Path(scratch), status)
        first = runner.reference(voice)
        outcomes = [first, *(runner.outcome(each) for each in candidates if each is not Candidate.FP32)]
        status.show("drawing ...")
        is_drawn = runner.draw(outcomes)
    label = selection.config or str(name)
    comparison = Comparison(label, voice, text, wanted.threads, tuple(outcomes))
    if as_json:
        tell(json.dumps(as_dict(comparison), ensure_ascii=False, indent=2))
        return comparison
    tell(f"{as_table(outcomes)}\n")
    recordings = [f"{outcome.candidate}.wav" for outcome in outcomes if outcome.figures]
    written = f"In {wanted.output}: {', '.join([*([PICTURE] if is_drawn else []), *recordings])}"
    tell(written if is_drawn else f"{written}. For a picture of them: pip install 'wyoming-pocket-tts[compare]'")
    data_dir = ["--data-dir", str(wanted.given_data_dir)] if wanted.given_data_dir else []
    serve = ["wyoming-pocket-tts", "serve", "--model", label, *data_dir]
    tell(advice(comparison, directory=str(wanted.output), serve=serve))
    return comparison


def _candidates(names: Sequence[str]) -> list[Candidate]:
    """Candidates by name, each once; without names, all that may work here."""
    if not names:
        return [candidate for candidate in Candidate if candidate.precision or find_spec("torch")]
    for name in names:
        if name not in list(Candidate):
            raise ConfigError(f"--precision is '{name}': possible are {', '.join(Candidate)}")
    return [candidate for candidate in Candidate if candidate in names]


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    made = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TtsError(f"{path}: {error.strerror or error}: choose another directory with --output") from error
    try:
        yield
    finally:
        with suppress(OSError):  # not empty
            for each in made:
                each.rmdir()


@dataclass(slots=True)
class _Runner:
    """Measures candidates."""

    wanted: CompareOptions
    name: str | None
    """None for a custom model."""
    config: ModelConfig
    text: str
    scratch: Path
    status: StatusLine
    warned: set[str] = field(default_factory=set)

    def reference(self, voice: str) -> CandidateResult:
        task = self._task(Candidate.FP32)
        source = str(self._predefined(voice) or voice)
        encoding = task.model_copy(update={"task": "voice", "voice": source, "result": self._voice})
        run_task(encoding, show=lambda text: self.status.show(f"{text} ..."), warned=self.warned)
        return self._measure(task, None)

    def outcome(self, candidate: Candidate) -> CandidateResult:
        if candidate is Candidate.TORCH and not find_spec("torch"):  # before anything is downloaded for it
            return CandidateResult(
                candidate, problem="PyTorch is not installed: pip install 'wyoming-pocket-tts[torch]'"
            )
        try:
            return self._measure(self._task(candidate), self._result(Candidate.FP32))
        except TtsError as error:
            return CandidateResult(candidate, problem=" ".join(str(error).split()))

    def draw(self, outcomes: Sequence[CandidateResult]) -> bool:
        if not find_spec("matplotlib"):
            return False
        rows = [(title(each), GeneratedOutput.read(self._result(each.candidate))) for each in outcomes if each.figures]
        draw(self.wanted.output / PICTURE, rows, rate_hz=self.config.mimi.sample_rate)
        return True

    def _measure(self, task: MeasureTask, reference: Path | None) -> CandidateResult:
        show = self._show(task.candidate)
        figures = run_task(task.model_copy(update={"reference": reference}), show=show, warned=self.warned)
        output = GeneratedOutput.read(task.result)
        rate = AudioFormat(rate_hz=self.config.mimi.sample_rate)
        with open_wav(str(self.wanted.output / f"{task.candidate}.wav")) as wav:
            wav.write(pcm(output.audio), rate)
            wav.finish(rate)
        off = distance(GeneratedOutput.read(reference), output) if reference else None
        return CandidateResult(task.candidate, figures, off)

    def _task(self, candidate: Candidate) -> MeasureTask:
        return MeasureTask(
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
        report = ProgressDisplay(candidate, self.status, lambda _: None)
        bundle = ensure_converted(
            self.name, self.config, data_dir=self.wanted.data_dir, precision=precision, report=report
        )
        if bundle.precision is not precision:
            raise UnsupportedPrecision(f"this machine cannot compute it; serve would use {bundle.precision} instead")
        return bundle.directory

    def _predefined(self, voice: str) -> Path | None:
        """The file of a predefined voice; None for other voices."""
        if self.name is None or voice not in voice_names():
            return None
        data_dir = self.wanted.data_dir
        download_voices(
            self.name, [voice], data_dir=data_dir, report=lambda _: self.status.show(f"fetching the voice {voice} ...")
        )
        return ready_made_directory(data_dir, self.name) / f"{voice}{VOICE_SUFFIX}"

    def _show(self, candidate: Candidate) -> Callable[[str], None]:
        return lambda text: self.status.show(f"{candidate}: {text} ...")

    @property
    def _voice(self) -> Path:
        return self.scratch / f"voice{VOICE_SUFFIX}"

    def _result(self, candidate: Candidate) -> Path:
        return self.scratch / f"{candidate}.npz"


# --- the report


def as_table(outcomes: Sequence[CandidateResult]) -> str:
    rows = [_HEAD, *(_row(outcome) for outcome in outcomes)]
    complete = [row for row in rows if len(row) == len(_HEAD)]
    first = max(len(row[0]) for row in rows)
    others = [max(map(len, column)) for column in zip(*(row[1:] for row in complete), strict=True)]
    lines = [
        "  ".join([row[0].ljust(first), *(map(str.rjust, row[1:], others) if row in complete else row[1:])])
        for row in rows
    ]
    return "\n".join([*lines, "", LEGEND])


def _row(outcome: CandidateResult) -> tuple[str, ...]:
    figures, off = outcome.figures, outcome.distance
    if figures is None:
        return outcome.candidate, f"not here: {outcome.problem}"
    speech_db = off.speech_db if off else None
    return (
        outcome.candidate,
        f"{figures.load_seconds:.2f} s",
        f"{figures.first_audio_seconds * 1e3:.0f} ms",
        f"{figures.speed:.1f} x",
        f"{figures.peak_bytes / _MEGABYTE:.0f} MB" if figures.peak_bytes else _NOTHING,
        f"{off.latent_error:.2%}" if off else _NOTHING,
        f"{off.eos_error:.3f}" if off else _NOTHING,
        f"{off.codec_db:.2f} dB" if off else _NOTHING,
        _NOTHING if speech_db is None else f"{speech_db:.2f} dB",
        f"{figures.speech_seconds:.2f} s",
    )


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The report as JSON; errors are ratios."""
    return {
        "model": comparison.model,
        "voice": comparison.voice,
        "text": comparison.text,
        "threads": comparison.threads,
        "reference": comparison.outcomes[0].candidate,
        "choice": comparison.choice,
        "candidates": [
            {
                "name": each.candidate,
                "problem": each.problem,
                "near": each.is_near,
                **(each.figures.model_dump(exclude={"kind"}) if each.figures else {}),
                **({"times_realtime": each.figures.speed} if each.figures else {}),
                **(asdict(each.distance) if each.distance else {}),
            }
            for each in comparison.outcomes
        ],
    }


def advice(comparison: Comparison, *, directory: str, serve: Sequence[str]) -> str:
    choice, reference = comparison.choice, comparison.outcomes[0].candidate
    command = shlex.join([*serve, "--precision", choice])
    if choice is reference:
        return f"Next: keep {choice}; nothing that is near to it is faster here: {command}"
    return (
        f"Next: listen to {directory}/{choice}.wav and {directory}/{reference}.wav. "
        f"{choice} is the fastest here of those near fp32 (latents within {NEAR_LATENT_ERROR:.0%}, codec within "
        f"{NEAR_CODEC_DB:.0f} dB). If you like it: {command}"
    )


def title(outcome: CandidateResult) -> str:
    figures, off = outcome.figures, outcome.distance
    if figures is None:
        return f"{outcome.candidate}: {outcome.problem}"
    words = [f"{figures.speed:.1f} x real time", f"first audio {figures.first_audio_seconds * 1e3:.0f} ms"]
    if figures.peak_bytes:
        words.append(f"{figures.peak_bytes / _MEGABYTE:.0f} MB")
    if off is not None:
        words += [f"latents {off.latent_error:.1%}", f"codec {off.codec_db:.2f} dB"]
    return f"{outcome.candidate}: {', '.join(words)}"
