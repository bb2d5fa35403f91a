"""The vocoder in PyTorch: log-mel frames to samples. Knows nothing about phonemes or training.

ConvNeXt blocks at frame rate predict log magnitude and phase of a short-time Fourier transform; its inverse makes the
samples. No upsampling, hence fast on a CPU. Serving runs the network as an ONNX graph and the inverse in numpy.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)

from wyoming_pocket_tts.kokoro.features import HOP, MAX_LOG_MAGNITUDE, MEL_DIM, WINDOW, WINDOW_SUM

N_BINS = WINDOW // 2 + 1
KERNEL = 7


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then an inverted bottleneck, added to the input."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand, self.project = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        y = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        y = self.project(F.gelu(self.expand(y)))
        update: Tensor = self.scale * y
        return x + update


class Vocoder(nn.Module):
    """Normalised log-mel [B, T, MEL_DIM] to samples [B, T * HOP]."""

    window: Tensor  # [WINDOW]

    def __init__(self, dim: int = 192, hidden: int = 576, n_blocks: int = 6) -> None:
        super().__init__()
        self.config = {"dim": dim, "hidden": hidden, "n_blocks": n_blocks}
        self.embed = nn.Conv1d(MEL_DIM, dim, KERNEL, padding=KERNEL // 2)
        self.embed_norm = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(ConvNeXtBlock(dim, hidden) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, 2 * N_BINS)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """mel [B, T, MEL_DIM] -> samples [B, T * HOP]."""
        log_magnitude, phase = self.spectrum(mel)
        magnitude = log_magnitude.clamp(max=MAX_LOG_MAGNITUDE).exp()
        frames = torch.fft.irfft(torch.polar(magnitude, phase), WINDOW) * self.window  # [B, T, WINDOW]
        return overlap_add(frames)

    def spectrum(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log magnitude and phase [B, T, N_BINS] each, of the frames of ``mel`` [B, T, MEL_DIM]."""
        x = self.embed_norm(self.embed(mel.transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        log_magnitude, phase = self.out(self.norm(x)).chunk(2, dim=-1)
        return log_magnitude, phase


def overlap_add(frames: Tensor) -> Tensor:
    """Windowed frames [B, T, WINDOW], frame t centred on sample t * HOP, to samples [B, T * HOP]."""
    length = (frames.shape[1] - 1) * HOP + WINDOW
    summed = F.fold(frames.transpose(1, 2), (1, length), (1, WINDOW), stride=(1, HOP))[:, 0, 0]
    start = WINDOW // 2
    return summed[:, start : start + frames.shape[1] * HOP] / WINDOW_SUM
