"""A bundle is what its manifest says, to the byte, or it is none."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.pocket.onnx.bundles import write_small_model
from tests.pocket.random_models import changed
from tests.support.tiers import mostly
from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.core.system import cpu_name
from wyoming_pocket_tts.pocket.onnx.bundle import (
    Precision,
    bundle_directory,
    bundle_key,
    looks_like_ours,
    open_bundle,
    sampler_steps,
)
from wyoming_pocket_tts.pocket.onnx.convert import convert
from wyoming_pocket_tts.pocket.onnx.verify import GoldenSample, verify
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import SafetensorsFile
from wyoming_pocket_tts.pocket.weights import load_weights
from wyoming_pocket_tts.pocket.worker_client import Message, Progress, UnsupportedPrecision, WorkerTask

KEY = "0" * 64


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    return write_small_model(tmp_path_factory.mktemp("model"))


def converted(
    config: ModelConfig, directory: Path, precision: Precision = Precision.INT8, told: list[Message] | None = None
) -> Path:
    """Convert in this process."""
    directory.mkdir()
    steps = sampler_steps(config)
    order = WorkerTask(
        task="convert", directory=directory, key=KEY, name=None, config=config, precision=precision, steps=steps
    )
    messages: list[Message] = [] if told is None else told
    convert(order, messages.append)
    return directory


@pytest.fixture(scope="module")
def original(config: ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(config, tmp_path_factory.mktemp("bundles") / "original")


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def test_it_knows_what_it_was_made_from(original: Path, config: ModelConfig) -> None:
    bundle, weights = open_bundle(original), load_weights(config)
    bundle.verify()
    assert bundle.config == config
    assert (bundle.name, bundle.precision, bundle.steps, bundle.key) == (None, Precision.INT8, 1, KEY)
    assert (bundle.fingerprint, bundle.has_voice_cloning) == (weights.fingerprint, True)
    assert bundle.proved_on == (cpu_name(),)
    assert bundle.tokenizer.read_bytes() == Path(config.flow_lm.lookup_table.tokenizer_path).read_bytes()
    assert all(path.is_file() for path in (bundle.flow, bundle.decoder, bundle.tables, bundle.encoder or Path()))
    assert bundle.size_bytes == sum(path.stat().st_size for path in original.iterdir() if path.suffix != ".json")


def test_its_tables_are_the_weights(original: Path, config: ModelConfig) -> None:
    file, weights = SafetensorsFile(open_bundle(original).tables), load_weights(config).tensors
    expected = {
        "text_table": "conditioner.embed.weight",
        "text_proj": "conditioner.proj.weight",
        **{name: name for name in ("speaker_proj_weight", "bos_emb", "bos_before_voice", "emb_mean", "emb_std")},
    }
    assert file.entries.keys() == expected.keys()
    for ours, theirs in expected.items():
        np.testing.assert_array_equal(file.read(file.entries[ours]), weights[f"flow_lm.{theirs}"])


def test_progress_goes_from_nothing_to_everything(config: ModelConfig, tmp_path: Path) -> None:
    told: list[Message] = []
    converted(config, tmp_path / "bundle", told=told)
    progress = [message for message in told if isinstance(message, Progress)]
    assert list(dict.fromkeys(message.stage for message in progress)) == ["download", "convert", "verify"]
    shares = [message.done for message in progress if message.stage == "convert" and message.done is not None]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] > 0.9


@pytest.mark.parametrize("name", mostly(pytest.mark.parity, ["english_2m_2026-10", "english_7m_2026-10", "english"]))
def test_exact_graphs_agree_with_numpy(name: str, tmp_path: Path) -> None:
    """Grouped keys and a narrow table, one head that knows no time and one that does, wide and narrow outputs."""
    config = write_small_model(tmp_path / "model", name, layers=1)
    directory = converted(config, tmp_path / "bundle", Precision.FP32)
    probe = GoldenSample.read(directory / "probe.safetensors", config)
    assert verify(directory, config, Precision.FP32, probe).hidden_error < 1e-5
    assert np.abs(probe.hidden).max() > 0.1
    assert np.abs(probe.audio).max() > 1e-3


def noise(path: Path) -> None:
    """Replace all numbers by others of the same kind."""
    values = np.frombuffer(path.read_bytes(), np.uint8)
    path.write_bytes(np.random.default_rng(0).permutation(values).tobytes())


@pytest.mark.parametrize("damage", ["flow.data", "codec.data", "decoder.onnx", "flow.onnx"])
def test_what_computes_something_else_is_not_proved(damage: str, bundle: Path, config: ModelConfig) -> None:
    probe = GoldenSample.read(bundle / "probe.safetensors", config)
    proof = verify(bundle, config, Precision.INT8, probe)
    assert proof.hidden_error < 0.1
    assert proof.codec_snr_db > 20
    noise(bundle / damage)
    with pytest.raises(UnsupportedPrecision, match="int8"):
        verify(bundle, config, Precision.INT8, probe)


def cut(bundle: Path) -> None:
    os.truncate(bundle / "flow.data", (bundle / "flow.data").stat().st_size - 1)


def change(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text().replace('"int8"', '"fp32"'))


def rewrite(bundle: Path, **differences: object) -> None:
    """Change the manifest and make its checksum right, as a stranger could."""
    path = bundle / "manifest.json"
    values = json.loads(path.read_text()) | differences
    del values["checksum"]
    values["checksum"] = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(values))


def link(bundle: Path) -> None:
    target = (bundle / "tables.safetensors").rename(bundle.parent / "elsewhere")
    (bundle / "tables.safetensors").symlink_to(target)


def lead_out(bundle: Path) -> None:
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    rewrite(bundle, files={**files, "../../secret": files["flow.data"]})


def leave_out(bundle: Path) -> None:
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    rewrite(bundle, files={name: record for name, record in files.items() if name != "flow.data"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"flow\.data: is damaged: it has \d+ bytes instead of \d+"),
        (change, r"manifest\.json: was changed after it was written"),
        (lambda bundle: rewrite(bundle, format=2), r"manifest\.json: has another format than .* reads \(1\)"),
        (lambda bundle: rewrite(bundle, steps=100_000), r"manifest\.json: is damaged: .*256"),
        (lambda bundle: rewrite(bundle, program="rm"), r"manifest\.json: is damaged: "),
        (lead_out, r"manifest\.json: is damaged: "),
        (leave_out, r"manifest\.json: is damaged: it does not name"),
        (link, r"tables\.safetensors: is no plain file"),
        (lambda bundle: (bundle / "decoder.onnx").unlink(), r"decoder\.onnx: No such file"),
        (lambda bundle: (bundle / "manifest.json").unlink(), r"is no converted model: manifest\.json: No such file"),
        (lambda bundle: (bundle / "manifest.json").write_text("[" * 100_000), r"is no JSON object"),
        (lambda bundle: (bundle / "manifest.json").write_text(" " * 1_000_000), r"is no JSON object of less"),
        (shutil.rmtree, r"is no converted model"),
    ],
)
def test_what_is_damaged_is_not_opened(damage: Callable[[Path], object], message: str, bundle: Path) -> None:
    open_bundle(bundle)
    damage(bundle)
    with pytest.raises(ModelError, match=message):
        open_bundle(bundle)


def test_a_changed_byte_is_found_by_reading_everything(bundle: Path) -> None:
    with (bundle / "codec.data").open("r+b") as file:
        file.seek(12_345)
        old = file.read(1)[0]
        file.seek(12_345)
        file.write(bytes([old ^ 1]))
    opened = open_bundle(bundle)
    with pytest.raises(ModelError, match=r"codec\.data: is damaged"):
        opened.verify()


def test_the_key_is_of_what_matters(config: ModelConfig, tmp_path: Path) -> None:
    def key(of: ModelConfig, precision: Precision = Precision.INT8, steps: int = 1) -> str:
        return bundle_key(of, precision=precision, steps=steps)

    assert key(config) == key(config)
    others = [
        key(config, Precision.FP32),
        key(config, steps=2),
        key(changed(config, {"flow_lm": {"transformer": {"num_layers": 3}}})),
        key(changed(config, {"weights_path": "hf://owner/repository/file@1"})),
        key(changed(config, {"weights_path": "hf://owner/repository/file@2"})),
    ]
    assert len({key(config), *others}) == 6
    assert key(changed(config, {"remove_semicolons": True, "default_temperature": 0.7})) == key(config)


def test_other_weights_under_the_same_name_are_another_model(config: ModelConfig, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    own = changed(config, {"weights_path": str(weights)})
    first = bundle_key(own, precision=Precision.INT8, steps=1)
    os.utime(weights, ns=(1, 1))
    assert bundle_key(own, precision=Precision.INT8, steps=1) != first


def test_bundles_have_speaking_names(config: ModelConfig, tmp_path: Path) -> None:
    own = bundle_directory(tmp_path, None, config, precision=Precision.INT4)
    assert own.parent == tmp_path / "models"
    assert own.name.startswith("custom-int4-")
    named = bundle_directory(tmp_path, "../up/../german", config, precision=Precision.INT8)
    assert named.parent == tmp_path / "models"


@pytest.mark.parametrize(
    ("flow_type", "asked", "got"),
    [
        ("lsd", None, 1),
        ("lsd", 4, 4),
        ("flow_matching", None, 16),
        ("flow_matching", 32, 32),
        ("drifting", 7, 1),
        ("pointwise", None, 1),
    ],
)
def test_the_sampler_has_the_steps_that_it_needs(
    flow_type: str, asked: int | None, got: int, config: ModelConfig
) -> None:
    assert sampler_steps(changed(config, {"flow_lm": {"flow": {"type": flow_type}}}), asked) == got


@pytest.mark.parametrize("steps", [0, -1, 257])
def test_steps_are_bounded(steps: int, config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match="1 to 256"):
        sampler_steps(config, steps)


def test_ours_is_what_holds_nothing_else(bundle: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert looks_like_ours(empty)
    assert looks_like_ours(bundle)
    (tmp_path / "link").symlink_to(bundle)
    assert not looks_like_ours(tmp_path / "link")
    (bundle / "letters.txt").touch()
    assert not looks_like_ours(bundle)
    (empty / "manifest.json").mkdir()
    assert not looks_like_ours(empty)
    assert not looks_like_ours(tmp_path / "nothing")


def test_a_processor_is_named_by_what_it_can(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nflags\t\t: fpu avx2 sse2 avx512_vnni\n\nflags\t\t: avx2\n")
    assert cpu_name(info).split("+")[1:] == ["avx2", "avx512_vnni"]
    info.write_text("Features\t: fp asimd asimddp\n")
    assert cpu_name(info).split("+")[1:] == ["asimd", "asimddp"]
    assert "+" not in cpu_name(tmp_path / "missing")
