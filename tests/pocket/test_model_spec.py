"""Models of the settings: released names and configs, and where their bundle is."""

from pathlib import Path
from typing import Any

import pytest

from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.pocket import model_spec
from wyoming_pocket_tts.pocket.model_spec import ModelSpec, model_label, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import Precision


@pytest.mark.parametrize(
    ("wanted", "label"),
    [
        ("german_24l", "german_24l"),
        ("/somewhere/mine.yaml", "mine"),
        ("https://example.org/models/mine.yml?x=1", "mine"),
        ("hf://owner/repo/deep/mine.yaml@main", "mine"),
    ],
)
def test_label_is_the_name_or_the_stem_of_the_config(wanted: str, label: str) -> None:
    assert model_label(wanted) == label


def test_released_model_has_its_voices_the_default_one_first() -> None:
    spec = ModelSpec.of("german_24l")
    assert (spec.name, spec.language, spec.voices[0], spec.is_hidden) == ("german_24l", "de", "juergen", False)
    assert spec.listed()[0].name == "german_24l-juergen"


def test_variant_in_other_steps_is_hidden_behind_its_model() -> None:
    variant = ModelSpec.of("english").in_steps(3)
    assert (variant.steps, variant.speaks_for, variant.is_hidden, variant.listed()) == (3, "english", True, [])
    assert variant.label != "english"


def test_installed_looks_for_the_bundle_of_these_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(model_spec, "find_converted", lambda *args, **options: asked.append((args, options)))
    spec = ModelSpec.of("english").in_steps(3)
    assert spec.installed(tmp_path, Precision.INT8) is None
    assert asked == [((spec.name, spec.config), {"data_dir": tmp_path, "precision": Precision.INT8, "steps": 3})]


def test_config_that_is_not_downloaded_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not on this machine yet: 'wyoming-pocket-tts convert --config http"):
        ModelSpec.of("http://127.0.0.1:9/never-downloaded/mine.yaml")


def test_models_that_are_not_named_have_no_language() -> None:
    with pytest.raises(ConfigError, match=r"no model 'mine' among models\.names"):
        model_specs(["english"], languages={"mine": "en"})
