"""- and 4-bit matrix products."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.graph import CONTRIB, END, GraphBuilder

Bytes = NDArray[np.uint8]

BLOCK = 128
"""Weights that share a scale. Smaller blocks are more exact, and slower: there are more scales to read."""
_INTEGER_PRODUCTS = 4
"""``MatMulNBits``'s accuracy level for inputs in 8 bits."""


@dataclass(frozen=True, slots=True)
class QuantizedBlocks:
    """A quantised matrix [N, K], as ``MatMulNBits`` wants it.

    Attributes:
        packed: [N, ceil(K / BLOCK), BLOCK * bits / 8]; of 4 bits, the first number is in the lower half of a byte.
            Numbers are stored from 0 on, in the middle of the range is 0.
        scales: [N, ceil(K / BLOCK)].
    """

    packed: Bytes
    scales: Floats


def quantised(weight: Floats, bits: int) -> QuantizedBlocks:
    """Bring ``weight`` [N, K] to blocks of 8 or 4 bits."""
    rows, columns = weight.shape
    blocks = np.pad(weight, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    scales = _scales(blocks, bits)
    middle = 1 << (bits - 1)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    numbers = np.clip(np.rint(blocks * inverse[..., None]) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:  # noqa: PLR2004  (two in a byte)
        numbers = numbers[..., 0::2] | numbers[..., 1::2] << 4
    return QuantizedBlocks(numbers, scales)


def _scales(blocks: Floats, bits: int) -> Floats:
    """Find each block's scale [N, blocks], so that its largest number is just in range.

    The range has one more number below zero than above it. In 4 bits that counts: the scale's sign is such that the
    largest number of the block falls there.
    """
    middle = 1 << (bits - 1)
    if bits == 8:  # noqa: PLR2004
        return np.abs(blocks).max(axis=-1) / np.float32(middle - 1)  # type: ignore[no-any-return]
    low, high = blocks.min(axis=-1), blocks.max(axis=-1)
    return np.where(-low > high, low, high) / np.float32(-middle)  # type: ignore[no-any-return]


class LinearBuilder:
    """Adds linear layers to a graph, in one precision.

    Args:
        graph: where to.
        bits: 8 or 4 bits for the matrices; None keeps them exact.
    """

    def __init__(self, graph: GraphBuilder, bits: int | None) -> None:
        self._graph = graph
        self._bits = bits

    def large(self, x: str, weight: Floats, bias: Floats | None = None, *, name: str) -> str:
        """``x @ weight.T + bias``, the weight [N, K] in the chosen precision; its data is shared under ``name``."""
        if self._bits is None:
            return self.exact(x, weight, bias, name=name)
        blocks = quantised(weight, self._bits)
        graph = self._graph
        inputs = [
            x,
            graph.constant(blocks.packed, shared=f"{name}/{self._bits} bits"),
            graph.constant(blocks.scales, shared=f"{name}/{self._bits} bits/scales"),
        ]
        if bias is not None:
            inputs += ["", "", graph.constant(bias)]
        return graph.node(
            "MatMulNBits",
            *inputs,
            domain=CONTRIB,
            N=weight.shape[0],
            K=weight.shape[1],
            bits=self._bits,
            block_size=BLOCK,
            accuracy_level=_INTEGER_PRODUCTS,
        )

    def exact(self, x: str, weight: Floats, bias: Floats | None = None, *, name: str) -> str:
        """``x @ weight.T + bias`` in float32: for narrow layers, which cost little and err much."""
        graph = self._graph
        y = graph.node("MatMul", x, graph.constant(np.ascontiguousarray(weight.T), shared=f"{name}/exact"))
        return y if bias is None else graph.add(y, graph.constant(bias))


_LARGEST = 127
_NARROW = 256


@dataclass(frozen=True, slots=True)
class ConvWindow:
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

    def unfold(self, g: GraphBuilder, x: str) -> str:
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


class MatMulOps(Protocol):
    """How products are computed."""

    def linear(self, g: GraphBuilder, x: str, weight: Floats) -> str:
        """``x @ weight.T``, weight [out, in]."""
        ...

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str:
        """Convolve: [past + T, C] -> [T, C']."""
        ...


class Float32MatMul:
    """Exact."""

    def linear(self, g: GraphBuilder, x: str, weight: Floats) -> str:
        return g.linear(x, weight)

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str:
        matrix = np.concatenate(window.taps)
        return g.node("Gemm", window.unfold(g, x), g.constant(matrix), g.constant(window.bias_for(matrix)))


class Int8MatMul:
    """A quarter of the memory traffic, and faster where the processor multiplies bytes.

    Rows with outliers are taken in 16 bits, by two products. Narrow linear layers stay exact: to round what goes into
    them takes the time that is won (measured with AVX-512 VNNI on the small decoders' transformers, 128 wide).
    """

    def linear(self, g: GraphBuilder, x: str, weight: Floats) -> str:
        if min(weight.shape) < _NARROW:
            return g.linear(x, weight)
        codes, scales = quantize_columns(weight.T)
        return g.node("DynamicQuantizeMatMul", x, g.constant(codes), g.constant(scales), domain=CONTRIB)

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str:
        codes, scales = quantize_columns(np.concatenate(window.taps))
        rows = g.nodes("DynamicQuantizeLinear", x, outputs=3)
        y = self._product(g, rows, window, (codes, scales), g.constant(window.bias_for(codes * scales)))
        if window.has_outliers:
            rest = g.node("Sub", x, g.node("DequantizeLinear", *rows))
            rest_rows = g.nodes("DynamicQuantizeLinear", rest, outputs=3)
            y = g.add(y, self._product(g, rest_rows, window, (codes, scales)))
        return y

    def _product(
        self,
        g: GraphBuilder,
        rows: Sequence[str],
        window: ConvWindow,
        matrix: tuple[NDArray[np.int8], Floats],
        *bias: str,
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
