"""TTSModel as programs use it: like the package pocket-tts, from several threads, and with mistakes."""

import copy
import gc
import inspect
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from tests.pocket.peer import load_peer, torch_backend
from tests.pocket.random_models import reduced
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, MissingFile, ModelError, VoiceError
from wyoming_pocket_tts.pocket import model as module
from wyoming_pocket_tts.pocket.backend import Samples, SamplingParams
from wyoming_pocket_tts.pocket.hub import suffix_of
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import released_model, voice_state_source
from wyoming_pocket_tts.pocket.torch import backend as quantize
from wyoming_pocket_tts.pocket.voice_state import VoiceState, trim_model_state

NAME = "english_2m_2026-10"
TEXT = "The door is open. The window is closed, and it rains."


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = reduced(released_model(NAME), layers=2)
    return write_random_model(
        tmp_path_factory.mktemp("model"), small, seed=3, tokenizer=tokenizer_files().sentencepiece
    )


@pytest.fixture
def model(config: Path) -> TTSModel:
    return TTSModel.load_model(config=config, temp=0.0)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("voice") / "voice.wav", pitch_hz=150)


def write_recording(path: Path, *, pitch_hz: float, seconds: float = 4, rate_hz: int = 22_050) -> Path:
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    tones = sum(np.sin(2 * np.pi * pitch_hz * k * times) / k for k in range(1, 8))
    soundfile.write(path, 0.1 * tones * np.abs(np.sin(5 * times)), rate_hz)
    return path


@pytest.fixture
def voice(model: TTSModel, recording: Path) -> VoiceState:
    return model.get_state_for_audio_prompt(recording)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Frames are decoded in calls of any size, which rounds differently."""
    return a.shape == b.shape and bool((a - b).abs().max() < 1e-5)


# --- like the peer


@pytest.mark.parametrize(
    "method", ["load_model", "get_state_for_audio_prompt", "generate_audio", "generate_audio_stream"]
)
def test_methods_take_what_the_peers_take(method: str) -> None:
    from pocket_tts import TTSModel as Peer  # noqa: PLC0415  (see peer.py)

    def positional(function: Callable[..., Any]) -> list[tuple[str, Any]]:
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert positional(getattr(TTSModel, method)) == positional(getattr(Peer, method))


def test_results_have_the_peers_types(model: TTSModel, voice: VoiceState) -> None:
    audio = model.generate_audio(voice, TEXT)
    assert isinstance(audio, torch.Tensor)
    assert audio.dtype == torch.float32
    assert audio.ndim == 1
    assert not audio.is_inference()
    audio.mul_(0.5)  # it belongs to the caller
    assert model.sample_rate == 24_000
    assert model.device == torch.device("cpu")
    assert model.has_voice_cloning
    cache = voice["transformer.layers.1.self_attn"]["cache"]
    assert isinstance(cache, torch.Tensor)
    assert cache.shape == (2, 1, voice.length, 1, 64)


def test_the_stream_is_the_whole_in_pieces(model: TTSModel, voice: VoiceState) -> None:
    pieces = list(model.generate_audio_stream(voice, TEXT))
    assert len(pieces) > 1
    assert same(torch.cat(pieces), model.generate_audio(voice, TEXT))


@pytest.mark.parametrize("noise_clamp", [None, 0.8])
def test_a_seed_gives_what_it_gives_with_the_peer(config: Path, noise_clamp: float | None) -> None:
    """Also above temperature 0: noise is drawn from the same generator, in the same order and way."""
    ours = TTSModel.load_model(config=config, temp=0.5, noise_clamp=noise_clamp)
    peer = load_peer(config, temp=0.5, noise_clamp=noise_clamp)
    recording = torch.randn(1, 30_000, generator=torch.Generator().manual_seed(1)) * 0.1
    spoken = []
    for model in (ours, peer):
        torch.manual_seed(11)
        state = model.get_state_for_audio_prompt(recording)
        spoken.append(model.generate_audio(state, "Good morning."))
    assert spoken[0].shape == spoken[1].shape
    assert (spoken[0] - spoken[1]).abs().max() < 1e-4
    ours.temp = 0.0
    assert not same(ours.generate_audio(ours.get_state_for_audio_prompt(recording), "Good morning."), spoken[0])


def test_noise_stays_within_its_clamp(config: Path, recording: Path) -> None:
    from wyoming_pocket_tts.pocket.torch.backend import normal_noise  # noqa: PLC0415

    noise = normal_noise(SamplingParams(4.0, noise_clamp=0.5), (1, 10_000), torch.device("cpu"))
    assert noise.abs().max() <= 0.5
    assert noise.std() > 0.2
    noiseless, clamped = (TTSModel.load_model(config=config, temp=t, noise_clamp=1e-7) for t in (0.0, 0.5))
    voice = noiseless.get_state_for_audio_prompt(recording)
    assert same(clamped.generate_audio(voice, TEXT), noiseless.generate_audio(voice, TEXT))


def test_older_names_still_work(
    config: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert TTSModel.load_model(config=config, lsd_decode_steps=3).sampler_decode_steps == 3
    assert "sampler_decode_steps" in caplog.text
    asked: list[str] = []

    def find_model(language: str, *_: object) -> None:
        asked.append(language)
        raise ConfigError("no further")

    monkeypatch.setattr(module, "find_model", find_model)
    for variant in ("b6369a24", "german"):
        with pytest.raises(ConfigError, match="no further"):
            TTSModel.load_model(variant=variant)
    assert asked == ["english_2026-01", "german"]


def test_so_many_frames_are_decoded_at_once_as_is_said(model: TTSModel, voice: VoiceState) -> None:
    model.max_decoder_frames_per_call = 1
    pieces = list(model.generate_audio_stream(voice, TEXT))
    assert {len(piece) for piece in pieces} == {1920}
    model.max_decoder_frames_per_call = -1  # as upstream: no limit of the caller's
    assert same(model.generate_audio(voice, TEXT), torch.cat(pieces))


@pytest.mark.parametrize(
    ("source", "suffix"),
    [
        ("hf://owner/repo/voices/Anna.safetensors@1f2e", ".safetensors"),
        ("hf://owner/repo/voice.wav", ".wav"),
        ("https://example.org/Anna.SAFETENSORS?download=true", ".safetensors"),
        ("a@b/voice.wav", ".wav"),
        ("alba", ""),
    ],
)
def test_what_a_file_is_is_known_by_its_name_wherever_it_lies(source: str, suffix: str) -> None:
    assert suffix_of(source) == suffix


def test_the_number_of_threads_is_the_callers(config: Path) -> None:
    before = torch.get_num_threads()
    try:
        TTSModel.load_model(config=config, threads=None)
        assert torch.get_num_threads() == before
        TTSModel.load_model(config=config, threads=2)
        assert torch.get_num_threads() == 2
        TTSModel.load_model(config=config)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_callers_default_type_is_the_callers(model: TTSModel, voice: VoiceState, recording: Path) -> None:
    expected = model.generate_audio(voice, TEXT)
    torch.set_default_dtype(torch.float64)
    try:
        heard = model.get_state_for_audio_prompt(torch.from_numpy(soundfile.read(recording)[0]))
        assert heard["transformer.layers.0.self_attn"]["cache"].dtype == torch.float32
        assert same(model.generate_audio(voice, TEXT), expected)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_callers_autocast_is_the_callers(model: TTSModel, voice: VoiceState) -> None:
    """In bfloat16 some operations fail, and the rest would not be this model."""
    recording = torch.randn(1, 30_000, generator=torch.Generator().manual_seed(1)) * 0.1
    latents = np.zeros((3, 32), np.float32)

    def computed() -> list[Any]:
        backend = torch_backend(model)
        speech = backend.open_speech(voice, positions=9, sampling=SamplingParams(0.0))
        frames = [speech.prefill([1, 2, 3]), speech.step(latents[0])]
        heard = model.get_state_for_audio_prompt(recording), backend.listen_on(voice, latents)
        audio = backend.open_decoder().decode(latents)
        return [*(frame.latent for frame in frames), *(each.layers[-1] for each in heard), audio]

    exact = computed()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for ours, theirs in zip(computed(), exact, strict=True):
            assert np.array_equal(ours, theirs)
        assert torch.is_autocast_enabled("cpu")


def test_it_is_the_module_that_the_peers_is(config: Path, model: TTSModel, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = load_peer(config)
    assert model.origin == peer.origin == config
    assert model.eval().cpu().to("cpu") is model
    assert sum(each.numel() for each in model.flow_lm.parameters()) > 0
    both = [*model.flow_lm.parameters(), *model.mimi.parameters()]
    assert {id(each) for each in model.parameters()} == {id(each) for each in both}
    moved: list[object] = []
    monkeypatch.setattr(model._backend, "move", moved.append)
    assert model.cuda().cuda(1) is model
    assert moved == ["cuda", "cuda:1"]


# --- several at once


def test_threads_that_speak_at_once_say_what_they_say_alone(model: TTSModel, recording: Path, tmp_path: Path) -> None:
    voices = [
        model.get_state_for_audio_prompt(recording),
        model.get_state_for_audio_prompt(write_recording(tmp_path / "other.wav", pitch_hz=230)),
    ]
    texts = [TEXT, "A second voice says something else, at the same time. It is longer, too."]
    alone = [model.generate_audio(voice, text) for voice, text in zip(voices, texts, strict=True)]
    assert not same(alone[0][:10_000], alone[1][:10_000])
    together: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    barrier = threading.Barrier(2)

    def speak(index: int) -> None:
        barrier.wait(20)
        for _ in range(3):
            together[index].append(model.generate_audio(voices[index], texts[index]))

    threads = [threading.Thread(target=speak, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for index in (0, 1):
        assert len(together[index]) == 3
        for audio in together[index]:
            assert same(audio, alone[index])


def test_a_stream_that_is_left_ends_its_thread(model: TTSModel, voice: VoiceState) -> None:
    before = threading.active_count()
    stream = model.generate_audio_stream(voice, TEXT * 50)
    next(stream)
    assert threading.active_count() == before + 1
    stream.close()
    assert threading.active_count() == before


def test_stop_ends_a_long_speech(model: TTSModel, voice: VoiceState) -> None:
    stop = threading.Event()
    stream = model.generate_audio_stream(voice, TEXT * 500, stop=stop)
    next(stream)
    stop.set()
    assert sum(len(piece) for piece in stream) < 30 * 24_000


# --- voices


def test_the_voice_stays_as_it_is(model: TTSModel, voice: VoiceState) -> None:
    before = copy.deepcopy(voice)
    first, second = model.generate_audio(voice, TEXT), model.generate_audio(voice, TEXT)
    assert same(first, second)
    assert voice.length == before.length
    assert all(np.array_equal(a, b) for a, b in zip(voice.layers, before.layers, strict=True))


def test_a_state_in_the_peers_form_is_spoken_with_and_grows_if_wanted(model: TTSModel, voice: VoiceState) -> None:
    peers = {name: dict(layer) for name, layer in voice.items()}
    assert same(model.generate_audio(peers, TEXT), model.generate_audio(voice, TEXT))
    before = int(peers["transformer.layers.0.self_attn"]["offset"])
    model.generate_audio(peers, "Good night.", copy_state=False)
    layer = peers["transformer.layers.0.self_attn"]
    assert int(layer["offset"]) > before
    assert layer["cache"].shape[2] == int(layer["offset"])
    assert layer["cache"].untyped_storage().nbytes() == layer["cache"].nbytes, "no room is kept that is not used"


def test_recordings_are_remembered_and_a_changed_file_is_heard_again(
    model: TTSModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []
    listen = model._backend.listen

    def counted(samples: Samples, *, sampling: SamplingParams) -> VoiceState:
        heard.append(len(samples))
        return listen(samples, sampling=sampling)

    monkeypatch.setattr(model._backend, "listen", counted)
    path = write_recording(tmp_path / "voice.wav", pitch_hz=150)
    first, second = model.get_state_for_audio_prompt(path), model.get_state_for_audio_prompt(str(path))
    assert len(heard) == 1
    model.generate_audio(first, "Good night.", copy_state=False)
    assert first.length > second.length, "what one caller does to a voice is no business of the next one"
    assert model.get_state_for_audio_prompt(path).length == second.length
    write_recording(path, pitch_hz=200, seconds=5)
    assert model.get_state_for_audio_prompt(path).length > second.length
    assert len(heard) == 2


def test_what_one_caller_writes_into_a_voice_reaches_nobody_else(model: TTSModel, recording: Path) -> None:
    first, second = (model.get_state_for_audio_prompt(recording) for _ in range(2))
    before = second.layers[0].copy()
    first["transformer.layers.0.self_attn"]["cache"].zero_()
    with pytest.raises(ValueError, match="read-only"):
        first.layers[0][...] = 0
    assert np.array_equal(second.layers[0], before)
    assert np.array_equal(model.get_state_for_audio_prompt(recording).layers[0], before)


def test_how_many_recordings_are_remembered_is_a_setting(
    config: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POCKET_TTS_PROMPT_CACHE_SIZE", "0")
    model = TTSModel.load_model(config=config)
    first = model.get_state_for_audio_prompt(recording)
    assert first.layers[0] is not model.get_state_for_audio_prompt(recording).layers[0]
    monkeypatch.setenv("POCKET_TTS_PROMPT_CACHE_SIZE", "many")
    with pytest.raises(ConfigError, match="POCKET_TTS_PROMPT_CACHE_SIZE is 'many'"):
        TTSModel.load_model(config=config)


@pytest.mark.slow
def test_a_long_recording_is_cut_when_asked(model: TTSModel, tmp_path: Path) -> None:
    path = write_recording(tmp_path / "long.wav", pitch_hz=120, seconds=40, rate_hz=8_000)
    whole, cut = model.get_state_for_audio_prompt(path), model.get_state_for_audio_prompt(path, truncate=True)
    assert whole.length > cut.length
    assert cut.length <= 30 * 12.5 + 3


def test_poor_recordings_are_used_with_advice(
    model: TTSModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_recording(tmp_path / "short.wav", pitch_hz=120, seconds=1)
    assert model.get_state_for_audio_prompt(path).length
    assert "short.wav: " in caplog.text


def test_samples_are_a_recording(model: TTSModel) -> None:
    samples = torch.randn(1, 48_000) * 0.1
    expected = model.get_state_for_audio_prompt(samples)
    variants: tuple[Any, ...] = (samples[0], samples.numpy(), samples.expand(2, -1), samples.double())
    assert model.get_state_for_audio_prompt(samples.bfloat16()).length == expected.length
    for variant in variants:
        state = model.get_state_for_audio_prompt(variant)
        assert np.allclose(state.layers[0], expected.layers[0], atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(0), r"\[channels, samples\], not \[0\]"),
        (torch.zeros(1, 1, 5), r"not \[1, 1, 5\]"),
        (torch.zeros(24_000, 2), r"not \[24000, 2\]"),
        (torch.ones(1, 24_000, dtype=torch.int16), "floats of -1 to 1, not int16"),
        (torch.full((1, 24_000), 3000.0), "samples reach 3000"),
        (torch.tensor([0.0, float("nan")]), "no numbers"),
        (torch.zeros(1, 300 * 24_000 + 1), "longer than 300 s"),
        (None, "shape"),
    ],
)
def test_samples_that_are_no_recording_are_refused(model: TTSModel, samples: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(VoiceError, match=message):
        model.get_state_for_audio_prompt(samples)


def test_exported_voices_come_back(model: TTSModel, voice: VoiceState, tmp_path: Path) -> None:
    export_model_state(voice, tmp_path / "voice.safetensors")
    again = model.get_state_for_audio_prompt(str(tmp_path / "voice.safetensors"))
    assert again.model == voice.model
    assert same(model.generate_audio(again, TEXT), model.generate_audio(voice, TEXT))
    assert same(model.generate_audio(trim_model_state(again), TEXT), model.generate_audio(voice, TEXT))


def test_a_voice_holds_nothing_of_the_model(config: Path, recording: Path, tmp_path: Path) -> None:
    """Programs copy and pickle states, and keep them when they have another model loaded."""
    model = TTSModel.load_model(config=config)
    heard = model.get_state_for_audio_prompt(recording)
    export_model_state(heard, tmp_path / "voice.safetensors")
    for voice in (heard, model.get_state_for_audio_prompt(tmp_path / "voice.safetensors")):
        assert len(pickle.dumps(voice)) < 1.1 * sum(layer.nbytes for layer in voice.layers) + 2000
        for copied in (copy.deepcopy(voice), pickle.loads(pickle.dumps(voice))):  # noqa: S301  (our own)
            assert torch.equal(
                copied["transformer.layers.1.self_attn"]["cache"], voice["transformer.layers.1.self_attn"]["cache"]
            )
    network = weakref.ref(torch_backend(model).network)
    del model
    gc.collect()
    assert network() is None


def test_a_voice_of_other_weights_is_refused(
    model: TTSModel, voice: VoiceState, tmp_path_factory: pytest.TempPathFactory
) -> None:
    small = reduced(released_model(NAME), layers=2)
    other_config = write_random_model(
        tmp_path_factory.mktemp("other"), small, seed=4, tokenizer=tokenizer_files().sentencepiece
    )
    other = TTSModel.load_model(config=other_config)
    with pytest.raises(VoiceError, match="made with other weights"):
        next(other.generate_audio_stream(voice, TEXT))
    file = other_config.with_name("anna.safetensors")
    export_model_state(voice, file)
    with pytest.raises(VoiceError, match=r"anna\.safetensors: was made with other weights"):
        other.get_state_for_audio_prompt(file)
    deeper = VoiceState(layers=voice.layers * 2)
    with pytest.raises(VoiceError, match="another model"):
        model.generate_audio(deeper, TEXT)


@pytest.mark.parametrize("no_voice", ["alba", None, {"transformer.layers.0.self_attn": torch.zeros(1)}, [1]])
def test_what_is_no_voice_is_refused_with_the_way_to_one(model: TTSModel, no_voice: Any) -> None:  # noqa: ANN401
    with pytest.raises(VoiceError, match="get_state_for_audio_prompt makes one"):
        model.generate_audio(no_voice, TEXT)


def test_ready_made_voices_belong_to_released_models(
    model: TTSModel, voice: VoiceState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VoiceError, match="released model's weights"):
        model.get_state_for_audio_prompt("alba")
    export_model_state(voice, tmp_path / "alba.safetensors")
    model.name = NAME  # as if its weights had been downloaded
    asked: list[str] = []

    def fetch(source: str) -> Path:
        asked.append(source)
        return tmp_path / "alba.safetensors"

    monkeypatch.setattr(module, "fetch", fetch)
    assert model.get_state_for_audio_prompt("alba").length == voice.length
    assert asked == [voice_state_source(NAME, "alba")]


def test_weights_that_cannot_clone_say_what_to_do(model: TTSModel, voice: VoiceState, recording: Path) -> None:
    model.has_voice_cloning = False
    for prompt in (recording, str(recording), torch.zeros(1, 24_000)):
        with pytest.raises(VoiceError, match=r"hf auth login"):
            model.get_state_for_audio_prompt(prompt)
    assert len(model.generate_audio(voice, TEXT)), "a voice that is there already can be spoken with"
    with pytest.raises(VoiceError, match=r"hf auth login"):
        model.generate_audio(voice, TEXT, continuity_seconds=1.0)


def test_a_missing_recording_is_a_missing_file(model: TTSModel, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nobody"):
        model.get_state_for_audio_prompt(tmp_path / "nobody.wav")
    with pytest.raises(MissingFile):
        model.get_state_for_audio_prompt(str(tmp_path / "nobody.safetensors"))
    with pytest.raises(MissingFile, match=r"albert: there is no such file, and no such ready-made voice.*alba"):
        model.get_state_for_audio_prompt("albert")


# --- texts


@pytest.mark.parametrize("text", ["", "  \n "])
def test_nothing_to_say_is_an_error(model: TTSModel, voice: VoiceState, text: str) -> None:
    with pytest.raises(ValueError, match="text") as caught:
        model.generate_audio(voice, text)
    assert isinstance(caught.value, EmptyText)


def test_a_long_text_is_spoken_whole(model: TTSModel, voice: VoiceState) -> None:
    one = len(model.generate_audio(voice, TEXT, max_tokens=20))
    many = len(model.generate_audio(voice, " ".join([TEXT] * 8), max_tokens=20))
    assert many > 6 * one


def test_frames_after_the_end_are_the_callers_the_models_or_the_texts(model: TTSModel, voice: VoiceState) -> None:
    def frames(after: int | None = None) -> int:
        return len(model.generate_audio(voice, "Good morning.", frames_after_eos=after)) // 1920

    model.eos_threshold = -1e9  # the end is at the first frame that may be one, the seventh
    assert frames() == 6 + 5
    assert frames(2) == 6 + 2
    model.config = model.config.model_copy(update={"model_recommended_frames_after_eos": 4})
    assert frames() == 6 + 4
    assert frames(0) == 6


def test_continuity_changes_later_chunks_alone(model: TTSModel, voice: VoiceState) -> None:
    plain = model.generate_audio(voice, TEXT, max_tokens=8)
    carried = model.generate_audio(voice, TEXT, max_tokens=8, continuity_seconds=1.0)
    first = len(model.generate_audio(voice, "The door is open."))
    assert torch.allclose(carried[:first], plain[:first], atol=1e-4)
    assert not torch.allclose(carried[first : first + 9600], plain[first : first + 9600], atol=1e-3)


def test_continuity_hears_what_was_spoken(config: Path, recording: Path) -> None:
    """The model's own latents after the prompt are what encoding their frames would put there."""
    model = TTSModel.load_model(config=config, temp=0.0)
    backend = torch_backend(model)
    voice = model.get_state_for_audio_prompt(recording)
    latents = np.random.default_rng(0).standard_normal((4, 32)).astype(np.float32)
    longer = backend.listen_on(voice, latents)
    assert longer.length == voice.length + 4
    assert np.array_equal(longer.layers[0][:, : voice.length], voice.layers[0])
    flow_lm = backend.network.flow_lm
    frames = torch.from_numpy(latents)[None] * flow_lm.emb_std + flow_lm.emb_mean
    cache = backend._cache_of(voice, 4)
    with torch.inference_mode():
        flow_lm.transformer(frames @ flow_lm.speaker_proj_weight.T, cache)
    assert np.allclose(
        longer.layers[1][:, voice.length :], cache.store[1, :, 0, voice.length : longer.length], atol=1e-6
    )


# --- mistakes when loading


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "klingon"}, "there is no model 'klingon'"),
        ({"language": "english", "config": "my.yaml"}, "exclude each other"),
        ({"variant": "english", "config": "my.yaml"}, "exclude each other"),
        ({"config": "my.json"}, "ends with .yaml"),
        ({"temp": -1.0}, "temp is -1"),
        ({"temp": float("nan")}, "temp is nan"),
        ({"sampler_decode_steps": 0}, "sampler_decode_steps is 0"),
        ({"noise_clamp": -0.5}, "noise_clamp is -0.5"),
        ({"checkpoint": "step.pt"}, "pickles"),
        ({"engine": "torch", "precision": "int8"}, "precision is for ONNX Runtime, but engine is 'torch'"),
        ({"engine": "torch", "data_dir": "."}, "data_dir is for ONNX Runtime, but engine is 'torch'"),
        ({"engine": "onnx", "precision": "fp32", "quantize": True}, "quantize means the precision int8, but .* 'fp32'"),
        ({"precision": "mixed", "quantize": True}, "with engine 'onnx', quantize means"),
        ({"precision": "int3"}, "no precision 'int3'"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TTSModel.load_model(**options)


@pytest.mark.parametrize(
    ("name", "value"), [("temp", -0.1), ("noise_clamp", float("nan")), ("sampler_decode_steps", 0)]
)
def test_wrong_manners_are_named_when_it_speaks(model: TTSModel, voice: VoiceState, name: str, value: float) -> None:
    """They may be set at any time."""
    setattr(model, name, value)
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        model.generate_audio(voice, TEXT)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_continuity_is_some_seconds(model: TTSModel, voice: VoiceState, seconds: float) -> None:
    with pytest.raises(ConfigError, match="continuity_seconds is"):
        model.generate_audio(voice, TEXT, continuity_seconds=seconds)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.yaml"):
        TTSModel.load_model(config=tmp_path / "nothing.yaml")


def test_weights_of_ones_own(config: Path, recording: Path, tmp_path: Path) -> None:
    own = write_random_model(
        tmp_path, reduced(released_model(NAME), layers=2), seed=9, tokenizer=tokenizer_files().sentencepiece
    ).with_name("model.safetensors")
    plain = TTSModel.load_model(config=config, temp=0.0)
    model = TTSModel.load_model(config=config, temp=0.0, checkpoint=own)
    spoken = [each.generate_audio(each.get_state_for_audio_prompt(recording), "Hello.") for each in (plain, model)]
    assert not same(*spoken)


def test_too_few_steps_of_flow_matching_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from tests.pocket.random_models import changed  # noqa: PLC0415

    config = changed(reduced(released_model(NAME), layers=1), {"flow_lm": {"flow": {"type": "flow_matching"}}})
    path = write_random_model(tmp_path, config, seed=1, tokenizer=tokenizer_files().sentencepiece)
    TTSModel.load_model(config=path)
    assert "needs 16 sampler_decode_steps" in caplog.text
    caplog.clear()
    TTSModel.load_model(config=path, sampler_decode_steps=16)
    assert "sampler_decode_steps" not in caplog.text


# --- in 8 bits


def test_eight_bits_say_nearly_the_same_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, recording: Path
) -> None:
    """On a processor where they are not faster than 32 they are refused, and that is right, too."""
    wide = reduced(released_model("english"), layers=1)
    path = write_random_model(tmp_path_factory.mktemp("wide"), wide, seed=5, tokenizer=tokenizer_files().json)
    plain = TTSModel.load_model(config=path, temp=0.0)
    try:
        quantized = TTSModel.load_model(config=path, temp=0.0, quantize=True)
    except ModelError as error:
        assert "slower" in str(error)  # noqa: PT017  (either outcome is right)
        return
    voice = plain.get_state_for_audio_prompt(recording)
    heard = quantized.get_state_for_audio_prompt(recording)
    for ours, exact in zip(heard.layers, voice.layers, strict=True):
        assert 0 < np.abs(ours - exact).max() < 0.05 * np.abs(exact).max()
    audio = quantized.generate_audio(voice, "Good morning.")
    assert torch.isfinite(audio).all()


def eight_bits_take(monkeypatch: pytest.MonkeyPatch, *, step: float, prefill: float) -> None:
    """32 bits take 1 ms for a step, and 10 ms to read a text."""

    def seconds(layer: torch.nn.Module, *, rows: int) -> float:
        eight, plain = (step, 1e-3) if rows == 1 else (prefill, 10e-3)
        return eight if isinstance(layer, quantize.Int8Linear) else plain

    monkeypatch.setattr(quantize, "_seconds_per_call", seconds)


@pytest.mark.parametrize(("prefill", "warned"), [(12e-3, True), (8e-3, False)])
def test_eight_bits_whose_first_audio_comes_later_are_warned_of(
    model: TTSModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    prefill: float,
    warned: bool,
) -> None:
    eight_bits_take(monkeypatch, step=0.5e-3, prefill=prefill)
    quantize.quantize_linears(torch_backend(model).network.flow_lm.transformer)
    assert ("12.00 against 10.00 ms" in caplog.text) is warned
    assert any(isinstance(part, quantize.Int8Linear) for part in torch_backend(model).network.modules())


def test_eight_bits_that_are_slower_are_refused(model: TTSModel, monkeypatch: pytest.MonkeyPatch) -> None:
    eight_bits_take(monkeypatch, step=2e-3, prefill=5e-3)
    with pytest.raises(ModelError, match=r"slower here than 32 \(2\.00 against 1\.00 ms"):
        quantize.quantize_linears(torch_backend(model).network.flow_lm.transformer)
    assert not any(isinstance(part, quantize.Int8Linear) for part in torch_backend(model).network.modules())


def test_eight_bits_of_nothing_are_nothing() -> None:
    linear = torch.nn.Linear(64, 32, bias=False)
    with torch.no_grad():
        linear.weight[5] = 0
        quantized = quantize.Int8Linear(linear)
        x = torch.randn(20, 64)
        x[3] = 0
        result = quantized(x)
    assert torch.isfinite(result).all()
    assert not result[3].any()
    assert not result[:, 5].any()
    assert torch.allclose(result, linear(x), atol=0.05)


def test_eight_bits_stay_on_the_processor(model: TTSModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "_refuse_if_slower", lambda _: None)
    quantize.quantize_linears(torch_backend(model).network.flow_lm.transformer)
    with pytest.raises(ConfigError, match="8 bits are for the processor"):
        model.to("meta")
    assert model.to("cpu").device == torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread for thread in threading.enumerate() if thread.name == "pocket-latents"] == []
