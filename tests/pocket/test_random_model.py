"""The random models are worth comparing implementations on: upstream loads them, and they behave."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import load_config, released_model
from wyoming_pocket_tts.pocket.weights import load_weights

TEXT = "Turn on the kitchen light, please, and tell me what the weather will be tomorrow."


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401  (has no types)
    from pocket_tts import TTSModel  # noqa: PLC0415  (importing it sets torch's threads)

    config = released_model("english_2m_2026-10")
    path = write_random_model(
        tmp_path_factory.mktemp("model"), config, seed=1, tokenizer=tokenizer_files().sentencepiece
    )
    return TTSModel.load_model(config=path, temp=0)


def voice(model: Any, hz: float) -> Any:  # noqa: ANN401
    import torch  # noqa: PLC0415

    seconds = np.arange(3 * 24_000) / 24_000
    tone = sum(np.sin(2 * np.pi * hz * k * seconds) / k for k in range(1, 12)) * (1 + np.sin(20 * seconds)) * 0.05
    return model.get_state_for_audio_prompt(torch.from_numpy(tone.astype(np.float32))[None])


def test_they_speak_within_bounds_and_end(upstream: Any) -> None:  # noqa: ANN401
    audio = upstream.generate_audio(voice(upstream, 120), TEXT).numpy()
    frames = len(audio) / 1920
    assert 10 < frames < 100
    assert 0.05 < audio.std() < 0.3
    assert np.abs(audio).max() < 1


def test_the_voice_and_the_text_matter(upstream: Any) -> None:  # noqa: ANN401
    def first_frames(hz: float, text: str) -> Any:  # noqa: ANN401
        return upstream.generate_audio(voice(upstream, hz), text).numpy()[: 10 * 1920]

    usual = first_frames(120, TEXT)
    for other in (first_frames(230, TEXT), first_frames(120, TEXT.replace("weather", "battery"))):
        assert np.abs(usual - other).max() > 0.01


def test_what_goes_in_comes_out_again(tmp_path: Path) -> None:
    config = released_model("english_2m_2026-10")
    path = write_random_model(tmp_path, config, seed=2, tokenizer=tokenizer_files().json, dtype="bfloat16")
    loaded = load_config(path)
    assert loaded.flow_lm.lookup_table.tokenizer == "tokenizers"
    assert loaded.flow_lm.transformer == config.flow_lm.transformer
    weights = load_weights(loaded)
    assert all(np.isfinite(values).all() for values in weights.tensors.values())
