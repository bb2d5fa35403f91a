"""Products with constant matrices, in 32-bit floats or 8-bit integers. Knows no network.

The integers: each column of a matrix has a scale of its own; of what it is multiplied with, the least and the largest
number of the call make the scale. Sums are exact; results are floats again.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import CONTRIB, Graph
from wyoming_pocket_tts.pocket.onnx.streaming import END

Floats = NDArray[np.float32]

_LARGEST = 127


class Products(Protocol):
    """How products are computed."""

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        """``x @ weight.T``, weight [out, in]."""
        ...

    def windows(self, g: Graph, x: str, taps: Sequence[Floats], bias: Floats | None, *, dilation: int = 1) -> str:
        """Sum the products of every window's rows with their matrices: [past + T, C] -> [T, C'].

        Arguments:
            taps: a matrix [C, C'] for each row that a window takes in, ``dilation`` rows from one another.
        """
        ...


class FloatProducts:
    """Exact."""

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        return g.linear(x, weight)

    def windows(self, g: Graph, x: str, taps: Sequence[Floats], bias: Floats | None, *, dilation: int = 1) -> str:
        matrix = g.constant(np.concatenate(taps))
        unfolded = unfold(g, x, len(taps), dilation)
        return g.node("Gemm", unfolded, matrix, *([] if bias is None else [g.constant(bias)]))


class Int8Products:
    """A quarter of the memory traffic, and faster where the processor multiplies bytes."""

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        matrix, scales = quantize_columns(weight.T)
        return g.node("DynamicQuantizeMatMul", x, g.constant(matrix), g.constant(scales), domain=CONTRIB)

    def windows(self, g: Graph, x: str, taps: Sequence[Floats], bias: Floats | None, *, dilation: int = 1) -> str:
        matrix, scales = quantize_columns(np.concatenate(taps))
        codes, scale, zero = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        unfolded = unfold(g, codes, len(taps), dilation)  # bytes are copied, not floats
        return g.node(
            "MatMulIntegerToFloat",
            *(unfolded, g.constant(matrix), scale, g.constant(scales), zero, ""),
            *([] if bias is None else [g.constant(bias)]),
            domain=CONTRIB,
        )


def unfold(g: Graph, x: str, size: int, dilation: int) -> str:
    """Write the rows of each window side by side: [(size - 1) * dilation + T, C] -> [T, size * C]."""
    if size == 1:
        return x
    past = (size - 1) * dilation
    rows = [
        g.slice(x, g.ints(begin), g.ints(begin - past if begin < past else END), 0)
        for begin in range(0, past + 1, dilation)
    ]
    return g.concat(*rows, axis=1)


def quantize_columns(matrix: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round a matrix [in, out] to integers; return them with the scale of each column [out]."""
    scales = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny) / _LARGEST
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)
