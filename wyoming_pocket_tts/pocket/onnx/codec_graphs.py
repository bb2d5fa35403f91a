"""Mimi, SEANet, codec transformer."""

import math

import numpy as np

from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.graph import CONTRIB, END, ExternalDataFile, GraphBuilder, GraphState, StreamingGraph
from wyoming_pocket_tts.inference.quantized import ConvWindow, Float32MatMul, Int8MatMul, MatMulOps
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.schema import CodecTransformerConfig, ModelConfig, SEANetConfig


def decoder_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile | None = None, *, precision: Precision
) -> StreamingGraph:
    """The decoder: ``latents`` [1, T, latent_dim], normalised, any T >= 1 -> ``audio`` [1, T * frame_samples].

    ``MIXED`` leaves the convolutions exact; ``INT4`` is ``INT8`` here.
    """
    exact, rounded = Float32MatMul(), Int8MatMul()
    linears = exact if precision is Precision.FP32 else rounded
    convolutions = exact if precision in {Precision.FP32, Precision.MIXED} else rounded
    return write_decoder(config, weights, data, CodecTransformer, linears=linears, convolutions=convolutions)


def write_decoder(
    config: ModelConfig,
    weights: WeightArrays,
    data: ExternalDataFile | None,
    transformer: "type[CodecTransformer]",
    *,
    linears: MatMulOps,
    convolutions: MatMulOps,
) -> StreamingGraph:
    g, codec = GraphBuilder("mimi_decoder", data=data), config.mimi
    mean, deviation = weights["flow_lm.emb_mean"], weights["flow_lm.emb_std"]
    latents = g.input("latents", np.float32, [1, "frames", config.latent_dim])
    stream = GraphState(g)
    projection = weights["mimi.quantizer.output_proj.weight"][..., 0]  # [C, latent_dim]
    x = g.linear(g.reshape(latents, -1, config.latent_dim), projection * deviation, projection @ mean)
    x = _upsample(stream, x, weights["mimi.upsample.convtr.convtr.weight"])
    x = transformer(stream, weights, "mimi.decoder_transformer", codec.decoder_transformer_or_same, linears)(x)
    seanet = SEANetBuilder(stream, weights, "mimi.decoder", codec.decoder_seanet_or_same, convolutions)
    g.output(g.reshape(seanet.decoder(x), 1, -1), "audio", np.float32, [1, "samples"])
    return stream.finish()


def encoder_graph(config: ModelConfig, weights: WeightArrays, data: ExternalDataFile | None = None) -> StreamingGraph:
    """The encoder: ``audio`` [1, T * frame_samples], any T >= 1 -> ``frames`` [1, T, conditioning_dim], exact."""
    stream, frames = encoded_frames(config, weights, data, CodecTransformer)
    g, width = stream.graph, config.mimi.conditioning_dim
    g.output(g.reshape(frames, 1, -1, width), "frames", np.float32, [1, "frames", width])
    return stream.finish()


def encoded_frames(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile | None, transformer: "type[CodecTransformer]"
) -> tuple[GraphState, str]:
    """Everything from ``audio`` to the frames [T, conditioning_dim], in a graph to be finished."""
    g, codec = GraphBuilder("mimi_encoder", data=data), config.mimi
    audio = g.input("audio", np.float32, [1, "samples"])
    stream, exact = GraphState(g), Float32MatMul()
    x = SEANetBuilder(stream, weights, "mimi.encoder", codec.seanet, exact).encoder(g.reshape(audio, -1, 1))
    x = transformer(stream, weights, "mimi.encoder_transformer", codec.transformer, exact)(x)
    weight = weights["mimi.downsample.conv.conv.weight"]
    outputs, channels, kernel = weight.shape
    x = g.reshape(stream.with_past(x, kernel // 2, channels, replicate=True), -1, kernel // 2 * channels)
    return stream, exact.windows(g, x, ConvWindow(_strided_taps(weight), np.zeros(outputs, np.float32)))


def _upsample(stream: GraphState, x: str, weight: Floats) -> str:
    """From latents to the transformer's positions, channel by channel: [T, C] -> [T * stride, C]."""
    g = stream.graph
    channels, _, size = weight.shape
    stride = size // 2
    kernel = weight[:, 0].T  # [2 * stride, C]
    x = g.reshape(stream.with_past(x, 1, channels), -1, 1, channels)
    now, before = g.slice(x, g.ints(1), g.ints(END), 0), g.slice(x, g.ints(0), g.ints(-1), 0)
    own = g.node("Mul", now, g.constant(np.ascontiguousarray(kernel[:stride])))
    later = g.node("Mul", before, g.constant(np.ascontiguousarray(kernel[stride:])))
    return g.reshape(g.add(own, later), -1, channels)


_ELU_EXCESS = 1.0


def _elu_and_one(g: GraphBuilder, x: str) -> str:
    """ELU plus one, which the next layer's bias takes away again.

    These four operators take two thirds of the time of Max(x, Exp(Min(x, 0)) - 1), and a fifth of Elu's own.
    """
    above = g.node("Relu", x)
    return g.add(above, g.node("Exp", g.node("Sub", x, above)))


class SEANetBuilder:
    """Writes the layers of the encoder or the decoder; names of its weights begin with ``name``."""

    def __init__(
        self, stream: GraphState, weights: WeightArrays, name: str, config: SEANetConfig, matmul: MatMulOps
    ) -> None:
        self._stream, self._graph, self._config, self._matmul = stream, stream.graph, config, matmul
        self._weights, self._name = weights, name

    def decoder(self, x: str) -> str:
        """[T, dimension] -> [T * hop, 1]."""
        config, n = self._config, 0
        x = self._conv(x, "0.conv")
        for ratio in config.ratios:
            n += 2
            x = self._transposed(x, f"{n}.convtr", ratio)
            for index in range(config.n_residual_layers):
                n += 1
                x = self._residual(x, f"{n}", config.dilation_base**index)
        return self._to_one_channel(x, f"{n + 2}.conv")

    def encoder(self, x: str) -> str:
        """[T * hop, 1] -> [T, dimension]."""
        config, n = self._config, 0
        x = self._conv(x, "0.conv")
        for _ in config.ratios:
            for index in range(config.n_residual_layers):
                n += 1
                x = self._residual(x, f"{n}", config.dilation_base**index)
            n += 2
            x = self._strided(x, f"{n}.conv")
        return self._conv(x, f"{n + 2}.conv", after_elu=True)

    def _residual(self, x: str, name: str, dilation: int) -> str:
        y = self._conv(x, f"{name}.block.1.conv", dilation, after_elu=True)
        return self._graph.add(x, self._conv(y, f"{name}.block.3.conv", after_elu=True))

    def _conv(self, x: str, name: str, dilation: int = 1, *, after_elu: bool = False) -> str:
        weight, bias = self._parameters(name)  # [C', C, kernel]
        _, channels, kernel = weight.shape
        past = (kernel - 1) * dilation
        if after_elu:
            x = self._elu_with_past(x, past, channels)
        else:
            x = self._stream.with_past(x, past, channels, replicate=self._replicates)
        taps = list(weight.transpose(2, 1, 0))
        excess = _ELU_EXCESS if after_elu else 0.0
        window = ConvWindow(taps, bias, dilation=dilation, excess=excess, has_outliers=not after_elu)
        return self._matmul.windows(self._graph, x, window)

    def _transposed(self, x: str, name: str, stride: int) -> str:
        """Each row gives ``stride`` rows, to which the row before adds: [T, C] -> [T * stride, C']."""
        weight, bias = self._parameters(name)  # [C, C', 2 * stride]
        channels, outputs, _ = weight.shape
        own, later = (
            half.transpose(0, 2, 1).reshape(channels, stride * outputs) for half in np.split(weight, 2, axis=2)
        )
        window = ConvWindow([later, own], np.tile(bias, stride), excess=_ELU_EXCESS)
        x = self._elu_with_past(x, 1, channels, replicate=False)
        return self._graph.reshape(self._matmul.windows(self._graph, x, window), -1, outputs)

    def _strided(self, x: str, name: str) -> str:
        """[T * stride, C] -> [T, C']."""
        weight, bias = self._parameters(name)  # [C', C, 2 * stride]
        _, channels, kernel = weight.shape
        x = self._elu_with_past(x, kernel // 2, channels)
        x = self._graph.reshape(x, -1, kernel // 2 * channels)
        window = ConvWindow(_strided_taps(weight), bias, excess=_ELU_EXCESS)
        return self._matmul.windows(self._graph, x, window)

    def _to_one_channel(self, x: str, name: str) -> str:
        """The last convolution: first each row's share in all windows, then the few sums of a window: [T, 1]."""
        g = self._graph
        weight, bias = self._parameters(name)  # [1, C, kernel]
        _, channels, kernel = weight.shape
        x = self._elu_with_past(x, kernel - 1, channels)
        shares = g.node("MatMul", x, g.constant(np.ascontiguousarray(weight[0])))  # [past + T, kernel]
        y = g.constant(bias - _ELU_EXCESS * weight.sum(axis=(1, 2)))
        for tap, column in enumerate(g.split(shares, kernel, 1)):
            y = g.add(y, g.slice(column, g.ints(tap), g.ints(tap - kernel + 1 or END), 0))
        return y

    def _elu_with_past(self, x: str, rows: int, channels: int, *, replicate: bool | None = None) -> str:
        replicate = self._replicates if replicate is None else replicate
        activated = _elu_and_one(self._graph, x)
        return self._stream.with_past(activated, rows, channels, replicate=replicate, fill=_ELU_EXCESS)

    def _parameters(self, name: str) -> tuple[Floats, Floats]:
        return self._weights[f"{self._name}.model.{name}.weight"], self._weights[f"{self._name}.model.{name}.bias"]

    @property
    def _replicates(self) -> bool:
        return self._config.pad_mode == "replicate"


def _strided_taps(weight: Floats) -> list[Floats]:
    """The matrices of a convolution with a kernel of twice its stride, over rows of a stride's samples each."""
    outputs, channels, kernel = weight.shape
    return [half.transpose(2, 1, 0).reshape(kernel // 2 * channels, outputs) for half in np.split(weight, 2, axis=2)]


MASKED = -1e9
"""Added to the score of a key that a query must not see."""


class CodecTransformer:
    """Writes a transformer of which every position sees the last ``context`` positions, its own included."""

    def __init__(
        self, stream: GraphState, weights: WeightArrays, name: str, config: CodecTransformerConfig, matmul: MatMulOps
    ) -> None:
        self._stream, self._graph, self._config, self._matmul = stream, stream.graph, config, matmul
        self._weights, self._name = weights, name
        self._past = config.context - 1
        self._head_dim = config.d_model // config.num_heads

    def __call__(self, x: str) -> str:
        """[T, input_dimension] -> [T, output_dimension]."""
        g, config = self._graph, self._config
        count = g.size(x, 0)
        steps = g.node("Range", g.scalar(0), count, g.scalar(1))  # [T] int64
        turn, bias = self._turn(steps), self._visible(count, steps)
        self._stream.advance(count)
        if f"{self._name}.input_proj.weight" in self._weights:
            x = self._linear(x, "input_proj")
        x = g.reshape(x, 1, -1, config.d_model)
        for index in range(config.num_layers):
            x = self._layer(x, f"transformer.layers.{index}", turn, bias)
        if f"{self._name}.output_projs.0.weight" in self._weights:
            x = self._linear(x, "output_projs.0")
        return g.reshape(x, -1, config.output_dimension)

    def _layer(self, x: str, name: str, turn: tuple[str, str], bias: str) -> str:  # [1, T, D]
        g = self._graph
        in_proj = self._split_pairs(self._weight(f"{name}.self_attn.in_proj.weight"))
        attended = self._attend(self._matmul.linear(g, self._norm(x, f"{name}.norm1"), in_proj), turn, bias)
        x = g.add(x, self._linear(attended, f"{name}.self_attn.out_proj", scale=f"{name}.layer_scale_1"))
        hidden = g.node("Gelu", self._linear(self._norm(x, f"{name}.norm2"), f"{name}.linear1"), approximate="tanh")
        return g.add(x, self._linear(hidden, f"{name}.linear2", scale=f"{name}.layer_scale_2"))

    def _attend(self, qkv: str, turn: tuple[str, str], bias: str) -> str:
        """Attend from [1, T, queries | keys | values] to the past and them: [1, T, D]."""
        g, width, heads = self._graph, self._config.d_model, self._config.num_heads
        turning = g.slice(qkv, g.ints(0), g.ints(2 * width), 2)
        turned = g.node("RotaryEmbedding", turning, g.ints(0), *turn, domain=CONTRIB)
        queries, keys = g.split(turned, 2, 2)
        values = g.slice(qkv, g.ints(2 * width), g.ints(3 * width), 2)
        shape = (1, heads, self._past, self._head_dim)
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
        frequencies = self._config.max_period ** (-2 * np.arange(self._head_dim // 2) / self._head_dim)
        positions = g.node("Cast", g.add(steps, self._stream.position), to=_DOUBLE)
        angles = g.node("Mul", g.node("Unsqueeze", positions, g.ints(1)), g.constant(frequencies[None], exact=True))
        angles = g.node("Mod", angles, g.constant(np.array(2 * math.pi)), fmod=1)
        angles = g.node("Cast", angles, to=_FLOAT)
        return g.node("Cos", angles), g.node("Sin", angles)

    def _visible(self, count: str, steps: str) -> str:
        """Zero where a query sees a key, else very negative: [1, 1, T, past + T]."""
        g, past = self._graph, self._graph.scalar(self._past)
        keys = g.node("Range", g.scalar(0), g.add(count, past), g.scalar(1))  # [past + T]
        last = g.node("Unsqueeze", g.add(steps, past), g.ints(1))  # [T, 1]
        before_beginning = g.node("Sub", past, self._stream.position)
        first = g.node("Unsqueeze", g.node("Max", steps, before_beginning), g.ints(1))
        seen = g.node("And", g.node("GreaterOrEqual", keys, first), g.node("LessOrEqual", keys, last))
        bias = g.node("Where", seen, g.scalar(0.0), g.scalar(MASKED))
        return g.node("Unsqueeze", bias, g.ints(0, 1))

    def _norm(self, x: str, name: str) -> str:
        return self._graph.layer_norm(x, self._weight(f"{name}.weight"), self._weight(f"{name}.bias"))

    def _linear(self, x: str, name: str, *, scale: str | None = None) -> str:
        weight = self._weight(f"{name}.weight")
        if scale:  # of the output's features, [D]
            weight = self._weight(f"{scale}.scale")[:, None] * weight
        return self._matmul.linear(self._graph, x, weight)

    def _weight(self, name: str) -> Floats:
        return self._weights[f"{self._name}.{name}"]

    def _split_pairs(self, weight: Floats) -> Floats:
        """Queries' and keys' rows in halves of each head rather than pairs: the same scores, and faster to turn."""
        width = self._config.d_model
        turned = weight[: 2 * width].reshape(-1, self._head_dim // 2, 2, width).swapaxes(1, 2)
        return np.concatenate([turned.reshape(2 * width, width), weight[2 * width :]])


_FLOAT, _DOUBLE = 1, 11  # onnx.TensorProto's
