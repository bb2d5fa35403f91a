"""Attention, rotation, activation and 8-bit products in operators of the ONNX standard alone. Knows no network.

Portable models must run wherever ONNX does; the fast ones (``flow_lm.py``, ``mimi.py``) use what ONNX Runtime adds.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from wyoming_pocket_tts.graph import Graph
from wyoming_pocket_tts.pocket.onnx.products import FloatProducts, Products, Window, quantize_columns

Floats = NDArray[np.float32]

_MIDDLE = 128
_NARROW = 128
"""Channels of convolutions that are exact: two decibels for a fifteenth of the decoder's size."""
_HIDDEN = -1e9
"""Added to the score of what a query must not see."""


class PortableInt8Products:
    """Products of bytes: weights rounded beforehand, column by column, inputs as they come.

    Both sides are unsigned. Older x86 processors multiply unsigned with signed bytes faster, but saturate on the way;
    so the sums are exact everywhere. Rows with outliers are taken in 16 bits, by two products. Convolutions from or to
    few channels stay exact: they are small, fast, and where rounding is heard most.
    """

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        return _integer_product(g, rows, _constants(g, weight.T))

    def windows(self, g: Graph, x: str, window: Window) -> str:
        if min(window.taps[0].shape) <= _NARROW:
            return FloatProducts().windows(g, x, window)
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


def portable_products(*, quantize: bool) -> Products:
    """Exact products, or such in 8 bits."""
    return PortableInt8Products() if quantize else FloatProducts()


def silu(g: Graph, x: str) -> str:
    """``x * sigmoid(x)``."""
    return g.node("Mul", x, g.node("Sigmoid", x))


def scalar(g: Graph, value: int) -> str:
    """An int64 constant without dimensions."""
    return g.constant(np.array(value, np.int64))


def size_of(g: Graph, x: str, axis: int) -> str:
    """How long ``x`` is along an axis: int64, a scalar."""
    return g.squeeze(g.slice(g.node("Shape", x), g.ints(axis), g.ints(axis + 1), 0), 0)


def count_from(g: Graph, first: str, count: str) -> str:
    """``first``, ``first + 1``, ...: int64 [count]."""
    return g.node("Range", first, g.add(first, count), scalar(g, 1))


def turns(g: Graph, positions: str, head_width: int, max_period: float) -> tuple[str, str]:
    """Cosines and sines of the turn of each feature pair at int64 positions [T]: each [T, head_width / 2]."""
    pairs = np.arange(head_width // 2, dtype=np.float32)
    frequencies = np.exp(pairs * np.float32(-math.log(max_period) * 2 / head_width))
    times = g.node("Unsqueeze", g.node("Cast", positions, to=TensorProto.FLOAT), g.ints(1))
    angles = g.node("Mul", times, g.constant(frequencies[None]))
    return g.node("Cos", angles), g.node("Sin", angles)


def rotate_halves(g: Graph, x: str, turn: tuple[str, str]) -> str:
    """Turn pairs whose first numbers all stand before the second ones: [..., T, d] -> the same."""
    return g.concat(*_turned(g, g.split(x, 2, -1), turn), axis=-1)


def rotate_neighbours(g: Graph, x: str, turn: tuple[str, str], *, heads: int, head_width: int) -> str:
    """Turn pairs of neighbouring numbers: [B, heads, T, d] -> the same."""
    pairs = g.node("Reshape", x, g.ints(0, heads, -1, head_width // 2, 2))
    halves = [g.squeeze(half, -1) for half in g.split(pairs, 2, -1)]
    turned = [g.node("Unsqueeze", half, g.ints(-1)) for half in _turned(g, halves, turn)]
    return g.node("Reshape", g.concat(*turned, axis=-1), g.ints(0, heads, -1, head_width))


def hide_later(g: Graph, queries: str, keys: str) -> str:
    """Zero where a query's position is not before a key's, else very negative: int64 [T] and [P] -> [T, P]."""
    seen = g.node("GreaterOrEqual", g.node("Unsqueeze", queries, g.ints(1)), keys)
    zero, hidden = (g.constant(np.array(value, np.float32)) for value in (0.0, _HIDDEN))
    return g.node("Where", seen, zero, hidden)


def attend(g: Graph, queries: str, keys: str, values: str, bias: str) -> str:
    """Softmax attention, the queries scaled already: [B, H, T, d] and twice [B, H, P, d] -> [B, H, T, d].

    ``bias`` is added to the scores: [T, P], with dimensions of one in front or not.
    """
    scores = g.add(g.node("MatMul", queries, g.transpose(keys, 0, 1, 3, 2)), bias)
    return g.node("MatMul", g.node("Softmax", scores, axis=-1), values)


def _turned(g: Graph, halves: Sequence[str], turn: tuple[str, str]) -> tuple[str, str]:
    (x, y), (cosines, sines) = halves, turn
    first = g.node("Sub", g.node("Mul", x, cosines), g.node("Mul", y, sines))
    return first, g.add(g.node("Mul", x, sines), g.node("Mul", y, cosines))


def _constants(g: Graph, matrix: Floats) -> tuple[str, str]:
    """A matrix [in, out] as unsigned bytes, and the scale of each column [out]."""
    codes, scales = quantize_columns(matrix)
    return g.constant((codes.astype(np.int16) + _MIDDLE).astype(np.uint8)), g.constant(scales)


def _unfolded_product(g: Graph, rows: Sequence[str], window: Window, matrix: tuple[str, str]) -> str:
    codes, scale, zero = rows
    return _integer_product(g, (window.unfold(g, codes), scale, zero), matrix)  # bytes are copied, not floats


def _integer_product(g: Graph, rows: Sequence[str], matrix: tuple[str, str]) -> str:
    codes, scale, zero = rows
    sums = g.node("MatMulInteger", codes, matrix[0], zero, g.constant(np.array(_MIDDLE, np.uint8)))
    return g.node("Mul", g.node("Cast", sums, to=TensorProto.FLOAT), g.node("Mul", scale, matrix[1]))
