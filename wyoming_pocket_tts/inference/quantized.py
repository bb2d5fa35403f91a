"""Matrix products in float32, 8 and 4 bits."""

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
_INPUTS_IN_8_BITS = 4
"""An accuracy level of ``MatMulNBits``."""
_NARROW = 256
_LARGEST = 127


class LinearOps(Protocol):
    """Operators for linear layers."""

    def linear(self, g: GraphBuilder, x: str, weight: Floats, bias: Floats | None = None, *, name: str = "") -> str:
        """``x @ weight.T + bias``, weight [out, in]; constants of the same ``name`` are written once."""


@dataclass(frozen=True, slots=True)
class QuantizedBlocks:
    """A quantised matrix [N, K], in the layout of ``MatMulNBits``."""

    packed: Bytes
    """[N, ceil(K / BLOCK), BLOCK * bits / 8], zero points in the middle; of 4 bits, the lower half of a byte first."""
    scales: Floats
    """[N, ceil(K / BLOCK)]."""


def quantize_blocks(weight: Floats, bits: int) -> QuantizedBlocks:
    """Round ``weight`` [N, K] to 8 or 4 bits, block by block."""
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
    """Each block's scale [N, blocks], so that its largest number is just in range.

    The range has one more number below zero than above it. In 4 bits that counts: the sign of the scale puts the
    largest number of the block there.
    """
    middle = 1 << (bits - 1)
    if bits == 8:  # noqa: PLR2004
        return np.abs(blocks).max(axis=-1) / np.float32(middle - 1)  # type: ignore[no-any-return]
    low, high = blocks.min(axis=-1), blocks.max(axis=-1)
    return np.where(-low > high, low, high) / np.float32(-middle)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class BlockMatMul:
    """Linear layers in 8 or 4 bits, with a scale for each block."""

    bits: int

    def linear(self, g: GraphBuilder, x: str, weight: Floats, bias: Floats | None = None, *, name: str = "") -> str:
        blocks = quantize_blocks(weight, self.bits)
        packed = g.constant(blocks.packed, shared=name and f"{name}/{self.bits} bits")
        scales = g.constant(blocks.scales, shared=name and f"{name}/{self.bits} bits/scales")
        biases = [] if bias is None else ["", "", g.constant(bias)]  # zero points and group indices are left out
        return g.node(
            "MatMulNBits",
            *(x, packed, scales, *biases),
            domain=CONTRIB,
            N=weight.shape[0],
            K=weight.shape[1],
            bits=self.bits,
            block_size=BLOCK,
            accuracy_level=_INPUTS_IN_8_BITS,
        )


@dataclass(frozen=True, slots=True)
class ConvWindow:
    """A sum of products over each window of rows: a convolution over [past + T, C], giving [T, C']."""

    taps: Sequence[Floats]
    """[C, C'] for each row of a window."""
    bias: Floats
    """[C']."""
    dilation: int = 1
    """The distance of those rows."""
    excess: float = 0.0
    """A constant that was added to the rows and must be taken away again."""
    has_outliers: bool = False
    """Whether few numbers may be far from the rest, and make 8 bits coarse for all."""

    def unfold(self, g: GraphBuilder, x: str) -> str:
        """The rows of each window side by side: [past + T, C] -> [T, size * C]."""
        past = (len(self.taps) - 1) * self.dilation
        if not past:
            return x
        begins = range(0, past + 1, self.dilation)
        rows = [g.slice(x, g.ints(begin), g.ints(begin - past if begin < past else END), 0) for begin in begins]
        return g.concat(*rows, axis=1)

    def bias_for(self, matrix: Floats) -> Floats:
        """The bias that also takes the excess away, for the matrix [size * C, C'] of the product."""
        bias: Floats = self.bias - np.float32(self.excess) * matrix.sum(axis=0)
        return bias


class MatMulOps(LinearOps, Protocol):
    """Operators for linear layers and convolutions."""

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str: ...


class Float32MatMul:
    """Exact."""

    def linear(self, g: GraphBuilder, x: str, weight: Floats, bias: Floats | None = None, *, name: str = "") -> str:
        return g.linear(x, weight, bias, shared=name)

    def windows(self, g: GraphBuilder, x: str, window: ConvWindow) -> str:
        matrix = np.concatenate(window.taps)
        return g.node("Gemm", window.unfold(g, x), g.constant(matrix), g.constant(window.bias_for(matrix)))


class Int8MatMul:
    """A quarter of the memory traffic, and faster where the processor multiplies bytes.

    Rows with outliers are taken in 16 bits, by two products. Narrow linear layers stay exact: rounding their inputs
    takes the time that is won (measured with AVX-512 VNNI on the small decoders' transformers, 128 wide).
    """

    def linear(self, g: GraphBuilder, x: str, weight: Floats, bias: Floats | None = None, *, name: str = "") -> str:
        if min(weight.shape) < _NARROW:
            return g.linear(x, weight, bias, shared=name)
        codes, scales = quantize_columns(weight.T)
        y = g.node("DynamicQuantizeMatMul", x, g.constant(codes), g.constant(scales), domain=CONTRIB)
        return y if bias is None else g.add(y, g.constant(bias))

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
    """Round a matrix [in, out] to integers, and give the scale of each column [out]."""
    scales = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny) / _LARGEST
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)
