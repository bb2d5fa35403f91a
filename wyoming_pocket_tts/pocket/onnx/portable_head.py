"""The sampler head as a portable model: one direction at a time, so that the caller chooses steps and temperature.

Equals ``pocket/torch/flow_head.py``'s network, in operators of the ONNX standard alone. Knows no rule of sampling.
"""

from collections.abc import Sequence

import numpy as np

from wyoming_pocket_tts.graph import DataFile, Graph
from wyoming_pocket_tts.pocket.onnx.flow_head import Weights
from wyoming_pocket_tts.pocket.onnx.linears import Floats
from wyoming_pocket_tts.pocket.onnx.portable_operators import portable_products, silu
from wyoming_pocket_tts.pocket.onnx.products import Products
from wyoming_pocket_tts.pocket.onnx.streaming import StreamingGraph
from wyoming_pocket_tts.pocket.schema import FlowConfig, ModelConfig

_NORM_EPSILON = 1e-6
_TIME_NORM_EPSILON = 1e-5
_NAME = "flow_lm.flow_net"


def time_inputs(config: FlowConfig) -> tuple[str, ...]:
    """The points in time that the head is told: ``s``, where a step begins, and ``t``, where it ends."""
    return ("s", "t")[: config.n_times]


def flow_lm_flow_graph(config: ModelConfig, weights: Weights, data: DataFile, *, quantize: bool) -> StreamingGraph:
    """The head's network.

    Inputs: ``condition`` [B, condition_dim] from ``flow_lm_main``; those of ``s`` and ``t`` [B, 1], 0 to 1, that
    ``time_inputs`` names; ``x`` [B, latent_dim]. Output: ``direction`` [B, latent_dim].

    Args:
        config: what the model is.
        weights: its tensors, by the names of ``pocket/tensors.py``.
        data: where large constants go, each as soon as it was made.
        quantize: multiply 8-bit numbers in the wide layers.
    """
    g, flow = Graph("flow_lm_flow", data=data), config.flow_lm.flow
    writer = _Writer(g, weights, portable_products(quantize=quantize))
    condition = g.input("condition", np.float32, ["batch", config.flow_lm.condition_dim])
    times = [g.input(name, np.float32, ["batch", 1]) for name in time_inputs(flow)]
    x = g.input("x", np.float32, ["batch", config.latent_dim])
    y = writer.large(condition, "cond_embed")
    if times:
        embedded = [writer.time_embedding(time, f"time_embed.{j}") for j, time in enumerate(times)]
        total = embedded[0] if len(embedded) == 1 else g.node("Sum", *embedded)
        y = g.add(y, g.node("Mul", total, g.constant(np.array(1 / len(times), np.float32))))
    direction = writer.network(x, writer.modulations(y, flow))
    g.output(direction, "direction", np.float32, ["batch", config.latent_dim])
    return StreamingGraph(g, ())


class _Writer:
    """A graph, and what it is written from; names of layers are those within the head."""

    def __init__(self, graph: Graph, weights: Weights, products: Products) -> None:
        self._graph, self._weights, self._products = graph, weights, products

    def time_embedding(self, time: str, name: str) -> str:
        """[B, 1] -> [B, width]."""
        g = self._graph
        angles = g.node("Mul", time, g.constant(self._weights[f"{_NAME}.{name}.freqs"]))
        waves = g.concat(g.node("Cos", angles), g.node("Sin", angles), axis=-1)
        x = self.exact(silu(g, self.exact(waves, f"{name}.mlp.0")), f"{name}.mlp.2")
        alpha = self._weights[f"{_NAME}.{name}.mlp.3.alpha"]
        away = g.node("Sub", x, g.node("ReduceMean", x, g.ints(-1)))
        squares = g.node("ReduceSum", g.node("Mul", away, away), g.ints(-1))
        variance = g.node("Div", squares, g.constant(np.array(len(alpha) - 1, np.float32)))
        spread = g.node("Sqrt", g.add(variance, g.constant(np.array(_TIME_NORM_EPSILON, np.float32))))
        return g.node("Div", g.node("Mul", x, g.constant(alpha)), spread)

    def modulations(self, condition: str, flow: FlowConfig) -> Sequence[str]:
        """Shift, 1 + scale and gate of every block, then shift and 1 + scale of the final layer: each [B, width]."""
        g = self._graph
        layers = [*(f"res_blocks.{i}" for i in range(flow.depth)), "final_layer"]
        parameters = [self._of(f"{layer}.adaLN_modulation.1") for layer in layers]
        weight = np.concatenate([weight for weight, _ in parameters])
        biases = [bias.copy() for _, bias in parameters]
        for bias in biases:
            bias[flow.dim : 2 * flow.dim] += 1
        joined = self._products.linear(g, silu(g, condition), weight)
        joined = g.add(joined, g.constant(np.concatenate(biases)))
        return g.split(joined, len(weight) // flow.dim, -1)

    def network(self, x: str, modulation: Sequence[str]) -> str:
        """[B, latent_dim] -> [B, latent_dim], under modulations."""
        g = self._graph
        *blocks, shift, scale = modulation
        x = self.exact(x, "input_proj")
        for i in range(len(blocks) // 3):
            block_shift, block_scale, gate = blocks[3 * i : 3 * i + 3]
            name = f"res_blocks.{i}"
            y = g.layer_norm(x, *self._of(f"{name}.in_ln"), epsilon=_NORM_EPSILON)
            y = g.add(g.node("Mul", y, block_scale), block_shift)
            y = self.large(silu(g, self.large(y, f"{name}.mlp.0")), f"{name}.mlp.2")
            x = g.add(x, g.node("Mul", gate, y))
        width = len(self._of("input_proj")[1])
        y = g.layer_norm(x, np.ones(width, np.float32), np.zeros(width, np.float32), epsilon=_NORM_EPSILON)
        return self.exact(g.add(g.node("Mul", y, scale), shift), "final_layer.linear")

    def large(self, x: str, name: str) -> str:
        weight, bias = self._of(name)
        return self._graph.add(self._products.linear(self._graph, x, weight), self._graph.constant(bias))

    def exact(self, x: str, name: str) -> str:
        return self._graph.linear(x, *self._of(name))

    def _of(self, name: str) -> tuple[Floats, Floats]:
        return self._weights[f"{_NAME}.{name}.weight"], self._weights[f"{_NAME}.{name}.bias"]
