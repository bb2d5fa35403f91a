"""The FlowLM graph against the PyTorch network: free-running, in pieces, in batches, and in fewer bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.pocket.onnx.flow_lm_runner import Streams, random_weights, write_flow_lm
from tests.pocket.random_models import changed
from tests.support.tiers import mostly
from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.graph import ExternalDataFile
from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.pocket.backend import SamplingParams
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.flow_graphs import flow_lm_graph, rotation_tables
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.torch.backend import PocketNetwork, TorchBackend, TorchLatentGenerator
from wyoming_pocket_tts.pocket.torch.transformer import rotation

TOLERANCE = 1e-4
VOICE, TOKENS, FRAMES, NOISY_FRAMES = 21, list(range(100, 134)), 100, 10

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "english": ("english", {"flow_lm": {"transformer": {"num_layers": 2}}}, 1),
    "english_2026-01": ("english_2026-01", {"flow_lm": {"transformer": {"num_layers": 1}}}, 1),
    "18m, drifting": ("english_18m_2026-10", {"flow_lm": {"transformer": {"num_layers": 3}}}, 1),
    "7m, grouped keys": ("english_7m_2026-10", {}, 1),
    "2m, pointwise": ("english_2m_2026-10", {}, 1),
    "pointwise, steps not needed": ("english_2m_2026-10", {}, 4),
    "flow matching": ("english_7m_2026-10", {"flow_lm": {"flow": {"type": "flow_matching"}}}, 16),
    "lsd, 4 steps": ("english_7m_2026-10", {"flow_lm": {"flow": {"type": "lsd"}}}, 4),
    "odd widths": (
        "english_2m_2026-10",
        {"flow_lm": {"transformer": {"num_heads": 6, "num_kv_heads": 3, "attn_dim": 288, "max_period": 500}}},
        1,
    ),
}
"""What is compared: a released model, what differs from it, and the sampler's steps."""
SMALL = ["7m, grouped keys", "2m, pointwise", "pointwise, steps not needed", "odd widths"]


@dataclass(frozen=True, slots=True)
class Model:
    config: ModelConfig
    weights: dict[str, Floats]
    steps: int
    fp32: OnnxSession

    def bos(self, rows: int = 1) -> Floats:
        return np.repeat(self.weights["flow_lm.bos_emb"][None, None], rows, axis=0)

    def vectors(self, *shape: int, seed: int = 1) -> Floats:
        """Something like the vectors of a text or a voice, [*shape, D]."""
        rng = np.random.default_rng(seed)
        return 0.7 * rng.standard_normal((*shape, self.config.flow_lm.transformer.d_model), dtype=np.float32)


def a_model(case: str, directory: Path) -> Model:
    name, differences, steps = CASES[case]
    config = changed(released_model(name), differences)
    weights = random_weights(config)
    path = write_flow_lm(directory, config, weights, precision=Precision.FP32, steps=steps)
    return Model(config, weights, steps, OnnxSession(path))


@pytest.fixture(scope="module", params=mostly(pytest.mark.parity, CASES, fast=SMALL))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return a_model(request.param, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return a_model("7m, grouped keys", tmp_path_factory.mktemp("model"))


class KnownNoise(TorchBackend):
    """The PyTorch engine, with a noise that others know as well."""

    noise: Floats

    def draw(self, sampling: SamplingParams) -> torch.Tensor:
        return torch.from_numpy(self.noise.copy())


def torch_backend(model: Model) -> KnownNoise:
    """FlowLM alone: nothing asks for the codec, and it stays without weights."""
    with torch.device("meta"):
        network = PocketNetwork(model.config)
    tensors = {name: torch.from_numpy(array) for name, array in model.weights.items()}
    network.load_state_dict(tensors, assign=True, strict=False)
    return KnownNoise(model.config, network.requires_grad_(requires_grad=False).eval(), fingerprint="random")


def in_torch(model: Model, voice: Floats) -> tuple[KnownNoise, TorchLatentGenerator]:
    """Begin to speak in a voice that was heard as ``voice`` [1, T, D]."""
    backend = torch_backend(model)
    cache = backend.network.flow_lm.new_cache(capacity=voice.shape[1])
    with torch.inference_mode():
        backend.network.flow_lm.fill(torch.from_numpy(voice), cache)
    state = backend._voice_of(cache)
    positions = len(TOKENS) + 1 + FRAMES + NOISY_FRAMES
    return backend, backend.open_speech(state, positions=positions, sampling=SamplingParams(0.0, steps=model.steps))


def embedded(model: Model, tokens: Sequence[int]) -> Floats:
    vectors = model.weights["flow_lm.conditioner.embed.weight"][list(tokens)][None]
    projection = model.weights.get("flow_lm.conditioner.proj.weight")
    return vectors if projection is None else vectors @ projection.T


def test_it_says_what_the_network_says_frame_after_frame(model: Model) -> None:
    backend, speech = in_torch(model, voice=model.vectors(1, VOICE))
    streams = Streams(model.fp32, model.config)
    backend.noise = streams.noise
    streams.read(model.vectors(1, VOICE))
    expected = speech.prefill(TOKENS)
    streams.read(embedded(model, TOKENS), model.bos())
    rng = np.random.default_rng(2)
    latents = []
    for frame in range(FRAMES + NOISY_FRAMES):
        assert np.abs(streams.latent[0] - expected.latent).max() < TOLERANCE
        assert abs(streams.eos_logit[0] - expected.eos_logit) < TOLERANCE
        latents.append(expected.latent)
        if frame >= FRAMES:
            streams.noise[:] = rng.standard_normal(streams.noise.shape)
        streams.latent[0] = expected.latent  # the same input for both: rounding errors of earlier frames do not add up
        expected = speech.step(expected.latent)
        streams.step()
    assert np.std(latents[:FRAMES], axis=0).min() > 0.01, "the random weights should say something that changes"
    for ours, theirs in zip(streams.cache, speech.state().layers, strict=True):
        used = ours[:, 0, :, : streams.position[0]].swapaxes(1, 2)  # [2, T, kv_heads, d]
        assert np.abs(used - theirs).max() < TOLERANCE * np.abs(theirs).max()


@pytest.mark.parametrize("pieces", [(1, 20, 35), (54, 2), (7,) * 8])
def test_reading_in_pieces_is_reading(small: Model, pieces: tuple[int, ...]) -> None:
    inputs = small.vectors(1, sum(pieces))
    whole, parts = Streams(small.fp32, small.config), Streams(small.fp32, small.config)
    whole.read(inputs)
    for piece in np.split(inputs, np.cumsum(pieces)[:-1], axis=1):
        parts.read(piece)
    assert np.abs(parts.hidden - whole.hidden).max() < TOLERANCE
    assert np.abs(parts.cache - whole.cache)[..., : sum(pieces), :].max() < TOLERANCE
    assert np.isnan(whole.cache[..., sum(pieces) :, :]).all(), "there is nothing behind the last position"


def test_streams_at_different_positions_do_not_see_each_other(small: Model) -> None:
    offsets = [5, 40, 19]
    alone = [Streams(small.fp32, small.config) for _ in offsets]
    together = Streams(small.fp32, small.config, rows=len(offsets))
    for row, (single, offset) in enumerate(zip(alone, offsets, strict=True)):
        single.read(small.vectors(1, offset, seed=offset), small.bos())
        together.cache[:, :, row] = single.cache[:, :, 0]
        together.position[row] = single.position[0]
        together.latent[row] = single.latent[0]
    for _ in range(6):
        together.step()
        for row, single in enumerate(alone):
            single.step()
            assert np.abs(together.latent[row] - single.latent[0]).max() < TOLERANCE
            assert np.abs(together.hidden[row] - single.hidden[0]).max() < TOLERANCE
            assert abs(together.eos_logit[row] - single.eos_logit[0]) < TOLERANCE


def test_texts_of_different_lengths_are_read_together(small: Model) -> None:
    lengths = [12, 3, 8]
    together = Streams(small.fp32, small.config, rows=len(lengths))
    inputs = small.vectors(len(lengths), max(lengths))
    together.read(inputs, lengths=lengths)
    alone = [Streams(small.fp32, small.config) for _ in lengths]
    for row, length in enumerate(lengths):
        alone[row].read(inputs[row : row + 1, :length])
    for _ in range(12):  # until all padding is overwritten
        for row, single in enumerate(alone):
            assert np.abs(together.hidden[row] - single.hidden[0]).max() < TOLERANCE
            assert np.abs(together.latent[row] - single.latent[0]).max() < TOLERANCE
            single.step()
        together.step()


def test_several_positions_of_several_streams_need_an_empty_past(small: Model) -> None:
    """A limit of ONNX Runtime's attention; it has to be an error, not a wrong result."""
    streams = Streams(small.fp32, small.config, rows=2)
    streams.read(small.vectors(2, 4))
    with pytest.raises(ModelError, match=r"flow_lm\.fp32\.onnx"):
        streams.read(small.vectors(2, 4))


@pytest.mark.parametrize(("precision", "least", "most"), [("int8", 0.003, 0.02), ("int4", 0.05, 0.25)])
@pytest.mark.parity
def test_fewer_bits_cost_exactness(precision: str, least: float, most: float, tmp_path: Path) -> None:
    model = a_model("english", tmp_path)
    path = write_flow_lm(tmp_path, model.config, model.weights, precision=Precision(precision), steps=model.steps)
    exact, coarse = Streams(model.fp32, model.config), Streams(OnnxSession(path), model.config)
    errors = []
    for streams in (exact, coarse):
        streams.read(model.vectors(1, VOICE))
        streams.read(embedded(model, TOKENS), model.bos())
    for _ in range(40):
        errors.append(np.linalg.norm(coarse.hidden - exact.hidden) / np.linalg.norm(exact.hidden))
        coarse.latent[:] = exact.latent
        exact.step()
        coarse.step()
    assert least < np.mean(errors) < most


def test_tables_turn_as_the_network_does() -> None:
    cosines, sines = rotation_tables(8192, 64, 10_000.0)
    turn = rotation(0, 8192, head_width=64, max_period=10_000.0, device=torch.device("cpu"))[:, 0].numpy()
    assert cosines.dtype == sines.dtype == np.float32
    # As an angle, a frequency's last bit grows with the position.
    allowed = np.arange(1, 8193, dtype=np.float32)[:, None] * np.finfo(np.float32).eps / 2
    assert (np.abs(cosines - turn.real) <= allowed).all()
    assert (np.abs(sines - turn.imag) <= allowed).all()


def test_heads_that_onnx_runtime_cannot_turn_are_refused(small: Model, tmp_path: Path) -> None:
    config = changed(small.config, {"flow_lm": {"transformer": {"attn_dim": 192, "num_heads": 8}}})
    with (
        ExternalDataFile(tmp_path / "refused.data") as data,
        pytest.raises(ConfigError, match=r"24 wide .* multiple of 16"),
    ):
        flow_lm_graph(config, small.weights, data, precision=Precision.FP32, steps=1)


def test_graphs_of_other_steps_share_their_data(small: Model, tmp_path: Path) -> None:
    def size(*steps: int) -> int:
        path = tmp_path / "shared.data"
        with ExternalDataFile(path) as data:
            for count in steps:
                graph = flow_lm_graph(small.config, small.weights, data, precision=Precision.INT8, steps=count)
                graph.save(tmp_path / f"{count}.onnx")
        return path.stat().st_size

    assert size(1, 4) < 1.02 * size(1)
