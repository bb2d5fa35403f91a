"""Linear layers in a graph: exact, or with the weights in blocks of 8 or 4 bits. Knows no network.

A block is ``BLOCK`` neighbouring weights of one output; it has a scale of its own, and no zero point. ONNX Runtime's
``MatMulNBits`` brings the inputs to 8 bits too, block by block (accuracy level 4), and multiplies integers.

``DynamicQuantizeMatMul`` takes as long for a frame of FlowLM, and 13.5 instead of 20 ms (EPYC with VNNI, a core) for a
text of 35 positions. But all inputs share one scale: its error was 4.5 % instead of 3.2 %, outliers among real weights'
activations would make it worse, and streams computed together would change one another's speech.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import CONTRIB, Graph

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCK = 128
"""Weights that share a scale. Smaller blocks are more exact, and slower: there are more scales to read."""
_INTEGER_PRODUCTS = 4
"""``MatMulNBits``'s accuracy level for inputs in 8 bits."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A quantised matrix [N, K], as ``MatMulNBits`` wants it.

    Attributes:
        packed: [N, ceil(K / BLOCK), BLOCK * bits / 8]; of 4 bits, the first number is in the lower half of a byte.
            Numbers are stored from 0 on, in the middle of the range is 0.
        scales: [N, ceil(K / BLOCK)].
    """

    packed: Bytes
    scales: Floats


def quantised(weight: Floats, bits: int) -> Blocks:
    """Bring ``weight`` [N, K] to blocks of 8 or 4 bits."""
    rows, columns = weight.shape
    blocks = np.pad(weight, ((0, 0), (0, -columns % BLOCK))).reshape(rows, -1, BLOCK)
    scales = _scales(blocks, bits)
    middle = 1 << (bits - 1)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales != 0)
    numbers = np.clip(np.rint(blocks * inverse[..., None]) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:  # noqa: PLR2004  (two in a byte)
        numbers = numbers[..., 0::2] | numbers[..., 1::2] << 4
    return Blocks(numbers, scales)


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


class Linears:
    """Adds linear layers to a graph, in one precision.

    Args:
        graph: where to.
        bits: 8 or 4 bits for the matrices; None keeps them exact.
    """

    def __init__(self, graph: Graph, bits: int | None) -> None:
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
