"""The convolutional halves of the codec as parts of a graph. Knows nothing about latents or transformers.

Everything is [T, C], time in front: a window of rows is then one product with a matrix. A transposed convolution whose
kernel is twice its stride is a window of two rows, its outputs side by side; a strided one reads as many rows as one.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import Graph
from wyoming_pocket_tts.pocket.onnx.products import FloatProducts, Products
from wyoming_pocket_tts.pocket.onnx.streaming import END, Stream
from wyoming_pocket_tts.pocket.schema import SEANetConfig

Weights = Mapping[str, NDArray[np.float32]]


def elu(g: Graph, x: str) -> str:
    """The nonlinearity; the runtime's own operator takes three times as long as these four."""
    zero, one = g.constant(np.zeros((), np.float32)), g.constant(np.ones((), np.float32))
    below = g.node("Sub", g.node("Exp", g.node("Min", x, zero)), one)
    return g.node("Max", x, below)


class SEANetWriter:
    """Writes the layers of one half.

    Arguments:
        stream: the graph with its states.
        weights: those of the half, names counted from ``model.``.
        narrow: products of convolutions from or to so few channels are exact.
    """

    def __init__(
        self, stream: Stream, weights: Weights, config: SEANetConfig, products: Products, *, narrow: int = 0
    ) -> None:
        self._stream, self._graph = stream, stream.graph
        self._weights, self._config = weights, config
        self._products, self._narrow = products, narrow

    def decoder(self, x: str) -> str:
        """[T, dimension] -> [T * hop, 1]."""
        config, n = self._config, 0
        channels = config.n_filters * 2 ** len(config.ratios)
        x = self._convolution(x, "0.conv")
        for ratio in config.ratios:
            n += 2
            x = self._transposed(elu(self._graph, x), f"{n}.convtr", ratio)
            channels //= 2
            for index in range(config.n_residual_layers):
                n += 1
                x = self._residual(x, f"{n}", config.dilation_base**index)
        return self._to_one_channel(elu(self._graph, x), f"{n + 2}.conv")

    def encoder(self, x: str) -> str:
        """[T * hop, 1] -> [T, dimension]."""
        config, n = self._config, 0
        x = self._convolution(x, "0.conv")
        for _ in config.ratios:
            for index in range(config.n_residual_layers):
                n += 1
                x = self._residual(x, f"{n}", config.dilation_base**index)
            n += 2
            x = self._strided(elu(self._graph, x), f"{n}.conv")
        return self._convolution(elu(self._graph, x), f"{n + 2}.conv")

    def _residual(self, x: str, name: str, dilation: int) -> str:
        g = self._graph
        y = self._convolution(elu(g, x), f"{name}.block.1.conv", dilation)
        y = self._convolution(elu(g, y), f"{name}.block.3.conv")
        return g.add(x, y)

    def _convolution(self, x: str, name: str, dilation: int = 1) -> str:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]  # [C', C, kernel]
        outputs, channels, kernel = weight.shape
        x = self._with_past(x, (kernel - 1) * dilation, channels)
        taps = list(weight.transpose(2, 1, 0))
        return self._for(channels, outputs).windows(self._graph, x, taps, bias, dilation=dilation)

    def _transposed(self, x: str, name: str, stride: int) -> str:
        """Every row makes ``stride`` rows, to which the row before adds: [T, C] -> [T * stride, C']."""
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]  # [C, C', 2 * stride]
        channels, outputs, _ = weight.shape
        x = self._stream.with_past(x, 1, channels)
        own, later = (
            half.transpose(0, 2, 1).reshape(channels, stride * outputs) for half in np.split(weight, 2, axis=2)
        )
        y = self._for(channels, outputs).windows(self._graph, x, [later, own], np.tile(bias, stride))
        return self._graph.reshape(y, -1, outputs)

    def _strided(self, x: str, name: str) -> str:
        """[T * stride, C] -> [T, C']."""
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        x = strided_windows(self._stream, x, weight, replicate=self._replicates)
        outputs, channels, _ = weight.shape
        return self._for(channels, outputs).windows(self._graph, x, strided_taps(weight), bias)

    def _to_one_channel(self, x: str, name: str) -> str:
        """The last convolution: its rows' shares first, then the few sums of a window."""
        g = self._graph
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]  # [1, C, kernel]
        _, channels, kernel = weight.shape
        x = self._with_past(x, kernel - 1, channels)
        shares = g.node("MatMul", x, g.constant(np.ascontiguousarray(weight[0])))  # [past + T, kernel]
        columns = g.split(shares, kernel, 1) if kernel > 1 else [shares]
        y = g.constant(bias)
        for tap, column in enumerate(columns):
            y = g.add(y, g.slice(column, g.ints(tap), g.ints(tap - kernel + 1 or END), 0))
        return y

    def _with_past(self, x: str, rows: int, channels: int) -> str:
        return self._stream.with_past(x, rows, channels, replicate=self._replicates)

    def _for(self, channels: int, outputs: int) -> Products:
        return FloatProducts() if min(channels, outputs) <= self._narrow else self._products

    @property
    def _replicates(self) -> bool:
        return self._config.pad_mode == "replicate"


def strided_taps(weight: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The matrices of a convolution whose kernel is twice its stride, over rows of a stride's samples each."""
    outputs, channels, kernel = weight.shape
    return [half.transpose(2, 1, 0).reshape(kernel // 2 * channels, outputs) for half in np.split(weight, 2, axis=2)]


def strided_windows(stream: Stream, x: str, weight: NDArray[np.float32], *, replicate: bool) -> str:
    """Rows of a stride's samples each, one of the past in front: [T * stride, C] -> [1 + T, stride * C]."""
    _, channels, kernel = weight.shape
    stride = kernel // 2
    past = stream.with_past(x, stride, channels, replicate=replicate)
    return stream.graph.reshape(past, -1, math.prod((stride, channels)))
