"""The graphs that serve compute what the PyTorch model computes, and the fast ways what the obvious ones do."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.kokoro import model
from wyoming_pocket_tts.kokoro import synthesizer as runtime
from wyoming_pocket_tts.kokoro import vocoder as letters
from wyoming_pocket_tts.kokoro.synthesizer import HOP, MEL_DIM
from wyoming_pocket_tts.kokoro.training import export as graphs
from wyoming_pocket_tts.kokoro.vocoder import Vocoder

pytest.importorskip("onnx")
pytest.importorskip("torch")


def rounded(module: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Round large weights to float16, as the graphs store them, in the module as well; its weights by name."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.numel() >= 256:
                parameter.copy_(parameter.half().float())
    return {name: value.numpy() for name, value in module.state_dict().items() if value.dim() > 0}


def network(proto: onnx.ModelProto, folder: Path) -> OnnxSession:
    path = folder / "model.onnx"
    onnx.save(proto, path)
    return OnnxSession(path)


@pytest.fixture
def kokoro() -> model.KokoroModel:
    torch.manual_seed(3)
    return model.KokoroModel(
        hidden_dim=32, n_encoder_layers=2, n_decoder_layers=2, n_heads=4, ff_dim=48, prenet_dim=24
    ).eval()


@pytest.mark.parametrize("speaker", [0, 1])
def test_encoder_and_decoder_graphs_draw_what_torch_draws(
    kokoro: model.KokoroModel, speaker: int, tmp_path: Path
) -> None:
    weights = rounded(kokoro)
    with torch.no_grad():
        kokoro.duration.get_parameter("6.bias").fill_(1.5)
    weights["duration.6.bias"] = np.array([1.5], np.float32)
    (tmp_path / "e").mkdir()
    encoder = network(graphs.encoder(weights, 4, 64), tmp_path / "e")
    decoder = network(graphs.decoder(weights, 4, 128), tmp_path)
    phonemes = torch.randint(1, 63, (11,))
    expected = kokoro.inference(phonemes, speaker=speaker).numpy()

    memory, log_durations, keys, values = encoder(phonemes=phonemes.numpy(), speaker=np.array([speaker]))
    encoded = kokoro.encode(phonemes[None], torch.tensor([speaker]))
    np.testing.assert_allclose(memory, encoded.memory[0].detach(), atol=1e-4)
    np.testing.assert_allclose(log_durations, encoded.log_durations[0].detach(), atol=1e-4)
    regulated = runtime.regulate(memory, runtime.durations_in_frames(log_durations), 4)
    group, cache, drawn = np.zeros((1, 320), np.float32), np.zeros((0, 2, 2, 32), np.float32), []
    for step in range(len(regulated)):
        group, _, row = decoder(
            previous=group, regulated=regulated[step : step + 1], step=np.array([step]), cache=cache,
            cross_keys=keys, cross_values=values,
        )  # fmt: skip
        cache = np.concatenate([cache, row])
        drawn.append(group.reshape(4, MEL_DIM))
    assert len(expected) > 8
    np.testing.assert_allclose(np.concatenate(drawn)[: len(expected)], expected, atol=1e-4)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any))
@settings(max_examples=50, deadline=None)
def test_regulating_in_numpy_equals_the_model(durations: list[int]) -> None:
    torch.manual_seed(5)
    kokoro = model.KokoroModel(hidden_dim=8, n_encoder_layers=1, n_decoder_layers=1, n_heads=2, ff_dim=8).eval()
    memory = torch.randn(1, len(durations), 8)
    steps = -(-sum(durations) // 4)
    expected = kokoro.regulate(memory, torch.tensor([durations]), steps)[0].detach()
    rows = runtime.regulate(memory[0].numpy(), np.array(durations), 4)
    ours = rows @ kokoro.regulated.weight.detach().numpy().T + kokoro.regulated.bias.detach().numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_vocoder_graph_equals_torch_and_streaming_equals_whole(tmp_path: Path) -> None:
    torch.manual_seed(4)
    vocoder = Vocoder(dim=16, hidden=24, n_blocks=6).eval()
    with torch.no_grad():  # let every convolution's farthest frames count, or a context that is too short goes unseen
        for name, parameter in vocoder.named_parameters():
            if name.endswith(("conv.weight", "embed.weight")):
                parameter[..., [0, -1]] += 2.0
            elif name.endswith("scale"):
                parameter.fill_(3.0)
    graph = network(graphs.vocoder_graph(rounded(vocoder)), tmp_path)
    rng = np.random.default_rng(1)
    for n_frames in (1, 2, 5, 23, 24, 25, 46, 90, 131):
        mel = rng.standard_normal((n_frames, MEL_DIM)).astype(np.float32)
        whole = vocoder(torch.from_numpy(mel)[None])[0].detach().numpy()
        for size in (1, 4, 7, n_frames):
            streaming = runtime.StreamingVocoder(graph, MEL_DIM)
            pieces = [streaming.push(mel[at : at + size]) for at in range(0, n_frames, size)]
            samples = np.concatenate([*pieces, streaming.finish()])
            assert len(samples) == n_frames * HOP
            np.testing.assert_allclose(samples, whole, atol=1e-5)
            assert n_frames < 60 or size == n_frames or any(map(len, pieces)), "nothing came before the end"


def test_letters_graph_equals_torch(tmp_path: Path) -> None:
    torch.manual_seed(6)
    reader = letters.LetterToSound(dim=16, n_heads=2, n_layers=2, ff_dim=24).eval()
    graph = network(graphs.letters_graph(rounded(reader), 2, 48), tmp_path)
    for length in (1, 7, 48):
        word = torch.randint(1, 28, (length,))
        (scores,) = graph(letters=word.numpy())
        np.testing.assert_allclose(scores, reader(word[None])[0].detach(), atol=1e-4)
