"""Which model a command means; sizes; loading."""

import importlib.util
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, ClassVar

from huggingface_hub.utils.tqdm import disable_progress_bars

from wyoming_pocket_tts.cli.console import ProgressDisplay
from wyoming_pocket_tts.core.errors import ConfigError, DownloadError, MissingFile
from wyoming_pocket_tts.core.system import has_integer_products
from wyoming_pocket_tts.pocket import registry
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.model_spec import NONE
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision, cache_bytes
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted, find_converted
from wyoming_pocket_tts.pocket.registry import load_config, model_names, released_model, voice_audio_source, voice_names
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelection:
    """Options for the model; None where an option was not given."""

    language: str | None = None
    """A released model."""
    config: str | None = None
    """Instead, the config of a custom model: a path or an address."""
    checkpoint: str | None = None
    """Safetensors file with weights in place of those of ``language`` or ``config``."""
    sampler_decode_steps: int | None = None
    lsd_decode_steps: int | None = None
    """Older name of ``sampler_decode_steps``."""
    temperature: float | None = None
    noise_clamp: float | None = None
    eos_threshold: float | None = None
    quantize: bool = False
    device: str | None = None

    def __post_init__(self) -> None:
        if self.language is not None and self.config is not None:
            raise ConfigError("--language and --config exclude each other: choose one")
        numbers = {
            "--temperature": self.temperature,
            "--noise-clamp": self.noise_clamp,
            "--eos-threshold": self.eos_threshold,  # no logit is above nan: every chunk would reach its limit
        }
        for option, value in numbers.items():
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"{option} is {value}: it must be a number")
        if self.noise_clamp == 0:
            raise ConfigError("--noise-clamp is 0: it must be more; --temperature 0 speaks without noise")

    @property
    def released(self) -> str | None:
        """The released model that provides the weights; None for custom weights, which have no predefined voices."""
        if self.config is not None or self.checkpoint is not None:
            return None
        return self._model_name

    @property
    def _model_name(self) -> str:
        return self.language or model_names()[0]

    @property
    def options(self) -> list[str]:
        given = (("--language", self.language), ("--config", self.config))
        return next(([option, value] for option, value in given if value), [])

    def language_code(self) -> str:
        """The two-letter language of the model, or the most likely one of a custom model."""
        return registry.language(self._model_name)

    def default_voice(self) -> str:
        """A predefined voice, or a recording for custom weights."""
        if self.released is None:
            return voice_audio_source(registry.default_voice(model_names()[0]))
        return registry.default_voice(self.released)


def is_none(names: Sequence[str]) -> bool:
    return [name.lower() for name in names] == [NONE]


def names_pocket_voice(voice: str) -> bool:
    """Whether this can only be a voice of Pocket TTS: a predefined one, a file or an address."""
    return voice.lower() in voice_names() or _is_place(voice)


def checked_voice(voice: str) -> str:
    """The voice as ``TTSModel`` accepts it."""
    if _is_place(voice):
        if "://" not in voice and not Path(voice).exists():
            raise MissingFile(f"{voice}: there is no such file")
        return voice
    voice_audio_source(voice.lower())
    return voice.lower()


def load(model: ModelSelection, *, quiet: bool, exact: bool = False) -> TTSModel:
    """Load the model and download missing files; ``quiet`` hides the progress of that.

    Without PyTorch, ONNX Runtime computes in int8, or with ``exact`` in fp32.
    """
    if quiet:
        disable_progress_bars()
    device = _checked_device(model.device or "cpu")
    loaded = TTSModel.load_model(
        language=model.language,
        config=model.config,
        checkpoint=model.checkpoint,
        temp=model.temperature,
        sampler_decode_steps=model.sampler_decode_steps or _recommended_steps(model),
        lsd_decode_steps=model.lsd_decode_steps,
        noise_clamp=model.noise_clamp,
        eos_threshold=model.eos_threshold,
        quantize=model.quantize,
        precision="fp32" if exact and not _has_torch() else None,  # PyTorch computes in fp32 and accepts none
    )
    return loaded.to(device)


def install_model(
    name: str | None,
    config: ModelConfig,
    *,
    data_dir: Path,
    precision: Precision,
    report: ProgressDisplay,
    steps: int | None = None,
    local_files_only: bool = False,
    anew: bool = False,
) -> ModelBundle:
    """Find or convert a model bundle; look again for weights that can clone voices if the bundle has others."""
    found = find_converted(name, config, data_dir=data_dir, precision=precision, steps=steps)
    if found and not found.has_voice_cloning and config.weights_path and not local_files_only:
        with suppress(DownloadError):  # the terms may have been accepted since; if not, the model reports it
            fetch(config.weights_path)
    return ensure_converted(
        name,
        config,
        data_dir=data_dir,
        precision=precision,
        steps=steps,
        local_files_only=local_files_only,
        anew=anew,
        report=report,
    )


def _checked_device(name: str) -> Any:  # noqa: ANN401  (PyTorch's class, if PyTorch is installed)
    """Check the device before anything is downloaded."""
    if not _has_torch():
        if name != "cpu":
            raise ConfigError(f"--device {name} needs PyTorch: pip install 'wyoming-pocket-tts[torch]'")
        return name
    from wyoming_pocket_tts.pocket.torch.backend import usable_device  # noqa: PLC0415  (PyTorch is optional)

    return usable_device(name)


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _recommended_steps(model: ModelSelection) -> int:
    """Fewest steps for intelligible speech; the Python interface defaults to one step, as upstream does."""
    if model.config is None:
        config = released_model(model.language or model_names()[0])
    else:
        config = load_config(fetch(model.config))
    return config.flow_lm.flow.fewest_steps


def _is_place(voice: str) -> bool:
    return "/" in voice or "\\" in voice or bool(PurePath(voice).suffix)


# --- sizes


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
    return next((family(name) for name in names if name in model_names()), _DEFAULT_LANGUAGE)


def family(name: str) -> str:
    return name.partition("_")[0]


def _plainest(names: list[str]) -> str:
    """The shortest name; the newest of several."""
    shortest = min(map(len, names))
    return max(name for name in names if len(name) == shortest)
