"""Ending on a pause against the peer, ``pocket-tts`` 4.0.1, and files as it reads them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pocket_tts.data.audio import audio_read
from pocket_tts.data.audio_utils import end_on_pause as peers_end_on_pause

from wyoming_pocket_tts.audio.recordings import end_on_pause, read_audio

pytest.importorskip("torch")
pytest.importorskip("pocket_tts")

sample = st.floats(-1, 1, width=32, allow_subnormal=False)
recording = arrays.arrays(np.float32, st.integers(1, 400), elements=sample)
levels = st.lists(st.sampled_from([0.0, 1e-6, 1e-3, 0.012, 0.03, 0.3, 1.0]), min_size=1, max_size=30)


@given(recording, st.sampled_from([50, 400, 1_000, 8_000]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_samples_end_as_the_peers_do(samples: np.ndarray, rate_hz: int) -> None:
    expected = peers_end_on_pause(torch.from_numpy(samples)[None], rate_hz)[0].numpy()
    np.testing.assert_allclose(end_on_pause(samples, rate_hz), expected, rtol=0, atol=1e-6)


@given(levels, st.integers(0, 479), st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_run_of_levels_ends_as_the_peers_does(frames: list[float], rest: int, seed: int) -> None:
    loudness = np.repeat(np.array(frames, np.float32), 480)
    noise = np.random.default_rng(seed).uniform(-1, 1, len(loudness) + rest).astype(np.float32)
    samples = noise * np.append(loudness, np.zeros(rest, np.float32))
    expected = peers_end_on_pause(torch.from_numpy(samples)[None], 24_000)[0].numpy()
    np.testing.assert_allclose(end_on_pause(samples, 24_000), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32"])  # of floats it reads none that are called .wav
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_files_are_read_as_by_the_peer(subtype: str, channels: int, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    samples = np.random.default_rng(0).uniform(-1, 1, (4_800, channels))
    soundfile.write(path, samples, 22_050, subtype=subtype)
    expected, rate_hz = audio_read(path)
    read, our_rate_hz = read_audio(path)
    assert our_rate_hz == rate_hz
    np.testing.assert_allclose(read, expected[0].numpy(), rtol=0, atol=1e-7)
