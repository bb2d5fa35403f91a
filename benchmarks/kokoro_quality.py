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

from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest, Voice
from wyoming_pocket_tts.kokoro import synthesizer as runtime
from wyoming_pocket_tts.kokoro.phonemes import flatten, indices, phrases
from wyoming_pocket_tts.kokoro.synthesizer import HOP, SAMPLE_RATE_HZ, WINDOW, hann, log_mel, mel_filters
from wyoming_pocket_tts.kokoro.training import corpus
from wyoming_pocket_tts.kokoro.training import dataset as teacher
from wyoming_pocket_tts.kokoro.training.dataset import Dataset
from wyoming_pocket_tts.text.normalization.pipeline import normalize

Samples = NDArray[np.float32]
Frames = NDArray[np.float32]  # log-mel [T, M]
EVERYDAY = Path(__file__).with_name("everyday.txt")
N_CEPSTRA = 13
SPEECH_DB = 50
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
    """Mel-cepstral distortion (dB), log-F0 RMSE (cents), voicing disagreement (share) after time alignment.

    Counted over the frames in which the teacher speaks: at most 50 dB below its loudest.
    """
    mels = [log_mel(s) for s in (ours, theirs)]
    path = np.array(warp(*(cepstra(m) for m in mels)))
    loudness = mels[1].max(axis=1)
    path = path[(loudness > loudness.max() - SPEECH_DB * np.log(10) / 20)[path[:, 1]]]
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
        f"{name:44} word error rate {errors / total:6.1%}   ({errors} of {total}), empty transcripts: {empty}",
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
            return as_float(teacher.synthesize(text, speaker, Path(scratch))[0])

        if options.only != "ours":
            for speaker in teacher.SPEAKERS:
                says = partial(teacher_says, speaker=speaker)
                score(f"teacher {speaker}", sentences, says, recognise, show=options.show)
        if options.only == "teacher":
            return
        synthesizer = runtime.load_kokoro(options.voice)

        def we_say(text: str, voice: Voice) -> Samples:
            return as_float(np.concatenate(list(synthesizer.synthesize(SynthesisRequest(text=text, voice=voice)))))

        for voice in synthesizer.voices():
            score(voice.name, sentences, partial(we_say, voice=voice), recognise, show=options.show)
        for voice, speaker in zip(synthesizer.voices(), teacher.SPEAKERS, strict=True):
            rows = np.array([compare(we_say(text, voice), teacher_says(text, speaker)) for text in sentences[::3]])
            report(f"{voice.name} against {speaker}", rows)
        if options.data:
            compare_vocoders(synthesizer, Dataset.open(options.data), sentences, teacher_says, recognise)


def drawn(synthesizer: runtime.KokoroSynthesizer, text: str, voice: Voice, normal: Dataset) -> Frames:
    """The log-mel frames [T, M] that the acoustic model draws for ``text``."""
    number = [v.name for v in synthesizer.voices()].index(voice.name)
    words = synthesizer._phonemizer.words(normalize(text, "en"))  # noqa: SLF001  (measuring a part alone)
    symbols = [indices(flatten(phrase)) for phrase in phrases(words, runtime.LONGEST_PHRASE)]
    frames = [f for phrase in symbols for f in synthesizer._mel(phrase, number)]  # noqa: SLF001
    return np.concatenate(frames) * normal.deviation + normal.mean


def compare_vocoders(
    synthesizer: runtime.KokoroSynthesizer,
    normal: Dataset,
    sentences: Sequence[str],
    teacher_says: Callable[[str, str], Samples],
    recognise: Recogniser,
) -> None:
    """Both vocoders on the teacher's own frames and on drawn ones, against the teacher's samples."""

    def shipped(mel: Frames) -> Samples:
        return vocoded(synthesizer, mel, normal.mean, normal.deviation)

    for voice, speaker in zip(synthesizer.voices(), teacher.SPEAKERS, strict=True):
        for name, vocoder in (("shipped vocoder", shipped), ("Griffin-Lim, 60 iterations", griffin_lim)):
            copies, speeches = [], []
            for text in sentences[::3]:
                true = teacher_says(text, speaker)
                mel = log_mel(true)
                copy = vocoder(mel)
                copies.append((*compare(copy, true), float(np.abs(log_mel(copy) - mel).mean())))
                speeches.append(compare(vocoder(drawn(synthesizer, text, voice, normal)), true))
            report(f"{speaker}'s frames, {name}", np.array(copies))
            report(f"{voice.name}'s frames, {name}", np.array(speeches))
            says = partial(_through, vocoder, partial(drawn, synthesizer, voice=voice, normal=normal))
            score(f"{voice.name}, {name}", sentences, says, recognise, show=False)


def _through(vocoder: Callable[[Frames], Samples], draw: Callable[[str], Frames], text: str) -> Samples:
    return vocoder(draw(text))


def report(name: str, rows: NDArray[np.float64]) -> None:
    """Print the means of ``compare``'s figures [N, 3] or, with the log-mel error as well, [N, 4]."""
    mean = np.nanmean(rows, axis=0)
    extra = f", log-mel L1 {mean[3]:.3f}" if len(mean) > 3 else ""
    print(
        f"{name:44} MCD {mean[0]:.2f} dB, log-F0 RMSE {mean[1]:.0f} cents, voicing differs {mean[2]:.1%}{extra}",
        flush=True,
    )


if __name__ == "__main__":
    main()
