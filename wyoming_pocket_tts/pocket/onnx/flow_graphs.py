"""FlowLM and sampler head."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.graph import CONTRIB, ExternalDataFile, GraphBuilder
from wyoming_pocket_tts.inference.quantized import LinearBuilder
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.schema import FlowConfig, ModelConfig

MAX_POSITIONS = 8192
"""Positions that a speech may have, voice and text included: eleven minutes."""
_PREFIX = "flow_lm"
_HEAD_DIM_STEP = 16


def flow_lm_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, precision: Precision, steps: int
) -> GraphBuilder:
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
    graph = GraphBuilder("flow_lm", data=data)
    writer = _Writer(graph, config, weights, LinearBuilder(graph, precision.language_model_bits))
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

    graph: GraphBuilder
    config: ModelConfig
    weights: WeightArrays
    linears: LinearBuilder

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


_NORM_EPSILON = 1e-6
_TIME_NORM_EPSILON = 1e-5


def sampled_latent(
    graph: GraphBuilder,
    linears: LinearBuilder,
    config: FlowConfig,
    weights: WeightArrays,
    *,
    hidden: str,
    noise: str,
    steps: int,
) -> str:
    """Add the head and its rule; return the latent [B, latent_dim].

    Args:
        graph: where to.
        linears: writes its matrices.
        config: sizes and rule.
        weights: tensors by the names they have in the files, ``flow_lm.flow_net...``.
        hidden: the transformer's last output [B, condition_dim].
        noise: what the sampler starts from [B, latent_dim].
        steps: jumps or integration steps; rules without a time take one.
    """
    times = _time_conditions(config, weights, steps)
    modulations = _modulations(graph, linears, config, weights, hidden=hidden, times=times)
    x = noise
    for modulation in modulations:
        direction = _network(graph, linears, weights, x, modulation)
        if config.type == "drifting":
            return direction
        if len(times) > 1:
            direction = graph.node("Mul", direction, graph.constant(np.array(1 / len(times), np.float32)))
        x = graph.add(x, direction)
    return x


def _time_conditions(config: FlowConfig, weights: WeightArrays, steps: int) -> Floats:
    """What the points in time add to the condition at each step, [steps, width]."""
    points = [index / steps for index in range(steps + 1)]
    match config.type:
        case "lsd":
            return np.stack([_time_condition(weights, start, end) for start, end in pairwise(points)])
        case "flow_matching":
            return np.stack([_time_condition(weights, start) for start in points[:-1]])
        case _:
            return np.zeros((1, config.dim), np.float32)


def _time_condition(weights: WeightArrays, *times: float) -> Floats:
    embedded = [_time_embedding(weights, f"flow_lm.flow_net.time_embed.{j}", time) for j, time in enumerate(times)]
    return np.mean(embedded, axis=0).astype(np.float32)  # type: ignore[no-any-return]


def _time_embedding(weights: WeightArrays, name: str, time: float) -> NDArray[np.float64]:
    """Embed a point in time, 0 to 1, as the network does: [width]."""

    def linear(x: NDArray[np.float64], layer: str) -> NDArray[np.float64]:
        weight, bias = weights[f"{name}.mlp.{layer}.weight"], weights[f"{name}.mlp.{layer}.bias"]
        return x @ weight.T.astype(np.float64) + bias

    angles = time * weights[f"{name}.freqs"].astype(np.float64)
    inner = linear(np.concatenate([np.cos(angles), np.sin(angles)]), "0")
    x = linear(inner / (1 + np.exp(-inner)), "2")
    scaled: NDArray[np.float64] = x * weights[f"{name}.mlp.3.alpha"] / np.sqrt(x.var(ddof=1) + _TIME_NORM_EPSILON)
    return scaled


def _modulations(
    graph: GraphBuilder,
    linears: LinearBuilder,
    config: FlowConfig,
    weights: WeightArrays,
    *,
    hidden: str,
    times: Floats,
) -> list[Sequence[str]]:
    """Shift, 1 + scale and gate of every block, then shift and 1 + scale of the final layer, per step: [B, width]."""
    name = "flow_lm.flow_net"
    layers = [f"{name}.res_blocks.{i}" for i in range(config.depth)] + [f"{name}.final_layer"]
    weight = np.concatenate([weights[f"{layer}.adaLN_modulation.1.weight"] for layer in layers])
    bias = np.concatenate(
        [_scale_from_one(weights[f"{layer}.adaLN_modulation.1.bias"], config.dim) for layer in layers]
    )
    biases = times + weights[f"{name}.cond_embed.bias"]
    many = len(times) > 1
    condition = linears.large(
        hidden, weights[f"{name}.cond_embed.weight"], None if many else biases[0], name=f"{name}.cond_embed"
    )
    if many:  # a row for each step: the large matrix is read once for all of them
        condition = graph.add(graph.node("Unsqueeze", condition, graph.ints(1)), graph.constant(biases))
    modulation = linears.large(silu(graph, condition), weight, bias, name=f"{name}.adaLN_modulation")
    parts = graph.split(modulation, len(weight) // config.dim, -1)  # each [B, width] or [B, steps, width]
    if not many:
        return [parts]
    by_part = [graph.split(part, len(times), 1) for part in parts]
    return [[graph.squeeze(part[step], 1) for part in by_part] for step in range(len(times))]


def _scale_from_one(bias: Floats, width: int) -> Floats:
    """Add the 1 of ``1 + scale`` to the bias of shift, scale and, in blocks, gate."""
    shifted = bias.copy()
    shifted[width : 2 * width] += 1
    return shifted


def _network(
    graph: GraphBuilder, linears: LinearBuilder, weights: WeightArrays, x: str, modulation: Sequence[str]
) -> str:
    """Map a noisy latent [B, latent_dim] under modulations [B, width] to [B, latent_dim]."""
    name = "flow_lm.flow_net"

    def of(layer: str) -> tuple[Floats, Floats]:
        return weights[f"{name}.{layer}.weight"], weights[f"{name}.{layer}.bias"]

    x = linears.exact(x, *of("input_proj"), name=f"{name}.input_proj")
    *blocks, shift, scale = modulation
    for i in range(len(blocks) // 3):
        block_shift, block_scale, gate = blocks[3 * i : 3 * i + 3]
        y = graph.layer_norm(x, *of(f"res_blocks.{i}.in_ln"), epsilon=_NORM_EPSILON)
        y = graph.add(graph.node("Mul", y, block_scale), block_shift)
        for layer in ("0", "2"):
            y = linears.large(y, *of(f"res_blocks.{i}.mlp.{layer}"), name=f"{name}.res_blocks.{i}.mlp.{layer}")
            y = silu(graph, y) if layer == "0" else y
        x = graph.add(x, graph.node("Mul", gate, y))
    width = len(weights[f"{name}.input_proj.bias"])
    y = graph.layer_norm(x, np.ones(width, np.float32), np.zeros(width, np.float32), epsilon=_NORM_EPSILON)
    y = graph.add(graph.node("Mul", y, scale), shift)
    return linears.exact(y, *of("final_layer.linear"), name=f"{name}.final_layer.linear")


def silu(graph: GraphBuilder, x: str) -> str:
    """``x * sigmoid(x)``, in one operator."""
    return graph.node("QuickGelu", x, domain=CONTRIB, alpha=1.0)
