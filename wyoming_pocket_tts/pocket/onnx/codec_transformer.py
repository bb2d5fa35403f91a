"""The codec's transformers as parts of a graph. Knows nothing about audio or latents.

Keys are kept as they are turned, at absolute positions; the angles are computed in 64 bits and taken modulo a whole
turn, so that they are as exact after hours as at the beginning.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import CONTRIB, Graph
from wyoming_pocket_tts.pocket.onnx.products import Products
from wyoming_pocket_tts.pocket.onnx.streaming import END, Stream
from wyoming_pocket_tts.pocket.schema import CodecTransformerConfig

Weights = Mapping[str, NDArray[np.float32]]

_HIDDEN = -1e9
"""Added to the score of what a query must not see."""


class CodecTransformer:
    """Writes a transformer of which every position sees the last ``context`` positions, its own included."""

    def __init__(self, stream: Stream, weights: Weights, config: CodecTransformerConfig, products: Products) -> None:
        self._stream, self._graph = stream, stream.graph
        self._weights, self._config, self._products = weights, config, products
        self._past = config.context - 1
        self._head_width = config.d_model // config.num_heads

    def __call__(self, x: str) -> str:
        """[T, input_dimension] -> [T, output_dimension]."""
        g, config = self._graph, self._config
        count = g.squeeze(g.slice(g.node("Shape", x), g.ints(0), g.ints(1), 0), 0)
        steps = g.node("Range", _scalar(g, 0), count, _scalar(g, 1))  # [T] int64
        turn, bias = self._turn(steps), self._visible(count, steps)
        self._stream.advance(count)
        if "input_proj.weight" in self._weights:
            x = self._products.linear(g, x, self._weights["input_proj.weight"])
        x = g.reshape(x, 1, -1, config.d_model)
        for index in range(config.num_layers):
            x = self._layer(x, f"transformer.layers.{index}", turn, bias)
        if "output_projs.0.weight" in self._weights:
            x = self._products.linear(g, x, self._weights["output_projs.0.weight"])
        return g.reshape(x, -1, config.output_dimension)

    def _layer(self, x: str, name: str, turn: tuple[str, str], bias: str) -> str:  # [1, T, D]
        g, products, w = self._graph, self._products, self._weights
        attention = f"{name}.self_attn"
        qkv = products.linear(g, self._norm(x, f"{name}.norm1"), self._split_pairs(w[f"{attention}.in_proj.weight"]))
        attended = self._attend(qkv, turn, bias)
        out = w[f"{name}.layer_scale_1.scale"][:, None] * w[f"{attention}.out_proj.weight"]
        x = g.add(x, products.linear(g, attended, out))
        hidden = products.linear(g, self._norm(x, f"{name}.norm2"), w[f"{name}.linear1.weight"])
        hidden = g.node("Gelu", hidden, approximate="tanh")
        down = w[f"{name}.layer_scale_2.scale"][:, None] * w[f"{name}.linear2.weight"]
        return g.add(x, products.linear(g, hidden, down))

    def _attend(self, qkv: str, turn: tuple[str, str], bias: str) -> str:
        """Attend from [1, T, queries | keys | values] to the past and them: [1, T, D]."""
        g, width, heads = self._graph, self._config.d_model, self._config.num_heads
        turning = g.slice(qkv, g.ints(0), g.ints(2 * width), 2)
        turned = g.node("RotaryEmbedding", turning, g.ints(0), *turn, domain=CONTRIB)
        queries, keys = g.split(turned, 2, 2)
        values = g.slice(qkv, g.ints(2 * width), g.ints(3 * width), 2)
        shape = (1, heads, self._past, self._head_width)
        states = (self._stream.state(*shape), self._stream.state(*shape))
        past = (spec.name for spec in states)
        attended, *presents = g.nodes(
            "MultiHeadAttention",
            *(queries, keys, values, "", "", bias, *past),
            outputs=3,
            num_heads=heads,
            domain=CONTRIB,
        )
        for spec, present in zip(states, presents, strict=True):
            self._stream.keep(spec, g.slice(present, g.ints(-self._past), g.ints(END), 2))
        return attended

    def _turn(self, steps: str) -> tuple[str, str]:
        """Cosines and sines of this call's positions, each [T, head width / 2]."""
        g = self._graph
        frequencies = self._config.max_period ** (-2 * np.arange(self._head_width // 2) / self._head_width)
        positions = g.node("Cast", g.add(steps, self._stream.position), to=_DOUBLE)
        angles = g.node("Mul", g.node("Unsqueeze", positions, g.ints(1)), g.constant(frequencies[None], exact=True))
        angles = g.node("Mod", angles, g.constant(np.array(2 * math.pi)), fmod=1)
        angles = g.node("Cast", angles, to=_FLOAT)
        return g.node("Cos", angles), g.node("Sin", angles)

    def _visible(self, count: str, steps: str) -> str:
        """Zero where a query sees a key, else very negative: [1, 1, T, past + T]."""
        g, past = self._graph, _scalar(self._graph, self._past)
        keys = g.node("Range", _scalar(g, 0), g.add(count, past), _scalar(g, 1))  # [past + T]
        last = g.node("Unsqueeze", g.add(steps, past), g.ints(1))  # [T, 1]
        before_beginning = g.node("Sub", past, self._stream.position)
        first = g.node("Unsqueeze", g.node("Max", steps, before_beginning), g.ints(1))
        seen = g.node("And", g.node("GreaterOrEqual", keys, first), g.node("LessOrEqual", keys, last))
        bias = g.node("Where", seen, _float(g, 0.0), _float(g, _HIDDEN))
        return g.node("Unsqueeze", bias, g.ints(0, 1))

    def _norm(self, x: str, name: str) -> str:
        return self._graph.layer_norm(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _split_pairs(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """Queries' and keys' rows in halves of each head rather than pairs: the same scores, and faster to turn."""
        width = self._config.d_model
        turned = weight[: 2 * width].reshape(-1, self._head_width // 2, 2, width).swapaxes(1, 2)
        return np.concatenate([turned.reshape(2 * width, width), weight[2 * width :]])


_FLOAT, _DOUBLE = 1, 11  # onnx.TensorProto's


def _scalar(g: Graph, value: int) -> str:
    return g.constant(np.array(value, np.int64))


def _float(g: Graph, value: float) -> str:
    return g.constant(np.array(value, np.float32))
