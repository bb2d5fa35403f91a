"""Recordings of every kind come out with their length and level; what cannot be used is refused by name."""

import math
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wyoming_pocket_tts.audio.recordings import (
    HIGHEST_RATE_HZ,
    LONGEST_SECONDS,
    end_on_pause,
    prepare_prompt,
    read_audio,
    resample,
)
from wyoming_pocket_tts.core.errors import MissingFile, VoiceError

Floats = NDArray[np.float32]

FORMATS = [
    ("WAV", "PCM_U8", 1e-2), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 0), ("WAV", "DOUBLE", 0), ("WAV", "ULAW", 2e-2),
    ("WAVEX", "PCM_U8", 1e-2), ("WAVEX", "PCM_16", 1e-4), ("WAVEX", "PCM_24", 1e-6), ("WAVEX", "PCM_32", 1e-6),
    ("WAVEX", "FLOAT", 0), ("WAVEX", "DOUBLE", 0),
    ("FLAC", "PCM_16", 1e-4), ("FLAC", "PCM_24", 1e-6), ("AIFF", "PCM_16", 1e-4),
]  # fmt: skip


def tone(rate_hz: int, seconds: float = 0.5, *, hz: float = 440.0, level: float = 0.3) -> Floats:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


@pytest.mark.parametrize(("kind", "subtype", "tolerance"), FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_a_file_is_read_sample_by_sample(
    kind: str, subtype: str, tolerance: float, channels: int, tmp_path: Path
) -> None:
    samples = tone(24_000)
    path = tmp_path / "voice.wav"  # whatever the name says
    soundfile.write(path, np.stack([samples] * channels, axis=1), 24_000, subtype=subtype, format=kind)
    read, rate_hz = read_audio(path)
    assert rate_hz == 24_000
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, samples, rtol=0, atol=tolerance + 1e-7)


@pytest.mark.parametrize("kind", ["OGG", "MP3"])
def test_a_lossy_file_has_its_length_and_level(kind: str, tmp_path: Path) -> None:
    samples = tone(24_000, 2.0)
    soundfile.write(tmp_path / "voice", samples, 24_000, format=kind)
    read, _ = read_audio(tmp_path / "voice")
    assert len(read) == pytest.approx(len(samples), abs=1152)
    np.testing.assert_allclose(read[4000:40_000], samples[4000:40_000], atol=0.02)


def test_channels_become_their_mean(tmp_path: Path) -> None:
    channels = np.array([[0.5, 0.1, 0.0], [-0.5, 0.1, 0.4]], dtype=np.float32)
    soundfile.write(tmp_path / "voice.wav", channels, 24_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "voice.wav")[0], [0.2, 0.0], atol=1e-7)


def test_more_than_fits_one_block_is_read(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-1, 1, (200_000, 8)).astype(np.float32)
    soundfile.write(tmp_path / "voice.wav", channels, 48_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "voice.wav")[0], channels.mean(axis=1), atol=1e-7)


def test_beyond_full_scale_nothing_is_changed(tmp_path: Path) -> None:
    samples = tone(24_000, level=1.5)
    soundfile.write(tmp_path / "voice.wav", samples, 24_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "voice.wav")[0], samples)


def test_of_a_truncated_recording_only_the_beginning_is_read(tmp_path: Path) -> None:
    samples = np.arange(8_000 * (LONGEST_SECONDS + 1)) % 1000 / 1000
    soundfile.write(tmp_path / "voice.flac", samples, 8_000)
    with pytest.raises(VoiceError, match=r"voice.flac: is longer than 300 s"):
        read_audio(tmp_path / "voice.flac")
    read, _ = read_audio(tmp_path / "voice.flac", truncate=True)
    np.testing.assert_allclose(read, samples[: 30 * 8_000], atol=1e-4)


def test_the_longest_recording_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "voice.flac", np.zeros(8_000 * LONGEST_SECONDS), 8_000)
    assert len(read_audio(tmp_path / "voice.flac")[0]) == 8_000 * LONGEST_SECONDS


def wav(tmp_path: Path, *, at: int | None = None, value: int = 0, width: str = "<I") -> Path:
    """A WAV file of half a second with one field of its header changed."""
    path = tmp_path / "voice.wav"
    soundfile.write(path, tone(24_000), 24_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    if at is not None:
        struct.pack_into(width, content, at, value)
    path.write_bytes(content)
    return path


RATE, CHANNELS, LENGTH = 24, 22, 40


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_F000, 1 << 30])
def test_a_length_that_was_never_filled_in_means_to_the_end(length: int, tmp_path: Path) -> None:
    np.testing.assert_allclose(read_audio(wav(tmp_path, at=LENGTH, value=length))[0], tone(24_000), atol=1e-4)


def test_what_is_there_of_a_cut_recording_is_read(tmp_path: Path) -> None:
    path = wav(tmp_path)
    path.write_bytes(path.read_bytes()[:10_044])
    np.testing.assert_allclose(read_audio(path)[0], tone(24_000)[:5000], atol=1e-4)


@pytest.mark.parametrize("rate_hz", [0, 1, HIGHEST_RATE_HZ + 1, 0xFFFF_FFFF])
def test_a_rate_that_cannot_be_is_refused(rate_hz: int, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"voice.wav: (has|cannot)"):
        read_audio(wav(tmp_path, at=RATE, value=rate_hz))


@pytest.mark.parametrize("channels", [0, 0xFFFF])
def test_a_number_of_channels_that_cannot_be_is_refused(channels: int, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"voice.wav: cannot be read"):
        read_audio(wav(tmp_path, at=CHANNELS, value=channels, width="<H"))


@pytest.mark.parametrize("length", [0, 1])
def test_a_recording_without_samples_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"voice.wav: holds no audio"):
        read_audio(wav(tmp_path, at=LENGTH, value=length))


@pytest.mark.parametrize("name", ["voice.wav", "voice.flac", "voice.raw", "voice.mp3", "voice"])
@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html>not found</html>" * 99])
def test_what_is_no_audio_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VoiceError, match=rf"{name}: cannot be read as audio .*convert it"):
        read_audio(tmp_path / name)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, 48_000), 24_000)
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(VoiceError, match=r"voice.flac: cannot be read"):
        read_audio(path)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        read_audio(tmp_path / "voice.wav")
    assert isinstance(caught.value, MissingFile)
    with pytest.raises(VoiceError, match="is no file"):
        read_audio(tmp_path)


@pytest.mark.parametrize(
    ("value", "message"), [(math.nan, "no numbers"), (math.inf, "no numbers"), (3e4, "reach 30000")]
)
def test_samples_that_cannot_be_are_refused(value: float, message: str, tmp_path: Path) -> None:
    samples = tone(24_000)
    samples[77] = value
    soundfile.write(tmp_path / "voice.wav", samples, 24_000, subtype="FLOAT")
    with pytest.raises(VoiceError, match=rf"voice.wav: .*{message}"):
        read_audio(tmp_path / "voice.wav")


@given(st.integers(8_000, 192_000), st.integers(1, 5_000))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_length_after_resampling_is_exact(rate_hz: int, length: int) -> None:
    resampled = resample(np.zeros(length, np.float32), rate_hz, 24_000)
    assert len(resampled) == math.ceil(length * 24_000 / rate_hz)
    assert resampled.dtype == np.float32


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_resampling_keeps_level_offset_and_time(rate_hz: int) -> None:
    """Compared with the same tone made at the other rate, without the edges."""
    resampled = resample(tone(rate_hz, 1.0) + np.float32(0.1), rate_hz, 24_000)
    inside = slice(2_000, -2_000)
    np.testing.assert_allclose(resampled[inside], (tone(24_000, 1.0) + 0.1)[inside], atol=2e-6)


def test_what_the_model_cannot_hear_does_not_fold_into_what_it_can() -> None:
    resampled = resample(tone(48_000, 1.0, hz=14_000), 48_000, 24_000)
    assert np.abs(resampled[2_000:-2_000]).max() < 1e-4


def test_a_prompt_is_truncated_resampled_and_ended() -> None:
    prompt = prepare_prompt(tone(8_000, 31.0), 8_000, truncate=True)
    assert len(prompt) == 30 * 24_000 + 1_920
    assert not prompt[-1_920:].any()
    assert len(prepare_prompt(tone(8_000, 31.0), 8_000)) == 31 * 24_000 + 1_920
    assert len(prepare_prompt(tone(8_000, 1.0), 8_000, target_rate_hz=16_000)) == 16_000 + 1_280


def test_a_prompt_ends_where_the_voice_does() -> None:
    quiet = tone(24_000, 1.0, level=0.3 * 10 ** (-36 / 20))
    given_samples = np.concatenate([tone(24_000, 1.0), quiet])
    ended = end_on_pause(given_samples, 24_000)
    assert len(ended) == 24_000 + 1_920
    np.testing.assert_array_equal(ended[:23_520], given_samples[:23_520])
    assert np.abs(ended[23_990:24_000]).max() < 0.01
    assert len(end_on_pause(np.concatenate([tone(24_000, 1.0), quiet * 1.18]), 24_000)) == 48_000 + 1_920


def test_the_recording_itself_is_not_changed() -> None:
    samples = tone(24_000)
    end_on_pause(samples, 24_000)
    np.testing.assert_array_equal(samples, tone(24_000))
