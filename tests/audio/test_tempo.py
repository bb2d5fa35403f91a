"""The tempo changes, and nothing else: measured on voiced sound, and on the embedded voice."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.audio.sounds import RATE_HZ, cut, joined, pitch_of, syllables, voiced
from wyoming_pocket_tts.audio.effects import shape
from wyoming_pocket_tts.core.types import Pcm, SynthesisOptions, SynthesisRequest
from wyoming_pocket_tts.kokoro.synthesizer import load_kokoro

SPEEDS = (0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)


def at(speed: float, sound: Pcm, rate_hz: int = RATE_HZ) -> Pcm:
    return joined(shape(iter([sound]), rate_hz, SynthesisOptions(speed=speed)))


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("pitch_hz", [70, 100, 153, 250, 400])
def test_the_duration_is_exact_and_the_pitch_stays(speed: float, pitch_hz: float) -> None:
    sound = voiced(pitch_hz)
    changed = at(speed, sound)
    assert len(changed) == round(len(sound) / speed)
    assert pitch_of(changed, near_hz=pitch_hz) == pytest.approx(pitch_hz, rel=0.002)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_stream_in_small_pieces_becomes_what_the_whole_becomes(speed: float) -> None:
    sound = syllables()
    streamed = joined(shape(cut(sound, [50] * (len(sound) // 50)), RATE_HZ, SynthesisOptions(speed=speed)))
    np.testing.assert_array_equal(streamed, at(speed, sound))


@pytest.mark.parametrize("speed", SPEEDS)
def test_waves_meet_in_the_same_phase(speed: float) -> None:
    """What is not a harmonic any more would be heard as roughness."""
    sound = voiced(100)
    changed = at(speed, sound)[2400:-2400].astype(float)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed)))) ** 2
    frequencies = np.fft.rfftfreq(len(changed), 1 / RATE_HZ)
    harmonic = np.abs(frequencies - 100 * np.round(frequencies / 100)) < 8
    assert spectrum[~harmonic].sum() < 1e-6 * spectrum[harmonic].sum()


@pytest.mark.parametrize("speed", SPEEDS)
def test_no_clicks(speed: float) -> None:
    """No step is higher than those that were there; a click is one."""
    sound = voiced(120)
    changed = at(speed, sound)
    assert np.abs(np.diff(changed.astype(int))).max() <= 1.05 * np.abs(np.diff(sound.astype(int))).max()
    assert np.abs(changed).max() <= np.abs(sound).max()


@pytest.mark.parametrize("speed", SPEEDS)
def test_beginning_and_end_are_there(speed: float) -> None:
    """A word right at the edge loses nothing: its first 12 ms are as they were, and it fades in towards its last."""
    sound = syllables()[2200:30_000]
    changed = at(speed, sound)
    np.testing.assert_array_equal(changed[:288], sound[:288])
    np.testing.assert_allclose(changed[-20:], sound[-20:], atol=0.02 * np.abs(sound).max())
    assert changed[-1] == sound[-1]


@pytest.mark.parametrize("speed", SPEEDS)
def test_things_happen_when_they_should(speed: float) -> None:
    """Every syllable is where the tempo has it, to 30 ms."""
    sound = syllables(seconds=3.0)
    expected, found = envelope(sound, 240 * speed), envelope(at(speed, sound), 240)
    count = min(len(expected), len(found))
    lags = range(-3, 4)
    scores = [np.corrcoef(np.roll(expected, lag)[10 : count - 10], found[10 : count - 10])[0, 1] for lag in lags]
    assert max(scores) > 0.95


def envelope(sound: Pcm, hop: float) -> NDArray[np.float64]:
    starts = np.arange(0, len(sound) - 480, hop).astype(int)
    return np.array([np.abs(sound[start : start + 480].astype(float)).mean() for start in starts])


def test_silence_stays_silence() -> None:
    for speed in SPEEDS:
        assert not at(speed, np.zeros(24_000, np.int16)).any()


def test_at_ordinary_tempos_most_samples_are_those_of_the_voice() -> None:
    sound = syllables()
    changed = at(0.9, sound)
    windows = {sound[start : start + 16].tobytes() for start in range(len(sound) - 16)}
    kept = [changed[start : start + 16].tobytes() in windows for start in range(0, len(changed) - 16, 16)]
    assert np.mean(kept) > 0.6


@cache
def spoken() -> tuple[Pcm, int]:
    engine = load_kokoro()
    voice = engine.voices()[0]
    text = "The washing machine has finished, and the front door is still open."
    return joined(engine.synthesize(SynthesisRequest(text=text, voice=voice))), voice.sample_rate_hz


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_real_voice_keeps_its_pitch(speed: float) -> None:
    speech, rate_hz = spoken()
    changed = at(speed, speech, rate_hz)
    assert len(changed) == round(len(speech) / speed)
    before, after = pitch_track(speech, rate_hz, 0.01 * speed), pitch_track(changed, rate_hz, 0.01)
    count = min(len(before), len(after))
    ratios = after[:count] / before[:count]
    ratios = ratios[np.isfinite(ratios) & (np.abs(ratios - 1) < 0.2)]  # where the tracker leaps, it is not the voice
    assert len(ratios) > 50
    assert np.median(ratios) == pytest.approx(1, abs=0.01)


def pitch_track(sound: Pcm, rate_hz: int, hop_seconds: float) -> NDArray[np.float64]:
    """By autocorrelation, in hertz, NaN where there is no voice [frames]."""
    window = np.hanning(round(0.04 * rate_hz))
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 4 * len(window))) ** 2)
    shortest, longest = rate_hz // 400, rate_hz // 70
    track = []
    for start in np.arange(0, len(sound) - len(window), hop_seconds * rate_hz).astype(int):
        frame = sound[start : start + len(window)] * window
        correlation = np.fft.irfft(np.abs(np.fft.rfft(frame, 4 * len(window))) ** 2)[: longest + 1]
        scaled = correlation / own[: longest + 1] * own[0] / max(correlation[0], 1.0)
        lag = shortest + int(scaled[shortest:longest].argmax())
        left, top, right = scaled[lag - 1 : lag + 2]
        peak = lag + (left - right) / (2 * (left - 2 * top + right) - 1e-12)
        is_voice = top > 0.7 and np.abs(frame).max() > 300
        track.append(rate_hz / peak if is_voice else np.nan)
    return np.array(track)
