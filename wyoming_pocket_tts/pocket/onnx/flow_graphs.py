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
from wyoming_pocket_tts.inference.quantized import BlockMatMul, Float32MatMul, LinearOps
from wyoming_pocket_tts.pocket.onnx.bundle import MAX_POSITIONS, Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig

_HEAD_DIM_STEP = 16
_HEAD = "flow_net"
_HEAD_NORM_EPSILON = 1e-6
TIME_NORM_EPSILON = 1e-5


def flow_lm_graph(
    config: ModelConfig, weights: WeightArrays, data: ExternalDataFile, *, precision: Precision, steps: int
) -> GraphBuilder:
    """The language model with its sampler of ``steps`` steps; ``precision`` is that of the large matrices.

    Inputs, for B streams that each have positions of their own:
        inputs [B, S, D] float32: text or voice, as vectors; S may be 0.
        latents [B, L, latent_dim] float32: what follows it; the first latent of a sequence is ``bos_emb``. L may be 0.
        noise [B, latent_dim] float32: the sampler's start.
        last [B] int64: the index, in S + L, of the row's last position; those behind it are padding.
        seqlens_k [B] int32: positions of the row up to and with its last one, less one.
        total_sequence_length [] int32: the largest of them, not less one.
        past_key_{i}, past_value_{i} [B, kv_heads, room, head_dim] float32, for each layer i.
    Outputs:
        latent [B, latent_dim], eos_logit [B], hidden [B, condition_dim]: after each row's last position.
        present_key_{i}, present_value_{i}: as the past; to be bound to the same arrays, which are then updated in
        place. Padding leaves something behind the last position, to be overwritten.
    Several positions at once need B = 1, unless the past is empty: ONNX Runtime's attention has no other case.

    Raises a ConfigError for heads of a width that this attention does not have.
    """
    head_dim = config.flow_lm.transformer.head_dim
    if head_dim % _HEAD_DIM_STEP:
        raise ConfigError(
            f"flow_lm.transformer: heads are {head_dim} wide (attn_dim or d_model, by num_heads);"
            f" ONNX Runtime needs a multiple of {_HEAD_DIM_STEP}; use the PyTorch engine for this model"
        )
    graph, bits = GraphBuilder("flow_lm", data=data), precision.language_model_bits
    flow = _ContribFlowBuilder(graph, config, weights, BlockMatMul(bits) if bits else Float32MatMul())
    hidden, eos_logit = flow.read(
        graph.input("inputs", np.float32, ["B", "S", config.flow_lm.transformer.d_model]),
        graph.input("latents", np.float32, ["B", "L", config.latent_dim]),
    )
    eos_logit = graph.squeeze(eos_logit, 1)
    latent = flow.sample(hidden, graph.input("noise", np.float32, ["B", config.latent_dim]), steps)
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


class FlowBuilder:
    """Writes FlowLM and its head; subclasses choose the operators of attention and activation.

    Wide layers are multiplied by ``matmul``; narrow ones in float32, since they cost little and err much.
    """

    def __init__(self, graph: GraphBuilder, config: ModelConfig, weights: WeightArrays, matmul: LinearOps) -> None:
        self.graph, self.config, self.sizes = graph, config, config.flow_lm.transformer
        self.weights, self.matmul = weights, matmul

    def begin(self, x: str) -> None:
        """Add what the attention of all layers shares, after the inputs [B, T, D]."""
        raise NotImplementedError

    def attention(self, x: str, index: int) -> str:
        """Attention of a layer, before its output's projection: [B, T, D] -> [B, T, attention_dim]."""
        raise NotImplementedError

    def last(self, x: str) -> str:
        """The last position alone: [B, T, D] -> [B, D] or [B, 1, D]."""
        raise NotImplementedError

    def silu(self, x: str) -> str:
        raise NotImplementedError

    def read(self, inputs: str, latents: str) -> tuple[str, str]:
        """[B, S, D] and [B, L, latent_dim] -> the head's condition [B, condition_dim] and the end's logit [B, 1]."""
        x = self.graph.concat(inputs, self.exact(latents, "input_linear"), axis=1)
        self.begin(x)
        for index in range(self.sizes.num_layers):
            x = self._layer(x, index)
        hidden = self.rows(self.norm(x, "out_norm"))
        if self.config.flow_lm.z_dim:
            hidden = self.exact(hidden, "z_proj")
        return hidden, self.exact(hidden, "out_eos")

    def rows(self, last: str) -> str:
        """[B, D], of what ``last`` gave."""
        return last

    def _layer(self, x: str, index: int) -> str:
        layer = f"transformer.layers.{index}"
        attended = self.attention(self.norm(x, f"{layer}.norm1"), index)
        if index == self.sizes.num_layers - 1:  # nothing reads the other positions of the last layer
            x, attended = self.last(x), self.last(attended)
        x = self.graph.add(x, self.large(attended, f"{layer}.self_attn.out_proj"))
        inner = self.large(self.norm(x, f"{layer}.norm2"), f"{layer}.linear1")
        inner = self.graph.node("Gelu", inner, approximate="tanh")
        return self.graph.add(x, self.large(inner, f"{layer}.linear2"))

    def sample(self, hidden: str, noise: str, steps: int) -> str:
        """The latent [B, latent_dim] for [B, condition_dim] and noise [B, latent_dim]; times are constants."""
        graph, flow = self.graph, self.config.flow_lm.flow
        times = _time_conditions(flow.type, self.weights, steps, flow.dim)
        biases = times + self.weights[f"flow_lm.{_HEAD}.cond_embed.bias"]
        weight, name = self.weight(f"{_HEAD}.cond_embed"), f"flow_lm.{_HEAD}.cond_embed"
        if len(times) == 1:
            modulations = [self.modulation(self.matmul.linear(graph, hidden, weight, biases[0], name=name))]
        else:  # a row for each step: the large matrix is read once for all of them
            condition = graph.node("Unsqueeze", self.matmul.linear(graph, hidden, weight, name=name), graph.ints(1))
            parts = self.modulation(graph.add(condition, graph.constant(biases)))  # each [B, steps, width]
            by_part = [graph.split(part, len(times), 1) for part in parts]
            modulations = [[graph.squeeze(part[step], 1) for part in by_part] for step in range(len(times))]
        x = noise
        for modulation in modulations:
            direction = self.direction(x, modulation)
            if flow.type == "drifting":
                return direction
            if len(times) > 1:
                direction = graph.node("Mul", direction, graph.scalar(1 / len(times)))
            x = graph.add(x, direction)
        return x

    def modulation(self, condition: str) -> list[str]:
        """Shift, 1 + scale and gate of every block, then shift and 1 + scale of the final layer: each [..., width]."""
        flow = self.config.flow_lm.flow
        layers = [*(f"{_HEAD}.res_blocks.{i}" for i in range(flow.depth)), f"{_HEAD}.final_layer"]
        weight = np.concatenate([self.weight(f"{layer}.adaLN_modulation.1") for layer in layers])
        biases = [self.weights[f"flow_lm.{layer}.adaLN_modulation.1.bias"].copy() for layer in layers]
        for bias in biases:
            bias[flow.dim : 2 * flow.dim] += 1  # the 1 of ``1 + scale``
        name = f"flow_lm.{_HEAD}.adaLN_modulation"
        joined = self.matmul.linear(self.graph, self.silu(condition), weight, np.concatenate(biases), name=name)
        return self.graph.split(joined, len(weight) // flow.dim, -1)

    def direction(self, x: str, modulation: Sequence[str]) -> str:
        """The head's network: a noisy latent [B, latent_dim] under modulations [B, width] -> [B, latent_dim]."""
        graph, width = self.graph, self.config.flow_lm.flow.dim
        *blocks, shift, scale = modulation
        x = self.exact(x, f"{_HEAD}.input_proj")
        for i in range(len(blocks) // 3):
            name, (block_shift, block_scale, gate) = f"{_HEAD}.res_blocks.{i}", blocks[3 * i : 3 * i + 3]
            y = self.norm(x, f"{name}.in_ln", _HEAD_NORM_EPSILON)
            y = graph.add(graph.node("Mul", y, block_scale), block_shift)
            y = self.large(self.silu(self.large(y, f"{name}.mlp.0")), f"{name}.mlp.2")
            x = graph.add(x, graph.node("Mul", gate, y))
        y = graph.layer_norm(x, np.ones(width, np.float32), np.zeros(width, np.float32), epsilon=_HEAD_NORM_EPSILON)
        y = graph.add(graph.node("Mul", y, scale), shift)
        return self.exact(y, f"{_HEAD}.final_layer.linear")

    def norm(self, x: str, name: str, epsilon: float = 1e-5) -> str:
        return self.graph.layer_norm(x, self.weight(name), self.weights[f"flow_lm.{name}.bias"], epsilon)

    def large(self, x: str, name: str) -> str:
        return self.matmul.linear(self.graph, x, self.weight(name), self._bias(name), name=f"flow_lm.{name}")

    def exact(self, x: str, name: str) -> str:
        return self.graph.linear(x, self.weight(name), self._bias(name), shared=f"flow_lm.{name}/exact")

    def weight(self, name: str) -> Floats:
        return self.weights[f"flow_lm.{name}.weight"]

    def _bias(self, name: str) -> Floats | None:
        return self.weights.get(f"flow_lm.{name}.bias")


@dataclass(frozen=True, slots=True)
class _Positions:
    """Names of the values that place a call's positions."""

    last: str
    seqlens_k: str
    total: str
    cosines: str
    sines: str


class _ContribFlowBuilder(FlowBuilder):
    """With the operators that ONNX Runtime adds: attention that turns and appends in place."""

    _positions: _Positions

    def begin(self, x: str) -> None:  # noqa: ARG002  (positions are counted by the caller)
        graph = self.graph
        cosines, sines = rotation_tables(MAX_POSITIONS, self.sizes.head_dim, self.sizes.max_period)
        self._positions = _Positions(
            last=graph.node("Unsqueeze", graph.input("last", np.int64, ["B"]), graph.ints(1)),
            seqlens_k=graph.input("seqlens_k", np.int32, ["B"]),
            total=graph.input("total_sequence_length", np.int32, []),
            cosines=graph.constant(cosines, shared="flow_lm/cosines"),
            sines=graph.constant(sines, shared="flow_lm/sines"),
        )

    def attention(self, x: str, index: int) -> str:
        graph, sizes, positions = self.graph, self.sizes, self._positions
        shape: list[int | str] = ["B", sizes.kv_heads, "room", sizes.head_dim]
        attended, key, value = graph.nodes(
            "GroupQueryAttention",
            self.large(x, f"transformer.layers.{index}.self_attn.in_proj"),  # queries, keys and values, as it is
            "",
            "",
            graph.input(f"past_key_{index}", np.float32, shape),
            graph.input(f"past_value_{index}", np.float32, shape),
            *(positions.seqlens_k, positions.total, positions.cosines, positions.sines),
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

    def last(self, x: str) -> str:
        return self.graph.node("GatherND", x, self._positions.last, batch_dims=1)

    def silu(self, x: str) -> str:
        return self.graph.node("QuickGelu", x, domain=CONTRIB, alpha=1.0)


def _time_conditions(rule: str, weights: WeightArrays, steps: int, width: int) -> Floats:
    """What the points in time add to the condition at each step, [steps, width]."""
    points = [index / steps for index in range(steps + 1)]
    match rule:
        case "lsd":
            return np.stack([_time_condition(weights, start, end) for start, end in pairwise(points)])
        case "flow_matching":
            return np.stack([_time_condition(weights, start) for start in points[:-1]])
        case _:
            return np.zeros((1, width), np.float32)


def _time_condition(weights: WeightArrays, *times: float) -> Floats:
    embedded = [_time_embedding(weights, f"flow_lm.{_HEAD}.time_embed.{j}", time) for j, time in enumerate(times)]
    return np.mean(embedded, axis=0).astype(np.float32)  # type: ignore[no-any-return]


def _time_embedding(weights: WeightArrays, name: str, time: float) -> NDArray[np.float64]:
    """The network's embedding of a point in time, 0 to 1: [width]."""

    def linear(x: NDArray[np.float64], layer: str) -> NDArray[np.float64]:
        weight, bias = weights[f"{name}.mlp.{layer}.weight"], weights[f"{name}.mlp.{layer}.bias"]
        return x @ weight.T.astype(np.float64) + bias

    angles = time * weights[f"{name}.freqs"].astype(np.float64)
    inner = linear(np.concatenate([np.cos(angles), np.sin(angles)]), "0")
    x = linear(inner / (1 + np.exp(-inner)), "2")
    scaled: NDArray[np.float64] = x * weights[f"{name}.mlp.3.alpha"] / np.sqrt(x.var(ddof=1) + TIME_NORM_EPSILON)
    return scaled
