"""A served model whose streams share its calls says to everybody what it says alone, and forgets whoever leaves."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.pocket.random_models import reduced
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.core.errors import Cancelled, VoiceError
from wyoming_pocket_tts.core.types import Pcm, SynthesisOptions, SynthesisRequest, close
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer
from wyoming_pocket_tts.pocket.voice_state import VoiceState
from wyoming_pocket_tts.pocket.voice_store import ModelVoices

pytestmark = pytest.mark.timeout(120)

TEXTS = (
    "The door is open. The window is closed, and it rains.",
    "Yes.",
    "Tomorrow will be sunny, with a high of twenty degrees.",
    "Nobody is in the garden. The light is off. The heating is on. The washing machine has finished.",
)
VOICES = ("alba", "marius")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TTSModel:
    directory = tmp_path_factory.mktemp("model")
    config = reduced(released_model("english_2m_2026-10"), layers=2)
    path = write_random_model(directory, config, seed=3, tokenizer=tokenizer_files().sentencepiece, eos_gap=6.0)
    return TTSModel.load_model(config=path, temp=0.0, engine="onnx", precision="fp32", data_dir=directory)


@pytest.fixture(scope="module")
def voices(model: TTSModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("voices")
    rng = np.random.default_rng(2)
    for name, length in zip(VOICES, (20, 33), strict=True):
        sizes = model.config.flow_lm.transformer
        layers = rng.standard_normal((sizes.num_layers, 2, length, sizes.kv_heads, sizes.head_dim), dtype=np.float32)
        export_model_state(VoiceState(layers=tuple(layers)), directory / f"{name}.safetensors")
    return directory


def made_of(model: TTSModel, voices: Path) -> PocketSynthesizer:
    files = ModelVoices(name="m", voices=VOICES, language="en", rate_hz=model.sample_rate, directory=voices)
    return PocketSynthesizer(model, files)


@pytest.fixture
def synthesizer(model: TTSModel, voices: Path) -> Iterator[PocketSynthesizer]:
    made = made_of(model, voices)
    yield made
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "pocket-engine"]


def asked(synthesizer: PocketSynthesizer, text: str, voice: int = 0) -> SynthesisRequest:
    return SynthesisRequest(text=text, voice=synthesizer.voices()[voice])


def alone(model: TTSModel, voices: Path, text: str, voice: int) -> Pcm:
    state = model.get_state_for_audio_prompt(voices / f"{VOICES[voice]}.safetensors")
    audio = np.asarray(model.generate_audio(state, text))
    pcm: Pcm = np.rint(audio * 32_767).clip(-32_768, 32_767).astype(np.int16)
    return pcm


async def spoken(workers: Scheduler, request: SynthesisRequest) -> Pcm:
    async with workers.synthesize(request) as blocks:
        return np.concatenate([block async for block in blocks])


async def test_everybody_hears_what_they_would_hear_alone(
    model: TTSModel, voices: Path, synthesizer: PocketSynthesizer
) -> None:
    expected = {(text, voice): alone(model, voices, text, voice) for text in TEXTS for voice in (0, 1)}
    async with Scheduler(synthesizer, threads=2) as workers:

        async def one(number: int, text: str, voice: int) -> None:
            await asyncio.sleep(number * 0.007)  # they come one after the other, while others speak
            heard = await spoken(workers, asked(synthesizer, text, voice))
            assert heard.shape == expected[text, voice].shape
            assert np.abs(heard.astype(np.int32) - expected[text, voice]).max() <= 8  # of 32768

        await asyncio.gather(*(one(number, *key) for number, key in enumerate([*expected] * 2)))


async def test_who_leaves_in_the_middle_changes_nothing_for_the_others(
    model: TTSModel, voices: Path, synthesizer: PocketSynthesizer
) -> None:
    expected = alone(model, voices, TEXTS[3], 0)
    async with Scheduler(synthesizer, threads=2) as workers:

        async def leave(blocks_heard: int) -> None:
            async with workers.synthesize(asked(synthesizer, TEXTS[3], 1)) as blocks:
                for _ in range(blocks_heard):
                    await anext(blocks)

        staying = asyncio.create_task(spoken(workers, asked(synthesizer, TEXTS[3])))
        await asyncio.gather(*(leave(count % 5) for count in range(12)))
        heard = await staying
        assert np.abs(heard.astype(np.int32) - expected).max() <= 8
    assert workers.active == 0


def test_a_text_without_words_is_silent_and_a_voice_that_is_not_there_told(synthesizer: PocketSynthesizer) -> None:
    assert list(synthesizer.synthesize(asked(synthesizer, " "))) == []
    stranger = replace(synthesizer.voices()[0], name="nobody", files={})
    with pytest.raises(VoiceError, match="nobody"):
        next(synthesizer.synthesize(SynthesisRequest(text="Hello.", voice=stranger)))


def test_a_manner_is_each_streams_own(synthesizer: PocketSynthesizer) -> None:
    """Noise for one of two that share their calls."""
    cold = asked(synthesizer, TEXTS[0])
    warm = SynthesisRequest(
        text=TEXTS[0], voice=cold.voice, options=SynthesisOptions(temperature=0.9, eos_threshold=100.0)
    )
    speeches = [synthesizer.synthesize(request) for request in (cold, warm, cold)]
    begun = [next(speech) for speech in speeches]
    said = [np.concatenate([first, *speech]).astype(np.int32) for first, speech in zip(begun, speeches, strict=True)]
    assert np.abs(said[0] - said[2]).max() <= 8
    assert len(said[0]) < len(said[1])
    assert np.abs(said[0] - said[1][: len(said[0])]).max() > 100


def test_closing_ends_speeches_and_refuses_others(model: TTSModel, voices: Path) -> None:
    made = made_of(model, voices)
    speech = made.synthesize(asked(made, TEXTS[3]))
    next(speech)
    made.close()
    with pytest.raises(Cancelled):
        list(speech)
    with pytest.raises(Cancelled):
        next(made.synthesize(asked(made, "Late.")))
    assert made.called_at is None


def test_memory_stays_flat_however_many_speak_one_after_the_other(synthesizer: PocketSynthesizer) -> None:
    process = psutil.Process()

    def round_of_speeches() -> None:
        speeches = [synthesizer.synthesize(asked(synthesizer, text, voice)) for text in TEXTS for voice in (0, 1)]
        for speech in speeches:
            next(speech)
        for number, speech in enumerate(speeches):
            if number % 2:
                list(speech)
            close(speech)

    for _ in range(3):
        round_of_speeches()
    before = process.memory_info().rss
    for _ in range(6):
        round_of_speeches()
    assert process.memory_info().rss < before + (16 << 20)
