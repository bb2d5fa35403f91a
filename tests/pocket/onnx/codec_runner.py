"""Writes a codec's graphs and runs them as a stream: with nothing but the files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.graph import ExternalDataFile
from wyoming_pocket_tts.inference.session import OnnxSession, from_metadata
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.codec_graphs import decoder_graph, encoder_graph
from wyoming_pocket_tts.pocket.random_model import random_tensor
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.torch.mimi import Mimi
from wyoming_pocket_tts.pocket.weights import expected_tensors


def codec_weights(config: ModelConfig, seed: int = 1) -> dict[str, Floats]:
    """The codec's tensors, and those that normalise its latents."""
    return {
        name: random_tensor(config, name, shape, seed)
        for name, shape in expected_tensors(config).items()
        if name.startswith(("mimi.", "flow_lm.emb_"))
    }


def torch_codec(config: ModelConfig, weights: dict[str, Floats]) -> Mimi:
    with torch.device("meta"):
        codec = Mimi(config.mimi)
    tensors = {
        name.removeprefix("mimi."): torch.from_numpy(array)
        for name, array in weights.items()
        if name.startswith("mimi.")
    }
    codec.load_state_dict(tensors, assign=True)
    return codec.requires_grad_(requires_grad=False).eval()


def write_decoder(directory: Path, config: ModelConfig, weights: dict[str, Floats], precision: Precision) -> Path:
    path = directory / f"decoder.{precision}.onnx"
    with ExternalDataFile(path.with_suffix(".data")) as data:
        decoder_graph(config, weights, data, precision=precision).save(path)
    return path


def write_encoder(directory: Path, config: ModelConfig, weights: dict[str, Floats]) -> Path:
    path = directory / "encoder.onnx"
    with ExternalDataFile(path.with_suffix(".data")) as data:
        encoder_graph(config, weights, data).save(path)
    return path


class Streamed:
    """A stream through a graph; allocates its states from the description in the file."""

    def __init__(self, network: OnnxSession) -> None:
        self._network = network
        self._specs = from_metadata(network.metadata)
        self.states = {spec.name: spec.initial() for spec in self._specs}

    def __call__(self, **piece: Floats) -> Floats:
        result, *states = self._network(**piece, **self.states)
        for spec, state in zip(self._specs, states, strict=True):
            assert state.shape == spec.shape
            assert state.dtype == spec.dtype
            self.states[spec.name] = state
        return result


def in_pieces(network: OnnxSession, name: str, whole: Floats, size: int, *, joined: int) -> Floats:
    """Run ``whole`` [1, N, ...] through a new stream, ``size`` of its second axis a call."""
    stream = Streamed(network)
    return np.concatenate([stream(**{name: piece}) for piece in _cut(whole, size)], axis=joined)


def _cut(whole: Any, size: int) -> Iterator[Floats]:  # noqa: ANN401  (numpy's slices are of any type)
    for begin in range(0, whole.shape[1], size):
        yield np.ascontiguousarray(whole[:, begin : begin + size])


def signal_to_noise_db(expected: Floats, found: Floats) -> float:
    return float(10 * np.log10(np.square(expected).sum() / np.square(expected - found).sum()))
