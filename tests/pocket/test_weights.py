"""Weights from whole and split files, old names and other number formats; what does not fit is refused by name."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from tests.pocket.random_models import changed, reduced
from wyoming_pocket_tts.core.errors import AccessDenied, ModelError
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket.random_model import random_tensor
from wyoming_pocket_tts.pocket.registry import model_names, released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import Dtype, stream_tensors
from wyoming_pocket_tts.pocket.weights import Weights, expected_tensors, load_weights

Tensors = dict[str, Floats]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    config = small_config("unused")
    return {name: random_tensor(config, name, shape, 1) for name, shape in expected_tensors(config).items()}


def small_config(weights: Path | str | None, **more: object) -> ModelConfig:
    """The smallest released model with two layers."""
    config = reduced(released_model("english_2m_2026-10"), layers=2)
    differences = {"weights_path": weights and str(weights), "weights_path_without_voice_cloning": None}
    return changed(config, differences | more)


def saved(path: Path, tensors: Mapping[str, Any], dtype: Dtype = "float32") -> Path:
    stream_tensors(path, {name: values.shape for name, values in tensors.items()}, lambda name, _: tensors[name], dtype)
    return path


def assert_equal(weights: Weights, tensors: Tensors, relative: float = 0) -> None:
    assert weights.tensors.keys() == tensors.keys()
    for name, expected in tensors.items():
        found = weights.tensors[name]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=relative, atol=relative / 100, err_msg=name)


def test_a_whole_file(tensors: Tensors, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors)
    weights = load_weights(small_config(path))
    assert_equal(weights, tensors)
    assert weights.has_voice_cloning
    assert weights.files == (path,)


def test_our_test_files_are_what_the_library_writes(tensors: Tensors, tmp_path: Path) -> None:
    ours = saved(tmp_path / "ours.safetensors", tensors)
    safetensors.numpy.save_file(tensors, tmp_path / "theirs.safetensors")
    assert_equal(load_weights(small_config(tmp_path / "theirs.safetensors")), tensors)
    assert safetensors.numpy.load_file(ours).keys() == tensors.keys()


def test_float32_is_mapped_not_copied(tensors: Tensors, tmp_path: Path) -> None:
    weights = load_weights(small_config(saved(tmp_path / "model.safetensors", tensors)))
    bases = {id(_root(values)) for values in weights.tensors.values()}
    assert len(bases) == 1
    assert all(values.flags.aligned for values in weights.tensors.values())


def test_on_demand_a_tensor_is_read_each_time(tensors: Tensors, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors, "bfloat16")
    whole, weights = load_weights(small_config(path)), load_weights(small_config(path), on_demand=True)
    assert weights.tensors.keys() == tensors.keys()
    assert weights.fingerprint == whole.fingerprint
    for name, expected in whole.tensors.items():
        np.testing.assert_array_equal(weights.tensors[name], expected)
    assert weights.tensors["flow_lm.bos_emb"] is not weights.tensors["flow_lm.bos_emb"]
    path.write_bytes(b"")  # nothing was mapped or kept; and whether a tensor is there needs no reading
    assert "flow_lm.bos_emb" in weights.tensors
    with pytest.raises(ValueError, match="reshape"):
        weights.tensors["flow_lm.bos_emb"]


def _root(values: Floats) -> object:
    """The memory that a view looks into."""
    base: Any = values
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base


def test_writing_to_a_tensor_does_not_reach_the_file(tensors: Tensors, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors)
    load_weights(small_config(path)).tensors["flow_lm.bos_emb"][:] = 7
    assert_equal(load_weights(small_config(path)), tensors)


@pytest.mark.parametrize(("dtype", "relative"), [("float16", 2e-3), ("bfloat16", 1e-2)])
def test_half_precision_becomes_float32(dtype: Dtype, relative: float, tensors: Tensors, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors, dtype)
    weights = load_weights(small_config(path))
    assert_equal(weights, tensors, relative)
    by_torch = safetensors.torch.load_file(path)
    for name, values in weights.tensors.items():
        np.testing.assert_array_equal(values, by_torch[name].float().numpy())


def test_numbers_that_begin_between_words(tensors: Tensors, tmp_path: Path) -> None:
    """The format allows it: the library itself pads headers to eight bytes."""
    path = saved(tmp_path / "model.safetensors", tensors)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    path.write_bytes((length + 1).to_bytes(8, "little") + data[8 : 8 + length] + b" " + data[8 + length :])
    weights = load_weights(small_config(path))
    assert_equal(weights, tensors)
    assert all(values.flags.aligned for values in weights.tensors.values())


def split(tensors: Tensors, part: str) -> Tensors:
    return {name.removeprefix(part): values for name, values in tensors.items() if name.startswith(part)}


def as_trained_flow_lm(tensors: Tensors) -> Tensors:
    """FlowLM as training leaves it: other names, and tensors that nobody needs."""
    names = {
        "conditioner.embed.weight": "condition_provider.conditioners.transcript_in_segment.embed.weight",
        "speaker_proj_weight": "condition_provider.conditioners.speaker_wavs.output_proj.weight",
        "bos_before_voice": "fuser.padding_value",
    }
    renamed = {
        names.get(name, name).replace("self_attn.in_proj.", "self_attn.in_proj_"): values
        for name, values in split(tensors, "flow_lm.").items()
    }
    leftovers = (
        "flow.w_s_t.weight",
        "num_ema_updates",
        "condition_provider.conditioners.transcript_in_segment.learnt_padding",
        "condition_provider.conditioners.speaker_wavs.learnt_padding",
    )
    return renamed | dict.fromkeys(leftovers, np.zeros(3, np.float32))


def as_trained_mimi(tensors: Tensors) -> Tensors:
    """The codec as training leaves it: nested convolutions, one weight as magnitude and direction, leftovers."""
    result: Tensors = {}
    for name, values in split(tensors, "mimi.").items():
        new = f"model.{name}" if not name.startswith("quantizer") else name
        for kind in ("conv", "convtr"):
            new = new.replace(f".{kind}.weight", f".{kind}.{kind}.weight").replace(
                f".{kind}.bias", f".{kind}.{kind}.bias"
            )
        new = new.replace("in_proj.weight", "in_proj_weight")
        if name == "decoder.model.0.conv.weight":
            length = np.sqrt((values**2).sum(axis=(1, 2), keepdims=True))
            result |= {f"{new}_g": length, f"{new}_v": values * 3}
        else:
            result[new] = values
    leftovers = (
        "model.quantizer.vq.x",
        "model.quantizer.logvar_proj.weight",
        "quantizer.logvar_proj.weight",
        "a._codebook.b",
        "wavlm_proj.weight",
        "wavlm_input_resample.kernel",
        "wavlm_emb_downsample.conv.conv.weight",
        "quantizer.logvar_param",
    )
    return result | dict.fromkeys(leftovers, np.zeros(3, np.float32))


def test_files_of_their_own_with_the_names_of_training(tensors: Tensors, tmp_path: Path) -> None:
    flow_lm = saved(tmp_path / "flow_lm.safetensors", as_trained_flow_lm(tensors))
    mimi = saved(tmp_path / "mimi.safetensors", as_trained_mimi(tensors))
    config = small_config(None, flow_lm={"weights_path": str(flow_lm)}, mimi={"weights_path": str(mimi)})
    weights = load_weights(config)
    assert_equal(weights, tensors, 1e-6)
    assert set(weights.files) == {flow_lm, mimi}


def test_upstream_reads_these_names_alike(tensors: Tensors, tmp_path: Path) -> None:
    from pocket_tts.utils import weights_loading  # noqa: PLC0415  (importing it sets torch's threads)

    theirs = weights_loading.get_mimi_state_dict(saved(tmp_path / "mimi.safetensors", as_trained_mimi(tensors)))
    # What upstream makes of weight_g keeps its first part.
    assert {name.removeprefix("model.") for name in theirs} == split(tensors, "mimi.").keys()
    flow_lm = weights_loading.get_flow_lm_state_dict(saved(tmp_path / "lm.safetensors", as_trained_flow_lm(tensors)))
    assert flow_lm.keys() == split(tensors, "flow_lm.").keys()


def test_a_codec_of_its_own_takes_the_place_of_the_bundles(tensors: Tensors, tmp_path: Path) -> None:
    bundle = saved(
        tmp_path / "model.safetensors", {name: values for name, values in tensors.items() if "encoder" not in name}
    )
    other = {name: values + 1 for name, values in tensors.items() if name.startswith("mimi.")}
    mimi = saved(tmp_path / "mimi.safetensors", other | {"flow_lm.bos_emb": np.zeros(5, np.float32)})
    weights = load_weights(small_config(bundle, mimi={"weights_path": str(mimi)}))
    assert_equal(weights, tensors | other)


def fetch_with(denied: str) -> Callable[[str], Path]:
    def fetch(source: str) -> Path:
        if source == denied:
            raise AccessDenied("hf://gated: accept its terms")
        return Path(source)

    return fetch


def test_gated_weights_give_way_to_the_open_ones(
    tensors: Tensors, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = saved(
        tmp_path / "open.safetensors",
        tensors | {"flow_lm.speaker_proj_weight": tensors["flow_lm.speaker_proj_weight"] * 0},
    )
    whole = load_weights(small_config(saved(tmp_path / "whole.safetensors", tensors)))
    config = small_config("hf://gated", weights_path_without_voice_cloning=str(opened))
    with caplog.at_level(logging.WARNING):
        weights = load_weights(config, fetch=fetch_with("hf://gated"))
    assert not weights.has_voice_cloning
    assert weights.files == (opened,)
    assert weights.fingerprint == whole.fingerprint
    assert "accept its terms" in caplog.text
    with pytest.raises(AccessDenied):
        load_weights(small_config("hf://gated"), fetch=fetch_with("hf://gated"))


def test_the_fingerprint_tells_weights_apart(tensors: Tensors, tmp_path: Path) -> None:
    first = load_weights(small_config(saved(tmp_path / "1.safetensors", tensors))).fingerprint
    backwards = load_weights(small_config(saved(tmp_path / "2.safetensors", dict(reversed(tensors.items())))))
    name = "flow_lm.transformer.layers.1.linear1.weight"
    other = load_weights(small_config(saved(tmp_path / "3.safetensors", tensors | {name: tensors[name] * 1.001})))
    codec = {name: values * 2 for name, values in tensors.items() if name.startswith("mimi.")}
    same = load_weights(small_config(saved(tmp_path / "4.safetensors", tensors | codec)))
    assert backwards.fingerprint == same.fingerprint == first
    assert other.fingerprint != first
    assert len(first) == 16


Damage = Callable[[Tensors], Mapping[str, Any]]
EOS = "flow_lm.out_eos.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: {k: v for k, v in t.items() if k != EOS}, rf"'{EOS}' is missing"),
        (
            lambda t: {k: v for k, v in t.items() if "mimi" not in k},
            r"'mimi.quantizer.output_proj.weight' \(and \d+ more\) is missing",
        ),
        (lambda t: t | {"flow_lm.extra": t[EOS]}, r"'flow_lm.extra' is unknown"),
        (lambda t: {("flow_lm.eos" if k == EOS else k): v for k, v in t.items()}, rf"'{EOS}' is missing"),
        (lambda t: t | {EOS: t[EOS].T}, rf"'{EOS}' has the shape \[64, 1\]; the config makes {EOS} \[1, 64\]"),
        (lambda t: t | {EOS: t[EOS][0]}, r"has the shape \[64\]"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(damage: Damage, message: str, tensors: Tensors, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", damage(tensors))
    with pytest.raises(ModelError, match=message) as caught:
        load_weights(small_config(path))
    assert str(path) in str(caught.value)


def test_a_direction_without_its_other_half_is_named(tensors: Tensors, tmp_path: Path) -> None:
    mimi = as_trained_mimi(tensors)
    del mimi["model.decoder.model.0.conv.conv.weight_v"]
    path = saved(tmp_path / "mimi.safetensors", mimi)
    config = small_config(saved(tmp_path / "model.safetensors", tensors), mimi={"weights_path": str(path)})
    with pytest.raises(ModelError, match="weight_v' is missing"):
        load_weights(config)


def test_whole_numbers_are_no_weights(tensors: Tensors, tmp_path: Path) -> None:
    safetensors.numpy.save_file(tensors | {EOS: tensors[EOS].astype(np.int64)}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=rf"x.safetensors: tensor '{EOS}' has the type I64; allowed are F32"):
        load_weights(small_config(tmp_path / "x.safetensors"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: data + b"more",
        lambda data: b"<html>" + data[6:],
        lambda data: data.replace(b'"F32"', b'"X32"', 1),
    ],
)
def test_a_damaged_file_is_refused(spoil: Callable[[bytes], bytes], tensors: Tensors, tmp_path: Path) -> None:
    path = saved(tmp_path / "model.safetensors", tensors)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelError, match="is damaged or no safetensors file") as caught:
        load_weights(small_config(path))
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file") as caught:
        load_weights(small_config(tmp_path / "model.safetensors"))
    assert isinstance(caught.value, ModelError)
    with pytest.raises(ModelError):
        load_weights(small_config(tmp_path))


# --- names and shapes are those of upstream's network


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
