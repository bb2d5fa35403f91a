"""A gain that is exact where there is room for it, and a limiter that nobody hears where there is not."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.audio.sounds import RATE_HZ, joined, syllables, voiced
from wyoming_pocket_tts.audio.effects import shape
from wyoming_pocket_tts.core.types import SILENT_DB, Pcm, SynthesisOptions

FULL_SCALE = 32767


def at(volume_db: float, sound: Pcm, rate_hz: int = RATE_HZ) -> Pcm:
    return joined(shape(iter([sound]), rate_hz, SynthesisOptions(volume_db=volume_db)))


@pytest.mark.parametrize("volume_db", [-90, -60, -20, -6, -0.1, 0.1, 3, 8])
def test_below_full_scale_the_gain_is_exact(volume_db: float) -> None:
    sound = syllables(peak=12_000)
    np.testing.assert_array_equal(at(volume_db, sound), np.rint(sound * 10 ** (volume_db / 20)))


@pytest.mark.parametrize("volume_db", [SILENT_DB, SILENT_DB - 1, -math.inf])
def test_silence_is_as_long_as_what_is_not_heard(volume_db: float) -> None:
    sound = np.full(RATE_HZ, -32768, np.int16)
    np.testing.assert_array_equal(at(volume_db, sound), np.zeros(RATE_HZ))
    assert not at(SILENT_DB + 0.01, sound).any(), "nothing changes suddenly"


sounds = arrays(np.int16, st.integers(0, 900), elements=st.integers(-32768, 32767))


@settings(max_examples=150, deadline=None)
@example(sound=np.array([11_701] * 80 + [32_767], np.int16), volume_db=9, more_db=1)
@given(sound=sounds, volume_db=st.floats(0.01, 40), more_db=st.floats(0, 20))
def test_no_sample_overflows_changes_its_sign_or_becomes_softer_by_asking_for_more(
    sound: Pcm, volume_db: float, more_db: float
) -> None:
    louder = at(volume_db, sound, 16_000).astype(int)
    assert len(louder) == len(sound)
    assert np.abs(louder).max(initial=0) <= FULL_SCALE
    assert (louder * sound.astype(int) >= 0).all()
    loudest = at(min(40, volume_db + more_db), sound, 16_000).astype(int)
    assert (np.abs(loudest) >= np.abs(louder) - 1).all(), "but for the last bit: what lies between two steps is rounded"


def test_loud_speech_keeps_its_form() -> None:
    """Cutting off, or following each wave, would make harmonics: 12 dB too much, and only the tone comes out."""
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.rint(20_000 * np.sin(2 * np.pi * 90 * time)).astype(np.int16)
    limited = at(16, tone)[4800:-4800].astype(float)
    assert np.abs(limited).max() == pytest.approx(FULL_SCALE, abs=1)
    spectrum = np.abs(np.fft.rfft(limited * np.hanning(len(limited)))) ** 2
    frequencies = np.fft.rfftfreq(len(limited), 1 / RATE_HZ)
    is_tone = np.abs(frequencies - 90) < 20
    assert spectrum[~is_tone].sum() < 1e-6 * spectrum[is_tone].sum()


def test_a_quiet_word_after_a_loud_one_gets_the_whole_gain_again() -> None:
    loud, quiet = voiced(120, seconds=0.5, peak=30_000), voiced(120, seconds=1.5, peak=3000)
    changed = at(12, np.concatenate([quiet, loud, quiet]))
    gain = 10 ** (12 / 20)
    ahead = len(quiet) - RATE_HZ // 100  # the limiter begins to turn down at most 10 ms ahead
    np.testing.assert_array_equal(changed[:ahead], np.rint(quiet[:ahead] * gain))
    back = len(quiet) + len(loud) + RATE_HZ // 3
    np.testing.assert_array_equal(changed[back:], np.rint(quiet * gain)[back - len(quiet) - len(loud) :])
    assert np.abs(changed).max() == FULL_SCALE


def test_the_gain_moves_without_steps() -> None:
    steady = np.full(RATE_HZ, 3000, np.int16)
    steady[12_000:12_400] = 30_000
    changed = at(12, steady).astype(float) / steady
    assert np.abs(np.diff(changed)).max() < 0.05 * 4  # of a gain of 4: from one sample to the next


def test_the_limits_of_sixteen_bits_survive() -> None:
    extremes = np.array([-32768, 32767] * 500, np.int16)
    assert set(at(0.001, extremes).tolist()) <= {-32767, 32766, 32767}
    assert at(-0.001, extremes).min() >= -32768
