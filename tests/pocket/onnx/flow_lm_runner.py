"""Runs the FlowLM graph by hand: arrays bound once, keys and values updated in place."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.graph import ExternalDataFile
from wyoming_pocket_tts.inference.session import Array, OnnxSession
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.flow_graphs import flow_lm_graph
from wyoming_pocket_tts.pocket.random_model import random_tensor
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.weights import expected_tensors


def random_weights(config: ModelConfig, seed: int = 3) -> dict[str, Floats]:
    """Tensors of FlowLM."""
    return {
        name: random_tensor(config, name, shape, seed)
        for name, shape in expected_tensors(config).items()
        if name.startswith("flow_lm.")
    }


def write_flow_lm(
    directory: Path, config: ModelConfig, weights: dict[str, Floats], *, precision: Precision, steps: int = 1
) -> Path:
    path = directory / f"flow_lm.{precision}.onnx"
    with ExternalDataFile(path.with_suffix(".data")) as data:
        flow_lm_graph(config, weights, data, precision=precision, steps=steps).save(path)
    return path


class Streams:
    """As many streams as rows, each at its own position."""

    def __init__(self, network: OnnxSession, config: ModelConfig, *, rows: int = 1, room: int = 256) -> None:
        sizes = config.flow_lm.transformer
        self.config = config
        self.position = np.zeros(rows, np.int64)
        shape = (sizes.num_layers, 2, rows, sizes.kv_heads, room, sizes.head_dim)
        self.cache: Floats = np.full(shape, np.nan, np.float32)  # what was never written must never be read
        self.latent: Floats = np.empty((rows, config.latent_dim), np.float32)
        self.eos_logit: Floats = np.empty(rows, np.float32)
        self.hidden: Floats = np.empty((rows, config.flow_lm.condition_dim), np.float32)
        self.noise: Floats = np.zeros((rows, config.latent_dim), np.float32)
        self._last = np.zeros(rows, np.int64)
        self._seqlens = np.zeros(rows, np.int32)
        self._total = np.zeros((), np.int32)
        self._none = np.empty((rows, 0, sizes.d_model), np.float32)
        self._no_latents = np.empty((rows, 0, config.latent_dim), np.float32)
        inputs: dict[str, Array] = {
            "noise": self.noise,
            "last": self._last,
            "seqlens_k": self._seqlens,
            "total_sequence_length": self._total,
        }
        outputs: dict[str, Array] = {
            "latent": self.latent,
            "eos_logit": self.eos_logit,
            "hidden": self.hidden,
        }
        for index, (keys, values) in enumerate(self.cache):
            inputs |= {f"past_key_{index}": keys, f"past_value_{index}": values}
            outputs |= {f"present_key_{index}": keys, f"present_value_{index}": values}
        self.binding = network.bind(inputs, outputs)

    def read(
        self, inputs: Floats | None = None, latents: Floats | None = None, lengths: Sequence[int] | None = None
    ) -> None:
        """Read ``inputs`` [B, S, D], then ``latents`` [B, L, latent_dim]; of each row so many positions alone."""
        inputs = self._none if inputs is None else np.ascontiguousarray(inputs)
        latents = self._no_latents if latents is None else np.ascontiguousarray(latents)
        new = np.array(lengths or [inputs.shape[1] + latents.shape[1]] * len(self.position))
        self.position += new
        self._last[:] = new - 1
        self._seqlens[:] = self.position - 1
        self._total[...] = self.position.max()
        self.binding.read("inputs", inputs)
        self.binding.read("latents", latents)
        self.binding.run()

    def step(self) -> None:
        """Read the latents that came out last."""
        self.read(latents=self.latent.copy()[:, None])
