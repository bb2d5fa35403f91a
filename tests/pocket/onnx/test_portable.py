"""The portable models against PyTorch, for every family of models; and the documentation's program, as it stands."""

import ast
import json
import os
import re
import subprocess
import sys
import wave
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.pocket.onnx.portable_runner import Floats, PortableModel, PortableSpeech
from tests.pocket.random_models import changed, reduced
from tests.pocket.tokenizers import tokenizer_files
from tests.support.tiers import mostly
from wyoming_pocket_tts.pocket.backend import SamplingParams
from wyoming_pocket_tts.pocket.generate import GenerationParams, max_frames, speak
from wyoming_pocket_tts.pocket.onnx.portable import export_portable
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import load_config, released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.text import TextChunk
from wyoming_pocket_tts.pocket.torch.backend import TorchBackend, build_network
from wyoming_pocket_tts.pocket.torch.flow_lm import FlowSampler
from wyoming_pocket_tts.pocket.voice_state import write_state
from wyoming_pocket_tts.pocket.weights import load_weights

pytestmark = pytest.mark.timeout(200)

LAYERS = 2
FRAMES = 100
TOLERANCE = 1e-4
MODELS = {"text_conditioner", "mimi_encoder", "flow_lm_main", "flow_lm_flow", "mimi_decoder"}
TOKENS = [17, 350, 9, 1200, 41, 3999, 5]
PAGE = Path(__file__).parents[3] / "docs" / "onnx-export.md"
UNRELEASED: dict[str, Any] = {
    "flow_lm": {"flow": {"type": "flow_matching"}},
    "mimi": {
        "seanet": {"pad_mode": "replicate", "n_residual_layers": 2},
        "transformer": {"d_model": 64, "num_heads": 2, "context": 20, "dim_feedforward": 96},
        "decoder_transformer": {"d_model": 96, "num_layers": 2, "context": 7},
    },
}
"""What a config may say and no released model does."""

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "english": ("english", {}, 2),
    "english_2026-01": ("english_2026-01", {}, 1),
    "18m": ("english_18m_2026-10", {}, 1),
    "7m": ("english_7m_2026-10", {}, 1),
    "2m": ("english_2m_2026-10", {}, 1),
    "unreleased": ("english_2m_2026-10", UNRELEASED, 4),
}
"""The model, what is changed of it, and the sampler's steps."""


@dataclass(frozen=True, slots=True)
class Case:
    """A model with random weights in PyTorch, and exported twice."""

    backend: TorchBackend
    steps: int
    fp32: Path
    int8: Path
    recording: Floats  # [samples], whole frames
    config_file: Path

    @property
    def config(self) -> ModelConfig:
        return self.backend.config


def make_case(directory: Path, name: str, differences: dict[str, Any], steps: int) -> Case:
    config = reduced(changed(released_model(name), differences), layers=LAYERS)
    tokenizers = tokenizer_files()
    is_json = config.flow_lm.lookup_table.tokenizer != "sentencepiece"
    tokenizer = tokenizers.json if is_json else tokenizers.sentencepiece
    path = write_random_model(directory / "model", config, seed=5, tokenizer=tokenizer)
    config = load_config(path)
    weights = load_weights(config)
    tensors = {name: np.array(tensor) for name, tensor in weights.tensors.items()}
    backend = TorchBackend(config, build_network(config, tensors), fingerprint=weights.fingerprint)
    export_portable(None, config, directory / "fp32")
    export_portable(None, config, directory / "int8", quantize=True)
    seconds = np.arange(20 * config.mimi.frame_samples) / config.mimi.sample_rate
    recording = np.asarray(0.2 * np.sin(2 * np.pi * 150 * seconds) * np.sin(9 * seconds), np.float32)
    return Case(backend, steps, directory / "fp32", directory / "int8", recording, path)


@pytest.fixture(scope="module", params=mostly(pytest.mark.parity, CASES, fast=["2m", "unreleased"]))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("portable"), *CASES[request.param])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("small"), *CASES["2m"])


@torch.inference_mode()
def conditioning_of(case: Case) -> Floats:
    network = case.backend.network
    frames = network.mimi.encode(torch.from_numpy(case.recording)[None, None], network.mimi.start_encoding())
    return np.asarray(network.flow_lm.embed_voice(frames).numpy())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_models_are_standard_complete_and_as_the_manifest_says(case: Case, precision: str) -> None:
    directory = case.fp32 if precision == "fp32" else case.int8
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["precision"] == precision
    assert set(manifest["models"]) == MODELS
    tokenizer = manifest["text"]["tokenizer"]["file"]
    files = {described["file"] for described in manifest["models"].values()}
    assert {path.name for path in directory.iterdir()} == {"manifest.json", tokenizer, *files}
    for described in manifest["models"].values():
        path = directory / described["file"]
        assert (path.stat().st_size, sha256(path.read_bytes()).hexdigest()) == (described["bytes"], described["sha256"])
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path)
        assert {node.domain for node in model.graph.node} == {""}
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", manifest["opset"])]
        inputs = [value["name"] for value in described["inputs"]] + [state["input"] for state in described["states"]]
        outputs = [value["name"] for value in described["outputs"]] + [state["output"] for state in described["states"]]
        assert {value.name for value in model.graph.input} == set(inputs)
        assert {value.name for value in model.graph.output} == set(outputs)


@pytest.mark.parametrize("optimised", [True, False], ids=["optimised", "as it stands"])
def test_the_models_say_what_torch_says(case: Case, optimised: bool) -> None:
    """A recording heard in pieces, a text read, and frames that go their own way, decoded as they come."""
    encoder = PortableModel(case.fp32, "mimi_encoder", optimised=optimised)
    cuts = np.split(case.recording, [case.config.mimi.frame_samples * frames for frames in (3, 4)])
    heard = np.concatenate([encoder(audio=piece[None])["conditioning"] for piece in cuts], axis=1)
    expected = conditioning_of(case)
    assert heard.shape == expected.shape
    np.testing.assert_allclose(heard, expected, atol=TOLERANCE)

    speech = PortableSpeech(case.fp32, optimised=optimised)
    speech.hear(heard)
    voice = case.backend.listen(case.recording)
    sampling = SamplingParams(0.0, steps=case.steps)
    reference = case.backend.open_speech(voice, positions=len(TOKENS) + FRAMES, sampling=sampling)
    read, frame = speech.prefill(TOKENS), reference.prefill(TOKENS)
    latents: list[Floats] = []
    for index in range(FRAMES):
        latent = speech.sample(read["condition"], np.zeros((1, speech.latent_dim), np.float32), case.steps)
        np.testing.assert_allclose(latent[0], frame.latent, atol=TOLERANCE)
        assert read["eos_logit"][0] == pytest.approx(frame.eos_logit, abs=TOLERANCE)
        latents.append(frame.latent)
        if index < FRAMES - 1:
            read, frame = speech.step(latent), reference.step(frame.latent)
    assert speech.flow_lm.carried["position"] == voice.length + len(TOKENS) + FRAMES

    frames = np.stack(latents)
    audio = case.backend.open_decoder().decode(frames)
    pieces = np.split(frames[None], [1, 2, 9, 60], axis=1)
    decoded = np.concatenate([speech.decoder(latents=piece)["audio"][0] for piece in pieces])
    np.testing.assert_allclose(decoded, audio, atol=TOLERANCE)
    assert np.abs(audio).max() > 0.01


@torch.inference_mode()
def test_the_head_leaves_steps_and_noise_to_the_caller(case: Case) -> None:
    """Several streams at once, with noise; as many steps as one likes."""
    flow = case.config.flow_lm.flow
    rng = np.random.default_rng(0)
    condition = rng.standard_normal((3, case.config.flow_lm.condition_dim), np.float32)
    noise = rng.standard_normal((3, case.config.latent_dim), np.float32)
    speech = PortableSpeech(case.fp32)
    assert speech.manifest["sampler"]["takes_any_steps"] == (flow.n_times > 0)
    for steps in (1, 5) if flow.n_times else (1,):
        sampler = FlowSampler(case.backend.network.flow_lm.flow_net, rule=flow.type, steps=steps)
        expected = sampler(torch.from_numpy(condition), torch.from_numpy(noise)).numpy()
        np.testing.assert_allclose(speech.sample(condition, noise, steps), expected, atol=TOLERANCE)


def test_several_streams_are_read_at_once(case: Case) -> None:
    """Rows know nothing of one another."""
    rng = np.random.default_rng(1)
    width = case.config.flow_lm.transformer.d_model
    embeddings = rng.standard_normal((3, 6, width), np.float32)
    latents = rng.standard_normal((3, 2, case.config.latent_dim), np.float32)

    def read(rows: slice) -> Floats:
        model = PortableModel(case.fp32, "flow_lm_main")
        states = model.carried.items()
        model.carried = {name: state.repeat(len(latents[rows]), 0) if state.ndim else state for name, state in states}
        model(embeddings=embeddings[rows], latents=latents[rows, :1])
        return model(embeddings=embeddings[rows, :0], latents=latents[rows, 1:])["condition"]

    together = read(slice(None))
    np.testing.assert_allclose(together, np.concatenate([read(slice(i, i + 1)) for i in range(3)]), atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_8_bits_are_near_and_a_fraction_of_the_size(case: Case) -> None:
    exact, rounded = PortableSpeech(case.fp32), PortableSpeech(case.int8)
    conditioning = conditioning_of(case)
    pairs: list[tuple[Floats, Floats]] = []
    latents: list[Floats] = []
    for speech in (exact, rounded):
        speech.hear(conditioning)
    reads = [exact.prefill(TOKENS), rounded.prefill(TOKENS)]
    for _ in range(20):
        pairs.append((reads[0]["condition"], reads[1]["condition"]))
        latent = exact.sample(reads[0]["condition"], np.zeros((1, exact.latent_dim), np.float32), case.steps)
        near = rounded.sample(reads[0]["condition"], np.zeros((1, exact.latent_dim), np.float32), case.steps)
        assert 0 < relative_error(latent, near) < 0.04
        latents.append(latent)
        reads = [exact.step(latent), rounded.step(latent)]
    condition, approximation = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    assert 0 < relative_error(condition, approximation) < 0.05
    frames = np.stack(latents, axis=1)
    audio, noisy = (speech.decoder(latents=frames)["audio"] for speech in (exact, rounded))
    assert 0 < relative_error(audio, noisy) < 0.06  # 24 dB below the signal
    for name in MODELS - {"mimi_encoder"}:
        assert size_of(case.int8, name) < 0.6 * size_of(case.fp32, name), name


def relative_error(exact: Floats, approximation: Floats) -> float:
    return float(np.linalg.norm(approximation - exact) / np.linalg.norm(exact))


def size_of(directory: Path, name: str) -> int:
    return (directory / f"{name}.onnx").stat().st_size


def program() -> str:
    found = re.search(
        r"<!-- example:[^\n]*-->\n```python\n(.*?)```\n<!-- /example -->", PAGE.read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    return found[1]


def set_temperature(source: Path, target: Path, temperature: float) -> None:
    """The same set, its models linked, with another temperature."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    manifest = json.loads((source / "manifest.json").read_text("utf-8"))
    manifest["sampler"]["temperature"] = temperature
    (target / "manifest.json").unlink()
    (target / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def test_the_program_of_the_documentation_needs_two_packages() -> None:
    nodes = list(ast.walk(ast.parse(program())))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported - sys.stdlib_module_names == {"numpy", "onnxruntime"}


@pytest.mark.parametrize("kind", ["recording", "voice file"])
def test_the_program_of_the_documentation_speaks_as_torch_does(small: Case, tmp_path: Path, kind: str) -> None:
    samples = np.rint(small.recording * 32768).astype("<i2")
    heard = samples.astype(np.float32) / np.float32(32768)
    voice = small.backend.listen(heard)
    models = small.fp32
    if kind == "recording":
        voice_file = tmp_path / "me.wav"
        write_wav(voice_file, samples)
    else:
        write_state(voice, tmp_path / "me.safetensors")
        models = tmp_path / "with voice"
        export_portable(None, small.config, models, voices=[str(tmp_path / "me.safetensors")])
        voice_file = models / "voices" / "me.safetensors"
    set_temperature(models, tmp_path / "models", 0.0)
    (tmp_path / "speak.py").write_text(program(), encoding="utf-8")
    arguments = ["models", str(voice_file), "speech.wav", *map(str, TOKENS)]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    subprocess.run(
        [sys.executable, "-I", "speak.py", *arguments], cwd=tmp_path, env=environment, check=True, timeout=100
    )

    chunk = TextChunk("", tuple(TOKENS), words=5)
    how = GenerationParams(SamplingParams(0.0), small.config.default_eos_threshold)
    expected = np.concatenate(list(speak(small.backend, voice, [chunk], how)))
    with wave.open(str(tmp_path / "speech.wav")) as file:
        assert file.getframerate() == small.config.mimi.sample_rate
        said = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
    assert said.shape == expected.shape
    np.testing.assert_allclose(said, expected, atol=TOLERANCE)
    limit = max_frames(len(TOKENS), small.config.mimi.frame_rate)
    assert len(said) < limit * small.config.mimi.frame_samples, "it should end by itself"


def write_wav(path: Path, samples: np.ndarray[Any, Any]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(samples.tobytes())
