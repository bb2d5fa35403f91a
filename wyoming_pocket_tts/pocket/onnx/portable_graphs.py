"""The same graphs in standard operators."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from onnx import TensorProto

from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.graph import END, POSITION, ExternalDataFile, GraphBuilder, StreamingGraph
from wyoming_pocket_tts.inference.quantized import ConvWindow, Float32MatMul, MatMulOps, quantize_columns
from wyoming_pocket_tts.inference.session import StateSpec
from wyoming_pocket_tts.pocket.onnx.codec_graphs import MASKED, CodecTransformer, encoded_frames, write_decoder
from wyoming_pocket_tts.pocket.onnx.flow_graphs import TIME_NORM_EPSILON, FlowBuilder
from wyoming_pocket_tts.pocket.schema import FlowConfig, ModelConfig

_MIDDLE = 128
_NARROW = 128
"""Channels of convolutions that stay exact: two decibels for a fifteenth of the decoder's size."""


def mimi_decoder_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The decoder: ``latents`` [1, T, latent_dim], normalised, any T >= 1 -> ``audio`` [1, T * frame_samples]."""
    matmul = _matmul(quantize=quantize)
    return write_decoder(config, weights, data, _StandardCodecTransformer, linears=matmul, convolutions=matmul)


def mimi_encoder_graph(config: ModelConfig, weights: WeightArrays, data: ExternalDataFile) -> StreamingGraph:
    """The encoder: ``audio`` [1, T * frame_samples], any T >= 1 -> ``conditioning`` [1, T, d_model], always exact.

    The conditioning is an input of ``flow_lm_main``: projected, and one position longer at the beginning of a stream
    where the model puts something before a voice.
    """
    stream, frames = encoded_frames(config, weights, data, _StandardCodecTransformer)
    g, width = stream.graph, config.flow_lm.transformer.d_model
    conditioning = g.linear(frames, weights["flow_lm.speaker_proj_weight"])
    if config.flow_lm.insert_bos_before_voice:
        rows = g.node("Where", stream.is_first(), g.ints(1), g.ints(0))
        beginning = g.constant(weights["flow_lm.bos_before_voice"].reshape(1, -1))
        conditioning = g.concat(g.slice(beginning, g.ints(0), rows, 0), conditioning, axis=0)
    g.output(g.reshape(conditioning, 1, -1, width), "conditioning", np.float32, [1, "positions", width])
    return stream.finish()


def text_conditioner_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The text table: ``token_ids`` [B, T] int64 -> ``embeddings`` [B, T, d_model].

    ``quantize`` keeps the table in 16 bits: in 8, it would err as much as all other layers together.
    """
    g = GraphBuilder("text_conditioner", data=data)
    token_ids = g.input("token_ids", np.int64, ["batch", "tokens"])
    table = weights["flow_lm.conditioner.embed.weight"]
    x = g.node("Gather", g.constant(table.astype(np.float16) if quantize else table), token_ids)
    if quantize:
        x = g.node("Cast", x, to=TensorProto.FLOAT)
    if config.flow_lm.lookup_table.rank:
        x = g.linear(x, weights["flow_lm.conditioner.proj.weight"])
    g.output(x, "embeddings", np.float32, ["batch", "tokens", config.flow_lm.transformer.d_model])
    return StreamingGraph(g, ())


def flow_lm_main_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The transformer, for prefill and decode; ``quantize`` multiplies 8-bit numbers but in narrow layers.

    Inputs: ``embeddings`` [B, S, d_model], of text or a voice; ``latents`` [B, L, latent_dim], which stand behind them;
    S or L may be 0. ``position`` [] int64, how many positions came before. ``key_{i}`` and ``value_{i}``
    [B, kv_heads, P, head_dim] of each layer, P is 0 at first.

    Outputs: ``condition`` [B, condition_dim] and ``eos_logit`` [B], after the last position; ``next_position``;
    ``next_key_{i}`` and ``next_value_{i}`` [B, kv_heads, P + S + L, head_dim].
    """
    g, sizes = GraphBuilder("flow_lm_main", data=data), config.flow_lm.transformer
    flow = _StandardFlowBuilder(g, config, weights, _matmul(quantize=quantize))
    condition, eos_logit = flow.read(
        g.input("embeddings", np.float32, ["batch", "embedded", sizes.d_model]),
        g.input("latents", np.float32, ["batch", "latents", config.latent_dim]),
    )
    g.output(condition, "condition", np.float32, ["batch", config.flow_lm.condition_dim])
    g.output(g.squeeze(eos_logit, 1), "eos_logit", np.float32, ["batch"])
    g.output(flow.next_position(), POSITION.next_name, np.int64, POSITION.shape)
    for spec, value in flow.grown.items():
        g.output(value, spec.next_name, np.float32, ["batch", sizes.kv_heads, "past_and_new", sizes.head_dim])
    return StreamingGraph(g, (POSITION, *flow.grown))


def time_inputs(config: FlowConfig) -> tuple[str, ...]:
    """The head's inputs in time: ``s``, where a step begins, and ``t``, where it ends; none, one or both."""
    return ("s", "t")[: config.n_times]


def flow_lm_flow_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, quantize: bool
) -> StreamingGraph:
    """The head's network; ``quantize`` multiplies 8-bit numbers in the wide layers.

    Inputs: ``condition`` [B, condition_dim] from ``flow_lm_main``; those of ``s`` and ``t`` [B, 1], 0 to 1, that
    ``time_inputs`` names; ``x`` [B, latent_dim]. Output: ``direction`` [B, latent_dim].
    """
    g = GraphBuilder("flow_lm_flow", data=data)
    flow = _StandardFlowBuilder(g, config, weights, _matmul(quantize=quantize))
    condition = g.input("condition", np.float32, ["batch", config.flow_lm.condition_dim])
    times = [g.input(name, np.float32, ["batch", 1]) for name in time_inputs(config.flow_lm.flow)]
    x = g.input("x", np.float32, ["batch", config.latent_dim])
    y = flow.large(condition, "flow_net.cond_embed")
    if times:
        embedded = [flow.embed_time(time, f"flow_net.time_embed.{j}") for j, time in enumerate(times)]
        total = embedded[0] if len(embedded) == 1 else g.node("Sum", *embedded)
        y = g.add(y, g.node("Mul", total, g.scalar(1 / len(times))))
    g.output(flow.direction(x, flow.modulation(y)), "direction", np.float32, ["batch", config.latent_dim])
    return StreamingGraph(g, ())


class _StandardFlowBuilder(FlowBuilder):
    """Attention over keys and values that grow from call to call."""

    _turn: tuple[str, str]
    _mask: str
    _count: tuple[str, str]
    grown: dict[StateSpec, str]
    """Keys and values with this call's positions behind them, by the states that they extend."""

    def begin(self, x: str) -> None:
        g, sizes, self.grown = self.graph, self.sizes, {}
        position = g.input(POSITION.name, np.int64, POSITION.shape)
        for name in (f"{kind}_{index}" for index in range(sizes.num_layers) for kind in ("key", "value")):
            g.input(name, np.float32, ["batch", sizes.kv_heads, "past", sizes.head_dim])
        new, past = g.size(x, 1), g.size("key_0", 2)
        self._turn = _turns(g, _count_from(g, position, new), sizes.head_dim, sizes.max_period)
        self._mask = _hide_later(g, _count_from(g, past, new), _count_from(g, g.scalar(0), g.add(past, new)))
        if sizes.num_heads > sizes.kv_heads:  # further query heads are rows below one another
            self._mask = g.node("Tile", self._mask, g.ints(sizes.num_heads // sizes.kv_heads, 1))
        self._count = position, new

    def attention(self, x: str, index: int) -> str:
        """Where query heads share a key head, they are further rows of it: all products keep four dimensions."""
        g, sizes, width = self.graph, self.sizes, self.sizes.head_dim
        # 1. queries, scaled, then keys and values: [B, heads of each, T, d]
        weight = self.weight(f"transformer.layers.{index}.self_attn.in_proj").copy()
        weight[: sizes.attention_dim] /= np.float32(math.sqrt(width))
        joined = self.matmul.linear(g, x, weight)
        bounds = np.cumsum([0, sizes.attention_dim, *[sizes.kv_heads * width] * 2])
        parts = (g.slice(joined, g.ints(int(start)), g.ints(int(end)), 2) for start, end in pairwise(bounds))
        queries, keys, values = (
            g.transpose(g.node("Reshape", part, g.ints(0, -1, heads, width)), 0, 2, 1, 3)
            for part, heads in zip(parts, (sizes.num_heads, sizes.kv_heads, sizes.kv_heads), strict=True)
        )
        # 2. positions, and the past in front of keys and values: [B, kv_heads, P + T, d]
        queries = _rotate_neighbours(g, queries, self._turn, heads=sizes.num_heads, head_dim=width)
        keys = _rotate_neighbours(g, keys, self._turn, heads=sizes.kv_heads, head_dim=width)
        keys, values = self._extend(f"key_{index}", keys), self._extend(f"value_{index}", values)
        # 3. rows are query head by query head: [B, kv_heads, T * num_heads / kv_heads, d]
        grouped = g.node("Reshape", queries, g.ints(0, sizes.kv_heads, -1, width))
        attended = g.node("Reshape", _attend(g, grouped, keys, values, self._mask), g.node("Shape", queries))
        return g.node("Reshape", g.transpose(attended, 0, 2, 1, 3), g.ints(0, -1, sizes.attention_dim))

    def _extend(self, name: str, new: str) -> str:
        spec = StateSpec(name, (1, self.sizes.kv_heads, 0, self.sizes.head_dim))  # of one stream, at its beginning
        self.grown[spec] = self.graph.concat(name, new, axis=2)
        return self.grown[spec]

    def next_position(self) -> str:
        return self.graph.add(*self._count)

    def last(self, x: str) -> str:
        return self.graph.slice(x, self.graph.ints(-1), self.graph.ints(END), 1)

    def rows(self, last: str) -> str:
        return self.graph.squeeze(last, 1)

    def silu(self, x: str) -> str:
        return self.graph.node("Mul", x, self.graph.node("Sigmoid", x))

    def embed_time(self, time: str, name: str) -> str:
        """[B, 1] -> [B, width]."""
        g, alpha = self.graph, self.weights[f"flow_lm.{name}.mlp.3.alpha"]
        angles = g.node("Mul", time, g.constant(self.weights[f"flow_lm.{name}.freqs"]))
        waves = g.concat(g.node("Cos", angles), g.node("Sin", angles), axis=-1)
        x = self.exact(self.silu(self.exact(waves, f"{name}.mlp.0")), f"{name}.mlp.2")
        away = g.node("Sub", x, g.node("ReduceMean", x, g.ints(-1)))
        squares = g.node("ReduceSum", g.node("Mul", away, away), g.ints(-1))
        variance = g.node("Div", squares, g.scalar(float(len(alpha) - 1)))
        deviation = g.node("Sqrt", g.add(variance, g.scalar(TIME_NORM_EPSILON)))
        return g.node("Div", g.node("Mul", x, g.constant(alpha)), deviation)


class _StandardCodecTransformer(CodecTransformer):
    """Keys are kept as they are, and turned by their place in the window that is seen.

    Attention depends on the distance of two positions alone: so no number grows with the length of a stream, and
    32 bits are enough for the angles.
    """

    def _turn(self, steps: str) -> tuple[str, str]:
        """Cosines and sines of all places, those of the past in front: [past + T, head_dim / 2]."""
        g, past = self._graph, np.arange(self._past)
        places = g.concat(g.constant(past), g.add(steps, g.ints(self._past)), axis=0)
        return _turns(g, places, self._head_dim, self._config.max_period)

    def _attend(self, qkv: str, turn: tuple[str, str], bias: str) -> str:  # [1, T, queries | keys | values]
        g, heads, width = self._graph, self._config.num_heads, self._head_dim
        parts = [g.reshape(part, 1, -1, heads, width) for part in g.split(qkv, 3, 2)]
        queries, keys, values = (g.transpose(part, 0, 2, 1, 3) for part in parts)
        keys, values = self._with_past(keys), self._with_past(values)
        cosines, sines = (g.slice(table, g.ints(self._past), g.ints(END), 0) for table in turn)
        queries = g.node("Mul", queries, g.scalar(1 / math.sqrt(width)))
        queries = _rotate_halves(g, queries, (cosines, sines))
        attended = _attend(g, queries, _rotate_halves(g, keys, turn), values, bias)
        return g.reshape(g.transpose(attended, 0, 2, 1, 3), 1, -1, heads * width)

    def _with_past(self, x: str) -> str:
        """Keys or values of the last positions in front: [1, H, T, d] -> [1, H, past + T, d]."""
        g = self._graph
        spec = self._stream.state(1, self._config.num_heads, self._past, self._head_dim)
        joined = g.concat(spec.name, x, axis=2)
        self._stream.keep(spec, g.slice(joined, g.ints(-self._past), g.ints(END), 2))
        return joined


class StandardInt8MatMul:
    """Products of bytes: weights rounded beforehand, column by column, inputs as they come.

    Both sides are unsigned. Older x86 processors multiply unsigned with signed bytes faster, but saturate on the way;
    so the sums are exact everywhere. Rows with outliers are taken in 16 bits, by two products. Convolutions from or to
    few channels stay exact: they are small, fast, and where rounding is heard most.
    """

    def linear(self, g: GraphBuilder, x: str, weight: Floats, bias: Floats | None = None, *, name: str = "") -> str:  # noqa: ARG002  (written once anyway)
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        y = self._product(g, rows, self._constants(g, weight.T))
        return y if bias is None else g.add(y, g.constant(bias))

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str:
        if min(window.taps[0].shape) <= _NARROW:
            return Float32MatMul().windows(g, x, window)
        matrix = np.concatenate(window.taps)
        codes, scales = quantize_columns(matrix)
        constants = self._constants(g, matrix)
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        y = self._product(g, rows, constants, window)
        y = g.add(y, g.constant(window.bias_for(codes * scales)))
        if window.has_outliers:
            rest = g.node("Sub", x, g.node("DequantizeLinear", *rows))
            y = g.add(y, self._product(g, g.nodes("DynamicQuantizeLinear", rest, outputs=3), constants, window))
        return y

    @staticmethod
    def _constants(g: GraphBuilder, matrix: Floats) -> tuple[str, str]:
        """A matrix [in, out] as unsigned bytes, and the scale of each column [out]."""
        codes, scales = quantize_columns(matrix)
        return g.constant((codes.astype(np.int16) + _MIDDLE).astype(np.uint8)), g.constant(scales)

    @staticmethod
    def _product(
        g: GraphBuilder, rows: Sequence[str], matrix: tuple[str, str], window: ConvWindow | None = None
    ) -> str:
        codes, scale, zero = rows
        if window:
            codes = window.unfold(g, codes)  # bytes are copied, not floats
        sums = g.node("MatMulInteger", codes, matrix[0], zero, g.constant(np.array(_MIDDLE, np.uint8)))
        return g.node("Mul", g.node("Cast", sums, to=TensorProto.FLOAT), g.node("Mul", scale, matrix[1]))


def _matmul(*, quantize: bool) -> MatMulOps:
    return StandardInt8MatMul() if quantize else Float32MatMul()


def _count_from(g: GraphBuilder, first: str, count: str) -> str:
    """``first``, ``first + 1``, ...: int64 [count]."""
    return g.node("Range", first, g.add(first, count), g.scalar(1))


def _turns(g: GraphBuilder, positions: str, head_dim: int, max_period: float) -> tuple[str, str]:
    """Cosines and sines of the turn of each feature pair at int64 positions [T]: each [T, head_dim / 2]."""
    pairs = np.arange(head_dim // 2, dtype=np.float32)
    frequencies = np.exp(pairs * np.float32(-math.log(max_period) * 2 / head_dim))
    times = g.node("Unsqueeze", g.node("Cast", positions, to=TensorProto.FLOAT), g.ints(1))
    angles = g.node("Mul", times, g.constant(frequencies[None]))
    return g.node("Cos", angles), g.node("Sin", angles)


def _rotate_halves(g: GraphBuilder, x: str, turn: tuple[str, str]) -> str:
    """Turn pairs of a number in the first half and one in the second: [..., T, d] -> the same."""
    return g.concat(*_rotate(g, g.split(x, 2, -1), turn), axis=-1)


def _rotate_neighbours(g: GraphBuilder, x: str, turn: tuple[str, str], *, heads: int, head_dim: int) -> str:
    """Turn pairs of neighbouring numbers: [B, heads, T, d] -> the same."""
    pairs = g.node("Reshape", x, g.ints(0, heads, -1, head_dim // 2, 2))
    halves = [g.squeeze(half, -1) for half in g.split(pairs, 2, -1)]
    turned = [g.node("Unsqueeze", half, g.ints(-1)) for half in _rotate(g, halves, turn)]
    return g.node("Reshape", g.concat(*turned, axis=-1), g.ints(0, heads, -1, head_dim))


def _rotate(g: GraphBuilder, halves: Sequence[str], turn: tuple[str, str]) -> tuple[str, str]:
    (x, y), (cosines, sines) = halves, turn
    first = g.node("Sub", g.node("Mul", x, cosines), g.node("Mul", y, sines))
    return first, g.add(g.node("Mul", x, sines), g.node("Mul", y, cosines))


def _hide_later(g: GraphBuilder, queries: str, keys: str) -> str:
    """Zero where a query's position is not before a key's, else very negative: int64 [T] and [P] -> [T, P]."""
    seen = g.node("GreaterOrEqual", g.node("Unsqueeze", queries, g.ints(1)), keys)
    return g.node("Where", seen, g.scalar(0.0), g.scalar(MASKED))


def _attend(g: GraphBuilder, queries: str, keys: str, values: str, bias: str) -> str:
    """Softmax attention, the queries scaled already: [B, H, T, d] and twice [B, H, P, d] -> [B, H, T, d].

    ``bias`` [T, P], with dimensions of one in front or not, is added to the scores.
    """
    scores = g.add(g.node("MatMul", queries, g.transpose(keys, 0, 1, 3, 2)), bias)
    return g.node("MatMul", g.node("Softmax", scores, axis=-1), values)
