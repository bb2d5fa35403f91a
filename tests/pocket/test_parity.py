"""Ours against the package pocket-tts: the same files, temperature 0, the same latents and the same audio.

The weights are random, their shapes those of the released models. What they say is noise; it has to be the same noise.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pocket.peer import Spoken, load_peer, ours_speaks, peer_speaks
from tests.pocket.random_models import changed, reduced
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.pocket.model import TTSModel, export_model_state
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig

TOLERANCE = 1e-4
TEXTS = {
    "few words": "Hello there",
    "one sentence": "The kitchen light is on; shall I turn it off?",
    "several chunks": (
        "It is 21.5 degrees in the living room, and the window is open. Rain is expected at five o'clock! "
        "Would you like me to close it before the rain comes, or do you want to wait?"
    ),
}
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "english": ("english", {}, 1),
    "english_2026-01": ("english_2026-01", {}, 1),
    "24 layers": ("german_24l", {}, 1),
    "18m": ("english_18m_2026-10", {}, 1),
    "7m": ("english_7m_2026-10", {}, 1),
    "2m": ("english_2m_2026-10", {}, 1),
    "flow matching": ("english_2m_2026-10", {"flow_lm": {"flow": {"type": "flow_matching"}}}, 16),
    "lsd, 4 steps": ("english_18m_2026-10", {"flow_lm": {"flow": {"type": "lsd"}}}, 4),
    "what nobody released": (
        "english_2m_2026-10",
        {
            "mimi": {
                "decoder_seanet": {"n_residual_layers": 2, "pad_mode": "replicate"},
                "decoder_transformer": {"d_model": 96, "num_heads": 3},
            }
        },
        1,
    ),
}
"""What is compared: a released model, what differs from it, and the sampler's steps."""

TWO_LAYERS = {case: f"{case}, two layers" for case in CASES}
"""Fast, for texts of a few words: random weights are scaled for the depth, and errors grow in long texts."""
PAIRS = [*TWO_LAYERS.values(), *(pytest.param(case, marks=pytest.mark.parity) for case in CASES)]
SPEECHES = [
    *((pair, "few words") for pair in TWO_LAYERS.values()),
    *(pytest.param(case, text, marks=pytest.mark.parity) for case in CASES for text in TEXTS),
]

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same weights in both implementations, and the same voice, from the same recording."""

    ours: TTSModel
    peer: Any
    our_voice: Any
    peer_voice: Any
    directory: Path


def a_recording(config: ModelConfig) -> torch.Tensor:
    """Two and a half seconds that sound a little like vowels, with a pause within and at the end: ``[1, samples]``."""
    rate = config.mimi.sample_rate
    seconds = np.arange(int(2.5 * rate)) / rate
    pitch = 110 + 20 * np.sin(2 * np.pi * 0.7 * seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * 1.3 * seconds), 0, 1) * (seconds < 2.2)
    return torch.from_numpy((0.12 * voice * loudness).astype(np.float32))[None]


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    name, differences, steps = CASES[request.param.removesuffix(", two layers")]
    config = changed(released_model(name), differences)
    if request.param in TWO_LAYERS.values():
        config = reduced(config, layers=2)
    files = tokenizer_files()
    is_json = config.flow_lm.lookup_table.tokenizer != "sentencepiece"
    directory = tmp_path_factory.mktemp("model")
    path = write_random_model(directory, config, seed=7, tokenizer=files.json if is_json else files.sentencepiece)
    options = {"temp": 0.0, "sampler_decode_steps": steps}
    ours, peer = TTSModel.load_model(config=path, **options), load_peer(path, **options)  # type: ignore[arg-type]
    recording = a_recording(config)
    yield Pair(
        ours,
        peer,
        ours.get_state_for_audio_prompt(recording),
        peer.get_state_for_audio_prompt(recording),
        directory,
    )
    shutil.rmtree(directory)


def assert_same(ours: Spoken, peer: Spoken) -> None:
    assert ours.latents.shape == peer.latents.shape
    assert ours.audio.shape == peer.audio.shape
    assert np.abs(ours.latents - peer.latents).max() < TOLERANCE
    assert np.abs(ours.audio - peer.audio).max() < TOLERANCE
    assert 0.01 < np.abs(peer.audio).max() <= 1, "the random weights should speak audibly, and within bounds"
    assert peer.latents.std(axis=0).min() > 0.01, "the random weights should say something that changes"


@pytest.mark.parametrize(("pair", "text"), SPEECHES, indirect=["pair"])
def test_it_says_the_same(pair: Pair, text: str) -> None:
    options = {"max_tokens": 20}
    assert_same(
        ours_speaks(pair.ours, pair.our_voice, TEXTS[text], **options),
        peer_speaks(pair.peer, pair.peer_voice, TEXTS[text], **options),
    )


def test_it_hears_the_same_voice(pair: Pair) -> None:
    assert list(pair.our_voice) == list(pair.peer_voice)
    for name, layer in pair.peer_voice.items():
        ours = pair.our_voice[name]
        assert ours["offset"].tolist() == layer["offset"].tolist()
        assert ours["cache"].shape == layer["cache"].shape
        assert (ours["cache"] - layer["cache"]).abs().max() < TOLERANCE


def test_voice_files_go_both_ways(pair: Pair) -> None:
    import pocket_tts  # noqa: PLC0415  (as in peer.py)

    from_ours, from_peer = pair.directory / "ours.safetensors", pair.directory / "peer.safetensors"
    export_model_state(pair.our_voice, from_ours)
    pocket_tts.export_model_state(pair.peer_voice, from_peer)
    text = TEXTS["few words"]
    crossed = [
        ours_speaks(pair.ours, pair.ours.get_state_for_audio_prompt(from_peer), text),
        peer_speaks(pair.peer, pair.peer.get_state_for_audio_prompt(from_ours), text),
    ]
    assert_same(*crossed)


def test_what_was_said_becomes_part_of_the_voice_when_it_is_not_copied(
    pair: Pair, request: pytest.FixtureRequest
) -> None:
    """The state of each is changed in place, from one text to the next."""
    import copy  # noqa: PLC0415

    ours, peer = copy.deepcopy(pair.our_voice), copy.deepcopy(pair.peer_voice)
    is_full = request.node.get_closest_marker("parity") is not None
    for text in ("Good morning.", "And good night.") if is_full else ("Hello there",):
        assert_same(
            ours_speaks(pair.ours, ours, text, copy_state=False),
            peer_speaks(pair.peer, peer, text, copy_state=False),
        )
    assert ours.length == int(next(iter(peer.values()))["offset"])
