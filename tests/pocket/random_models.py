"""Variants of model configs for tests."""

from collections.abc import Mapping
from typing import Any

from wyoming_pocket_tts.pocket.schema import ModelConfig


def reduced(config: ModelConfig, *, layers: int) -> ModelConfig:
    """The same model with a FlowLM of fewer layers."""
    return changed(config, {"flow_lm": {"transformer": {"num_layers": layers}}})


def changed(config: ModelConfig, differences: Mapping[str, Any]) -> ModelConfig:
    """The config with some values replaced; mappings merge key by key."""
    return ModelConfig.model_validate(_merged(config.model_dump(), differences))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, Mapping) else value
    return merged
