"""Compare: candidates, table, picture."""

import json
import secrets
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from wyoming_pocket_tts.audio.files import AudioFormat, open_wav
from wyoming_pocket_tts.cli.generate import default_text, pcm
from wyoming_pocket_tts.cli.measure import Candidate, GeneratedOutput, Measurement, MeasureTask, run
from wyoming_pocket_tts.cli.model_choice import ModelSelection, checked_voice
from wyoming_pocket_tts.cli.progress import StatusLine
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, TtsError
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket.loading import find_model
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, sampler_steps
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.registry import voice_names
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX, download_voices, ready_made_directory
from wyoming_pocket_tts.pocket.worker_client import Progress, UnsupportedPrecision

if TYPE_CHECKING:
    from matplotlib.axes import Axes


PICTURE = "compare.png"
_STAGES = {
    "wait": "waiting for another process that converts it",
    "download": "downloading",
    "convert": "converting",
    "verify": "comparing with the exact model",
    "voices": "fetching the voice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
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


@dataclass(frozen=True, slots=True)
class OutputDistance:
    """How far a candidate is from the reference.

    Attributes:
        latent_error: of the language model, led by the reference: error of its latents relative to their size.
        eos_error: of the same steps, how much the logit of the end differs on average.
        codec_db: log-spectral distance of the audio of the same latents.
        speech_db: log-spectral distance of what both say when left to themselves; None where the lengths differ.
    """

    latent_error: float
    eos_error: float
    codec_db: float
    speech_db: float | None


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """What came of a candidate.

    Attributes:
        candidate: which one.
        figures: what was measured; None if it could not be.
        distance: to fp32; None for that itself, too.
        problem: why it could not be measured.
    """

    candidate: Candidate
    figures: Measurement | None = None
    distance: OutputDistance | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and what came of it; the reference comes first.

    Attributes:
        model: name or config of the model.
        voice: who spoke.
        text: what.
        threads: of the language model.
        outcomes: of all candidates.
    """

    model: str
    voice: str
    text: str
    threads: int
    outcomes: tuple[CandidateResult, ...]

    @property
    def choice(self) -> Candidate:
        """The fastest precision of those near fp32; PyTorch is not for the service."""
        near = [outcome for outcome in self.outcomes if outcome.candidate.precision and is_near(outcome)]
        return max(near, key=lambda outcome: outcome.figures.speed if outcome.figures else 0.0).candidate


def compare(
    wanted: CompareOptions, choice: ModelSelection, *, quiet: bool, as_json: bool, tell: Callable[[str], None]
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

    wanted: CompareOptions
    name: str | None
    config: ModelConfig
    text: str
    scratch: Path
    status: StatusLine
    warned: set[str] = field(default_factory=set)

    def reference(self, voice: str) -> CandidateResult:
        """Measure fp32, which the others are held to, after it has heard the voice that all of them use."""
        job = self._job(Candidate.FP32)
        source = str(self._ready_made(voice) or voice)
        heard = job.model_copy(update={"task": "voice", "voice": source, "result": self._voice})
        run(heard, show=lambda doing: self.status.show(f"{doing} ..."), warned=self.warned)
        return self._measured(job, None)

    def outcome(self, candidate: Candidate) -> CandidateResult:
        """Measure a candidate, or find out why that is not possible."""
        if candidate is Candidate.TORCH and not find_spec("torch"):  # before anything is downloaded for it
            return CandidateResult(
                candidate, problem="PyTorch is not installed: pip install 'wyoming-pocket-tts[torch]'"
            )
        try:
            job = self._job(candidate)
            return self._measured(job, self._result(Candidate.FP32))
        except TtsError as error:
            return CandidateResult(candidate, problem=" ".join(str(error).split()))

    def draw(self, outcomes: Sequence[CandidateResult]) -> bool:
        """Draw what was measured, if that is possible."""
        if not can_draw():
            return False
        measured = [
            (outcome, GeneratedOutput.read(self._result(outcome.candidate))) for outcome in outcomes if outcome.figures
        ]
        rows = [SpectrogramRow(title(outcome), said.audio, said.decoded) for outcome, said in measured]
        draw(self.wanted.output / PICTURE, rows, rate_hz=self.config.mimi.sample_rate)
        return True

    def _measured(self, job: MeasureTask, reference: Path | None) -> CandidateResult:
        show = self._show(job.candidate)
        figures = run(job.model_copy(update={"reference": reference}), show=show, warned=self.warned)
        said = GeneratedOutput.read(job.result)
        rate = AudioFormat(rate_hz=self.config.mimi.sample_rate)
        with open_wav(str(self.wanted.output / f"{job.candidate}.wav")) as wav:
            wav.write(pcm(said.audio), rate)
            wav.finish(rate)
        return CandidateResult(
            job.candidate, figures, distance(GeneratedOutput.read(reference), said) if reference else None
        )

    def _job(self, candidate: Candidate) -> MeasureTask:
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
        """The converted model; made first if need be."""
        show = self._show(candidate)

        def report(progress: Progress) -> None:
            share = "" if progress.done is None else f" {progress.done:.0%}"
            show(f"{_STAGES[progress.stage]}{share}")

        bundle = ensure_converted(
            self.name, self.config, data_dir=self.wanted.data_dir, precision=precision, report=report
        )
        if bundle.precision is not precision:
            raise UnsupportedPrecision(f"this machine cannot compute it; serve would use {bundle.precision} instead")
        return bundle.directory

    def _ready_made(self, voice: str) -> Path | None:
        """The file of a released model's own voice; None for other voices."""
        if self.name is None or voice not in voice_names():
            return None
        data_dir = self.wanted.data_dir
        download_voices(
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
        raise TtsError(f"{path}: {error.strerror or error}: choose another directory with --output") from error
    try:
        yield
    finally:
        with suppress(OSError):  # something lies there
            for each in made:
                each.rmdir()


def _what_was_written(directory: Path, outcomes: Sequence[CandidateResult], *, drawn: bool) -> str:
    recordings = [f"{outcome.candidate}.wav" for outcome in outcomes if outcome.figures]
    written = f"In {directory}: {', '.join([*([PICTURE] if drawn else []), *recordings])}"
    if drawn:
        return written
    return f"{written}. For a picture of them: pip install 'wyoming-pocket-tts[compare]'"


def _serve(model: str, wanted: CompareOptions) -> list[str]:
    data_dir = ["--data-dir", str(wanted.given_data_dir)] if wanted.given_data_dir else []
    return ["wyoming-pocket-tts", "serve", "--model", model, *data_dir]


NEAR_LATENT_ERROR = 0.05
NEAR_CODEC_DB = 2.0
"""What is nearer than both is called near: with random weights, 8 bits have 2.6 % and 0.5 dB, 4 bits 28 %."""
_HEAD = ("", "LOAD", "FIRST AUDIO", "SPEED", "MEMORY", "LATENTS", "END", "CODEC", "SPEECH", "LENGTH")
_NOTHING = "-"
_MEGABYTE = 1e6
LEGEND = """\
LOAD: until it can speak. SPEED: times as fast as it plays. MEMORY: the most that its process had.
LATENTS, END: the language model, led: each step reads what fp32 had made so far, so that small differences do not add
up to another reading of the text. Error of what it makes of that, and of the logit that ends the speech.
CODEC: log-spectral distance of the audio that it makes of fp32's latents.
SPEECH: the same of what it says when left to itself, where that is as long as fp32's; much of it may be taste."""


def is_near(outcome: CandidateResult) -> bool:
    """Whether it was measured and is so near to fp32 that the difference should not be heard."""
    if outcome.figures is None:
        return False
    off = outcome.distance
    return off is None or (off.latent_error <= NEAR_LATENT_ERROR and off.codec_db <= NEAR_CODEC_DB)


def as_table(outcomes: Sequence[CandidateResult]) -> str:
    """Lay the outcomes out in columns, numbers to the right, with what the columns mean below."""
    rows = [_HEAD, *(_row(outcome) for outcome in outcomes)]
    complete = [row for row in rows if len(row) == len(_HEAD)]
    first = max(len(row[0]) for row in rows)
    others = [max(len(row[column]) for row in complete) for column in range(1, len(_HEAD))]
    lines = [
        "  ".join([row[0].ljust(first), *(map(str.rjust, row[1:], others) if row in complete else row[1:])])
        for row in rows
    ]
    return "\n".join([*lines, "", LEGEND])


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """Make what JSON can hold; lengths are in seconds, errors are ratios."""
    return {
        "model": comparison.model,
        "voice": comparison.voice,
        "text": comparison.text,
        "threads": comparison.threads,
        "reference": comparison.outcomes[0].candidate,
        "choice": comparison.choice,
        "candidates": [_as_dict(outcome) for outcome in comparison.outcomes],
    }


def advice(comparison: Comparison, *, directory: str, serve: Sequence[str]) -> str:
    """What to do next.

    Args:
        comparison: what was found.
        directory: where the recordings are.
        serve: the command that serves the model, but for the precision.
    """
    choice = comparison.choice
    command = shlex.join([*serve, "--precision", choice])
    if choice is comparison.outcomes[0].candidate:
        return f"Next: keep {choice}; nothing that is near to it is faster here: {command}"
    return (
        f"Next: listen to {directory}/{choice}.wav and {directory}/{comparison.outcomes[0].candidate}.wav. "
        f"{choice} is the fastest here of those near fp32 (latents within {NEAR_LATENT_ERROR:.0%}, codec within "
        f"{NEAR_CODEC_DB:.0f} dB). If you like it: {command}"
    )


def title(outcome: CandidateResult) -> str:
    """A line for a picture."""
    figures, off = outcome.figures, outcome.distance
    if figures is None:
        return f"{outcome.candidate}: {outcome.problem}"
    words = [f"{figures.speed:.1f} x as fast as it plays", f"first audio {figures.first_audio_seconds * 1e3:.0f} ms"]
    if figures.peak_bytes:
        words.append(_megabytes(figures.peak_bytes))
    if off is not None:
        words += [f"latents {off.latent_error:.1%}", f"codec {off.codec_db:.2f} dB"]
    return f"{outcome.candidate}: {', '.join(words)}"


def _row(outcome: CandidateResult) -> tuple[str, ...]:
    """The cells of a line; of one that could not be measured, its name and the reason."""
    figures, off = outcome.figures, outcome.distance
    if figures is None:
        return outcome.candidate, f"not here: {outcome.problem}"
    speech_db = off.speech_db if off else None
    return (
        outcome.candidate,
        f"{figures.load_seconds:.2f} s",
        f"{figures.first_audio_seconds * 1e3:.0f} ms",
        f"{figures.speed:.1f} x",
        _megabytes(figures.peak_bytes) if figures.peak_bytes else _NOTHING,
        f"{off.latent_error:.2%}" if off else _NOTHING,
        f"{off.eos_error:.3f}" if off else _NOTHING,
        f"{off.codec_db:.2f} dB" if off else _NOTHING,
        _NOTHING if speech_db is None else f"{speech_db:.2f} dB",
        f"{figures.speech_seconds:.2f} s",
    )


def _as_dict(outcome: CandidateResult) -> dict[str, Any]:
    found: dict[str, Any] = {"name": outcome.candidate, "problem": outcome.problem, "near": is_near(outcome)}
    if outcome.figures:
        found |= outcome.figures.model_dump(exclude={"kind"}) | {"times_realtime": outcome.figures.speed}
    if outcome.distance:
        found |= asdict(outcome.distance)
    return found


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.0f} MB"


_WIDTH_INCHES, _ROW_INCHES, _DPI = 14.0, 2.6, 100
_HEADS = ("left to itself", "the codec alone, with fp32's latents")


@dataclass(frozen=True, slots=True)
class SpectrogramRow:
    """What is drawn of one candidate.

    Attributes:
        title: stands above it.
        audio: what it says when left to itself, [N].
        decoded: what its codec makes of the reference's latents, [M].
    """

    title: str
    audio: Floats
    decoded: Floats


def can_draw() -> bool:
    """Whether Matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(path: Path, rows: Sequence[SpectrogramRow], *, rate_hz: int) -> None:
    """Write a PNG: a row for each candidate, the reference first, all with the same colours and times.

    Raises:
        SpeechError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow, and an extra)

    figure = Figure(figsize=(_WIDTH_INCHES, _ROW_INCHES * len(rows)), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(rows), 2, sharex="col", sharey=True, squeeze=False)
    for row, (left, right) in zip(rows, grid, strict=True):
        _spectrogram(left, row.audio, loudest_power(rows[0].audio), rate_hz)
        _spectrogram(right, row.decoded, loudest_power(rows[0].decoded), rate_hz)
        left.set_title(row.title, loc="left", fontsize=9)
        left.set_ylabel("kHz")
    for head, axes in zip(_HEADS, grid[0], strict=True):
        axes.set_title(head, loc="right", fontsize=9, style="italic")
    for axes in grid[-1]:
        axes.set_xlabel("seconds")
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        figure.savefig(aside, format="png")
        aside.replace(path)
    except OSError as error:
        raise TtsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)


def _spectrogram(axes: "Axes", samples: Floats, loudest: float, rate_hz: int) -> None:
    axes.imshow(
        spectrogram_db(samples, loudest),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-DEPTH_DB,
        vmax=0,
        extent=(0, len(samples) / rate_hz, 0, rate_hz / 2000),
    )


WINDOW_SAMPLES = 1024
HOP_SAMPLES = 256
DEPTH_DB = 60.0
"""What lies this far below the loudest is silence: nobody hears how silent it is."""


class Said(Protocol):
    """What is compared; see ``measure.Said``."""

    @property
    def audio(self) -> Floats: ...
    @property
    def latents(self) -> Floats: ...
    @property
    def eos_logits(self) -> Floats: ...
    @property
    def decoded(self) -> Floats: ...


def distance(reference: Said, candidate: Said) -> OutputDistance:
    """Compare a candidate with the reference that led it."""
    same_length = len(reference.audio) == len(candidate.audio)
    return OutputDistance(
        latent_error=_relative_error(reference.latents, candidate.latents),
        eos_error=float(np.abs(reference.eos_logits - candidate.eos_logits).mean()),
        codec_db=log_spectral_distance_db(reference.decoded, candidate.decoded),
        speech_db=log_spectral_distance_db(reference.audio, candidate.audio) if same_length else None,
    )


def log_spectral_distance_db(reference: Floats, other: Floats) -> float:
    """Compare two signals of the same length [N]: in each moment the root mean square, over frequencies, of the
    difference in decibels; on average over all moments."""
    loudest = loudest_power(reference)
    difference = spectrogram_db(reference, loudest) - spectrogram_db(other, loudest)
    return float(np.sqrt(np.square(difference).mean(axis=0)).mean())


def spectrogram_db(samples: Floats, loudest: float) -> Floats:
    """Power in decibels below ``loudest``, at least ``-DEPTH_DB``: [frequencies, moments]."""
    power = _power(samples)
    floor = 10 ** (-DEPTH_DB / 10)
    decibels: Floats = 10 * np.log10(np.maximum(power / loudest, floor))
    return decibels


def loudest_power(samples: Floats) -> float:
    """The greatest power in any moment and frequency; more than 0 even for silence."""
    return max(float(_power(samples).max()), float(np.finfo(np.float32).tiny))


def _power(samples: Floats) -> Floats:
    """Short-time spectrum [frequencies, moments] of samples [N], which are filled up with silence to a window."""
    padded = np.pad(samples, (0, max(0, WINDOW_SAMPLES - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    spectrum = np.fft.rfft(windows * np.hanning(WINDOW_SAMPLES).astype(np.float32), axis=-1)
    power: Floats = np.square(np.abs(spectrum)).astype(np.float32).T
    return power


def _relative_error(reference: Floats, other: Floats) -> float:
    size = float(np.linalg.norm(reference))
    return float(np.linalg.norm(other - reference)) / max(size, float(np.finfo(np.float32).tiny))
