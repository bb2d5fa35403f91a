"""The same graphs in standard operators."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from onnx import TensorProto

from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.graph import END, POSITION, ExternalDataFile, GraphBuilder, GraphState, StreamingGraph
from wyoming_pocket_tts.inference.quantized import ConvWindow, Float32MatMul, MatMulOps, quantize_columns
from wyoming_pocket_tts.inference.session import StateSpec
from wyoming_pocket_tts.pocket.onnx.codec_graphs import (
    CodecTransformer,
    PrefixedWeights,
    SEANetBuilder,
    strided_taps,
    upsample,
)
from wyoming_pocket_tts.pocket.schema import FlowConfig, ModelConfig


def mimi_decoder_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The decoder: ``latents`` [1, T, latent_dim], normalised, any T >= 1 -> ``audio`` [1, T * frame_samples].

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        quantize: multiply 8-bit numbers.
    """
    g, codec = GraphBuilder("mimi_decoder", data=data), config.mimi
    latents = g.input("latents", np.float32, [1, "frames", config.latent_dim])
    stream, products = GraphState(g), portable_products(quantize=quantize)
    mean, deviation = weights["flow_lm.emb_mean"], weights["flow_lm.emb_std"]
    projection = weights["mimi.quantizer.output_proj.weight"][..., 0]  # [C, latent_dim]
    x = g.linear(g.reshape(latents, -1, config.latent_dim), projection * deviation, projection @ mean)
    x = upsample(stream, x, weights["mimi.upsample.convtr.convtr.weight"])
    layers = PrefixedWeights(weights, "mimi.decoder_transformer.")
    x = _PortableTransformer(stream, layers, codec.decoder_transformer_or_same, products)(x)
    seanet = SEANetBuilder(
        stream, PrefixedWeights(weights, "mimi.decoder.model."), codec.decoder_seanet_or_same, products
    )
    g.output(g.reshape(seanet.decoder(x), 1, -1), "audio", np.float32, [1, "samples"])
    return stream.finish()


def mimi_encoder_graph(config: ModelConfig, weights: WeightArrays, data: ExternalDataFile) -> StreamingGraph:
    """The encoder: ``audio`` [1, T * frame_samples], any T >= 1 -> ``conditioning`` [1, T, d_model], exact.

    The conditioning is what ``flow_lm_main`` reads: projected, and at the beginning of a stream one longer where the
    model puts something before a voice. Args as for the decoder. It is used once for a voice, so it is never quantised.
    """
    g, codec = GraphBuilder("mimi_encoder", data=data), config.mimi
    audio = g.input("audio", np.float32, [1, "samples"])
    stream, products = GraphState(g), Float32MatMul()
    seanet = SEANetBuilder(stream, PrefixedWeights(weights, "mimi.encoder.model."), codec.seanet, products)
    x = seanet.encoder(g.reshape(audio, -1, 1))
    x = _PortableTransformer(
        stream, PrefixedWeights(weights, "mimi.encoder_transformer."), codec.transformer, products
    )(x)
    weight = weights["mimi.downsample.conv.conv.weight"]
    outputs, channels, kernel = weight.shape
    x = g.reshape(stream.with_past(x, kernel // 2, channels, replicate=True), -1, kernel // 2 * channels)
    frames = products.windows(g, x, ConvWindow(strided_taps(weight), np.zeros(outputs, np.float32)))
    conditioning = g.linear(frames, weights["flow_lm.speaker_proj_weight"])
    if config.flow_lm.insert_bos_before_voice:
        conditioning = _with_beginning(stream, conditioning, weights["flow_lm.bos_before_voice"].reshape(1, -1))
    width = config.flow_lm.transformer.d_model
    g.output(g.reshape(conditioning, 1, -1, width), "conditioning", np.float32, [1, "positions", width])
    return stream.finish()


def _with_beginning(stream: GraphState, x: str, beginning: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    """Put a row in front, in the stream's first call alone: [T, D] -> [T + 1, D] or [T, D]."""
    g = stream.graph
    rows = g.node("Where", stream.is_first(), g.ints(1), g.ints(0))
    return g.concat(g.slice(g.constant(beginning), g.ints(0), rows, 0), x, axis=0)


class _PortableTransformer(CodecTransformer):
    """Keys are kept as they are, and turned by their place in the window of what is seen.

    Attention depends on the distance of two positions alone: so no number grows with the length of a stream, and
    32 bits are enough for the angles.
    """

    def _turn(self, steps: str) -> tuple[str, str]:
        """Cosines and sines of all places, those of the past in front: [past + T, head width / 2]."""
        g, past = self._graph, np.arange(self._past)
        places = g.concat(g.constant(past), g.add(steps, g.ints(self._past)), axis=0)
        return turns(g, places, self._head_width, self._config.max_period)

    def _attend(self, qkv: str, turn: tuple[str, str], bias: str) -> str:  # [1, T, queries | keys | values]
        g, heads, width = self._graph, self._config.num_heads, self._head_width
        parts = [g.reshape(part, 1, -1, heads, width) for part in g.split(qkv, 3, 2)]
        queries, keys, values = (g.transpose(part, 0, 2, 1, 3) for part in parts)
        keys, values = self._with_past(keys), self._with_past(values)
        queries_turn = tuple(g.slice(table, g.ints(self._past), g.ints(END), 0) for table in turn)
        queries = g.node("Mul", queries, g.constant(np.array(1 / math.sqrt(width), np.float32)))
        queries = rotate_halves(g, queries, (queries_turn[0], queries_turn[1]))
        attended = attend(g, queries, rotate_halves(g, keys, turn), values, bias)
        return g.reshape(g.transpose(attended, 0, 2, 1, 3), 1, -1, heads * width)

    def _with_past(self, x: str) -> str:
        """Keys or values of the last positions in front: [1, H, T, d] -> [1, H, past + T, d]."""
        g = self._graph
        spec = self._stream.state(1, self._config.num_heads, self._past, self._head_width)
        joined = g.concat(spec.name, x, axis=2)
        self._stream.keep(spec, g.slice(joined, g.ints(-self._past), g.ints(END), 2))
        return joined


def text_conditioner_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The text table: ``token_ids`` [B, T] int64 -> ``embeddings`` [B, T, d_model].

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        quantize: keep the table in 16 bits: in 8, it would err as much as all other layers together.
    """
    g = GraphBuilder("text_conditioner", data=data)
    token_ids = g.input("token_ids", np.int64, ["batch", "tokens"])
    table = weights["flow_lm.conditioner.embed.weight"]
    x = g.node("Gather", g.constant(table.astype(np.float16) if quantize else table), token_ids)
    if quantize:
        x = g.node("Cast", x, to=TensorProto.FLOAT)
    if config.flow_lm.lookup_table.rank:
        x = Float32MatMul().linear(g, x, weights["flow_lm.conditioner.proj.weight"])
    g.output(x, "embeddings", np.float32, ["batch", "tokens", config.flow_lm.transformer.d_model])
    return StreamingGraph(g, ())


def flow_lm_main_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The transformer, for reading and for speaking.

    Inputs: ``embeddings`` [B, S, d_model], of text or a voice; ``latents`` [B, L, latent_dim], which stand behind them;
    S or L may be 0. ``position`` [] int64, how many positions came before. ``key_{i}`` and ``value_{i}``
    [B, kv_heads, P, head_dim] of each layer, P is 0 at first.

    Outputs: ``condition`` [B, condition_dim] and ``eos_logit`` [B], after the last position; ``next_position``;
    ``next_key_{i}`` and ``next_value_{i}`` [B, kv_heads, P + S + L, head_dim].

    Args as for ``text_conditioner_graph``; ``quantize`` multiplies 8-bit numbers but in narrow layers.
    """
    g = GraphBuilder("flow_lm_main", data=data)
    writer = _Writer(g, config, weights, portable_products(quantize=quantize))
    return StreamingGraph(g, writer.write())


@dataclass(frozen=True, slots=True)
class _Places:
    """What attention has to know about where it is: names of values."""

    turn: tuple[str, str]
    bias: str


@dataclass(frozen=True, slots=True)
class _Writer:
    graph: GraphBuilder
    config: ModelConfig
    weights: WeightArrays
    products: MatMulOps
    grown: dict[StateSpec, str] = field(default_factory=dict)
    """Keys and values with this call's positions behind them."""

    def write(self) -> tuple[StateSpec, ...]:
        """Write all; return what the caller carries from call to call."""
        g, flow_lm = self.graph, self.config.flow_lm
        sizes, exact = flow_lm.transformer, Float32MatMul()
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


_NORM_EPSILON = 1e-6
_TIME_NORM_EPSILON = 1e-5
_NAME = "flow_lm.flow_net"


def time_inputs(config: FlowConfig) -> tuple[str, ...]:
    """The points in time that the head is told: ``s``, where a step begins, and ``t``, where it ends."""
    return ("s", "t")[: config.n_times]


def flow_lm_flow_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The head's network.

    Inputs: ``condition`` [B, condition_dim] from ``flow_lm_main``; those of ``s`` and ``t`` [B, 1], 0 to 1, that
    ``time_inputs`` names; ``x`` [B, latent_dim]. Output: ``direction`` [B, latent_dim].

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        quantize: multiply 8-bit numbers in the wide layers.
    """
    g, flow = GraphBuilder("flow_lm_flow", data=data), config.flow_lm.flow
    writer = _PortableHeadWriter(g, weights, portable_products(quantize=quantize))
    condition = g.input("condition", np.float32, ["batch", config.flow_lm.condition_dim])
    times = [g.input(name, np.float32, ["batch", 1]) for name in time_inputs(flow)]
    x = g.input("x", np.float32, ["batch", config.latent_dim])
    y = writer.large(condition, "cond_embed")
    if times:
        embedded = [writer.time_embedding(time, f"time_embed.{j}") for j, time in enumerate(times)]
        total = embedded[0] if len(embedded) == 1 else g.node("Sum", *embedded)
        y = g.add(y, g.node("Mul", total, g.constant(np.array(1 / len(times), np.float32))))
    direction = writer.network(x, writer.modulations(y, flow))
    g.output(direction, "direction", np.float32, ["batch", config.latent_dim])
    return StreamingGraph(g, ())


class _PortableHeadWriter:
    """A graph, and what it is written from; names of layers are those within the head."""

    def __init__(self, graph: GraphBuilder, weights: WeightArrays, products: MatMulOps) -> None:
        self._graph, self._weights, self._products = graph, weights, products

    def time_embedding(self, time: str, name: str) -> str:
        """[B, 1] -> [B, width]."""
        g = self._graph
        angles = g.node("Mul", time, g.constant(self._weights[f"{_NAME}.{name}.freqs"]))
        waves = g.concat(g.node("Cos", angles), g.node("Sin", angles), axis=-1)
        x = self.exact(silu(g, self.exact(waves, f"{name}.mlp.0")), f"{name}.mlp.2")
        alpha = self._weights[f"{_NAME}.{name}.mlp.3.alpha"]
        away = g.node("Sub", x, g.node("ReduceMean", x, g.ints(-1)))
        squares = g.node("ReduceSum", g.node("Mul", away, away), g.ints(-1))
        variance = g.node("Div", squares, g.constant(np.array(len(alpha) - 1, np.float32)))
        spread = g.node("Sqrt", g.add(variance, g.constant(np.array(_TIME_NORM_EPSILON, np.float32))))
        return g.node("Div", g.node("Mul", x, g.constant(alpha)), spread)

    def modulations(self, condition: str, flow: FlowConfig) -> Sequence[str]:
        """Shift, 1 + scale and gate of every block, then shift and 1 + scale of the final layer: each [B, width]."""
        g = self._graph
        layers = [*(f"res_blocks.{i}" for i in range(flow.depth)), "final_layer"]
        parameters = [self._of(f"{layer}.adaLN_modulation.1") for layer in layers]
        weight = np.concatenate([weight for weight, _ in parameters])
        biases = [bias.copy() for _, bias in parameters]
        for bias in biases:
            bias[flow.dim : 2 * flow.dim] += 1
        joined = self._products.linear(g, silu(g, condition), weight)
        joined = g.add(joined, g.constant(np.concatenate(biases)))
        return g.split(joined, len(weight) // flow.dim, -1)

    def network(self, x: str, modulation: Sequence[str]) -> str:
        """[B, latent_dim] -> [B, latent_dim], under modulations."""
        g = self._graph
        *blocks, shift, scale = modulation
        x = self.exact(x, "input_proj")
        for i in range(len(blocks) // 3):
            block_shift, block_scale, gate = blocks[3 * i : 3 * i + 3]
            name = f"res_blocks.{i}"
            y = g.layer_norm(x, *self._of(f"{name}.in_ln"), epsilon=_NORM_EPSILON)
            y = g.add(g.node("Mul", y, block_scale), block_shift)
            y = self.large(silu(g, self.large(y, f"{name}.mlp.0")), f"{name}.mlp.2")
            x = g.add(x, g.node("Mul", gate, y))
        width = len(self._of("input_proj")[1])
        y = g.layer_norm(x, np.ones(width, np.float32), np.zeros(width, np.float32), epsilon=_NORM_EPSILON)
        return self.exact(g.add(g.node("Mul", y, scale), shift), "final_layer.linear")

    def large(self, x: str, name: str) -> str:
        weight, bias = self._of(name)
        return self._graph.add(self._products.linear(self._graph, x, weight), self._graph.constant(bias))

    def exact(self, x: str, name: str) -> str:
        return self._graph.linear(x, *self._of(name))

    def _of(self, name: str) -> tuple[Floats, Floats]:
        return self._weights[f"{_NAME}.{name}.weight"], self._weights[f"{_NAME}.{name}.bias"]


_MIDDLE = 128
_NARROW = 128
"""Channels of convolutions that are exact: two decibels for a fifteenth of the decoder's size."""
_HIDDEN = -1e9
"""Added to the score of what a query must not see."""


class StandardInt8MatMul:
    """Products of bytes: weights rounded beforehand, column by column, inputs as they come.

    Both sides are unsigned. Older x86 processors multiply unsigned with signed bytes faster, but saturate on the way;
    so the sums are exact everywhere. Rows with outliers are taken in 16 bits, by two products. Convolutions from or to
    few channels stay exact: they are small, fast, and where rounding is heard most.
    """

    def linear(self, g: GraphBuilder, x: str, weight: Floats) -> str:
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        return _integer_product(g, rows, _constants(g, weight.T))

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str:
        if min(window.taps[0].shape) <= _NARROW:
            return Float32MatMul().windows(g, x, window)
        matrix = np.concatenate(window.taps)
        codes, scales = quantize_columns(matrix)
        constants = _constants(g, matrix)
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        y = g.add(_unfolded_product(g, rows, window, constants), g.constant(window.bias_for(codes * scales)))
        if window.has_outliers:
            rest = g.node("Sub", x, g.node("DequantizeLinear", *rows))
            rest_rows = g.nodes("DynamicQuantizeLinear", rest, outputs=3)
            y = g.add(y, _unfolded_product(g, rest_rows, window, constants))
        return y


def portable_products(*, quantize: bool) -> MatMulOps:
    """Exact products, or such in 8 bits."""
    return StandardInt8MatMul() if quantize else Float32MatMul()


def silu(g: GraphBuilder, x: str) -> str:
    """``x * sigmoid(x)``."""
    return g.node("Mul", x, g.node("Sigmoid", x))


def scalar(g: GraphBuilder, value: int) -> str:
    """An int64 constant without dimensions."""
    return g.constant(np.array(value, np.int64))


def size_of(g: GraphBuilder, x: str, axis: int) -> str:
    """How long ``x`` is along an axis: int64, a scalar."""
    return g.squeeze(g.slice(g.node("Shape", x), g.ints(axis), g.ints(axis + 1), 0), 0)


def count_from(g: GraphBuilder, first: str, count: str) -> str:
    """``first``, ``first + 1``, ...: int64 [count]."""
    return g.node("Range", first, g.add(first, count), scalar(g, 1))


def turns(g: GraphBuilder, positions: str, head_width: int, max_period: float) -> tuple[str, str]:
    """Cosines and sines of the turn of each feature pair at int64 positions [T]: each [T, head_width / 2]."""
    pairs = np.arange(head_width // 2, dtype=np.float32)
    frequencies = np.exp(pairs * np.float32(-math.log(max_period) * 2 / head_width))
    times = g.node("Unsqueeze", g.node("Cast", positions, to=TensorProto.FLOAT), g.ints(1))
    angles = g.node("Mul", times, g.constant(frequencies[None]))
    return g.node("Cos", angles), g.node("Sin", angles)


def rotate_halves(g: GraphBuilder, x: str, turn: tuple[str, str]) -> str:
    """Turn pairs whose first numbers all stand before the second ones: [..., T, d] -> the same."""
    return g.concat(*_turned(g, g.split(x, 2, -1), turn), axis=-1)


def rotate_neighbours(g: GraphBuilder, x: str, turn: tuple[str, str], *, heads: int, head_width: int) -> str:
    """Turn pairs of neighbouring numbers: [B, heads, T, d] -> the same."""
    pairs = g.node("Reshape", x, g.ints(0, heads, -1, head_width // 2, 2))
    halves = [g.squeeze(half, -1) for half in g.split(pairs, 2, -1)]
    turned = [g.node("Unsqueeze", half, g.ints(-1)) for half in _turned(g, halves, turn)]
    return g.node("Reshape", g.concat(*turned, axis=-1), g.ints(0, heads, -1, head_width))


def hide_later(g: GraphBuilder, queries: str, keys: str) -> str:
    """Zero where a query's position is not before a key's, else very negative: int64 [T] and [P] -> [T, P]."""
    seen = g.node("GreaterOrEqual", g.node("Unsqueeze", queries, g.ints(1)), keys)
    zero, hidden = (g.constant(np.array(value, np.float32)) for value in (0.0, _HIDDEN))
    return g.node("Where", seen, zero, hidden)


def attend(g: GraphBuilder, queries: str, keys: str, values: str, bias: str) -> str:
    """Softmax attention, the queries scaled already: [B, H, T, d] and twice [B, H, P, d] -> [B, H, T, d].

    ``bias`` is added to the scores: [T, P], with dimensions of one in front or not.
    """
    scores = g.add(g.node("MatMul", queries, g.transpose(keys, 0, 1, 3, 2)), bias)
    return g.node("MatMul", g.node("Softmax", scores, axis=-1), values)


def _turned(g: GraphBuilder, halves: Sequence[str], turn: tuple[str, str]) -> tuple[str, str]:
    (x, y), (cosines, sines) = halves, turn
    first = g.node("Sub", g.node("Mul", x, cosines), g.node("Mul", y, sines))
    return first, g.add(g.node("Mul", x, sines), g.node("Mul", y, cosines))


def _constants(g: GraphBuilder, matrix: Floats) -> tuple[str, str]:
    """A matrix [in, out] as unsigned bytes, and the scale of each column [out]."""
    codes, scales = quantize_columns(matrix)
    return g.constant((codes.astype(np.int16) + _MIDDLE).astype(np.uint8)), g.constant(scales)


def _unfolded_product(g: GraphBuilder, rows: Sequence[str], window: ConvWindow, matrix: tuple[str, str]) -> str:
    codes, scale, zero = rows
    return _integer_product(g, (window.unfold(g, codes), scale, zero), matrix)  # bytes are copied, not floats


def _integer_product(g: GraphBuilder, rows: Sequence[str], matrix: tuple[str, str]) -> str:
    codes, scale, zero = rows
    sums = g.node("MatMulInteger", codes, matrix[0], zero, g.constant(np.array(_MIDDLE, np.uint8)))
    return g.node("Mul", g.node("Cast", sums, to=TensorProto.FLOAT), g.node("Mul", scale, matrix[1]))
