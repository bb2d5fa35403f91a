"""Keeps the large matrices of a transformer in 8 bits. Knows nothing about what the transformer is for.

A step of the language model reads every weight once to multiply it with one vector: its time is that of the memory, and
a quarter of the bytes is a quarter of the time. Weights have one scale for each output; activations are rounded as they
come, with one scale for each position. Convolutions, norms, embeddings and the sampler head stay as they are: they are
small, or their errors are heard.
"""

import logging
import time

import torch
from torch import Tensor, nn

from wyoming_pocket_tts.errors import ModelError

logger = logging.getLogger(__name__)

_LARGEST = 127
_PREFILL_ROWS = 35
"""Positions that are read at once before the first frame: a sentence, and the sign that audio begins."""
_TRIALS = 5
_CALLS_PER_TRIAL = 4


class Int8Linear(nn.Module):
    """A linear layer without bias whose weight ``[out, in]`` has 8 bits."""

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.abs().amax(dim=1) / _LARGEST
        self.register_buffer("weight", (linear.weight / scale[:, None]).round_().to(torch.int8))
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:  # [..., in]
        rows = x.reshape(-1, x.shape[-1])
        scale = rows.abs().amax(dim=1, keepdim=True) / _LARGEST  # 0 for zeros: whatever they round to comes to nothing
        rounded = (rows / scale).round_().to(torch.int8)
        product: Tensor = torch._int_mm(rounded, self.weight.T)  # noqa: SLF001  (PyTorch's one product of 8-bit matrices)
        return (product * scale * self.scale).reshape(*x.shape[:-1], len(self.weight))


def quantize_linears(network: nn.Module) -> None:
    """Replace every linear layer of a network on the CPU, in place.

    Reading a text, many positions at once, is bound by arithmetic, not memory, and may be slower where a step is
    faster: then the first audio comes later and all that follows sooner, which is worth a warning, no refusal.

    Raises:
        ModelError: a step is not faster with 8 bits than with 32 on this processor, measured with the largest layer.
    """
    places = [
        (module, name, child)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.Linear)
    ]
    largest = max((linear for _, _, linear in places), key=lambda linear: linear.weight.numel())
    _refuse_if_slower(largest)
    for module, name, linear in places:
        setattr(module, name, Int8Linear(linear))


def _refuse_if_slower(linear: nn.Linear) -> None:
    try:
        quantized = Int8Linear(linear)
        step, prefill = (_seconds_per_call(quantized, rows=rows) for rows in (1, _PREFILL_ROWS))
    except RuntimeError as error:
        raise ModelError(f"quantize: this processor or PyTorch cannot multiply 8-bit matrices: {error}") from error
    plain_step, plain_prefill = (_seconds_per_call(linear, rows=rows) for rows in (1, _PREFILL_ROWS))
    if step >= plain_step:
        raise ModelError(
            f"quantize: 8 bits would be slower here than 32 ({step * 1e3:.2f} against {plain_step * 1e3:.2f} ms"
            " for the largest layer): load the model without it"
        )
    if prefill >= plain_prefill:
        logger.warning(
            "quantize: 8 bits read texts slower here than 32 (%.2f against %.2f ms for the largest layer): the first "
            "audio comes later, what follows comes sooner",
            prefill * 1e3,
            plain_prefill * 1e3,
        )


@torch.inference_mode()
def _seconds_per_call(layer: nn.Linear | Int8Linear, *, rows: int) -> float:
    """The best of some trials: what else the machine does only ever makes them longer."""
    inputs = layer.weight.shape[1]
    x = torch.linspace(-1, 1, rows * inputs, dtype=torch.float32).reshape(rows, inputs)
    best = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        for _ in range(_CALLS_PER_TRIAL):
            layer(x)
        best = min(best, time.perf_counter() - start)
    return best / _CALLS_PER_TRIAL
