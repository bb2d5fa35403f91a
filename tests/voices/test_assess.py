"""Each fault is found where it is, and nowhere else: a clean voice, however loud or at whatever rate, has none."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from wyoming_pocket_tts.audio.recordings import QualityIssueKind, assess, resample
from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.kokoro.synthesizer import load_kokoro

Floats = NDArray[np.float32]

TEXTS = [
    "Good morning. It is seven degrees outside. Your first meeting begins at nine, and the train is ten minutes late.",
    "Wait! Stop! That is not what I meant at all. Please, listen to me for once, will you? Thank you very much indeed.",
    "All of our wonderful yellow lamps are normally in our living room all year in any weather whatever you may say",
]


@pytest.fixture(scope="module")
def recordings() -> tuple[list[Floats], int]:
    """The embedded voices, each with all texts: normal speech, one with many pauses, one with none."""
    kokoro = load_kokoro()
    spoken = [
        np.concatenate(list(kokoro.synthesize(SynthesisRequest(text=text, voice=voice))))
        for voice in kokoro.voices()
        for text in TEXTS
    ]
    return [(samples / 32768).astype(np.float32) for samples in spoken], kokoro.voices()[0].sample_rate_hz


def kinds(samples: Floats, rate_hz: int) -> set[QualityIssueKind]:
    return {finding.kind for finding in assess(samples.astype(np.float32), rate_hz)}


def noise(like: Floats, db: float) -> Floats:
    """White noise so far below the mean level of a recording."""
    rms = float(np.sqrt(np.mean(np.square(like))))
    white = np.random.default_rng(0).standard_normal(len(like), dtype=np.float32)
    return white * np.float32(rms * 10 ** (db / 20))


def halves(samples: Floats, db: float) -> Floats:
    gains = np.where(np.arange(len(samples)) < len(samples) // 2, 1, 10 ** (db / 20))
    return (samples * gains).astype(np.float32)


CLEAN: dict[str, Callable[[Floats], Floats]] = {
    "as it is": lambda samples: samples,
    "quiet": lambda samples: samples * 0.02,
    "at full scale": lambda samples: samples / np.abs(samples).max(),
    "turned over": lambda samples: -samples,
    "faint noise": lambda samples: samples + noise(samples, -35),
    "silence around it": lambda samples: np.pad(samples, 24_000),
    "silent pauses": lambda samples: np.where(np.abs(samples) < 0.002, np.float32(0), samples),
    "a little uneven": lambda samples: halves(samples, -3),
    "16 bits": lambda samples: np.round(samples * 32767).astype(np.float32) / np.float32(32768),
}
FAULTS: dict[str, tuple[QualityIssueKind, Callable[[Floats], Floats]]] = {
    "too little": (QualityIssueKind.TOO_SHORT, lambda samples: samples[: 2 * 22_050]),
    "mostly silence": (QualityIssueKind.TOO_SHORT, lambda samples: np.pad(samples[: 2 * 22_050], (0, 22_050 * 10))),
    "too much": (QualityIssueKind.TOO_LONG, lambda samples: np.tile(samples, 7)),
    "over full scale": (QualityIssueKind.CLIPPED, lambda samples: np.clip(samples / np.abs(samples).max() * 2, -1, 1)),
    "clipped, then quieter": (QualityIssueKind.CLIPPED, lambda samples: np.clip(samples, -0.25, 0.25) * 0.5),
    "noise": (QualityIssueKind.NOISY, lambda samples: samples + noise(samples, -17)),
    "noise, then nothing": (QualityIssueKind.NOISY, lambda samples: np.pad(samples + noise(samples, -17), (0, 44_100))),
    "two levels": (QualityIssueKind.UNEVEN, lambda samples: halves(samples, -14)),
    "two levels, the second louder": (QualityIssueKind.UNEVEN, lambda samples: halves(samples * 0.2, 14)),
    "muted": (QualityIssueKind.SILENT, lambda samples: samples * 5e-4),
}


@pytest.mark.parametrize("change", CLEAN.values(), ids=CLEAN.keys())
def test_a_clean_voice_has_no_faults(change: Callable[[Floats], Floats], recordings: tuple[list[Floats], int]) -> None:
    samples, rate_hz = recordings
    assert [assess(change(one).astype(np.float32), rate_hz) for one in samples] == [()] * len(samples)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000, 192_000])
def test_the_rate_makes_no_difference(rate_hz: int, recordings: tuple[list[Floats], int]) -> None:
    (one, *_), own_rate_hz = recordings
    resampled = resample(one, own_rate_hz, rate_hz)
    assert kinds(resampled, rate_hz) == set()
    assert kinds(np.clip(resampled * 4, -0.7, 0.7), rate_hz) == {QualityIssueKind.CLIPPED}
    assert kinds(halves(resampled, -14), rate_hz) == {QualityIssueKind.UNEVEN}


@pytest.mark.parametrize(("kind", "change"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_found_and_no_other(
    kind: QualityIssueKind, change: Callable[[Floats], Floats], recordings: tuple[list[Floats], int]
) -> None:
    samples, rate_hz = recordings
    assert [kinds(change(one), rate_hz) for one in samples] == [{kind}] * len(samples)


@pytest.mark.parametrize("length", [0, 1, 100, 24_000])
def test_nothing_is_silence(length: int) -> None:
    assert kinds(np.zeros(length, np.float32), 24_000) == {QualityIssueKind.SILENT}


@pytest.mark.parametrize("hz", [50, 100, 1_000])
@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 192_000])
def test_a_tone_at_full_scale_is_not_clipped(hz: int, rate_hz: int) -> None:
    tone = np.sin(2 * np.pi * hz * np.arange(5 * rate_hz) / rate_hz)
    assert QualityIssueKind.CLIPPED not in kinds(tone, rate_hz)
    assert QualityIssueKind.CLIPPED in kinds(np.clip(tone * 3, -1, 1), rate_hz)


def test_a_finding_says_what_was_measured_and_what_to_do() -> None:
    (finding,) = assess(np.zeros(24_000, np.float32), 24_000)
    assert finding.message == "The recording is silent. Check the microphone and record again."
