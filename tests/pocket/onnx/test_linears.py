"""Linear layers in 8 and 4 bits against the same in float64."""

from pathlib import Path

import numpy as np
import pytest

from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.graph import GraphBuilder
from wyoming_pocket_tts.inference.quantized import BLOCK, BlockMatMul, Float32MatMul, quantize_blocks
from wyoming_pocket_tts.inference.session import OnnxSession


def product(x: Floats, weight: Floats, bias: Floats | None, bits: int | None, directory: Path) -> Floats:
    graph = GraphBuilder("linear")
    inputs = graph.input("x", np.float32, ["rows", weight.shape[1]])
    matmul = BlockMatMul(bits) if bits else Float32MatMul()
    graph.output(matmul.linear(graph, inputs, weight, bias, name="weight"), "y", np.float32, ["rows", "N"])
    graph.save(directory / "linear.onnx")
    return OnnxSession(directory / "linear.onnx")(x=x)[0]


@pytest.mark.parametrize(("bits", "tolerance"), [(None, 1e-6), (8, 0.015), (4, 0.15)])
@pytest.mark.parametrize("columns", [32, 96, 112, 128, 224, 1024])
@pytest.mark.parametrize("rows", [1, 5])
def test_a_product_is_nearly_exact(rows: int, columns: int, bits: int | None, tolerance: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(columns)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    weight = rng.standard_normal((80, columns), dtype=np.float32) * np.float32(columns**-0.5)
    bias = rng.standard_normal(80, dtype=np.float32)
    expected = x @ weight.T + bias
    error = np.linalg.norm(product(x, weight, bias, bits, tmp_path) - expected) / np.linalg.norm(expected)
    assert error < tolerance


@pytest.mark.parametrize("bits", [8, 4])
def test_a_block_s_scale_is_its_own(bits: int, tmp_path: Path) -> None:
    """A hundred times larger numbers in one block leave the others as exact as they were; zeros stay zeros."""
    weight = np.random.default_rng(1).standard_normal((16, 3 * BLOCK), dtype=np.float32)
    plain = quantize_blocks(weight, bits)
    weight[:, BLOCK : 2 * BLOCK] *= 100
    weight[:, 2 * BLOCK :] = 0
    blocks = quantize_blocks(weight, bits)
    assert np.array_equal(blocks.packed[:, 0], plain.packed[:, 0])
    assert np.array_equal(blocks.scales[:, 0], plain.scales[:, 0])
    x = np.zeros((1, 3 * BLOCK), np.float32)
    x[:, 2 * BLOCK :] = 1
    assert not product(x, weight, None, bits, tmp_path).any()
