"""Shows the released models to people and programs, and which of them are on this machine. Downloads nothing."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wyoming_pocket_tts.errors import DownloadError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle
from wyoming_pocket_tts.pocket.onnx.install import installed
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensors import expected_tensors

_HEAD = ("NAME", "LANGUAGE", "PARAMETERS", "TYPE", "VOICE", "INSTALLED", "CONVERTED")
_HEARING = ("mimi.encoder", "mimi.downsample", "flow_lm.speaker_proj")
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class ReleasedModel:
    """What a person needs to choose one.

    Attributes:
        name: what ``--language`` takes.
        language: two letters.
        parameters: how many numbers its weights are, without the codec's encoder: that one only hears recordings.
        layers: of the language model's transformer.
        type: how its sampler works.
        default_voice: who speaks when nobody else is asked for.
        installed: whether weights and tokenizer are on this machine, or a converted model, which needs neither.
        voice_cloning: whether what is there can make voices from recordings.
        converted: the precisions that it has been converted to, for the service.
    """

    name: str
    language: str
    parameters: int
    layers: int
    type: str
    default_voice: str
    installed: bool
    voice_cloning: bool
    converted: tuple[str, ...]


def released_models(data_dir: Path | None = None) -> list[ReleasedModel]:
    """Describe all of them, in the order of the registry; converted ones are looked for in ``data_dir``."""
    return [_described(name, data_dir) for name in configs.model_names()]


def as_dict(models: Sequence[ReleasedModel]) -> dict[str, Any]:
    """Make what JSON can hold: the models, and the names of the voices that each of them has."""
    return {"models": [asdict(model) for model in models], "voices": list(configs.voice_names())}


def as_table(models: Sequence[ReleasedModel]) -> str:
    """Lay the models out in columns, and name the voices below."""
    rows = [_HEAD, *(_row(model) for model in models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    table = "\n".join(line.rstrip() for line in lines)
    return f"{table}\n\nVoices of each model: {', '.join(configs.voice_names())}"


def _described(name: str, data_dir: Path | None) -> ReleasedModel:
    config = configs.released_model(name)
    cloning = _is_here(config.weights_path)
    bundles = _bundles(name, config, data_dir) if data_dir else []
    weights = cloning or _is_here(config.weights_path_without_voice_cloning)
    return ReleasedModel(
        name=name,
        language=configs.language(name),
        parameters=sum(
            math.prod(shape) for tensor, shape in expected_tensors(config).items() if not tensor.startswith(_HEARING)
        ),
        layers=config.flow_lm.transformer.num_layers,
        type=config.flow_lm.flow.type,
        default_voice=configs.default_voice(name),
        installed=bool(bundles) or (weights and _is_here(config.flow_lm.lookup_table.tokenizer_path)),
        voice_cloning=cloning or any(bundle.has_voice_cloning for bundle in bundles),
        converted=tuple(str(bundle.precision) for bundle in bundles),
    )


def _bundles(name: str, config: ModelConfig, data_dir: Path) -> list[Bundle]:
    """The model as it has been converted, in each precision."""
    found = (installed(name, config, data_dir=data_dir, precision=precision) for precision in Precision)
    return [bundle for bundle in found if bundle is not None]


def _is_here(source: str | None) -> bool:
    if source is None:
        return False
    try:
        fetch(source, local_files_only=True)
    except DownloadError:
        return False
    return True


def _row(model: ReleasedModel) -> tuple[str, ...]:
    installed = "yes" if model.voice_cloning else "yes, without cloning"
    return (
        model.name,
        model.language,
        f"{model.parameters / _MILLION:.0f} M",
        model.type,
        model.default_voice,
        installed if model.installed else "no",
        ", ".join(model.converted),
    )
