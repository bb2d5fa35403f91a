"""Log-mel spectrograms: the picture of speech that the acoustic model draws and the vocoder reads. Numpy only."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000
FFT_SIZE = 1024
WINDOW = 800
HOP = 200
MEL_DIM = 80
FRAMES_PER_SECOND = SAMPLE_RATE_HZ // HOP
WINDOW_SUM = 1.5  # squared Hann windows, a quarter apart, add up to this
MAX_LOG_MAGNITUDE = 5.0  # e^5 on WINDOW points: louder than full scale
FLOOR = 1e-5  # magnitude below which there is silence

Floats = NDArray[np.float32]


def hann(size: int) -> Floats:
    """The periodic Hann window [size]."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size), np.float32)


def mel_filters() -> Floats:
    """Triangular filters on Slaney's mel scale, each of unit area [MEL_DIM, FFT_SIZE // 2 + 1]."""
    edges_hz = _mel_to_hz(np.linspace(0, _hz_to_mel(SAMPLE_RATE_HZ / 2), MEL_DIM + 2))
    bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, FFT_SIZE // 2 + 1)
    low, centre, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    triangles = np.minimum((bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)).clip(0)
    return np.asarray(triangles * 2 / (high - low), np.float32)


def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * float(np.log(hz / 1000)) / float(np.log(6.4))  # noqa: PLR2004


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))  # noqa: PLR2004


def n_frames(n_samples: int) -> int:
    """Frames of a signal: frame t is centred on sample ``t * HOP``."""
    return -(-n_samples // HOP)


def log_mel(samples: Floats) -> Floats:
    """Natural log of the mel magnitudes of ``samples`` [n] in [-1, 1]: [n_frames(n), MEL_DIM]."""
    count = n_frames(len(samples))
    padded = np.pad(samples, (WINDOW // 2, count * HOP - len(samples) + WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: count * HOP : HOP]
    magnitudes = np.abs(np.fft.rfft(frames * hann(WINDOW), FFT_SIZE)).astype(np.float32)
    return np.asarray(np.log(np.maximum(magnitudes @ mel_filters().T, FLOOR)), np.float32)
