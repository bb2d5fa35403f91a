"""A model and its data file become one file that holds the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from wyoming_pocket_tts.inference.graph import ExternalDataFile, GraphBuilder
from wyoming_pocket_tts.pocket.onnx.portable import embed_data


@pytest.mark.parametrize("rows", [3, 40, 700])
def test_one_file_holds_what_two_did(tmp_path: Path, rows: int) -> None:
    """Constants of all sizes: within the model, in the data file, larger than what is copied at once."""
    path, data_path = tmp_path / "model.onnx", tmp_path / "model.data"
    rng = np.random.default_rng(rows)
    with ExternalDataFile(data_path) as data:
        graph = GraphBuilder("sum", data=data)
        x = graph.input("x", np.float32, [rows, 500])
        for array in (rng.standard_normal((rows, 500), np.float32), np.array(2, np.float32)):
            x = graph.add(x, graph.constant(array))
        codes = graph.constant(rng.integers(0, 255, (rows, 500), np.uint8))
        x = graph.add(x, graph.node("Cast", codes, to=onnx.TensorProto.FLOAT))
        graph.output(x, "y", np.float32, [rows, 500])
        graph.save(path, {"what": "a sum"})
    before = onnx.load(path)
    embed_data(path, data_path)
    assert list(tmp_path.iterdir()) == [path]
    onnx.checker.check_model(path, full_check=True)
    after = onnx.load(path)
    for old, new in zip(before.graph.initializer, after.graph.initializer, strict=True):
        assert (old.name, old.data_type) == (new.name, new.data_type)
        assert not new.external_data
        np.testing.assert_array_equal(numpy_helper.to_array(old), numpy_helper.to_array(new))
    for model in (before, after):
        del model.graph.initializer[:]
    assert after == before
