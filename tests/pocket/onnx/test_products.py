"""Windows of rows against the sums that they stand for, exact and rounded."""

from pathlib import Path

import numpy as np
import pytest

from tests.pocket.onnx.codec_runner import signal_to_noise_db
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.graph import GraphBuilder
from wyoming_pocket_tts.inference.quantized import ConvWindow, Float32MatMul, Int8MatMul, MatMulOps, quantize_columns
from wyoming_pocket_tts.inference.session import OnnxSession

ROWS, CHANNELS, OUTPUTS = 40, 512, 64
RANDOM = np.random.default_rng(0)


def a_window(size: int, **more: float) -> ConvWindow:
    taps = [RANDOM.standard_normal((CHANNELS, OUTPUTS), dtype=np.float32) for _ in range(size)]
    return ConvWindow(taps, RANDOM.standard_normal(OUTPUTS, dtype=np.float32), **more)  # type: ignore[arg-type]


def some_rows(largest: float = 0.0) -> Floats:
    """Normal numbers, one of them replaced."""
    rows = RANDOM.standard_normal((ROWS, CHANNELS), dtype=np.float32)
    rows[3, 5] = largest
    return rows


def by_definition(window: ConvWindow, rows: Floats) -> Floats:
    past = (len(window.taps) - 1) * window.dilation
    result = np.empty((ROWS - past, OUTPUTS))
    for t in range(ROWS - past):
        result[t] = window.bias
        for index, tap in enumerate(window.taps):
            result[t] += (rows[t + index * window.dilation].astype(np.float64) - window.excess) @ tap
    return result.astype(np.float32)


def computed(products: MatMulOps, window: ConvWindow, rows: Floats, path: Path) -> Floats:
    g = GraphBuilder("window")
    x = g.input("rows", np.float32, ["rows", CHANNELS])
    g.output(products.windows(g, x, window), "y", np.float32, ["windows", OUTPUTS])
    g.save(path)
    return OnnxSession(path)(rows=rows)[0]


@pytest.mark.parametrize("excess", [0.0, 1.0])
@pytest.mark.parametrize(("size", "dilation"), [(1, 1), (2, 1), (3, 1), (3, 2), (7, 1), (2, 4)])
def test_windows_are_their_sums(size: int, dilation: int, excess: float, tmp_path: Path) -> None:
    window, rows = a_window(size, dilation=dilation, excess=excess), some_rows()
    expected = by_definition(window, rows)
    exact = computed(Float32MatMul(), window, rows, tmp_path / "exact.onnx")
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-3)  # of sums of hundreds of numbers
    assert signal_to_noise_db(expected, computed(Int8MatMul(), window, rows, tmp_path / "rounded.onnx")) > 35


def test_sixteen_bits_for_rows_with_an_outlier(tmp_path: Path) -> None:
    rows, window = some_rows(largest=40.0), a_window(3)
    fine = ConvWindow(window.taps, window.bias, has_outliers=True)
    expected = by_definition(window, rows)
    coarse_db, fine_db = (
        signal_to_noise_db(expected, computed(Int8MatMul(), one, rows, tmp_path / f"{one.has_outliers}.onnx"))
        for one in (window, fine)
    )
    assert coarse_db + 6 < fine_db
    assert fine_db > 38  # what rounding the matrix leaves


def test_columns_keep_scales_of_their_own() -> None:
    matrix = np.array([[1.0, 0.001, 0], [-0.5, 0.002, 0]], np.float32)
    codes, scales = quantize_columns(matrix)
    assert codes.tolist() == [[127, 64, 0], [-64, 127, 0]]
    np.testing.assert_allclose(codes * scales, matrix, rtol=0.01)
