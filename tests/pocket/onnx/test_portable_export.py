"""Exporting portable models: what is written where, what is refused, and that nothing is ever half there."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.pocket.onnx.bundles import write_small_model
from tests.pocket.onnx.portable_runner import PortableModel
from wyoming_pocket_tts.cli.main import main
from wyoming_pocket_tts.core.errors import AccessDenied, ConfigError, ModelError, VoiceError
from wyoming_pocket_tts.inference.session import METADATA_KEY
from wyoming_pocket_tts.pocket import hub
from wyoming_pocket_tts.pocket.generate import max_frames
from wyoming_pocket_tts.pocket.onnx import portable
from wyoming_pocket_tts.pocket.onnx.portable import export_portable
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_state import VoiceState, write_state

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model; for reading."""
    root = tmp_path_factory.mktemp("model")
    write_small_model(root)
    return root


@pytest.fixture(scope="module")
def config(folder: Path) -> ModelConfig:
    from wyoming_pocket_tts.pocket.registry import load_config  # noqa: PLC0415

    return load_config(folder / "model.yaml")


@pytest.fixture(scope="module")
def exported(config: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set; for reading."""
    return export_portable(None, config, tmp_path_factory.mktemp("set") / "models").directory


def manifest_of(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "manifest.json").read_text(encoding="utf-8")))


def voice_for(config: ModelConfig, *, positions: int = 5) -> VoiceState:
    sizes, rng = config.flow_lm.transformer, np.random.default_rng(0)
    shape = (2, positions, sizes.kv_heads, sizes.head_dim)
    return VoiceState(tuple(rng.standard_normal(shape, np.float32) for _ in range(sizes.num_layers)))


def test_the_manifest_says_how_speech_is_made(config: ModelConfig, exported: Path) -> None:
    manifest = manifest_of(exported)
    assert (manifest["sample_rate_hz"], manifest["frame_samples"], manifest["frames_per_second"]) == (24000, 1920, 12.5)
    assert manifest["latent"]["size"] == len(manifest["latent"]["first"]) == len(manifest["latent"]["mean"]) == 32
    assert manifest["sampler"]["type"] == config.flow_lm.flow.type
    assert manifest["text"]["rules"]["replace_characters"] == dict(config.replace_characters)
    end = manifest["end_of_speech"]
    assert end["threshold"] == config.default_eos_threshold
    for tokens in (1, 7, 50):
        seconds = tokens / end["frame_limit"]["tokens_per_second"] + end["frame_limit"]["spare_seconds"]
        assert np.ceil(seconds * manifest["frames_per_second"]) == max_frames(tokens, 12.5)


def test_states_are_described_in_the_models_as_well(exported: Path) -> None:
    for described in manifest_of(exported)["models"].values():
        metadata = {entry.key: entry.value for entry in onnx.load(exported / described["file"]).metadata_props}
        states = json.loads(metadata[METADATA_KEY])
        assert [state["name"] for state in states] == [state["input"] for state in described["states"]]


def test_a_voice_goes_along_as_first_states(config: ModelConfig, tmp_path: Path) -> None:
    import safetensors.numpy  # noqa: PLC0415

    voice = voice_for(config)
    write_state(voice, tmp_path / "me.safetensors")
    export_portable(None, config, tmp_path / "models", voices=[str(tmp_path / "me.safetensors")])
    assert manifest_of(tmp_path / "models")["voices"]["files"] == {"me": "voices/me.safetensors"}
    states = safetensors.numpy.load_file(tmp_path / "models/voices/me.safetensors")
    model = PortableModel(tmp_path / "models", "flow_lm_main")
    assert {name: (array.dtype, array.ndim) for name, array in states.items()} == {
        name: (array.dtype, array.ndim) for name, array in model.carried.items()
    }
    assert states["position"] == voice.length
    np.testing.assert_array_equal(states["key_1"][0, :, 3], voice.layers[1][0, 3])
    np.testing.assert_array_equal(states["value_0"][0, :, 4], voice.layers[0][1, 4])


@pytest.mark.parametrize("voice", ["alba", "other.safetensors", "absent.safetensors"])
def test_a_voice_that_does_not_fit_is_refused(config: ModelConfig, tmp_path: Path, voice: str) -> None:
    three = voice_for(config)
    write_state(VoiceState((*three.layers, three.layers[0])), tmp_path / "other.safetensors")
    source = voice if voice == "alba" else str(tmp_path / voice)
    with pytest.raises((ConfigError, VoiceError), match=voice.partition(".")[0]):
        export_portable(None, config, tmp_path / "models", voices=[source])
    assert [path.name for path in tmp_path.iterdir()] == ["other.safetensors"]


def test_weights_that_cannot_clone_come_without_an_encoder(config: ModelConfig, tmp_path: Path) -> None:
    gated = config.model_copy(
        update={"weights_path": "hf://gated/model/file", "weights_path_without_voice_cloning": config.weights_path}
    )

    def fetch(source: str) -> Path:
        if source.startswith("hf://"):
            raise AccessDenied("the terms are not accepted")
        return hub.fetch(source)

    done = export_portable("english", gated, tmp_path / "models", fetch=fetch)
    assert not done.has_voice_cloning
    assert not (tmp_path / "models/mimi_encoder.onnx").exists()
    assert manifest_of(tmp_path / "models")["voices"]["from_recordings"] is False


def test_a_model_too_large_for_one_file_has_a_second(config: ModelConfig, exported: Path, tmp_path: Path) -> None:
    export_portable(None, config, tmp_path / "models", largest_file_bytes=1_000_000)
    described = manifest_of(tmp_path / "models")["models"]
    assert "data_file" not in described["flow_lm_flow"]
    assert described["mimi_decoder"]["data_file"] == "mimi_decoder.data"
    latents = np.random.default_rng(0).standard_normal((1, 3, 32), np.float32)
    one, two = (PortableModel(place, "mimi_decoder")(latents=latents) for place in (exported, tmp_path / "models"))
    np.testing.assert_array_equal(one["audio"], two["audio"])


@pytest.mark.parametrize("stranger", ["beside", "alone", "file"])
def test_what_somebody_else_put_there_is_never_touched(config: ModelConfig, tmp_path: Path, stranger: str) -> None:
    target = tmp_path / "models"
    if stranger == "file":
        target.write_text("thesis", encoding="utf-8")
    elif stranger == "alone":
        target.mkdir()
        (target / "manifest.json").write_text("{}", encoding="utf-8")
    else:
        export_portable(None, config, target)
        (target / "thesis.txt").write_text("all of it", encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(ConfigError, match="holds something else"):
        export_portable(None, config, target)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_new_set_takes_the_place_of_an_older_one_or_nothing_changes(
    config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "deep" / "models"
    export_portable(None, config, target)
    export_portable(None, config, target, quantize=True)
    assert manifest_of(target)["precision"] == "int8"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(portable, "describe_model", full)
        with pytest.raises(ModelError, match="No space left on device"):
            export_portable(None, config, target)
    assert [path.name for path in target.parent.iterdir()] == ["models"]
    assert manifest_of(target)["precision"] == "int8"

    rename = Path.rename

    def refuse(path: Path, to: Path) -> Path:
        if path.suffix == ".partial":
            full()
        return rename(path, to)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse)
        with pytest.raises(ModelError, match="No space left on device"):
            export_portable(None, config, target)
    assert [path.name for path in target.parent.iterdir()] == ["models"]
    assert manifest_of(target)["precision"] == "int8"


@pytest.fixture
def quiet_log() -> Iterator[None]:
    log = logging.getLogger()
    before = (log.level, log.handlers[:])
    yield
    logging.captureWarnings(False)
    log.handlers[:] = before[1]
    log.setLevel(before[0])


@pytest.mark.usefixtures("quiet_log")
def test_the_command_says_what_it_wrote_and_what_to_do_next(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "models"
    options = ["export-onnx", str(target), "--config", str(folder / "model.yaml"), "--quantize"]
    monkeypatch.setattr(sys, "argv", ["wyoming-pocket-tts", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"{target / 'flow_lm_main.onnx'}: " in said
    assert "5 models (int8, " in said
    assert "docs/onnx-export.md" in said.splitlines()[-1]
    assert manifest_of(target)["precision"] == "int8"


@pytest.mark.usefixtures("quiet_log")
def test_the_command_ends_in_one_line_where_it_cannot_write(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    options = ["export-onnx", str(tmp_path / "file" / "models"), "--config", str(folder / "model.yaml"), "--quiet"]
    monkeypatch.setattr(sys, "argv", ["wyoming-pocket-tts", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    stdout, stderr = capsys.readouterr()
    assert (ended.value.code, stdout) == (1, "")
    assert len(stderr.splitlines()) == 1
    assert "file" in stderr
