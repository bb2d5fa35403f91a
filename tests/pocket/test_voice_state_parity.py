"""The exchange file against the peer, ``pocket-tts`` 4.0.1: it reads ours, we read its own, of every type and age."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pocket_tts import export_model_state
from pocket_tts.models.model_state import _import_model_state

from wyoming_pocket_tts.pocket.voice_state import VoiceState, read_state, trim_model_state, write_state

pytest.importorskip("torch")
pytest.importorskip("pocket_tts")

LENGTH, ROOM = 5, 9


def peers_state(dtype: Any = torch.float32, *, layers: int = 3) -> dict[str, dict[str, Any]]:  # noqa: ANN401  (torch's own types)
    """As the peer makes it: NaN where nothing was written yet."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for index in range(layers):
        cache = torch.full((2, 1, ROOM, 4, 8), float("nan"), dtype=dtype)
        cache[:, :, :LENGTH] = torch.randn(2, 1, LENGTH, 4, 8, generator=generator).to(dtype)
        entry = {"offset": torch.tensor([LENGTH]), "pad": torch.zeros(1, dtype=torch.long), "cache": cache}
        state[f"transformer.layers.{index}.self_attn"] = entry
    return state


def assert_same(ours: VoiceState, theirs: dict[str, dict[str, Any]]) -> None:
    assert list(ours) == sorted(theirs)
    for layer, entry in zip(ours.layers, theirs.values(), strict=True):
        np.testing.assert_array_equal(layer, entry["cache"][:, 0, :LENGTH].float().numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_we_read_what_the_peer_writes(dtype: Any, tmp_path: Path) -> None:  # noqa: ANN401  (torch's own types)
    state = peers_state(dtype)
    export_model_state(state, tmp_path / "voice.safetensors")
    assert_same(read_state(tmp_path / "voice.safetensors"), state)
    assert_same(VoiceState.of(state), state)


def test_trimming_keeps_tensors_which_belong_to_who_asked_for_them() -> None:
    trimmed = trim_model_state(peers_state())
    for copied in (trimmed, pickle.loads(pickle.dumps(trimmed))):  # noqa: S301  (our own)
        for entry, theirs in zip(copied.values(), peers_state().values(), strict=True):
            assert torch.equal(entry["offset"], theirs["offset"])
            assert torch.equal(entry["cache"], theirs["cache"][:, :, :LENGTH])
            entry["cache"].zero_()
    assert_same(trimmed, peers_state())


def test_we_read_the_peers_older_files(tmp_path: Path) -> None:
    state = peers_state()
    older = {name: {"current_end": torch.zeros(LENGTH), "cache": entry["cache"]} for name, entry in state.items()}
    export_model_state(older, tmp_path / "voice.safetensors")
    assert_same(read_state(tmp_path / "voice.safetensors"), state)
    assert_same(VoiceState.of(older), state)


def test_a_model_of_many_layers_keeps_their_order(tmp_path: Path) -> None:
    state = peers_state(layers=24)
    export_model_state(state, tmp_path / "voice.safetensors")
    for layer, entry in zip(read_state(tmp_path / "voice.safetensors").layers, state.values(), strict=True):
        np.testing.assert_array_equal(layer, entry["cache"][:, 0, :LENGTH].numpy())


def test_the_peer_reads_what_we_write(tmp_path: Path) -> None:
    state = peers_state()
    write_state(VoiceState.of(state), tmp_path / "voice.safetensors")
    read = _import_model_state(tmp_path / "voice.safetensors", torch.device("cpu"))
    assert set(read) == set(state)
    for name, entry in read.items():
        assert entry["offset"].tolist() == [LENGTH]
        assert entry["offset"].dtype == torch.long
        assert entry["pad"].tolist() == [0]
        assert torch.equal(entry["cache"], state[name]["cache"][:, :, :LENGTH])


def test_the_peer_writes_ours_and_trimming_takes_its_own(tmp_path: Path) -> None:
    """``export_model_state`` of either package, whatever the voice came from."""
    export_model_state(trim_model_state(peers_state()), tmp_path / "voice.safetensors")
    assert_same(read_state(tmp_path / "voice.safetensors"), peers_state())
