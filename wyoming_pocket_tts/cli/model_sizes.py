"""Estimated sizes of models, and the sizes that the models of a language come in."""

import math
from dataclasses import dataclass
from typing import ClassVar

from wyoming_pocket_tts.core.system import has_integer_products
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, cache_bytes
from wyoming_pocket_tts.pocket.registry import model_names, released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.weights import expected_tensors

_MEGABYTE = 1_000_000
_BYTES_PER_WEIGHT = {Precision.FP32: 4.2, Precision.MIXED: 1.5, Precision.INT8: 1.3, Precision.INT4: 0.9}
"""Measured on converted models, rounded up; not all tensors are quantized."""
_WEIGHT_FILE_BYTES = 2.1
"""Of a released weight file, per weight."""
_RUNNING_BYTES = 120 * _MEGABYTE
"""Beside the weights: buffers, a voice, sequences."""
_CODEC_BYTES = 25 * _MEGABYTE
"""Buffers of the codec, of that what counts against a budget."""
_DEFAULT_LANGUAGE = "english"


def computed_in(wanted: Precision, flags: frozenset[str]) -> Precision:
    """The precision in which a processor with these flags computes ``wanted``: fp32 where it lacks 8-bit products."""
    is_integer = wanted in (Precision.INT8, Precision.MIXED)
    return Precision.FP32 if is_integer and not has_integer_products(flags) else wanted


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Estimated size of a model."""

    EMBEDDED_BYTES: ClassVar[int] = 160 * _MEGABYTE
    """Memory of the service with the embedded voice alone."""
    EMBEDDED_BUDGET_BYTES: ClassVar[int] = 45 << 20
    """The embedded voice, as it counts against ``models.memory_budget_mb``."""

    label: str
    memory_bytes: int
    budget_bytes: int
    """The part of it that counts against ``models.memory_budget_mb``."""
    converted_bytes: int
    download_bytes: int
    """Without voices."""

    @classmethod
    def of(cls, label: str, config: ModelConfig, precision: Precision) -> "ModelSize":
        weights = sum(math.prod(shape) for shape in expected_tensors(config).values())
        converted = int(weights * _BYTES_PER_WEIGHT[precision])
        return cls(
            label,
            memory_bytes=converted + _RUNNING_BYTES,
            budget_bytes=converted + _CODEC_BYTES + cache_bytes(config),
            converted_bytes=converted,
            download_bytes=int(weights * _WEIGHT_FILE_BYTES),
        )


@dataclass(frozen=True, slots=True)
class ModelSizeTier:
    """A released model that stands for all of its size in its language."""

    name: str
    config: ModelConfig


def size_tiers(language: str) -> list[ModelSizeTier]:
    """One model of each size, largest (and best) first; ``language`` is the prefix of model names, as ``english``."""
    by_shape: dict[tuple[int, int], list[str]] = {}
    for name in model_names():
        if family(name) == language:
            transformer = released_model(name).flow_lm.transformer
            by_shape.setdefault((transformer.d_model, transformer.num_layers), []).append(name)
    chosen = [_plainest(by_shape[shape]) for shape in sorted(by_shape, reverse=True)]
    return [ModelSizeTier(name, released_model(name)) for name in chosen]


def language_of(names: tuple[str, ...]) -> str:
    """The language of the first released model among these; English if there is none."""
    return next((family(name) for name in names if name in model_names()), _DEFAULT_LANGUAGE)


def family(name: str) -> str:
    """The prefix that the model names of a language share."""
    return name.partition("_")[0]


def _plainest(names: list[str]) -> str:
    """The shortest name; the newest of several."""
    shortest = min(map(len, names))
    return max(name for name in names if len(name) == shortest)
