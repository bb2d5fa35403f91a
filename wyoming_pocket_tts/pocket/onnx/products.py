"""Products with constant matrices, in 32-bit floats or 8-bit integers. Knows no network.

The integers: each column of a matrix has a scale of its own; of what it is multiplied with, the least and the largest
number of the call make the scale. Sums are exact; results are floats again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import CONTRIB, Graph
from wyoming_pocket_tts.pocket.onnx.streaming import END

Floats = NDArray[np.float32]

_LARGEST = 127
_NARROW = 256


@dataclass(frozen=True, slots=True)
class Window:
    """A sum of products over each window of rows: a convolution over [past + T, C], giving [T, C'].

    Attributes:
        taps: a matrix [C, C'] for each row that a window takes in.
        bias: [C'].
        dilation: how many rows those rows are from one another.
        excess: how much larger the numbers of the rows are than those that are meant.
        has_outliers: few numbers of the rows may be far from the rest, and decide how coarse 8 bits are for all.
    """

    taps: Sequence[Floats]
    bias: Floats
    dilation: int = 1
    excess: float = 0.0
    has_outliers: bool = False

    def unfold(self, g: Graph, x: str) -> str:
        """Write the rows of each window side by side: [past + T, C] -> [T, size * C]."""
        past = (len(self.taps) - 1) * self.dilation
        if not past:
            return x
        begins = range(0, past + 1, self.dilation)
        rows = [g.slice(x, g.ints(begin), g.ints(begin - past if begin < past else END), 0) for begin in begins]
        return g.concat(*rows, axis=1)

    def bias_for(self, matrix: Floats) -> Floats:
        """The bias that also takes the excess away, for the matrix that is multiplied with."""
        bias: Floats = self.bias - np.float32(self.excess) * matrix.sum(axis=0)
        return bias


class Products(Protocol):
    """How products are computed."""

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        """``x @ weight.T``, weight [out, in]."""
        ...

    def windows(self, g: Graph, x: str, window: Window) -> str:
        """Convolve: [past + T, C] -> [T, C']."""
        ...


class FloatProducts:
    """Exact."""

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        return g.linear(x, weight)

    def windows(self, g: Graph, x: str, window: Window) -> str:
        matrix = np.concatenate(window.taps)
        return g.node("Gemm", window.unfold(g, x), g.constant(matrix), g.constant(window.bias_for(matrix)))


class Int8Products:
    """A quarter of the memory traffic, and faster where the processor multiplies bytes.

    Rows with outliers are taken in 16 bits, by two products. Narrow linear layers stay exact: to round what goes into
    them takes the time that is won (measured with AVX-512 VNNI on the small decoders' transformers, 128 wide).
    """

    def linear(self, g: Graph, x: str, weight: Floats) -> str:
        if min(weight.shape) < _NARROW:
            return g.linear(x, weight)
        codes, scales = quantize_columns(weight.T)
        return g.node("DynamicQuantizeMatMul", x, g.constant(codes), g.constant(scales), domain=CONTRIB)

    def windows(self, g: Graph, x: str, window: Window) -> str:
        codes, scales = quantize_columns(np.concatenate(window.taps))
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        y = self._product(g, rows, window, (codes, scales), g.constant(window.bias_for(codes * scales)))
        if window.has_outliers:
            rest = g.node("Sub", x, g.node("DequantizeLinear", *rows))
            rest_rows = g.nodes("DynamicQuantizeLinear", rest, outputs=3)
            y = g.add(y, self._product(g, rest_rows, window, (codes, scales)))
        return y

    def _product(
        self, g: Graph, rows: Sequence[str], window: Window, matrix: tuple[NDArray[np.int8], Floats], *bias: str
    ) -> str:
        codes, scale, zero = rows
        unfolded = window.unfold(g, codes)  # bytes are copied, not floats
        # Constants of its own: ONNX Runtime cannot make unsigned what two products share (session.x64quantprecision).
        inputs = (unfolded, g.constant(matrix[0]), scale, g.constant(matrix[1]), zero, "", *bias)
        return g.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB)


def quantize_columns(matrix: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Round a matrix [in, out] to integers; return them with the scale of each column [out]."""
    scales = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny) / _LARGEST
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)
