"""Writes FlowLM, the language model over latents, as one graph for reading text and for speaking. Knows no torch.

Equals ``pocket/torch/flow_lm.py`` with its sampler. Text and voice come in as vectors already: looking up a row needs
no graph. Keys and values are updated in place, in arrays with room for all positions of a speech.
"""

import math
from dataclasses import dataclass

import numpy as np

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.graph import CONTRIB, DataFile, Graph
from wyoming_pocket_tts.pocket.onnx.flow_head import Weights, sampled_latent
from wyoming_pocket_tts.pocket.onnx.linears import Floats, Linears
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig

MAX_POSITIONS = 8192
"""Positions that a speech may have, voice and text included: eleven minutes."""
_PREFIX = "flow_lm"
_HEAD_DIM_STEP = 16


def flow_lm_graph(config: ModelConfig, weights: Weights, data: DataFile, *, precision: Precision, steps: int) -> Graph:
    """Write the graph.

    Inputs, for B streams that each have positions of their own:
        inputs [B, S, D] float32: text or voice, as vectors; S may be 0.
        latents [B, L, latent_dim] float32: what follows it; the first latent of a speech is ``bos_emb``. L may be 0.
        noise [B, latent_dim] float32: what the sampler starts from.
        last [B] int64: which of the S + L positions is the row's last; those behind it are padding.
        seqlens_k [B] int32: positions of the row up to and with its last one, less one.
        total_sequence_length [] int32: the largest of them, not less one.
        past_key_{i}, past_value_{i} [B, kv_heads, room, head_dim] float32, for each layer i.
    Outputs:
        latent [B, latent_dim], eos_logit [B], hidden [B, condition_dim]: after each row's last position.
        present_key_{i}, present_value_{i}: as the past; to be bound to the same arrays, which are then updated in
        place. Padding leaves something behind the last position, to be overwritten.
    Several positions at once need B = 1, unless the past is empty: ONNX Runtime's attention has no other case.

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        precision: of the large matrices.
        steps: jumps or integration steps of the sampler; heads without a time take one.

    Raises:
        ConfigError: ONNX Runtime's attention has no heads of the model's width.
    """
    head_dim = config.flow_lm.transformer.head_dim
    if head_dim % _HEAD_DIM_STEP:
        raise ConfigError(
            f"flow_lm.transformer: heads are {head_dim} wide (attn_dim or d_model, by num_heads);"
            f" ONNX Runtime needs a multiple of {_HEAD_DIM_STEP}; use the PyTorch engine for this model"
        )
    graph = Graph("flow_lm", data=data)
    writer = _Writer(graph, config, weights, Linears(graph, precision.language_model_bits))
    hidden, eos_logit = writer.read()
    noise = graph.input("noise", np.float32, ["B", config.latent_dim])
    latent = sampled_latent(
        graph, writer.linears, config.flow_lm.flow, weights, hidden=hidden, noise=noise, steps=steps
    )
    graph.output(latent, "latent", np.float32, ["B", config.latent_dim])
    graph.output(eos_logit, "eos_logit", np.float32, ["B"])
    graph.output(hidden, "hidden", np.float32, ["B", config.flow_lm.condition_dim])
    return graph


def rotation_tables(positions: int, head_dim: int, max_period: float) -> tuple[Floats, Floats]:
    """Cosines and sines of the turn of each feature pair at each position, both [positions, head_dim / 2]."""
    pairs = np.arange(head_dim // 2, dtype=np.float32)
    exponents = pairs * np.float32(-math.log(max_period) * 2 / head_dim)
    # NumPy's exp of float32 is off by one unit here and there; after thousands of positions that is an angle.
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    angles = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    return np.cos(angles), np.sin(angles)


@dataclass(frozen=True, slots=True)
class _Positions:
    """What attention has to know about where it is: names of values."""

    last: str
    seqlens_k: str
    total: str
    cosines: str
    sines: str


@dataclass(frozen=True, slots=True)
class _Writer:
    """A graph, and what it is written from."""

    graph: Graph
    config: ModelConfig
    weights: Weights
    linears: Linears

    def read(self) -> tuple[str, str]:
        """Add everything up to the heads; return what they get, [B, condition_dim], and the end's logit, [B]."""
        graph, sizes = self.graph, self.config.flow_lm.transformer
        inputs = graph.input("inputs", np.float32, ["B", "S", sizes.d_model])
        latents = graph.input("latents", np.float32, ["B", "L", self.config.latent_dim])
        latents = self.linears.exact(latents, self._weight("input_linear"), name=f"{_PREFIX}.input_linear")
        x = graph.concat(inputs, latents, axis=1)
        positions = self._positions()
        for index in range(sizes.num_layers):
            x = self._layer(x, index, positions)
        hidden = self._norm(x, "out_norm")
        if self.config.flow_lm.z_dim:
            hidden = self.linears.exact(hidden, self._weight("z_proj"), name=f"{_PREFIX}.z_proj")
        eos_bias = self.weights[f"{_PREFIX}.out_eos.bias"]
        eos_logit = self.linears.exact(hidden, self._weight("out_eos"), eos_bias, name=f"{_PREFIX}.out_eos")
        return hidden, graph.squeeze(eos_logit, 1)

    def _positions(self) -> _Positions:
        graph, sizes = self.graph, self.config.flow_lm.transformer
        cosines, sines = rotation_tables(MAX_POSITIONS, sizes.head_dim, sizes.max_period)
        return _Positions(
            last=graph.node("Unsqueeze", graph.input("last", np.int64, ["B"]), graph.ints(1)),
            seqlens_k=graph.input("seqlens_k", np.int32, ["B"]),
            total=graph.input("total_sequence_length", np.int32, []),
            cosines=graph.constant(cosines, shared=f"{_PREFIX}/cosines"),
            sines=graph.constant(sines, shared=f"{_PREFIX}/sines"),
        )

    def _layer(self, x: str, index: int, positions: _Positions) -> str:
        """A layer over [B, T, D]. The last one returns [B, D]: of each row's last position alone."""
        graph, layer = self.graph, f"transformer.layers.{index}"
        attended = self._attention(self._norm(x, f"{layer}.norm1"), index, positions)
        if index == self.config.flow_lm.transformer.num_layers - 1:
            x, attended = (graph.node("GatherND", rows, positions.last, batch_dims=1) for rows in (x, attended))
        x = graph.add(x, self._large(attended, f"{layer}.self_attn.out_proj"))
        inner = self._large(self._norm(x, f"{layer}.norm2"), f"{layer}.linear1")
        inner = graph.node("Gelu", inner, approximate="tanh")
        return graph.add(x, self._large(inner, f"{layer}.linear2"))

    def _attention(self, x: str, index: int, positions: _Positions) -> str:
        """Attention before its output's projection: [B, T, D] -> [B, T, attention_dim]."""
        graph, sizes = self.graph, self.config.flow_lm.transformer
        shape: list[int | str] = ["B", sizes.kv_heads, "room", sizes.head_dim]
        attended, key, value = graph.nodes(
            "GroupQueryAttention",
            self._large(x, f"transformer.layers.{index}.self_attn.in_proj"),  # queries, keys and values, as it is
            "",
            "",
            graph.input(f"past_key_{index}", np.float32, shape),
            graph.input(f"past_value_{index}", np.float32, shape),
            positions.seqlens_k,
            positions.total,
            positions.cosines,
            positions.sines,
            outputs=3,
            domain=CONTRIB,
            num_heads=sizes.num_heads,
            kv_num_heads=sizes.kv_heads,
            do_rotary=1,
            rotary_interleaved=1,
        )
        graph.output(key, f"present_key_{index}", np.float32, shape)
        graph.output(value, f"present_value_{index}", np.float32, shape)
        return attended

    def _norm(self, x: str, name: str) -> str:
        return self.graph.layer_norm(x, self._weight(name), self.weights[f"{_PREFIX}.{name}.bias"])

    def _large(self, x: str, name: str) -> str:
        return self.linears.large(x, self._weight(name), name=f"{_PREFIX}.{name}")

    def _weight(self, name: str) -> Floats:
        return self.weights[f"{_PREFIX}.{name}.weight"]
