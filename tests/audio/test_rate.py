"""Resampling a stream is resampling the whole."""

import numpy as np
import pytest
import soxr

from tests.audio.sounds import RATE_HZ, cut, joined, pitch_of, syllables, voiced
from wyoming_pocket_tts.audio.effects import shape
from wyoming_pocket_tts.core.types import SynthesisOptions

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_stream_becomes_what_the_whole_becomes(rate_hz: int) -> None:
    speech = syllables()
    streamed = joined(shape(cut(speech, [480] * 100), RATE_HZ, SynthesisOptions(rate_hz=rate_hz)))
    offline = soxr.resample(speech.astype(np.float64), RATE_HZ, rate_hz, quality="HQ")
    np.testing.assert_array_equal(streamed, np.rint(offline))
    assert len(streamed) == pytest.approx(len(speech) * rate_hz / RATE_HZ, abs=1)


@pytest.mark.parametrize("rate_hz", RATES)
def test_pitch_level_and_place_stay(rate_hz: int) -> None:
    sound = voiced(150, peak=10_000)
    resampled = joined(shape(iter([sound]), RATE_HZ, SynthesisOptions(rate_hz=rate_hz)))
    assert pitch_of(resampled, rate_hz, near_hz=150) == pytest.approx(150, rel=1e-3)
    back = soxr.resample(resampled.astype(np.float64), rate_hz, RATE_HZ)[1000:-1000]
    np.testing.assert_allclose(lowpassed(back), lowpassed(sound[1000:-1000].astype(float)), atol=10)


def lowpassed(sound: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What all of the rates keep, away from the edges."""
    return soxr.resample(soxr.resample(sound, RATE_HZ, 6000), 6000, RATE_HZ)[2000:40_000]  # type: ignore[no-any-return]
