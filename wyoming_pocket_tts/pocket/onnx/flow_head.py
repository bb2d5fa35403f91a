"""The sampler head as part of a graph: from noise and what the transformer saw to the next latent.

Knows nothing about attention, text or audio. Equals ``pocket/torch/flow_head.py``, but what does not change from frame
to frame is computed here, once: the time embeddings are biases, and the shifts, scales and gates of all blocks at all
steps come from one product of matrices.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.graph import CONTRIB, Graph
from wyoming_pocket_tts.pocket.onnx.linears import Floats, Linears
from wyoming_pocket_tts.pocket.schema import FlowConfig

_NORM_EPSILON = 1e-6
_TIME_NORM_EPSILON = 1e-5

Weights = Mapping[str, Floats]


def sampled_latent(
    graph: Graph,
    linears: Linears,
    config: FlowConfig,
    weights: Weights,
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


def _time_conditions(config: FlowConfig, weights: Weights, steps: int) -> Floats:
    """What the points in time add to the condition at each step, [steps, width]."""
    points = [index / steps for index in range(steps + 1)]
    match config.type:
        case "lsd":
            return np.stack([_time_condition(weights, start, end) for start, end in pairwise(points)])
        case "flow_matching":
            return np.stack([_time_condition(weights, start) for start in points[:-1]])
        case _:
            return np.zeros((1, config.dim), np.float32)


def _time_condition(weights: Weights, *times: float) -> Floats:
    embedded = [_time_embedding(weights, f"flow_lm.flow_net.time_embed.{j}", time) for j, time in enumerate(times)]
    return np.mean(embedded, axis=0).astype(np.float32)  # type: ignore[no-any-return]


def _time_embedding(weights: Weights, name: str, time: float) -> NDArray[np.float64]:
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
    graph: Graph, linears: Linears, config: FlowConfig, weights: Weights, *, hidden: str, times: Floats
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


def _network(graph: Graph, linears: Linears, weights: Weights, x: str, modulation: Sequence[str]) -> str:
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


def silu(graph: Graph, x: str) -> str:
    """``x * sigmoid(x)``, in one operator."""
    return graph.node("QuickGelu", x, domain=CONTRIB, alpha=1.0)
