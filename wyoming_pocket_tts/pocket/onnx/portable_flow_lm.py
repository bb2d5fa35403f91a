"""FlowLM's text table and transformer as portable models. Knows no sampler and no runtime.

Equal to ``flow_lm.py``'s without its head, in operators of the ONNX standard alone. Keys and values come in with the
positions so far and go out with those of this call behind them; they are laid out as in the files of voices.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from onnx import TensorProto

from wyoming_pocket_tts.graph import DataFile, Graph
from wyoming_pocket_tts.pocket.onnx.flow_head import Weights
from wyoming_pocket_tts.pocket.onnx.linears import Floats
from wyoming_pocket_tts.pocket.onnx.portable_operators import (
    attend,
    count_from,
    hide_later,
    portable_products,
    rotate_neighbours,
    scalar,
    size_of,
    turns,
)
from wyoming_pocket_tts.pocket.onnx.products import FloatProducts, Products
from wyoming_pocket_tts.pocket.onnx.states import StateSpec
from wyoming_pocket_tts.pocket.onnx.streaming import END, POSITION, StreamingGraph
from wyoming_pocket_tts.pocket.schema import ModelConfig


def text_conditioner_graph(config: ModelConfig, weights: Weights, data: DataFile, *, quantize: bool) -> StreamingGraph:
    """The text table: ``token_ids`` [B, T] int64 -> ``embeddings`` [B, T, d_model].

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        quantize: keep the table in 16 bits: in 8, it would err as much as all other layers together.
    """
    g = Graph("text_conditioner", data=data)
    token_ids = g.input("token_ids", np.int64, ["batch", "tokens"])
    table = weights["flow_lm.conditioner.embed.weight"]
    x = g.node("Gather", g.constant(table.astype(np.float16) if quantize else table), token_ids)
    if quantize:
        x = g.node("Cast", x, to=TensorProto.FLOAT)
    if config.flow_lm.lookup_table.rank:
        x = FloatProducts().linear(g, x, weights["flow_lm.conditioner.proj.weight"])
    g.output(x, "embeddings", np.float32, ["batch", "tokens", config.flow_lm.transformer.d_model])
    return StreamingGraph(g, ())


def flow_lm_main_graph(config: ModelConfig, weights: Weights, data: DataFile, *, quantize: bool) -> StreamingGraph:
    """The transformer, for reading and for speaking.

    Inputs: ``embeddings`` [B, S, d_model], of text or a voice; ``latents`` [B, L, latent_dim], which stand behind them;
    S or L may be 0. ``position`` [] int64, how many positions came before. ``key_{i}`` and ``value_{i}``
    [B, kv_heads, P, head_dim] of each layer, P is 0 at first.

    Outputs: ``condition`` [B, condition_dim] and ``eos_logit`` [B], after the last position; ``next_position``;
    ``next_key_{i}`` and ``next_value_{i}`` [B, kv_heads, P + S + L, head_dim].

    Args as for ``text_conditioner_graph``; ``quantize`` multiplies 8-bit numbers but in narrow layers.
    """
    g = Graph("flow_lm_main", data=data)
    writer = _Writer(g, config, weights, portable_products(quantize=quantize))
    return StreamingGraph(g, writer.write())


@dataclass(frozen=True, slots=True)
class _Places:
    """What attention has to know about where it is: names of values."""

    turn: tuple[str, str]
    bias: str


@dataclass(frozen=True, slots=True)
class _Writer:
    graph: Graph
    config: ModelConfig
    weights: Weights
    products: Products
    grown: dict[StateSpec, str] = field(default_factory=dict)
    """Keys and values with this call's positions behind them."""

    def write(self) -> tuple[StateSpec, ...]:
        """Write all; return what the caller carries from call to call."""
        g, flow_lm = self.graph, self.config.flow_lm
        sizes, exact = flow_lm.transformer, FloatProducts()
        embeddings = g.input("embeddings", np.float32, ["batch", "embedded", sizes.d_model])
        latents = g.input("latents", np.float32, ["batch", "latents", self.config.latent_dim])
        x = g.concat(embeddings, exact.linear(g, latents, self._weight("input_linear")), axis=1)
        position = g.input(POSITION.name, np.int64, POSITION.shape)
        caches = [self._cache(index) for index in range(sizes.num_layers)]
        new = size_of(g, x, 1)
        places = self._places(position, new, past=size_of(g, caches[0][0].name, 2))
        for index, cache in enumerate(caches):
            x = self._layer(x, index, cache, places)
        condition = g.squeeze(self._norm(x, "out_norm"), 1)
        if flow_lm.z_dim:
            condition = exact.linear(g, condition, self._weight("z_proj"))
        eos_logit = g.linear(condition, self._weight("out_eos"), self.weights["flow_lm.out_eos.bias"])
        g.output(condition, "condition", np.float32, ["batch", flow_lm.condition_dim])
        g.output(g.squeeze(eos_logit, 1), "eos_logit", np.float32, ["batch"])
        g.output(g.add(position, new), POSITION.next_name, np.int64, POSITION.shape)
        for spec, value in self.grown.items():
            shape: list[int | str] = ["batch", sizes.kv_heads, "past_and_new", sizes.head_dim]
            g.output(value, spec.next_name, np.float32, shape)
        return (POSITION, *self.grown)

    def _cache(self, index: int) -> tuple[StateSpec, StateSpec]:
        """Keys and values of a layer; described for one stream at its beginning."""
        sizes = self.config.flow_lm.transformer
        for kind in ("key", "value"):
            self.graph.input(f"{kind}_{index}", np.float32, ["batch", sizes.kv_heads, "past", sizes.head_dim])
        shape = (1, sizes.kv_heads, 0, sizes.head_dim)
        return StateSpec(f"key_{index}", shape), StateSpec(f"value_{index}", shape)

    def _places(self, position: str, new: str, *, past: str) -> _Places:
        g, sizes = self.graph, self.config.flow_lm.transformer
        turn = turns(g, count_from(g, position, new), sizes.head_dim, sizes.max_period)
        bias = hide_later(g, count_from(g, past, new), count_from(g, scalar(g, 0), g.add(past, new)))  # [T, P + T]
        queries_per_key = sizes.num_heads // sizes.kv_heads
        if queries_per_key > 1:
            bias = g.node("Tile", bias, g.ints(queries_per_key, 1))
        return _Places(turn, bias)

    def _layer(self, x: str, index: int, cache: tuple[StateSpec, StateSpec], places: _Places) -> str:
        """A layer over [B, T, D]. The last one returns the last position alone: [B, 1, D]."""
        g, layer = self.graph, f"transformer.layers.{index}"
        attended = self._attention(self._norm(x, f"{layer}.norm1"), index, cache, places)
        if index == self.config.flow_lm.transformer.num_layers - 1:
            x, attended = (g.slice(rows, g.ints(-1), g.ints(END), 1) for rows in (x, attended))
        x = g.add(x, self._large(attended, f"{layer}.self_attn.out_proj"))
        inner = self._large(self._norm(x, f"{layer}.norm2"), f"{layer}.linear1")
        inner = g.node("Gelu", inner, approximate="tanh")
        return g.add(x, self._large(inner, f"{layer}.linear2"))

    def _attention(self, x: str, index: int, cache: tuple[StateSpec, StateSpec], places: _Places) -> str:
        """Attention before its output's projection: [B, T, D] -> [B, T, attention_dim].

        Where query heads share a key head, they are further rows of it: all products keep four dimensions.
        """
        g, sizes = self.graph, self.config.flow_lm.transformer
        width, kv_heads = sizes.head_dim, sizes.kv_heads
        queries, keys, values = self._projected(x, f"transformer.layers.{index}.self_attn.in_proj")
        queries = rotate_neighbours(g, queries, places.turn, heads=sizes.num_heads, head_width=width)
        keys = rotate_neighbours(g, keys, places.turn, heads=kv_heads, head_width=width)
        keys, values = (self._extended(spec, new) for spec, new in zip(cache, (keys, values), strict=True))
        grouped = g.node("Reshape", queries, g.ints(0, kv_heads, -1, width))  # rows: query head by query head
        attended = attend(g, grouped, keys, values, places.bias)
        by_head = g.node("Reshape", attended, g.node("Shape", queries))
        return g.node("Reshape", g.transpose(by_head, 0, 2, 1, 3), g.ints(0, -1, sizes.attention_dim))

    def _projected(self, x: str, name: str) -> tuple[str, str, str]:
        """Queries, scaled, then keys and values: [B, heads of each, T, head_dim]."""
        g, sizes = self.graph, self.config.flow_lm.transformer
        weight = self._weight(name).copy()
        weight[: sizes.attention_dim] /= np.float32(math.sqrt(sizes.head_dim))
        joined = self.products.linear(g, x, weight)
        bounds = np.cumsum([0, sizes.attention_dim, *[sizes.kv_heads * sizes.head_dim] * 2])
        parts = (g.slice(joined, g.ints(int(start)), g.ints(int(end)), 2) for start, end in pairwise(bounds))
        heads = (sizes.num_heads, sizes.kv_heads, sizes.kv_heads)
        queries, keys, values = (
            g.transpose(g.node("Reshape", part, g.ints(0, -1, count, sizes.head_dim)), 0, 2, 1, 3)
            for part, count in zip(parts, heads, strict=True)
        )
        return queries, keys, values

    def _extended(self, spec: StateSpec, new: str) -> str:
        """The past with this call's positions behind it."""
        self.grown[spec] = self.graph.concat(spec.name, new, axis=2)
        return self.grown[spec]

    def _norm(self, x: str, name: str) -> str:
        return self.graph.layer_norm(x, self._weight(name), self.weights[f"flow_lm.{name}.bias"])

    def _large(self, x: str, name: str) -> str:
        return self.products.linear(self.graph, x, self._weight(name))

    def _weight(self, name: str) -> Floats:
        return self.weights[f"flow_lm.{name}.weight"]
