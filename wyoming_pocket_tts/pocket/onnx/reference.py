"""What FlowLM's transformer computes, in NumPy, layer by layer: slow, exact and plain, to judge its graphs by.

Knows no graph and no runtime. Asks for each weight once: when they are read on demand, memory is needed for one.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.pocket.schema import BackboneConfig, FlowLMConfig

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

_EPSILON = 1e-5


def text_inputs(weights: Weights, tokens: NDArray[np.int64]) -> Floats:
    """Look tokens up: [S, D]."""
    rows: Floats = weights["flow_lm.conditioner.embed.weight"][tokens]
    projection = "flow_lm.conditioner.proj.weight"
    return rows @ weights[projection].T if projection in weights else rows


def last_hidden(config: FlowLMConfig, weights: Weights, inputs: Floats, latents: Floats) -> Floats:
    """What the heads get after reading text [S, D] and latents [L, latent_dim] from the beginning: [condition_dim]."""
    x = np.concatenate([inputs, latents @ weights["flow_lm.input_linear.weight"].T])
    for index in range(config.transformer.num_layers):
        name = f"flow_lm.transformer.layers.{index}"
        heads = _norm(weights, f"{name}.norm1", x) @ weights[f"{name}.self_attn.in_proj.weight"].T
        x = x + _attend(config.transformer, heads) @ weights[f"{name}.self_attn.out_proj.weight"].T
        inner = _gelu(_norm(weights, f"{name}.norm2", x) @ weights[f"{name}.linear1.weight"].T)
        x = x + inner @ weights[f"{name}.linear2.weight"].T
    hidden = _norm(weights, "flow_lm.out_norm", x[-1])
    return hidden @ weights["flow_lm.z_proj.weight"].T if config.z_dim else hidden


def _attend(sizes: BackboneConfig, projected: Floats) -> Floats:
    """Causal attention over queries, keys and values beside one another, [T, ...] -> [T, attention_dim]."""
    length, width = len(projected), sizes.head_dim
    heads = projected.reshape(length, -1, width).transpose(1, 0, 2)  # [queries | keys | values, T, d]
    queries, keys, values = np.split(heads, [sizes.num_heads, sizes.num_heads + sizes.kv_heads])
    shared_by = sizes.num_heads // sizes.kv_heads
    keys, values = (np.repeat(part, shared_by, axis=0) for part in (_rotated(keys, sizes.max_period), values))
    scores = _rotated(queries, sizes.max_period) @ keys.transpose(0, 2, 1) / math.sqrt(width)
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended: Floats = (shares / shares.sum(axis=-1, keepdims=True) @ values).astype(np.float32)
    return attended.transpose(1, 0, 2).reshape(length, -1)


def _rotated(heads: Floats, max_period: float) -> Floats:
    """Turn neighbouring pairs of features of [H, T, d] by their positions."""
    length, width = heads.shape[1:]
    frequencies = max_period ** (-np.arange(0, width, 2) / width)
    turn = np.exp(1j * np.arange(length)[:, None] * frequencies)
    turned = (heads[..., 0::2] + 1j * heads[..., 1::2]) * turn
    return np.stack([turned.real, turned.imag], axis=-1).reshape(heads.shape).astype(np.float32)


def _norm(weights: Weights, name: str, x: Floats) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
    normed: Floats = centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _gelu(x: Floats) -> Floats:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    y: Floats = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y
