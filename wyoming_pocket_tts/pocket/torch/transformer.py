"""Attention with a KV cache."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (PyTorch's own name for it)

_NORM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """Sizes of a transformer."""

    width: int  # features of a position, D
    layers: int
    heads: int
    key_heads: int  # of keys and of values; each serves ``heads // key_heads`` query heads
    attention_width: int  # features of all queries together
    feedforward_width: int
    max_period: float
    context: int | None = None  # positions that a query sees, its own included; None for all
    layer_scale: bool = False  # whether each block's output is scaled feature by feature

    @property
    def head_width(self) -> int:
        return self.attention_width // self.heads


class KVCache:
    """Keys and values of all positions so far, with room for ``capacity`` positions."""

    def __init__(self, shape: TransformerShape, *, capacity: int, batch: int, device: torch.device) -> None:
        size = (shape.layers, 2, batch, capacity, shape.key_heads, shape.head_width)
        # [layer, key or value, B, capacity, key head, head width]
        self.store = torch.empty(size, dtype=torch.float32, device=device)
        self.position = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add ``[B, T, H, d]`` of each; return all so far, ``[B, H, past + T, d]``."""
        end = self.position + keys.shape[1]
        store = self.store[layer]
        store[0, :, self.position : end] = keys
        store[1, :, self.position : end] = values
        return store[0, :, :end].transpose(1, 2), store[1, :, :end].transpose(1, 2)

    def advance(self, positions: int) -> None:
        """Count the positions that every layer has appended."""
        self.position += positions


class SlidingWindowKVCache:
    """Keys and values of the last positions that a later query can still see."""

    def __init__(self, shape: TransformerShape, *, batch: int, device: torch.device) -> None:
        if shape.context is None:
            raise ValueError("a transformer without a context needs a KVCache")
        self._kept = shape.context - 1
        empty = torch.empty((2, batch, 0, shape.key_heads, shape.head_width), dtype=torch.float32, device=device)
        self._layers = [empty] * shape.layers  # each [key or value, B, up to context - 1, key head, head width]
        self.position = 0

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add ``[B, T, H, d]`` of each; return them behind what is kept of the past, ``[B, H, kept + T, d]``."""
        seen = torch.cat([self._layers[layer], torch.stack([keys, values])], dim=2)
        self._layers[layer] = seen[:, :, max(0, seen.shape[2] - self._kept) :]
        return seen[0].transpose(1, 2), seen[1].transpose(1, 2)

    def advance(self, positions: int) -> None:
        self.position += positions


Cache = KVCache | SlidingWindowKVCache


def visible(queries: int, keys: int, context: int | None, device: torch.device) -> Tensor | None:
    """The keys that each of the last positions may see: bool ``[queries, keys]``, or None for all."""
    if queries == 1 and (context is None or keys <= context):
        return None
    distance = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    mask = distance >= 0
    return mask if context is None else mask & (distance < context)


def rotation(first: int, positions: int, *, head_width: int, max_period: float, device: torch.device) -> Tensor:
    """The turn of each feature pair at each position as complex numbers, ``[T, 1, head_width / 2]``."""
    pairs = torch.arange(head_width // 2, device=device, dtype=torch.float32)
    frequencies = torch.exp(pairs * (-math.log(max_period) * 2 / head_width))
    times = torch.arange(first, first + positions, device=device, dtype=torch.float32)
    angles = times[:, None, None] * frequencies
    return torch.complex(torch.cos(angles), torch.sin(angles))


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the neighbouring pairs of features of ``[B, T, H, d]`` (rotary position embedding)."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(-2)


class Attention(nn.Module):
    """Causal attention with rotary positions and, where configured, fewer key heads than query heads."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        key_width = shape.key_heads * shape.head_width
        self.in_proj = Linear(shape.width, shape.attention_width + 2 * key_width, bias=False)
        self.out_proj = Linear(shape.attention_width, shape.width, bias=False)

    def forward(self, x: Tensor, turn: Tensor, cache: Cache, layer: int, wanted: int) -> Tensor:  # [B, T, D]
        """Attend from the last ``wanted`` positions; the keys of all of them go into the cache."""
        shape = self.shape
        heads = self.in_proj(x).unflatten(-1, (-1, shape.head_width))  # [B, T, queries | keys | values, d]
        rotated = rotate(heads[:, :, : shape.heads + shape.key_heads], turn)
        queries, keys = rotated.split((shape.heads, shape.key_heads), dim=2)
        keys, values = cache.append(layer, keys, heads[:, :, shape.heads + shape.key_heads :])
        if not wanted:
            return x[:, :0]
        queries = queries[:, -wanted:].transpose(1, 2)
        mask = visible(wanted, keys.shape[2], shape.context, x.device)
        attended = F.scaled_dot_product_attention(
            queries, keys, values, mask, enable_gqa=shape.key_heads != shape.heads
        )
        return self.out_proj(attended.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class LayerScale(nn.Module):
    """Scales each feature of a block's output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network, each added to its input."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=_NORM_EPSILON)
        self.self_attn = Attention(shape)
        self.norm2 = nn.LayerNorm(shape.width, eps=_NORM_EPSILON)
        self.linear1 = Linear(shape.width, shape.feedforward_width, bias=False)
        self.linear2 = Linear(shape.feedforward_width, shape.width, bias=False)
        self.layer_scale_1 = LayerScale(shape.width) if shape.layer_scale else nn.Identity()
        self.layer_scale_2 = LayerScale(shape.width) if shape.layer_scale else nn.Identity()

    def forward(self, x: Tensor, turn: Tensor, cache: Cache, layer: int, wanted: int) -> Tensor:  # [B, T, D]
        attended = self.self_attn(self.norm1(x), turn, cache, layer, wanted)
        x = x[:, x.shape[1] - wanted :] + self.layer_scale_1(attended)
        hidden = F.gelu(self.linear1(self.norm2(x)), approximate="tanh")
        return x + self.layer_scale_2(self.linear2(hidden))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Layers over one cache. The last layer computes outputs of the wanted positions alone, but all keys and values."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList(TransformerLayer(shape) for _ in range(shape.layers))

    def forward(self, x: Tensor, cache: Cache, *, wanted: int | None = None) -> Tensor:
        """Run ``[B, T, D]`` through all layers; return the last ``wanted`` positions (all by default)."""
        positions = x.shape[1]
        width, period = self.shape.head_width, self.shape.max_period
        turn = rotation(cache.position, positions, head_width=width, max_period=period, device=x.device)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            kept = positions if wanted is None or index < last else wanted
            x = layer(x, turn, cache, index, kept)
        cache.advance(positions)
        return x


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``torch.nn.functional.linear`` by the faster product of oneDNN on the CPU: ``[..., in] -> [..., out]``."""
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return F.linear(x, weight, bias)
    result: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001  (what PyTorch's compiler calls)
        x, weight, bias, "none", [], ""
    )
    return result


class Linear(nn.Linear):
    """``torch.nn.Linear`` with ``product``."""

    def forward(self, x: Tensor) -> Tensor:  # [..., in] -> [..., out]
        return product(x, self.weight, self.bias)
