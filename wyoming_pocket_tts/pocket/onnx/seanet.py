"""The convolutional halves of the codec as parts of a graph. Knows nothing about latents or transformers.

Everything is [T, C], time in front: a window of rows is then one product with a matrix. A transposed convolution whose
kernel is twice its stride is a window of two rows, its outputs side by side; a strided one reads as many rows as one.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import Graph
from wyoming_pocket_tts.pocket.onnx.products import Products, Window
from wyoming_pocket_tts.pocket.onnx.streaming import END, Stream
from wyoming_pocket_tts.pocket.schema import SEANetConfig

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]


ELU_EXCESS = 1.0


def elu_and_one(g: Graph, x: str) -> str:
    """The nonlinearity, plus one; the next layer's bias takes that away again.

    These four operators take two thirds of the time of Max(x, Exp(Min(x, 0)) - 1), and a fifth of Elu's own.
    """
    above = g.node("Relu", x)
    return g.add(above, g.node("Exp", g.node("Sub", x, above)))


class SEANetWriter:
    """Writes the layers of one half.

    Arguments:
        stream: the graph with its states.
        weights: those of the half, names counted from ``model.``.
        config: its sizes.
        products: how it multiplies.
    """

    def __init__(self, stream: Stream, weights: Weights, config: SEANetConfig, products: Products) -> None:
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
        window = Window(taps, bias, dilation=dilation, excess=excess, has_outliers=not after_elu)
        return self._products.windows(self._graph, x, window)

    def _transposed(self, x: str, name: str, stride: int) -> str:
        """Every row makes ``stride`` rows, to which the row before adds: [T, C] -> [T * stride, C']."""
        weight, bias = self._parameters(name)  # [C, C', 2 * stride]
        channels, outputs, _ = weight.shape
        own, later = (
            half.transpose(0, 2, 1).reshape(channels, stride * outputs) for half in np.split(weight, 2, axis=2)
        )
        window = Window([later, own], np.tile(bias, stride), excess=ELU_EXCESS)
        x = self._elu_with_past(x, 1, channels, replicate=False)
        return self._graph.reshape(self._products.windows(self._graph, x, window), -1, outputs)

    def _strided(self, x: str, name: str) -> str:
        """[T * stride, C] -> [T, C']."""
        weight, bias = self._parameters(name)  # [C', C, 2 * stride]
        _, channels, kernel = weight.shape
        x = self._elu_with_past(x, kernel // 2, channels)
        x = self._graph.reshape(x, -1, kernel // 2 * channels)
        window = Window(strided_taps(weight), bias, excess=ELU_EXCESS)
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
