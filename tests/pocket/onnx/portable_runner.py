"""Runs portable models as a stranger would: with onnxruntime, numpy and what the manifest says, without our package."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

Floats = NDArray[np.float32]


class PortableModel:
    """A model with the state that it carries from call to call."""

    def __init__(self, directory: Path, name: str, *, optimised: bool = True) -> None:
        described = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["models"][name]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        if not optimised:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            directory / described["file"], options, providers=["CPUExecutionProvider"]
        )
        self._states = described["states"]
        self.carried: dict[str, NDArray[Any]] = {
            state["input"]: np.full(state["initial_shape"], state["fill"], state["dtype"]) for state in self._states
        }

    def __call__(self, **inputs: NDArray[Any]) -> dict[str, Floats]:
        values = self._session.run(None, {**inputs, **self.carried})
        named = dict(zip((output.name for output in self._session.get_outputs()), values, strict=True))
        self.carried = {state["input"]: named[state["output"]] for state in self._states}
        return named


class PortableSpeech:
    """The four models that speak, at temperature 0."""

    def __init__(self, directory: Path, *, optimised: bool = True) -> None:
        self.manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
        self.text, self.flow_lm, self.flow, self.decoder = (
            PortableModel(directory, name, optimised=optimised)
            for name in ("text_conditioner", "flow_lm_main", "flow_lm_flow", "mimi_decoder")
        )
        self.latent_dim = self.manifest["latent"]["size"]

    def hear(self, conditioning: Floats) -> None:
        self.flow_lm(embeddings=conditioning, latents=np.empty((1, 0, self.latent_dim), np.float32))

    def prefill(self, tokens: list[int]) -> dict[str, Floats]:
        """Read the text and the sign that audio begins."""
        embeddings = self.text(token_ids=np.array([tokens]))["embeddings"]
        first = np.array(self.manifest["latent"]["first"], np.float32)
        self.width = embeddings.shape[-1]
        return self.flow_lm(embeddings=embeddings, latents=first[None, None])

    def step(self, latent: Floats) -> dict[str, Floats]:
        """Read a latent [1, latent_dim]."""
        return self.flow_lm(embeddings=np.empty((1, 0, self.width), np.float32), latents=latent[:, None])

    def sample(self, condition: Floats, x: Floats, steps: int) -> Floats:
        """Draw latents [B, latent_dim] from noise."""
        rule = self.manifest["sampler"]
        for index in range(steps):
            points = {"s": index / steps, "t": (index + 1) / steps}
            times = {name: np.full((len(x), 1), points[name], np.float32) for name in rule["time_inputs"]}
            direction = self.flow(condition=condition, x=x, **times)["direction"]
            x = x + direction / np.float32(steps) if rule["adds_to_noise"] else direction
        return x
