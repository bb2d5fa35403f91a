"""A converted model speaks like the PyTorch engine, through the same TTSModel, and without PyTorch."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pocket.random_models import reduced
from tests.pocket.tokenizers import tokenizer_files
from tests.support.tiers import mostly
from wyoming_pocket_tts.core.errors import ConfigError, ModelError, VoiceError
from wyoming_pocket_tts.pocket.backend import SamplingParams
from wyoming_pocket_tts.pocket.loading import choose_precision
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.onnx.kv_cache import NoiseSampler
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.voice_state import VoiceState

TEXT = "The door is open. The window is closed, and it rains."
MODELS = ["english_2m_2026-10", "english_2026-01"]


def write_model(directory: Path, name: str) -> Path:
    config = reduced(released_model(name), layers=2)
    files = tokenizer_files()
    is_json = config.flow_lm.lookup_table.tokenizer != "sentencepiece"
    tokenizer = files.json if is_json else files.sentencepiece
    return write_random_model(directory, config, seed=3, tokenizer=tokenizer, eos_gap=6.0)


def a_recording() -> torch.Tensor:
    times = torch.arange(60_000) / 24_000
    tones = sum(torch.sin(2 * torch.pi * 130 * k * times) / k for k in range(1, 8))
    return (0.1 * tones * torch.sin(5 * times).abs())[None]


@pytest.fixture(scope="module", params=mostly(pytest.mark.parity, MODELS))
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TTSModel, TTSModel]:
    directory = tmp_path_factory.mktemp("model")
    config = write_model(directory, request.param)
    onnx = TTSModel.load_model(config=config, temp=0.0, engine="onnx", precision="fp32", data_dir=directory)
    return onnx, TTSModel.load_model(config=config, temp=0.0, engine="torch")


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> TTSModel:
    directory = tmp_path_factory.mktemp("model")
    config = write_model(directory, MODELS[0])
    return TTSModel.load_model(config=config, temp=0.0, engine="onnx", precision="fp32", data_dir=directory)


def test_it_hears_and_says_the_same(engines: tuple[TTSModel, TTSModel]) -> None:
    onnx, reference = engines
    heard, expected = (model.get_state_for_audio_prompt(a_recording()) for model in engines)
    assert heard.model == expected.model
    for ours, theirs in zip(heard.layers, expected.layers, strict=True):
        assert np.abs(ours - theirs).max() < 1e-4
    audio: Any = onnx.generate_audio(heard, TEXT, max_tokens=8)
    assert isinstance(audio, np.ndarray)
    again = np.asarray(reference.generate_audio(heard, TEXT, max_tokens=8))
    assert audio.shape == again.shape
    assert len(audio) > 24_000
    assert np.abs(audio - again).max() < 1e-4


def test_a_chunk_can_hear_the_one_before(engines: tuple[TTSModel, TTSModel]) -> None:
    """Also where latents have to be decoded and encoded for it."""
    voice = engines[1].get_state_for_audio_prompt(a_recording())
    spoken = [np.asarray(model.generate_audio(voice, TEXT, max_tokens=8, continuity_seconds=0.5)) for model in engines]
    assert spoken[0].shape == spoken[1].shape
    assert np.abs(spoken[0] - spoken[1]).max() < 1e-4


def test_what_was_said_can_become_part_of_the_voice(engines: tuple[TTSModel, TTSModel]) -> None:
    voices = [model.get_state_for_audio_prompt(a_recording()) for model in engines]
    for text in ("Good morning.", "And good night."):
        spoken = [
            np.asarray(model.generate_audio(voice, text, copy_state=False))
            for model, voice in zip(engines, voices, strict=True)
        ]
        assert spoken[0].shape == spoken[1].shape
        assert np.abs(spoken[0] - spoken[1]).max() < 1e-4
    assert voices[0].length == voices[1].length


@pytest.mark.slow
def test_a_long_prompt_is_heard_in_parts(engines: tuple[TTSModel, TTSModel]) -> None:
    onnx, reference = engines
    samples = a_recording().repeat(1, 11)  # 27 seconds: more than 256 positions
    heard, expected = (model.get_state_for_audio_prompt(samples) for model in (onnx, reference))
    assert heard.length == expected.length > 256
    for ours, theirs in zip(heard.layers, expected.layers, strict=True):
        assert np.abs(ours - theirs).max() < 1e-4


def test_threads_that_speak_at_once_say_what_they_say_alone(onnx: TTSModel) -> None:
    voice = onnx.get_state_for_audio_prompt(a_recording())
    texts = [TEXT, "A second text, which says something else, and is a little longer, too."]
    alone = [np.asarray(onnx.generate_audio(voice, text)) for text in texts]
    together: dict[int, list[Any]] = {0: [], 1: []}

    def speak(index: int) -> None:
        for _ in range(3):
            together[index].append(np.asarray(onnx.generate_audio(voice, texts[index])))

    threads = [threading.Thread(target=speak, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index in (0, 1):
        assert len(together[index]) == 3
        for audio in together[index]:
            assert audio.shape == alone[index].shape
            assert np.abs(audio - alone[index]).max() < 1e-5


def test_a_voice_that_is_too_long_is_refused(onnx: TTSModel) -> None:
    sizes = onnx.config.flow_lm.transformer
    shape = (2, 8180, sizes.kv_heads, sizes.head_dim)
    endless = VoiceState(layers=tuple(np.zeros(shape, np.float32) for _ in range(sizes.num_layers)))
    with pytest.raises(VoiceError, match="8192 are possible"):
        onnx.generate_audio(endless, TEXT)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"engine": "tensorflow"}, "no engine 'tensorflow'"), ({"engine": "onnx", "precision": "int3"}, "no precision")],
)
def test_wrong_choices_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TTSModel.load_model(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"quantize": True}, None),
        ({"engine": "torch", "quantize": True}, None),
        ({"engine": "onnx"}, "int8"),
        ({"engine": "onnx", "quantize": True}, "int8"),
        ({"engine": "onnx", "quantize": True, "precision": "int8"}, "int8"),
        ({"precision": "fp32"}, "fp32"),
        ({"data_dir": "somewhere"}, "int8"),
    ],
)
def test_who_computes_follows_from_what_is_asked_for(options: dict[str, Any], expected: str | None) -> None:
    """PyTorch is installed here."""
    asked = {"engine": "auto", "precision": None, "quantize": False, "data_dir": None} | options
    assert choose_precision(**asked) == expected


def test_networks_of_pytorch_are_missed_with_a_reason(onnx: TTSModel) -> None:
    for name in ("flow_lm", "mimi"):
        with pytest.raises(AttributeError, match=f"{name} is PyTorch's: .*engine='torch'"):
            getattr(onnx, name)
    with pytest.raises(AttributeError, match="parameters is PyTorch's"):
        onnx.parameters()
    assert onnx.eval().cpu() is onnx


def test_the_steps_belong_to_the_conversion(onnx: TTSModel) -> None:
    voice = onnx.get_state_for_audio_prompt(a_recording())
    onnx.sampler_decode_steps = 4
    try:
        with pytest.raises(ModelError, match="converted for 1 sampler steps, not 4"):
            onnx.generate_audio(voice, TEXT)
    finally:
        onnx.sampler_decode_steps = 1


def test_it_stays_on_the_processor(onnx: TTSModel) -> None:
    assert onnx.to("cpu") is onnx
    with pytest.raises(ConfigError, match="on the processor"):
        onnx.to("cuda")


def drawn(sampling: SamplingParams, count: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    out = np.empty((1, count), np.float32)
    NoiseSampler(sampling, np.random.SeedSequence(seed)).draw(out)
    return out


def test_noise_is_what_was_asked_for() -> None:
    assert not drawn(SamplingParams(0.0), 10).any()
    assert abs(drawn(SamplingParams(0.49), 100_000).std() - 0.7) < 0.01
    assert np.array_equal(drawn(SamplingParams(1.0), 32, seed=5), drawn(SamplingParams(1.0), 32, seed=5))
    assert not np.array_equal(drawn(SamplingParams(1.0), 32, seed=5), drawn(SamplingParams(1.0), 32, seed=6))
    clamped = drawn(SamplingParams(1.0, noise_clamp=0.5), 10_000)
    assert np.abs(clamped).max() <= 0.5
    reference = torch.nn.init.trunc_normal_(torch.empty(100_000), a=-0.5, b=0.5)
    assert abs(float(clamped.std()) - float(reference.std())) < 0.01


def test_each_speech_draws_its_own_noise(onnx: TTSModel) -> None:
    voice = onnx.get_state_for_audio_prompt(a_recording())
    onnx.temp = 0.7
    try:
        first, second = (np.asarray(onnx.generate_audio(voice, "Good morning.")) for _ in range(2))
    finally:
        onnx.temp = 0.0
    count = min(len(first), len(second))
    assert np.abs(first[:count] - second[:count]).max() > 1e-3


def test_it_speaks_without_pytorch_and_without_what_converts(tmp_path: Path) -> None:
    config = write_model(tmp_path, MODELS[0])
    model = TTSModel.load_model(config=config, engine="onnx", data_dir=tmp_path)
    export_model_state(model.get_state_for_audio_prompt(a_recording()), tmp_path / "voice.safetensors")
    program = f"""
import sys
from wyoming_pocket_tts import TTSModel
model = TTSModel.load_model(config={str(config)!r}, engine="onnx", data_dir={str(tmp_path)!r})
voice = model.get_state_for_audio_prompt({str(tmp_path / "voice.safetensors")!r})
assert len(model.generate_audio(voice, "Good morning."))
assert not {{"torch", "onnx"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)
