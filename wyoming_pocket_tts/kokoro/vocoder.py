"""Vocoder and letter to sound, in PyTorch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)

from wyoming_pocket_tts.kokoro.model_transformers import TransformerEncoderBlock
from wyoming_pocket_tts.kokoro.phonemes import ALPHABET, LONGEST_WORD, SYMBOLS
from wyoming_pocket_tts.kokoro.positional_encoding import sinusoids
from wyoming_pocket_tts.kokoro.synthesizer import HOP, MAX_LOG_MAGNITUDE, MEL_DIM, WINDOW, WINDOW_SUM

N_BINS = WINDOW // 2 + 1
KERNEL = 7  # frames of a convolution
SLOTS = 2  # outputs a letter: "x" and "u" are more than one sound


class LetterToSound(nn.Module):
    """A small transformer with a CTC output.

    Letters [B, N] (indices into ``ALPHABET``, 0 pads) to scores [B, SLOTS * N, symbols]; symbol 0 is CTC's blank.
    """

    positions: Tensor  # [SLOTS * LONGEST_WORD, dim]

    def __init__(
        self, dim: int = 96, n_heads: int = 4, n_layers: int = 3, ff_dim: int = 384, dropout: float = 0.05
    ) -> None:
        super().__init__()
        self.config = {"dim": dim, "n_heads": n_heads, "n_layers": n_layers, "ff_dim": ff_dim}
        self.embedding = nn.Embedding(len(ALPHABET), dim, padding_idx=0)
        self.slots = nn.Parameter(torch.randn(SLOTS, dim) * 0.3)
        self.layers = nn.ModuleList(TransformerEncoderBlock(dim, n_heads, ff_dim, dropout) for _ in range(n_layers))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, len(SYMBOLS))
        self.register_buffer("positions", torch.from_numpy(sinusoids(SLOTS * LONGEST_WORD, dim)), persistent=False)

    def forward(self, letters: Tensor) -> Tensor:
        x = (self.embedding(letters)[:, :, None] + self.slots).flatten(1, 2)
        x = x + self.positions[: x.shape[1]]
        mask = (letters != 0).repeat_interleave(SLOTS, dim=1)[:, None, None]
        for layer in self.layers:
            x = layer(x, mask)
        scores: Tensor = self.out(self.norm(x))
        return scores


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then an inverted bottleneck, added to the input."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand, self.project = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.full((dim,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
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
