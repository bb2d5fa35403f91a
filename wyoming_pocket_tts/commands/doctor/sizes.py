"""How much room models take, from the number of their weights and what a processor computes in.

Estimates: knows no file and measures nothing.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from wyoming_pocket_tts.pocket.onnx.cpu import has_integer_products
from wyoming_pocket_tts.pocket.onnx.memory_size import cache_bytes
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensors import expected_tensors
from wyoming_pocket_tts.wanted import WantedModel

_MEGABYTE = 1_000_000
_BYTES_PER_WEIGHT = {Precision.FP32: 4.2, Precision.MIXED: 1.5, Precision.INT8: 1.3, Precision.INT4: 0.9}
"""Measured on converted models, rounded up; not everything is in few bits."""
_WEIGHT_FILE_BYTES = 2.1
"""A released weight file, per weight."""
_RUNNING_BYTES = 120 * _MEGABYTE
"""Beside its weights: buffers, a voice, speech under way."""
_CODEC_BYTES = 25 * _MEGABYTE
"""What the codec computes with, of that what counts against a budget."""


def computed_in(wanted: Precision, flags: frozenset[str]) -> Precision:
    """What a processor with these instructions computes in: for some of them, 8 bits are out of the question."""
    is_integer = wanted in (Precision.INT8, Precision.MIXED)
    return Precision.FP32 if is_integer and not has_integer_products(flags) else wanted


@dataclass(frozen=True, slots=True)
class ModelSize:
    """About how much room a model takes.

    Attributes:
        label: what it is called.
        memory_bytes: while it speaks, with all that it brings along.
        budget_bytes: what of that counts against ``models.memory_mb``.
        converted_bytes: as files, once it is converted.
        download_bytes: what has to be downloaded for it, without voices.
    """

    EMBEDDED_BYTES: ClassVar[int] = 160 * _MEGABYTE
    """The service itself with its embedded voice, in memory."""
    EMBEDDED_BUDGET_BYTES: ClassVar[int] = 45 << 20
    """The embedded voice, as it counts against ``models.memory_mb``."""

    label: str
    memory_bytes: int
    budget_bytes: int
    converted_bytes: int
    download_bytes: int

    @classmethod
    def of(cls, label: str, config: ModelConfig, precision: Precision) -> "ModelSize":
        """Estimate."""
        weights = sum(math.prod(shape) for shape in expected_tensors(config).values())
        converted = int(weights * _BYTES_PER_WEIGHT[precision])
        return cls(
            label,
            memory_bytes=converted + _RUNNING_BYTES,
            budget_bytes=converted + _CODEC_BYTES + cache_bytes(config),
            converted_bytes=converted,
            download_bytes=int(weights * _WEIGHT_FILE_BYTES),
        )

    @classmethod
    def of_wanted(cls, model: WantedModel, precision: Precision) -> "ModelSize":
        """Estimate for a model of the settings."""
        return cls.of(model.label, model.config, precision)
