"""Networks whose arrays are bound: read and written in place, and errors that name the model."""

from pathlib import Path

import numpy as np
import pytest

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.inference.graph import GraphBuilder
from wyoming_pocket_tts.inference.session import OnnxSession


@pytest.fixture
def doubling(tmp_path: Path) -> OnnxSession:
    """y = x + x, z = -x."""
    graph = GraphBuilder("doubling")
    x = graph.input("x", np.float32, ["n", 2])
    graph.output(graph.add(x, x), "y", np.float32, ["n", 2])
    graph.output(graph.node("Neg", x), "z", np.float32, ["n", 2])
    graph.save(tmp_path / "doubling.onnx", {"maker": "test"})
    return OnnxSession(tmp_path / "doubling.onnx", threads=2)


def test_bound_arrays_are_read_and_written_in_place(doubling: OnnxSession) -> None:
    x, y = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    binding = doubling.bind({"x": x}, {"y": y})
    binding.run()
    assert y.tolist() == [[2, 2]]
    x[:] = 5
    binding.run()
    assert y.tolist() == [[10, 10]]


def test_arrays_of_other_shapes_can_take_their_place(doubling: OnnxSession) -> None:
    y = np.zeros((1, 2), np.float32)
    binding = doubling.bind({"x": np.ones((1, 2), np.float32)}, {"y": y})
    binding.run()
    for rows in (3, 0, 2):
        longer = np.zeros((rows, 2), np.float32)
        binding.read("x", np.full((rows, 2), rows, np.float32))
        binding.write("y", longer)
        binding.run()
        assert (longer == 2 * rows).all()
    assert y.tolist() == [[2, 2]]


def test_what_is_bound_is_kept_alive(doubling: OnnxSession) -> None:
    y = np.zeros((20_000, 2), np.float32)
    binding = doubling.bind({"x": np.ones_like(y)}, {"y": y})  # nobody else has it
    assert np.full_like(y, 7).any()  # would take the memory that was freed
    binding.run()
    assert (y == 2).all()


def test_what_cannot_be_bound(doubling: OnnxSession) -> None:
    x, y = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)
    with pytest.raises(ModelError, match=r"doubling\.onnx"):
        doubling.bind({"unheard_of": x}, {"y": y}).run()
    with pytest.raises(ModelError, match=r"doubling\.onnx"):
        doubling.bind({"x": x.astype(np.float64)}, {"y": y}).run()
    with pytest.raises(ModelError, match=r"doubling\.onnx"):
        doubling.bind({"x": np.ones((4, 2), np.float32)}, {"y": y}).run()
    with pytest.raises(ValueError, match="x: only contiguous"):
        doubling.bind({"x": np.ones((2, 4), np.float32)[:, ::2]}, {"y": y})
    y.flags.writeable = False
    with pytest.raises(ValueError, match="only writeable"):
        doubling.bind({"x": x}, {"y": y})


def test_a_file_that_is_no_model_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.onnx is missing or damaged: .*; convert it again"):
        OnnxSession(tmp_path / "broken.onnx", remedy="convert it again")


def test_a_model_says_who_made_it(doubling: OnnxSession) -> None:
    assert doubling.metadata == {"maker": "test"}
