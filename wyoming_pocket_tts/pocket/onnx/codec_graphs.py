"""Mimi, SEANet, codec transformer."""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.graph import CONTRIB, END, ExternalDataFile, GraphBuilder, GraphState, StreamingGraph
from wyoming_pocket_tts.inference.quantized import ConvWindow, Float32MatMul, Int8MatMul, MatMulOps
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.schema import CodecTransformerConfig, MimiConfig, SEANetConfig


def decoder_graph(
    config: MimiConfig,
    weights: WeightArrays,
    emb_mean: Floats,
    emb_std: Floats,
    data: ExternalDataFile | None = None,
    *,
    precision: Precision,
) -> StreamingGraph:
    """The decoder: ``latents`` [1, T, latent_dim], normalised, any T >= 1 -> ``audio`` [1, T * frame_samples].

    Arguments:
        config: the codec's sizes.
        weights: the model's tensors, by the names of ``tensors.py``.
        emb_mean: what a normalised latent of zeros stands for, [latent_dim].
        emb_std: what a normalised latent is scaled by, [latent_dim].
        data: where large constants go; None for within the model.
        precision: ``mixed`` leaves the convolutions exact; ``int4`` is ``int8`` here.
    """
    g = GraphBuilder("mimi_decoder", data=data)
    latents = g.input("latents", np.float32, [1, "frames", config.quantizer.dimension])
    stream = GraphState(g)
    exact, rounded = Float32MatMul(), Int8MatMul()
    projection = weights["mimi.quantizer.output_proj.weight"][..., 0]  # [C, latent_dim]
    x = g.linear(g.reshape(latents, -1, len(emb_std)), projection * emb_std, projection @ emb_mean)
    x = upsample(stream, x, weights["mimi.upsample.convtr.convtr.weight"])
    transformer = CodecTransformer(
        stream,
        PrefixedWeights(weights, "mimi.decoder_transformer."),
        config.decoder_transformer_or_same,
        exact if precision is Precision.FP32 else rounded,
    )
    seanet = SEANetBuilder(
        stream,
        PrefixedWeights(weights, "mimi.decoder.model."),
        config.decoder_seanet_or_same,
        exact if precision in {Precision.FP32, Precision.MIXED} else rounded,
    )
    audio = seanet.decoder(transformer(x))
    g.output(g.reshape(audio, 1, -1), "audio", np.float32, [1, "samples"])
    return stream.finish()


def encoder_graph(config: MimiConfig, weights: WeightArrays, data: ExternalDataFile | None = None) -> StreamingGraph:
    """The encoder: ``audio`` [1, T * frame_samples], any T >= 1 -> ``frames`` [1, T, conditioning_dim], exact.

    Arguments:
        config: the codec's sizes.
        weights: the model's tensors, by the names of ``tensors.py``.
        data: where large constants go; None for within the model.
    """
    g = GraphBuilder("mimi_encoder", data=data)
    audio = g.input("audio", np.float32, [1, "samples"])
    stream, products = GraphState(g), Float32MatMul()
    seanet = SEANetBuilder(stream, PrefixedWeights(weights, "mimi.encoder.model."), config.seanet, products)
    transformer = CodecTransformer(
        stream, PrefixedWeights(weights, "mimi.encoder_transformer."), config.transformer, products
    )
    x = transformer(seanet.encoder(g.reshape(audio, -1, 1)))
    weight = weights["mimi.downsample.conv.conv.weight"]
    outputs, channels, kernel = weight.shape
    x = g.reshape(stream.with_past(x, kernel // 2, channels, replicate=True), -1, kernel // 2 * channels)
    frames = products.windows(g, x, ConvWindow(strided_taps(weight), np.zeros(outputs, np.float32)))
    g.output(
        g.reshape(frames, 1, -1, config.conditioning_dim), "frames", np.float32, [1, "frames", config.conditioning_dim]
    )
    return stream.finish()


def upsample(stream: GraphState, x: str, weight: Floats) -> str:
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


class PrefixedWeights(Mapping[str, Floats]):
    """The weights of one part by shorter names; reads none that nobody asks for."""

    def __init__(self, weights: WeightArrays, prefix: str) -> None:
        self._weights, self._prefix = weights, prefix

    def __getitem__(self, name: str) -> Floats:
        return self._weights[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._weights if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._weights


ELU_EXCESS = 1.0


def elu_and_one(g: GraphBuilder, x: str) -> str:
    """The nonlinearity, plus one; the next layer's bias takes that away again.

    These four operators take two thirds of the time of Max(x, Exp(Min(x, 0)) - 1), and a fifth of Elu's own.
    """
    above = g.node("Relu", x)
    return g.add(above, g.node("Exp", g.node("Sub", x, above)))


class SEANetBuilder:
    """Writes the layers of one half.

    Arguments:
        stream: the graph with its states.
        weights: those of the half, names counted from ``model.``.
        config: its sizes.
        products: how it multiplies.
    """

    def __init__(self, stream: GraphState, weights: WeightArrays, config: SEANetConfig, products: MatMulOps) -> None:
        self._stream, self._graph = stream, stream.graph
        self._weights, self._config = weights, config
        self._products = products

    def decoder(self, x: str) -> str:
        """[T, dimension] -> [T * hop, 1]."""
        config, n = self._config, 0
        x = self._convolution(x, "0.conv")
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
        x = self._convolution(x, "0.conv")
        for _ in config.ratios:
            for index in range(config.n_residual_layers):
                n += 1
                x = self._residual(x, f"{n}", config.dilation_base**index)
            n += 2
            x = self._strided(x, f"{n}.conv")
        return self._convolution(x, f"{n + 2}.conv", after_elu=True)

    def _residual(self, x: str, name: str, dilation: int) -> str:
        y = self._convolution(x, f"{name}.block.1.conv", dilation, after_elu=True)
        return self._graph.add(x, self._convolution(y, f"{name}.block.3.conv", after_elu=True))

    def _convolution(self, x: str, name: str, dilation: int = 1, *, after_elu: bool = False) -> str:
        weight, bias = self._parameters(name)  # [C', C, kernel]
        _, channels, kernel = weight.shape
        past = (kernel - 1) * dilation
        if after_elu:
            x = self._elu_with_past(x, past, channels)
        else:
            x = self._stream.with_past(x, past, channels, replicate=self._replicates)
        taps = list(weight.transpose(2, 1, 0))
        excess = ELU_EXCESS if after_elu else 0.0
        window = ConvWindow(taps, bias, dilation=dilation, excess=excess, has_outliers=not after_elu)
        return self._products.windows(self._graph, x, window)

    def _transposed(self, x: str, name: str, stride: int) -> str:
        """Every row makes ``stride`` rows, to which the row before adds: [T, C] -> [T * stride, C']."""
        weight, bias = self._parameters(name)  # [C, C', 2 * stride]
        channels, outputs, _ = weight.shape
        own, later = (
            half.transpose(0, 2, 1).reshape(channels, stride * outputs) for half in np.split(weight, 2, axis=2)
        )
        window = ConvWindow([later, own], np.tile(bias, stride), excess=ELU_EXCESS)
        x = self._elu_with_past(x, 1, channels, replicate=False)
        return self._graph.reshape(self._products.windows(self._graph, x, window), -1, outputs)

    def _strided(self, x: str, name: str) -> str:
        """[T * stride, C] -> [T, C']."""
        weight, bias = self._parameters(name)  # [C', C, 2 * stride]
        _, channels, kernel = weight.shape
        x = self._elu_with_past(x, kernel // 2, channels)
        x = self._graph.reshape(x, -1, kernel // 2 * channels)
        window = ConvWindow(strided_taps(weight), bias, excess=ELU_EXCESS)
        return self._products.windows(self._graph, x, window)

    def _to_one_channel(self, x: str, name: str) -> str:
        """The last convolution: first each row's share in all windows, then the few sums of a window."""
        g = self._graph
        weight, bias = self._parameters(name)  # [1, C, kernel]
        _, channels, kernel = weight.shape
        x = self._elu_with_past(x, kernel - 1, channels)
        shares = g.node("MatMul", x, g.constant(np.ascontiguousarray(weight[0])))  # [past + T, kernel]
        y = g.constant(bias - ELU_EXCESS * weight.sum(axis=(1, 2)))
        for tap, column in enumerate(g.split(shares, kernel, 1)):
            y = g.add(y, g.slice(column, g.ints(tap), g.ints(tap - kernel + 1 or END), 0))
        return y

    def _elu_with_past(self, x: str, rows: int, channels: int, *, replicate: bool | None = None) -> str:
        replicate = self._replicates if replicate is None else replicate
        activated = elu_and_one(self._graph, x)
        return self._stream.with_past(activated, rows, channels, replicate=replicate, fill=ELU_EXCESS)

    def _parameters(self, name: str) -> tuple[Floats, Floats]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    @property
    def _replicates(self) -> bool:
        return self._config.pad_mode == "replicate"


def strided_taps(weight: Floats) -> list[Floats]:
    """The matrices of a convolution whose kernel is twice its stride, over rows of a stride's samples each."""
    outputs, channels, kernel = weight.shape
    return [half.transpose(2, 1, 0).reshape(kernel // 2 * channels, outputs) for half in np.split(weight, 2, axis=2)]


_HIDDEN = -1e9
"""Added to the score of what a query must not see."""


class CodecTransformer:
    """Writes a transformer of which every position sees the last ``context`` positions, its own included."""

    def __init__(
        self, stream: GraphState, weights: WeightArrays, config: CodecTransformerConfig, products: MatMulOps
    ) -> None:
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


def _scalar(g: GraphBuilder, value: int) -> str:
    return g.constant(np.array(value, np.int64))


def _float(g: GraphBuilder, value: float) -> str:
    return g.constant(np.array(value, np.float32))
