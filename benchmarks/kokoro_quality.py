"""How well the embedded voices speak: word errors of a recogniser, mel-cepstral distortion, log-F0 error.

    pip install -e '.[torch]' pocketsphinx praat-parselmouth; apt-get install flite
    python benchmarks/kokoro_quality.py [--sentences 120] [--voice FOLDER]

The sentences are everyday English (``everyday.txt``, written before any model was measured, none in the corpus); with
``--held-out``, the corpus' own held-out ones, whose rare words and bare numbers the recogniser finds hard. The teacher
(Debian's flite) speaks the same sentences under the same conditions and stands beside each figure.
"""

import argparse
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import parselmouth
from numpy.typing import NDArray
from pocketsphinx import Decoder

from wyoming_pocket_tts.kokoro import runtime
from wyoming_pocket_tts.kokoro.features import HOP, SAMPLE_RATE_HZ, WINDOW, hann, log_mel, mel_filters
from wyoming_pocket_tts.kokoro.training import corpus, teacher
from wyoming_pocket_tts.kokoro.training.dataset import Dataset
from wyoming_pocket_tts.speech import Pcm, Request, Voice

Samples = NDArray[np.float32]
Frames = NDArray[np.float32]  # log-mel [T, M]
EVERYDAY = Path(__file__).with_name("everyday.txt")
N_CEPSTRA = 13
FULL_SCALE = 32768
SILENCE = np.zeros(SAMPLE_RATE_HZ // 4, np.float32)


def as_float(samples: Pcm) -> Samples:
    return np.asarray(samples.astype(np.float32) / FULL_SCALE, np.float32)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower().replace("-", " "))


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return row[-1]


class Recogniser:
    """pocketsphinx with its bundled US-English model."""

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")

    def __call__(self, samples: Samples) -> str:
        padded = np.concatenate([SILENCE, samples, SILENCE])
        self._decoder.start_utt()
        raw = (padded * (FULL_SCALE - 1)).clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        self._decoder.process_raw(raw.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


def cepstra(mel: Frames) -> NDArray[np.float64]:
    """Mel cepstra 1..13 [T, 13] of log-mel frames [T, M]."""
    n = mel.shape[1]
    basis = np.cos(np.pi / n * (np.arange(n) + 0.5)[:, None] * np.arange(1, N_CEPSTRA + 1)) * np.sqrt(2 / n)
    return np.asarray(mel.astype(np.float64) @ basis, np.float64)


def warp(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Dynamic time warping: pairs of frames of a [T, K] and b [S, K] with the least total distance."""
    distance = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    total = np.full((len(a) + 1, len(b) + 1), np.inf)
    total[0, 0] = 0
    for i in range(len(a)):
        for j in range(len(b)):
            total[i + 1, j + 1] = distance[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    path: list[tuple[int, int]] = []
    i, j = len(a), len(b)
    while i and j:
        path.append((i - 1, j - 1))
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda at: total[at])
    return path[::-1]


def pitch_hz(samples: Samples, n_frames: int) -> NDArray[np.float64]:
    """F0 [n_frames] by Praat's autocorrelation, 0 where unvoiced."""
    track = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE_HZ).to_pitch(
        time_step=HOP / SAMPLE_RATE_HZ, pitch_floor=60, pitch_ceiling=400
    )
    values = [track.get_value_at_time(t * HOP / SAMPLE_RATE_HZ) for t in range(n_frames)]
    return np.nan_to_num(np.array(values, np.float64))


def compare(ours: Samples, theirs: Samples) -> tuple[float, float, float]:
    """Mel-cepstral distortion (dB), log-F0 RMSE (cents), voicing disagreement (share) after time alignment."""
    mels = [log_mel(s) for s in (ours, theirs)]
    path = np.array(warp(*(cepstra(m) for m in mels)))
    first, second = (cepstra(m)[path[:, side]] for side, m in enumerate(mels))
    distortion = 10 / np.log(10) * np.sqrt(2 * ((first - second) ** 2).sum(-1)).mean() / np.sqrt(mels[0].shape[1] / 2)
    f0, g0 = (pitch_hz(s, len(m))[path[:, side]] for side, (s, m) in enumerate(zip((ours, theirs), mels, strict=True)))
    voiced = (f0 > 0) & (g0 > 0)
    cents = 1200 * np.sqrt(np.mean(np.log2(f0[voiced] / g0[voiced]) ** 2)) if voiced.any() else float("nan")
    return float(distortion), float(cents), float(np.mean((f0 > 0) != (g0 > 0)))


def griffin_lim(mel: Frames, iterations: int = 60) -> Samples:
    """Samples [T * HOP] of log-mel frames [T, M], by fast Griffin-Lim from zero phase."""
    inverse = np.linalg.pinv(mel_filters().astype(np.float64))
    magnitudes = np.maximum(np.exp(mel.astype(np.float64)) @ inverse.T, 1e-8)
    window = hann(WINDOW)
    angles, previous = np.ones_like(magnitudes, np.complex128), np.zeros_like(magnitudes, np.complex128)
    samples = np.zeros(0)
    for _ in range(iterations):
        frames = np.fft.irfft(magnitudes * angles)[:, :WINDOW] * window
        samples = np.zeros(len(frames) * HOP + WINDOW)
        for at, frame in enumerate(frames):
            samples[at * HOP : at * HOP + WINDOW] += frame / 1.5
        views = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: len(frames) * HOP : HOP]
        spectra = np.fft.rfft(views * window, magnitudes.shape[1] * 2 - 2)
        accelerated = spectra + 0.99 * (spectra - previous)
        angles, previous = accelerated / np.maximum(np.abs(accelerated), 1e-12), spectra
    return np.asarray(samples[WINDOW // 2 : WINDOW // 2 + len(mel) * HOP], np.float32)


def vocoded(
    synthesizer: runtime.KokoroSynthesizer, mel: Frames, mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> Samples:
    """What the shipped vocoder makes of true frames."""
    vocoder = runtime.StreamingVocoder(synthesizer._vocoder, mel.shape[1])  # noqa: SLF001  (measuring a part alone)
    normalised = ((mel - mean) / deviation).astype(np.float32)
    return np.concatenate([vocoder.push(normalised), vocoder.finish()])


def score(
    name: str, sentences: Sequence[str], speak: Callable[[str], Samples], recognise: Recogniser, *, show: bool
) -> None:
    """Print the word error rate of one way to speak."""
    errors = total = empty = 0
    for text in sentences:
        heard = recognise(speak(text))
        wrong = word_errors(words(text), words(heard))
        errors, total, empty = errors + wrong, total + len(words(text)), empty + (not heard)
        if show and wrong:
            print(f"    {wrong}  {text}\n       {heard}")
    print(
        f"{name:34} word error rate {errors / total:6.1%}   ({errors} of {total}), empty transcripts: {empty}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=120)
    parser.add_argument("--voice", type=Path, default=runtime.VOICE_FOLDER)
    parser.add_argument("--data", type=Path, help="prepared training data: adds the vocoder against Griffin-Lim")
    parser.add_argument("--show", action="store_true", help="print misheard sentences")
    parser.add_argument("--held-out", action="store_true", help="the corpus' held-out sentences instead")
    parser.add_argument("--only", choices=["teacher", "ours"])
    measure(parser.parse_args())


def measure(options: argparse.Namespace) -> None:
    """Print all figures that ``options`` ask for."""
    texts = corpus.read()[-corpus.HELD_OUT :] if options.held_out else EVERYDAY.read_text().splitlines()
    sentences = texts[:: max(1, len(texts) // options.sentences)][: options.sentences]
    recognise = Recogniser()
    with tempfile.TemporaryDirectory() as scratch:

        def teacher_says(text: str, speaker: str) -> Samples:
            return as_float(teacher.speak(text, speaker, Path(scratch))[0])

        if options.only != "ours":
            for speaker in teacher.SPEAKERS:
                says = partial(teacher_says, speaker=speaker)
                score(f"teacher {speaker}", sentences, says, recognise, show=options.show)
        if options.only == "teacher":
            return
        synthesizer = runtime.load_kokoro(options.voice)

        def we_say(text: str, voice: Voice) -> Samples:
            return as_float(np.concatenate(list(synthesizer.synthesize(Request(text=text, voice=voice)))))

        for voice in synthesizer.voices():
            score(voice.name, sentences, partial(we_say, voice=voice), recognise, show=options.show)
        for voice, speaker in zip(synthesizer.voices(), teacher.SPEAKERS, strict=True):
            rows = np.array([compare(we_say(text, voice), teacher_says(text, speaker)) for text in sentences[::3]])
            report(f"{voice.name} against {speaker}", rows)
        if options.data:
            compare_vocoders(synthesizer, options.data, sentences[::3], teacher_says)


def compare_vocoders(
    synthesizer: runtime.KokoroSynthesizer,
    data: Path,
    sentences: Sequence[str],
    teacher_says: Callable[[str, str], Samples],
) -> None:
    """The teacher's own frames through both vocoders, against the teacher's samples."""
    normal = Dataset.open(data)
    for speaker in teacher.SPEAKERS:
        for name in ("shipped vocoder", "Griffin-Lim, 60 iterations"):
            rows = []
            for text in sentences:
                true = teacher_says(text, speaker)
                mel = log_mel(true)
                ours = vocoded(synthesizer, mel, normal.mean, normal.deviation) if name[0] == "s" else griffin_lim(mel)
                rows.append((*compare(ours, true), float(np.abs(log_mel(ours) - mel).mean())))
            report(f"{speaker}, {name}", np.array(rows))


def report(name: str, rows: NDArray[np.float64]) -> None:
    """Print the means of ``compare``'s figures [N, 3] or, with the log-mel error as well, [N, 4]."""
    mean = np.nanmean(rows, axis=0)
    extra = f", log-mel L1 {mean[3]:.3f}" if len(mean) > 3 else ""
    print(
        f"{name:34} MCD {mean[0]:.2f} dB, log-F0 RMSE {mean[1]:.0f} cents, voicing differs {mean[2]:.1%}{extra}",
        flush=True,
    )


if __name__ == "__main__":
    main()
