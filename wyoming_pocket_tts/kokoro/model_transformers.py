"""Transformer layers of the acoustic model and letter to sound, in PyTorch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own convention)

KERNEL = 5  # phonemes of a convolution


class Attention(nn.Module):
    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
        """x [B, T, D], memory [B, S, D], mask [B, 1, 1, S] true where to look -> [B, T, D]."""
        q = self._split(self.query(x))
        k, v = (self._split(part) for part in self.key_value(memory).chunk(2, dim=-1))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal)
        mixed: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return mixed

    def _split(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, H, T, D / H]."""
        return torch.unflatten(x, -1, (self.n_heads, -1)).transpose(1, 2)


def feed_forward(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, dim))


class TransformerEncoderBlock(nn.Module):
    """Pre-norm transformer layer without causality."""

    def __init__(self, dim: int, n_heads: int, ff_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, n_heads, dropout)
        self.ff = feed_forward(dim, ff_dim, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, D], mask [B, 1, 1, T] false for padding -> [B, T, D]."""
        h = self.norm1(x)
        x = x + self.dropout(self.attention(h, h, mask))
        update: Tensor = self.dropout(self.ff(self.norm2(x)))
        return x + update


class TransformerDecoderBlock(nn.Module):
    """Pre-norm transformer layer: causal self-attention, cross-attention to the text, feed-forward."""

    def __init__(self, dim: int, n_heads: int, ff_dim: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attention = Attention(dim, n_heads, dropout)
        self.cross_attention = Attention(dim, n_heads, dropout)
        self.ff = feed_forward(dim, ff_dim, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, D], memory [B, S, D], mask [B, 1, 1, S] true where to look -> [B, T, D]."""
        h = self.norm1(x)
        x = x + self.dropout(self.self_attention(h, h, causal=True))
        x = x + self.dropout(self.cross_attention(self.norm2(x), memory, mask))
        update: Tensor = self.dropout(self.ff(self.norm3(x)))
        return x + update


class TransformerDecoder(nn.ModuleList):
    """``TransformerDecoderBlock``, in their order."""


class ResidualConv(nn.Module):
    """A convolution over neighbouring phonemes, added to its input."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x [B, P, D], valid [B, P, 1] -> [B, P, D]; padding is seen as zeros."""
        y = self.conv((x * valid).transpose(1, 2)).transpose(1, 2)
        update: Tensor = self.dropout(F.relu(self.norm(y)))
        return x + update
