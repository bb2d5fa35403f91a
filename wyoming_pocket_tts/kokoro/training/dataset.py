"""Record the teacher, align, batch."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

from wyoming_pocket_tts.kokoro.phonemes import (
    FULL_VOWELS,
    INDEX,
    PAUSES,
    START,
    VOWELS,
    Phonemizer,
    flatten,
    without_stress,
)
from wyoming_pocket_tts.kokoro.synthesizer import FRAMES_PER_SECOND, MEL_DIM, log_mel
from wyoming_pocket_tts.kokoro.training.corpus import HELD_OUT

SAMPLE_RATE_HZ = 16000  # of the teacher
SPEAKERS = ("rms", "slt")
FULL_SCALE = 32768  # of recordings
_GAP = 1.0  # cost of a symbol or phone that the other side lacks; a pair may differ by as much as 3
_SAMPLED_FRAMES = 200_000  # about so many give mean and deviation of the mel

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Example:
    """One utterance."""

    speaker: int
    start_frame: int
    n_frames: int
    start_sample: int
    phonemes: NDArray[np.int64]  # [P]
    durations: NDArray[np.int64]  # [P] frames


def align(ours: Sequence[str], phones: Sequence[str], lengths: Sequence[int]) -> tuple[list[str], list[int]]:
    """Give the teacher's ``phones`` (with ``lengths`` in frames) our stress and punctuation.

    The phones are the teacher's; stress and the kind of each pause are ours. A pause that only we have gets length 0.
    """
    cost = _costs(ours, phones)
    symbols: list[str] = []
    durations: list[int] = []
    i, j = len(ours), len(phones)
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + _difference(ours[i - 1], phones[j - 1]):
            i, j = i - 1, j - 1
            symbols.append(_merged(ours[i], phones[j]))
            durations.append(lengths[j])
        elif j and cost[i, j] == cost[i, j - 1] + _GAP:
            j -= 1
            symbols.append("-" if phones[j] == "pau" else phones[j])
            durations.append(lengths[j])
        else:
            i -= 1
            if ours[i] in PAUSES:
                symbols.append(ours[i])
                durations.append(0)
    return symbols[::-1], durations[::-1]


def _costs(ours: Sequence[str], phones: Sequence[str]) -> NDArray[np.float64]:
    """Least cost of aligning the first i symbols with the first j phones [len(ours) + 1, len(phones) + 1]."""
    cost = np.zeros((len(ours) + 1, len(phones) + 1))
    cost[:, 0] = np.arange(len(ours) + 1) * _GAP
    cost[0] = np.arange(len(phones) + 1) * _GAP
    for i, symbol in enumerate(ours, 1):
        for j, phone in enumerate(phones, 1):
            paired = cost[i - 1, j - 1] + _difference(symbol, phone)
            cost[i, j] = min(paired, cost[i - 1, j] + _GAP, cost[i, j - 1] + _GAP)
    return cost


def _difference(symbol: str, phone: str) -> float:
    """Cost of a pair: none for the same sound, little for two vowels, much for a sound and a pause."""
    silent = symbol in PAUSES or symbol == START
    if silent or phone == "pau":
        return 0.0 if silent and phone == "pau" else 3.0
    plain = without_stress(symbol)
    if plain == phone:
        return 0.0
    return 0.5 if plain in VOWELS and phone in VOWELS else 1.5


def _merged(symbol: str, phone: str) -> str:
    """Our kind of pause, or the teacher's sound with our stress if it can carry one."""
    if phone == "pau":
        return symbol
    return f"{phone}1" if symbol.endswith("1") and phone in FULL_VOWELS else phone


def lengths_in_frames(ends_seconds: Sequence[float], n_frames: int) -> list[int]:
    """Frames of each phone; the last one is cut or stretched so that they add up to ``n_frames``."""
    ends = np.rint(np.asarray(ends_seconds) * FRAMES_PER_SECOND).astype(int).clip(0, n_frames)
    ends[-1] = n_frames
    lengths: list[int] = np.diff(np.maximum.accumulate(ends), prepend=0).tolist()
    return lengths


def prepare(root: Path, phonemizer: Phonemizer, speakers: Sequence[str] = SPEAKERS) -> None:
    """Write ``frames.f16`` (all log-mels end to end) and ``examples.jsonl`` for the recordings under ``root``."""
    at = 0
    with (root / "frames.f16").open("wb") as frames, (root / "examples.jsonl").open("w", encoding="utf-8") as lines:
        for speaker, name in enumerate(speakers):
            samples = audio(root / name)
            for number, said in enumerate(tqdm(list(utterances(root / name)), desc=f"features of {name}")):
                recorded = samples[said.start_sample : said.start_sample + said.n_samples]
                piece = np.asarray(recorded.astype(np.float32) / FULL_SCALE, np.float32)
                mel = log_mel(piece)
                ours = flatten(phonemizer.words(said.text))
                symbols, durations = align(ours, said.phones, lengths_in_frames(said.ends_seconds, len(mel)))
                frames.write(mel.astype(np.float16).tobytes())
                row = {
                    "number": number, "speaker": speaker, "start_frame": at, "n_frames": len(mel),
                    "start_sample": said.start_sample, "symbols": symbols, "durations": durations,
                }  # fmt: skip
                lines.write(json.dumps(row) + "\n")
                at += len(mel)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Prepared data: mapped ``frames`` [N, MEL_DIM] float16, examples to train on and held-out ones."""

    frames: NDArray[np.float16]
    train: list[Example]
    held_out: list[Example]
    mean: NDArray[np.float32]  # [MEL_DIM]
    deviation: NDArray[np.float32]  # [MEL_DIM]

    @classmethod
    def open(cls, root: Path, longest_frames: int = 1000, held_out: int = HELD_OUT) -> "Dataset":
        """The output of ``prepare``; the last ``held_out`` sentences of the text are kept back."""
        frames = np.memmap(root / "frames.f16", np.float16, "r").reshape(-1, MEL_DIM)
        rows = [json.loads(line) for line in (root / "examples.jsonl").read_text().splitlines()]
        last = max(row["number"] for row in rows) + 1 - held_out
        train = [_example(row) for row in rows if row["number"] < last and row["n_frames"] <= longest_frames]
        kept_back = [_example(row) for row in rows if row["number"] >= last]
        sample = np.asarray(frames[:: max(1, len(frames) // _SAMPLED_FRAMES)], np.float32)
        return cls(frames, train, kept_back, sample.mean(0), sample.std(0))

    def mel(self, example: Example) -> NDArray[np.float32]:
        """Normalised log-mel [n_frames, MEL_DIM]."""
        raw = self.frames[example.start_frame : example.start_frame + example.n_frames].astype(np.float32)
        return np.asarray((raw - self.mean) / self.deviation, np.float32)


def _example(row: dict[str, Any]) -> Example:
    phonemes, durations = [INDEX[symbol] for symbol in row["symbols"]], row["durations"]
    return Example(
        row["speaker"], row["start_frame"], row["n_frames"], row["start_sample"],
        np.array(phonemes, np.int64), np.array(durations, np.int64),
    )  # fmt: skip


def batches(examples: Sequence[Example], size: int, rng: np.random.Generator) -> Iterator[list[Example]]:
    """One epoch: examples of like length together, batches in random order."""
    noisy = np.array([e.n_frames for e in examples]) * rng.uniform(0.9, 1.1, len(examples))
    order = np.argsort(noisy)
    starts = np.arange(0, len(order) - size + 1, size)
    for start in rng.permutation(starts):
        yield [examples[i] for i in order[start : start + size]]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recorded sentence; ``ends_seconds[i]`` is where ``phones[i]`` ends."""

    text: str
    start_sample: int
    n_samples: int
    phones: list[str]
    ends_seconds: list[float]


def synthesize(text: str, speaker: str, folder: Path) -> tuple[Samples, list[str], list[float]]:
    """Samples [n] of the teacher, phones, end of each in seconds."""
    wav = folder / f"{speaker}.wav"
    command = ["flite", "-voice", speaker, "-psdur", "-t", text, "-o", str(wav)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (no shell reads the text)
    pairs = [printed.rsplit(":", 1) for printed in run.stdout.split()]
    samples, rate = soundfile.read(wav, dtype="int16")
    if rate != SAMPLE_RATE_HZ:
        raise ValueError(f"flite voice {speaker!r} has {rate} Hz, expected {SAMPLE_RATE_HZ}")
    return samples, [phone for phone, _ in pairs], [float(end) for _, end in pairs]


def record(sentences: Sequence[str], speaker: str, folder: Path) -> None:
    """Record all ``sentences`` in ``folder``; recorded ones are kept."""
    if shutil.which("flite") is None:
        raise SystemExit("the teacher is missing: apt-get install flite")
    folder.mkdir(parents=True, exist_ok=True)
    done = list(utterances(folder))
    end = done[-1].start_sample + done[-1].n_samples if done else 0
    audio_path, lines_path = folder / "audio.i16", folder / "utterances.jsonl"
    audio_path.touch()
    with (
        audio_path.open("r+b") as audio,
        lines_path.open("a", encoding="utf-8") as lines,
        tempfile.TemporaryDirectory() as scratch,
    ):
        audio.truncate(end * 2)
        audio.seek(end * 2)
        for text in tqdm(sentences[len(done) :], desc=speaker, initial=len(done), total=len(sentences)):
            samples, phones, ends = synthesize(text, speaker, Path(scratch))
            audio.write(samples.tobytes())
            audio.flush()
            lines.write(json.dumps(asdict(Utterance(text, end, len(samples), phones, ends))) + "\n")
            lines.flush()
            end += len(samples)


def utterances(folder: Path) -> Iterator[Utterance]:
    path = folder / "utterances.jsonl"
    if not path.exists():
        return
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        path.write_bytes(whole + b"\n" if whole else b"")
    for line in whole.splitlines():
        yield Utterance(**json.loads(line))


def audio(folder: Path) -> Samples:
    """All samples of a speaker [n], memory-mapped."""
    return np.memmap(folder / "audio.i16", dtype=np.int16, mode="r")
