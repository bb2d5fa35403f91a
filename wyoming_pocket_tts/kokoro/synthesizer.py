"""The embedded voice at runtime."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import Floats, LoadedSynthesizer, Pcm, SynthesisRequest, Voice
from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.kokoro.phonemes import (
    ALPHABET,
    LONGEST_WORD,
    PAUSES,
    Lexicon,
    Phonemizer,
    flatten,
    indices,
    phrases,
    read_symbols,
)  # fmt: skip
from wyoming_pocket_tts.text.normalization.pipeline import normalize

VOICE_FOLDER = Path(__file__).with_name("voice")
SAMPLE_RATE_HZ = 16000
WINDOW = 800  # samples
HOP = 200  # samples a frame
FRAMES_PER_SECOND = SAMPLE_RATE_HZ // HOP
FFT_SIZE = 1024
MEL_DIM = 80
FLOOR = 1e-5  # magnitude below which there is silence
WINDOW_SUM = 1.5  # squared Hann windows, a quarter apart, add up to this
MAX_LOG_MAGNITUDE = 5.0  # e^5 on WINDOW points: louder than full scale
LONGEST_PHRASE = 140  # symbols; training saw no longer ones
LONGEST_ENCODER = 256
LONGEST_DECODER = 600  # steps, 30 s
BLOCK_FRAMES = 24  # 0.3 s
CONTEXT_FRAMES = 21  # reach of the vocoder's convolutions to each side
OVERLAP_FRAMES = WINDOW // HOP // 2  # later frames that still add to a sample


@dataclass(frozen=True, slots=True)
class SpeakerEntry:
    index: int  # row of the acoustic model's speaker table
    gain: float  # to one loudness
    voice: Voice


@dataclass(frozen=True, slots=True)
class VoiceManifest:
    """``voice.json``: what is not in the graphs."""

    speakers: tuple[SpeakerEntry, ...]
    frames_per_step: int
    mel_dim: int

    @classmethod
    def load(cls, path: Path) -> "VoiceManifest":
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        speakers = tuple(
            SpeakerEntry(
                row["index"],
                row["gain"],
                Voice(
                    name=row["name"], description=row["description"], languages=tuple(row["languages"]),
                    sample_rate_hz=SAMPLE_RATE_HZ, version=raw["version"],
                    attribution_name=raw["attribution_name"], attribution_url=raw["attribution_url"],
                ),
            )
            for row in raw["speakers"]
        )  # fmt: skip
        return cls(speakers, raw["frames_per_step"], raw["mel_dim"])


def durations_in_frames(log_durations: Floats) -> NDArray[np.int64]:
    """Predicted log(1 + frames) [P] to whole frames; rounding errors are carried on."""
    ends = np.expm1(log_durations).clip(0).cumsum().round().astype(np.int64)
    return np.diff(ends, prepend=0)


def regulate(memory: Floats, durations: NDArray[np.int64], frames_per_step: int) -> Floats:
    """One row a decoder step [S, frames_per_step * (D + 3)] from memory [P, D]; see ``KokoroModel.regulate``."""
    total = int(durations.sum())
    steps = -(-total // frames_per_step)
    rows = np.zeros((steps * frames_per_step, memory.shape[1] + 3), np.float32)
    index = np.repeat(np.arange(len(durations)), durations)
    length = durations[index].astype(np.float32)
    since = (np.arange(total) - (np.cumsum(durations) - durations)[index]).astype(np.float32)
    rows[:total, :-3] = memory[index]
    rows[:total, -3] = since / length
    rows[:total, -2] = np.log1p(since)
    rows[:total, -1] = np.log1p(length - 1 - since)
    return rows.reshape(steps, frames_per_step * rows.shape[1])


class StreamingVocoder:
    """Mel frames in, samples out as soon as no later frame can change them. One object a phrase."""

    def __init__(self, network: OnnxSession, mel_dim: int) -> None:
        self._network = network
        self._window = hann(WINDOW)
        self._mel = np.zeros((0, mel_dim), np.float32)  # frames from self._first on
        self._first = 0
        self._done = 0  # frames with their spectrum added
        self._tail = np.zeros(WINDOW, np.float32)  # unfinished samples, from (self._done * HOP - WINDOW / 2) on

    def push(self, frames: Floats) -> Floats:
        """Add frames [T, M]; samples [n] that are final now (often none)."""
        self._mel = np.concatenate([self._mel, frames])
        ready = self._first + len(self._mel) - CONTEXT_FRAMES
        return self._advance(ready) if ready - self._done >= BLOCK_FRAMES else np.zeros(0, np.float32)

    def finish(self) -> Floats:
        """The rest, up to the end of the last frame."""
        count = self._first + len(self._mel)
        samples = [self._advance(min(self._done + BLOCK_FRAMES, count)) for _ in range(self._done, count, BLOCK_FRAMES)]
        begun = max(OVERLAP_FRAMES - count, 0) * HOP  # still before the first frame's centre
        return np.concatenate([*samples, self._tail[begun : OVERLAP_FRAMES * HOP] / np.float32(WINDOW_SUM)])

    def _advance(self, end: int) -> Floats:
        """Add the spectra of the frames up to ``end``; the samples that are complete then."""
        low = max(self._done - CONTEXT_FRAMES, 0)
        mel = self._mel[low - self._first : end + CONTEXT_FRAMES - self._first]
        log_magnitude, phase = (part[self._done - low : end - low] for part in self._network(mel=mel))
        spectra = np.exp(np.minimum(log_magnitude, MAX_LOG_MAGNITUDE)) * np.exp(1j * phase)
        pieces = np.fft.irfft(spectra, WINDOW).astype(np.float32) * self._window
        samples = np.zeros(len(pieces) * HOP + WINDOW, np.float32)
        samples[:WINDOW] = self._tail
        for number, piece in enumerate(pieces):
            samples[number * HOP : number * HOP + WINDOW] += piece
        final = len(pieces) * HOP
        skip = max(OVERLAP_FRAMES - self._done, 0) * HOP  # samples before the first frame's centre
        self._tail, self._done = samples[final : final + WINDOW], end
        keep = max(self._done - CONTEXT_FRAMES, 0)
        self._mel, self._first = self._mel[keep - self._first :], keep
        return samples[skip:final] / np.float32(WINDOW_SUM)


class KokoroSynthesizer(LoadedSynthesizer):
    """The embedded voices, a ``Synthesizer``. ``ModelError`` if a file of the voice is missing or damaged."""

    def __init__(self, folder: Path = VOICE_FOLDER) -> None:
        with _whole():
            self._description = VoiceManifest.load(folder / "voice.json")
            lexicon = Lexicon.load(folder / "lexicon.txt")
        self._encoder, self._decoder, self._vocoder, letters = (
            OnnxSession(folder / f"{name}.onnx") for name in ("encoder", "decoder", "vocoder", "letters")
        )
        # no method of this object: a reference cycle would delay the release of its memory
        self._phonemizer = Phonemizer(lexicon, lru_cache(maxsize=1000)(partial(_letters_to_symbols, letters)))
        self._speakers = {speaker.voice.name: speaker for speaker in self._description.speakers}

    def voices(self) -> Sequence[Voice]:
        return [speaker.voice for speaker in self._description.speakers]

    def close(self, deadline_seconds: float = 5.0, reason: Exception | None = None) -> None:
        """As ``LoadedSynthesizer``."""

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:  # noqa: ARG002  (never waits)
        """Generate blocks of about 0.3 s; nothing for a text without a word."""
        speaker = self._speakers[request.voice.name]
        words = self._phonemizer.words(normalize(request.text, "en"))
        for phrase in phrases(words, LONGEST_PHRASE):
            vocoder = StreamingVocoder(self._vocoder, self._description.mel_dim)
            for frames in self._mel(indices(flatten(phrase)), speaker.index):
                samples = vocoder.push(frames)
                if len(samples):
                    yield _pcm(samples * speaker.gain)
            yield _pcm(vocoder.finish() * speaker.gain)

    def _mel(self, phonemes: list[int], speaker: int) -> Iterator[Floats]:
        memory, log_durations, cross_keys, cross_values = self._encoder(
            phonemes=np.array(phonemes, np.int64), speaker=np.array([speaker], np.int64)
        )
        durations = durations_in_frames(log_durations)
        per_step, mel_dim = self._description.frames_per_step, self._description.mel_dim
        regulated = regulate(memory, durations, per_step)[:LONGEST_DECODER]
        left = int(durations.sum())
        group = np.zeros((1, per_step * mel_dim), np.float32)
        cache = np.zeros((len(regulated), len(cross_keys), 2, memory.shape[1]), np.float32)
        for step in range(len(regulated)):
            group, _stop, cache[step : step + 1] = self._decoder(
                previous=group, regulated=regulated[step : step + 1], step=np.array([step], np.int64),
                cache=cache[:step], cross_keys=cross_keys, cross_values=cross_values,
            )  # fmt: skip
            yield group.reshape(per_step, mel_dim)[: left - step * per_step]


def _letters_to_symbols(network: OnnxSession, word: str) -> tuple[str, ...]:
    letters = [ALPHABET.index(letter) for letter in word[:LONGEST_WORD]]
    (scores,) = network(letters=np.array(letters, np.int64))
    return tuple(symbol for symbol in read_symbols(scores.argmax(-1).tolist()) if symbol not in PAUSES)


def _pcm(samples: Floats) -> Pcm:
    return np.rint(samples * 32767).clip(-32768, 32767).astype(np.int16)


@contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the embedded voice is incomplete: {error}; reinstall the package") from error


def described_voices(folder: Path = VOICE_FOLDER) -> list[Voice]:
    """The voices of ``load_kokoro``, without loading them; ``ModelError`` if ``voice.json`` is missing or damaged."""
    with _whole():
        return [speaker.voice for speaker in VoiceManifest.load(folder / "voice.json").speakers]


def voice_names() -> list[str]:
    return [voice.name for voice in described_voices()]


def load_kokoro(folder: Path = VOICE_FOLDER) -> KokoroSynthesizer:
    """The embedded voices, warmed up: the first sentence is as fast as all later ones."""
    synthesizer = KokoroSynthesizer(folder)
    for _ in synthesizer.synthesize(SynthesisRequest(text="Hello, it is 5.", voice=synthesizer.voices()[0])):
        pass
    return synthesizer


def hann(size: int) -> Floats:
    """The periodic Hann window [size]."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size), np.float32)


def mel_filters() -> Floats:
    """Triangular filters on Slaney's mel scale, each of unit area [MEL_DIM, FFT_SIZE // 2 + 1]."""
    mel = np.linspace(0, 15 + 27 * float(np.log(SAMPLE_RATE_HZ / 2 / 1000)) / float(np.log(6.4)), MEL_DIM + 2)
    edges_hz = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))  # noqa: PLR2004
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SIZE // 2 + 1)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    triangles = np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)).clip(0)
    return np.asarray(triangles * 2 / (high - low), np.float32)


def log_mel(samples: Floats) -> Floats:
    """Natural log of the mel magnitudes of samples [n] in [-1, 1]: [ceil(n / HOP), MEL_DIM]; frame t around t * HOP."""
    count = -(-len(samples) // HOP)
    padded = np.pad(samples, (WINDOW // 2, count * HOP - len(samples) + WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: count * HOP : HOP]
    magnitudes = np.abs(np.fft.rfft(frames * hann(WINDOW), FFT_SIZE)).astype(np.float32)
    return np.asarray(np.log(np.maximum(magnitudes @ mel_filters().T, FLOOR)), np.float32)
