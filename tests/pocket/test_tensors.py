"""The names and shapes of all released models are those that upstream's own network has."""

import math
from typing import Any

import pytest
import torch

from tests.pocket.random_models import changed
from wyoming_pocket_tts.pocket.registry import model_names, released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.weights import expected_tensors


def upstream_shapes(config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, ...]]:
    """Build upstream's network without memory for its weights, and without a tokenizer."""
    from pocket_tts.models.flow_lm import FlowLMModel  # noqa: PLC0415  (sets torch's threads when imported)
    from pocket_tts.models.mimi import build_mimi  # noqa: PLC0415
    from pocket_tts.utils.config import Config  # noqa: PLC0415

    monkeypatch.setattr("pocket_tts.modules.text_conditioner.build_tokenizer", lambda *_: None)
    theirs: Any = Config(**config.model_dump())
    with torch.device("meta"):
        flow_lm = FlowLMModel.from_pydantic_config(
            theirs.flow_lm, latent_dim=config.latent_dim, insert_bos_before_voice=config.flow_lm.insert_bos_before_voice
        )
        mimi = build_mimi(theirs.mimi)
    return {
        "flow_lm.speaker_proj_weight": (
            config.flow_lm.transformer.d_model,
            config.mimi.conditioning_dim,
        ),  # theirs adds it late
        **{f"flow_lm.{name}": tuple(tensor.shape) for name, tensor in flow_lm.state_dict().items()},
        **{f"mimi.{name}": tuple(tensor.shape) for name, tensor in mimi.state_dict().items()},
    }


@pytest.mark.parametrize("name", model_names())
def test_released_models_have_upstreams_tensors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = released_model(name)
    assert expected_tensors(config) == upstream_shapes(config, monkeypatch)


@pytest.mark.parametrize(
    "difference",
    [
        {"flow_lm": {"flow": {"type": "flow_matching"}}},
        {"mimi": {"transformer": {"d_model": 64, "num_heads": 2}}},
        {"mimi": {"seanet": {"n_residual_layers": 2, "compress": 4}}},
        {"mimi": {"seanet": {"ratios": [5, 6, 2, 2]}, "inner_dim": None, "outer_dim": None}},
    ],
)
def test_so_have_models_that_nobody_released(difference: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(released_model("english"), difference)
    assert expected_tensors(config) == upstream_shapes(config, monkeypatch)


def test_sizes_are_those_that_the_models_are_named_for() -> None:
    def millions(model: str) -> float:
        tensors = expected_tensors(released_model(model))
        return sum(math.prod(shape) for shape in tensors.values()) / 1e6

    assert round(millions("english")) == 110
    assert round(millions("english_2026-09_24l")) == 336
