"""Which models there are, and what a user's own config may say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pocket.random_models import changed
from wyoming_pocket_tts.core.errors import ConfigError, VoiceError
from wyoming_pocket_tts.pocket.hub import HubFile
from wyoming_pocket_tts.pocket.registry import (
    default_voice,
    language,
    load_config,
    model_names,
    released_model,
    voice_audio_source,
    voice_names,
    voice_state_source,
)
from wyoming_pocket_tts.pocket.text import TextRules


def test_steps_are_recommended_by_the_type_of_the_sampler() -> None:
    def fewest(kind: str) -> int:
        config = changed(released_model("english"), {"flow_lm": {"flow": {"type": kind}}})
        return config.flow_lm.flow.fewest_steps

    assert [fewest(kind) for kind in ("lsd", "flow_matching", "drifting", "pointwise")] == [1, 16, 1, 1]


def upstream_configs() -> dict[str, Path]:
    from pocket_tts.utils.config import CONFIGS_DIR  # noqa: PLC0415  (importing it sets torch's threads)

    return {path.stem: path for path in CONFIGS_DIR.glob("*.yaml")}


def written(path: Path, difference: dict[str, Any], *, without: str = "") -> Path:
    """The english model's config as a user's file, with a difference."""

    def merge(below: dict[str, Any], above: dict[str, Any]) -> None:
        for key, value in above.items():
            if isinstance(value, dict) and isinstance(below.get(key), dict):
                merge(below[key], value)
            else:
                below[key] = value

    values = released_model("english").model_dump(mode="json")
    merge(values, difference)
    values.pop(without, None)
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return path


def test_released_models_are_upstreams() -> None:
    theirs = upstream_configs()
    assert sorted(model_names()) == sorted(theirs)
    for name, path in theirs.items():
        assert released_model(name) == load_config(path), name


def test_upstream_reads_our_configs_as_we_do(tmp_path: Path) -> None:
    from pocket_tts.utils.config import load_config as load_theirs  # noqa: PLC0415

    ours = load_config(written(tmp_path / "mine.yaml", {"default_temperature": 1}))
    theirs = load_theirs(tmp_path / "mine.yaml")
    assert theirs.model_dump(mode="json") == ours.model_dump(mode="json")


def test_every_model_has_a_language_a_default_voice_and_places_for_its_files() -> None:
    for name in model_names():
        config = released_model(name)
        assert default_voice(name) in voice_names()
        for source in (
            config.weights_path,
            config.weights_path_without_voice_cloning,
            config.flow_lm.lookup_table.tokenizer_path,
            voice_state_source(name, default_voice(name)),
        ):
            revision = HubFile.parse(source or "").revision
            assert revision is not None
            assert len(revision) == 40
    assert {language(name) for name in model_names()} == {"en", "nl", "fr", "de", "it", "pt", "es"}
    assert (language("german_24l"), default_voice("german_24l"), default_voice("english_2026-01")) == (
        "de",
        "juergen",
        "alba",
    )


def test_voices_are_upstreams() -> None:
    from pocket_tts.default_parameters import get_default_voice_for_language  # noqa: PLC0415
    from pocket_tts.utils.utils import _ORIGINS_OF_PREDEFINED_VOICES, get_predefined_voice  # noqa: PLC0415

    assert {voice: voice_audio_source(voice) for voice in voice_names()} == _ORIGINS_OF_PREDEFINED_VOICES
    assert voice_state_source("french_24l", "alba") == get_predefined_voice("french_24l", "alba")
    assert {name: default_voice(name) for name in model_names()} == {
        name: get_default_voice_for_language(name) for name in model_names()
    }


def test_unknown_models_and_voices_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'englisch'.*did you mean 'english'.*spanish_24l"):
        released_model("englisch")
    with pytest.raises(FileNotFoundError):  # as upstream
        language("../english")
    with pytest.raises(VoiceError, match=r"'albert'.*did you mean .*alba.*estelle"):
        voice_audio_source("albert")
    with pytest.raises(ConfigError):
        voice_state_source("klingon", "alba")
    with pytest.raises(VoiceError):
        voice_state_source("english", "../../x")


def test_derived_sizes() -> None:
    large, small = released_model("english"), released_model("english_2m_2026-10")
    backbone = small.flow_lm.transformer
    assert (backbone.attention_dim, backbone.kv_heads, backbone.head_dim, backbone.feedforward_dim) == (192, 1, 64, 96)
    assert (large.flow_lm.transformer.kv_heads, large.flow_lm.transformer.feedforward_dim) == (16, 4096)
    assert (large.flow_lm.condition_dim, small.flow_lm.condition_dim) == (1024, 64)
    assert (large.mimi.frame_samples, large.mimi.hop_samples, large.mimi.frames_per_latent) == (1920, 120, 16)
    assert (large.mimi.conditioning_dim, released_model("english_2026-01").mimi.conditioning_dim) == (32, 512)
    assert large.mimi.decoder_seanet_or_same is large.mimi.seanet
    assert small.mimi.decoder_seanet_or_same.n_filters == 24
    assert small.mimi.decoder_transformer_or_same.num_layers == 4
    assert large.latent_dim == 32


def test_text_rules_are_the_configs() -> None:
    assert released_model("french").text_rules == TextRules(
        remove_semicolons=True, replace_characters=released_model("french").replace_characters
    )
    assert released_model("english_2026-01").text_rules.pad_with_spaces_for_short_inputs


@pytest.mark.parametrize(
    ("difference", "message"),
    [
        ({"weight_path": "x"}, r"unknown key 'weight_path' \(did you mean 'weights_path'.*allowed here: flow_lm, mimi"),
        (
            {"flow_lm": {"flow": {"typ": "lsd"}}},
            r"unknown key 'flow_lm.flow.typ' \(did you mean 'type'\?\).*dim, depth, type",
        ),
        ({"mimi": {"decoder_seanet": {"x": 1}}}, r"unknown key 'mimi.decoder_seanet.x'; allowed here: dimension"),
        ({"flow_lm": {"flow": {"type": "lsdd"}}}, r"flow_lm.flow.type: .*'lsd'.*'pointwise', not 'lsdd'"),
        ({"flow_lm": {"transformer": {"num_layers": "6"}}}, r"flow_lm.transformer.num_layers: .*integer, not '6'"),
        ({"flow_lm": {"transformer": {"num_layers": 0}}}, r"num_layers: .*greater than or equal to 1, not 0"),
        ({"flow_lm": {"transformer": {"num_layers": 10**9}}}, r"num_layers: .*less than or equal to"),
        ({"flow_lm": {"transformer": {"num_heads": 7}}}, r"flow_lm.transformer: d_model 1024 .*num_heads 7"),
        ({"flow_lm": {"transformer": {"num_kv_heads": 3}}}, r"num_kv_heads 3 must divide num_heads 16"),
        ({"flow_lm": {"lookup_table": {"dim": 512}}}, r"lookup_table.dim 512 must equal transformer.d_model 1024"),
        ({"flow_lm": {"dtype": "bfloat16"}}, r"flow_lm.dtype: .*'float32', not 'bfloat16'"),
        ({"flow_lm": None}, r"flow_lm: must hold keys of its own, not None"),
        ({"mimi": {"frame_rate": 13}}, r"sample_rate 24000 must be a multiple of frame_rate 13"),
        ({"mimi": {"seanet": {"ratios": [7, 5, 4]}}}, r"mimi: seanet.ratios make 140 samples"),
        ({"mimi": {"outer_dim": 256}}, r"quantizer.output_dimension and outer_dim must be .* 512"),
        (
            {"mimi": {"transformer": {"output_dimensions": [512, 512]}}},
            r"mimi.transformer.output_dimensions: .*at most 1",
        ),
        ({"mimi": {"transformer": {"input_dimension": 256}}}, r"must be seanet.dimension 512"),
        (
            {"mimi": {"seanet": {"pad_mode": "reflect"}}},
            r"mimi.seanet.pad_mode: .*'constant' or 'replicate', not 'reflect'",
        ),
        ({"replace_characters": {"ab": "c"}}, r"replace_characters.*at most 1 character"),
        ({"default_eos_threshold": float("nan")}, r"default_eos_threshold: .*finite"),
        ({"weights_path": None}, r"weights_path, or flow_lm.weights_path and mimi.weights_path, must say"),
        ({"flow_lm": {"weights_path": "x"}}, r"flow_lm.weights_path needs mimi.weights_path"),
    ],
)
def test_what_is_wrong_in_a_config_is_named(difference: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "mine.yaml", difference)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the key 'mimi' is missing"):
        load_config(written(tmp_path / "mine.yaml", {}, without="mimi"))


def test_whole_numbers_do_where_fractions_are_allowed(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.yaml", {"mimi": {"transformer": {"max_period": 10000}}, "default_temperature": 0})
    assert load_config(path).mimi.transformer.max_period == 10_000.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"flow_lm: [1", r"line 1: is not valid YAML"),
        (b"flow_lm: !!python/object/apply:os.system [ls]", "not valid YAML"),
        (b"- 1", "must hold keys: flow_lm"),
        (b"", "must hold keys: flow_lm"),
        (b"\xff\xfe\xff", "not valid YAML"),
        (b"#" * 100_001, "more than 100000 bytes"),
        (b"a: " + b"[" * 50_000, "not valid YAML"),
        (b"a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: [*b, *b, *b, *b]", "unknown key 'a'"),
    ],
)
def test_files_that_are_no_config_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_config_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        load_config(tmp_path / "mine.yaml")
    assert isinstance(caught.value, ConfigError)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_a_config_cannot_be_changed_unnoticed() -> None:
    config = released_model("english")
    assert changed(config, {}) == config
    with pytest.raises(ValueError, match="frozen"):
        config.default_temperature = 1.0
