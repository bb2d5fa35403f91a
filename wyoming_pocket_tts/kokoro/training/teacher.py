"""Speech from the teacher, Debian's ``flite``: audio and the end time of every phone. Knows nothing about models.

One folder a speaker: ``audio.i16`` (16 kHz mono, all utterances end to end) and ``utterances.jsonl``.
An interrupted run goes on where it stopped: a line is written only after its audio.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from tqdm import tqdm

SAMPLE_RATE_HZ = 16000
SPEAKERS = ("rms", "slt")

Samples = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sentence as the teacher spoke it; ``ends_seconds[i]`` is where ``phones[i]`` ends."""

    text: str
    start_sample: int
    n_samples: int
    phones: list[str]
    ends_seconds: list[float]


def speak(text: str, speaker: str, folder: Path) -> tuple[Samples, list[str], list[float]]:
    """Let the teacher say ``text``: samples [n] int16, phones, end of each in seconds."""
    wav = folder / f"{speaker}.wav"
    command = ["flite", "-voice", speaker, "-psdur", "-t", text, "-o", str(wav)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  (no shell reads the text)
    pairs = [printed.rsplit(":", 1) for printed in run.stdout.split()]
    samples, rate = soundfile.read(wav, dtype="int16")
    if rate != SAMPLE_RATE_HZ:
        raise ValueError(f"flite voice {speaker!r} speaks at {rate} Hz, expected {SAMPLE_RATE_HZ}")
    return samples, [phone for phone, _ in pairs], [float(end) for _, end in pairs]


def record(sentences: Sequence[str], speaker: str, folder: Path) -> None:
    """Have ``speaker`` read all ``sentences`` into ``folder``; already recorded ones are kept."""
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
            samples, phones, ends = speak(text, speaker, Path(scratch))
            audio.write(samples.tobytes())
            audio.flush()
            lines.write(json.dumps(asdict(Utterance(text, end, len(samples), phones, ends))) + "\n")
            lines.flush()
            end += len(samples)


def utterances(folder: Path) -> Iterator[Utterance]:
    """What ``folder`` holds, in order; a torn last line is dropped from the file."""
    path = folder / "utterances.jsonl"
    if not path.exists():
        return
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        path.write_bytes(whole + b"\n" if whole else b"")
    for line in whole.splitlines():
        yield Utterance(**json.loads(line))


def audio(folder: Path) -> Samples:
    """All samples of a speaker [n] int16, mapped, not read."""
    return np.memmap(folder / "audio.i16", dtype=np.int16, mode="r")
