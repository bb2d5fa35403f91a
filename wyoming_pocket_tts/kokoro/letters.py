"""Letter to sound in PyTorch: a small transformer with a CTC output. Serving runs it as an ONNX graph."""

import torch
from torch import Tensor, nn

from wyoming_pocket_tts.kokoro.layers import EncoderLayer, sinusoids
from wyoming_pocket_tts.kokoro.phonemes import ALPHABET, LONGEST_WORD, SYMBOLS

SLOTS = 2  # outputs a letter: "x" and "u" are more than one sound


class LetterToSound(nn.Module):
    """Letters [B, N] (indices into ``ALPHABET``, 0 pads) to scores [B, SLOTS * N, symbols]; symbol 0 is CTC's blank."""

    positions: Tensor  # [SLOTS * LONGEST_WORD, dim]

    def __init__(
        self, dim: int = 96, n_heads: int = 4, n_layers: int = 3, ff_dim: int = 384, dropout: float = 0.05
    ) -> None:
        super().__init__()
        self.config = {"dim": dim, "n_heads": n_heads, "n_layers": n_layers, "ff_dim": ff_dim}
        self.embedding = nn.Embedding(len(ALPHABET), dim, padding_idx=0)
        self.slots = nn.Parameter(torch.randn(SLOTS, dim) * 0.3)
        self.layers = nn.ModuleList(EncoderLayer(dim, n_heads, ff_dim, dropout) for _ in range(n_layers))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, len(SYMBOLS))
        self.register_buffer("positions", sinusoids(SLOTS * LONGEST_WORD, dim), persistent=False)

    def forward(self, letters: Tensor) -> Tensor:
        x = (self.embedding(letters)[:, :, None] + self.slots).flatten(1, 2)
        x = x + self.positions[: x.shape[1]]
        mask = (letters != 0).repeat_interleave(SLOTS, dim=1)[:, None, None]
        for layer in self.layers:
            x = layer(x, mask)
        scores: Tensor = self.out(self.norm(x))
        return scores
