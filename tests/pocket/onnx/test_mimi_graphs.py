"""The codec's graphs against the PyTorch codec, for every family of models: the same audio, cut anywhere."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pocket.onnx.codec_runner import (
    Streamed,
    codec_weights,
    in_pieces,
    signal_to_noise_db,
    torch_codec,
    write_decoder,
    write_encoder,
)
from tests.pocket.random_models import changed
from tests.support.tiers import mostly
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.codec_graphs import decoder_graph
from wyoming_pocket_tts.pocket.registry import released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig

FRAMES = 100
TOLERANCE = 1e-5
ENCODER_TOLERANCE = 3e-5  # of numbers up to 8
HOURS_10 = 10 * 3600 * 200  # positions of the transformer
UNRELEASED = {
    "mimi": {
        "seanet": {"pad_mode": "replicate", "n_residual_layers": 2, "kernel_size": 5},
        "transformer": {"d_model": 64, "num_heads": 2, "context": 20, "dim_feedforward": 96},
        "decoder_seanet": {"pad_mode": "replicate", "n_residual_layers": 2, "last_kernel_size": 1},
        "decoder_transformer": {"d_model": 96, "num_layers": 2, "context": 7},
    }
}
"""Everything that a config may say about the codec and no released model does."""

CONFIGS = {
    "english": released_model("english"),
    "english_2026-01": released_model("english_2026-01"),
    "18m": released_model("english_18m_2026-10"),
    "7m": released_model("english_7m_2026-10"),
    "2m": released_model("english_2m_2026-10"),
    "unreleased": changed(released_model("english_2m_2026-10"), UNRELEASED),
}

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True, slots=True)
class Case:
    """A codec with random weights, what it is given, and what PyTorch makes of it."""

    config: ModelConfig
    weights: dict[str, Floats]
    latents: Floats  # [1, FRAMES, latent_dim]
    audio: Floats  # [1, FRAMES * frame_samples]
    frames: Floats  # [1, FRAMES, conditioning_dim], of that audio
    directory: Path

    def decoder(self, precision: Precision = Precision.FP32) -> OnnxSession:
        return OnnxSession(write_decoder(self.directory, self.config, self.weights, precision))

    def encoder(self) -> OnnxSession:
        return OnnxSession(write_encoder(self.directory, self.config, self.weights))


@torch.inference_mode()
def a_case(config: ModelConfig, directory: Path) -> Case:
    weights = codec_weights(config)
    codec = torch_codec(config, weights)
    latents = np.random.default_rng(0).standard_normal((1, FRAMES, config.latent_dim), dtype=np.float32)
    denormalised = latents * weights["flow_lm.emb_std"] + weights["flow_lm.emb_mean"]
    audio = codec.decode(torch.from_numpy(denormalised), codec.start_decoding())
    frames = codec.encode(audio, codec.start_encoding())
    return Case(config, weights, latents, audio[0].numpy(), frames.numpy(), directory)


@pytest.fixture(scope="module", params=mostly(pytest.mark.parity, CONFIGS, fast=["2m", "unreleased"]))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return a_case(CONFIGS[request.param], tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return a_case(CONFIGS["2m"], tmp_path_factory.mktemp("smallest"))


def test_the_decoder_is_exact_however_a_stream_is_cut(case: Case) -> None:
    network = case.decoder()
    for size in (1, 2, 3, 7, FRAMES):
        audio = in_pieces(network, "latents", case.latents, size, joined=1)
        np.testing.assert_allclose(audio, case.audio, rtol=0, atol=TOLERANCE, err_msg=f"{size} frames a call")


@pytest.mark.slow
def test_the_encoder_is_exact_however_a_stream_is_cut(case: Case) -> None:
    network = case.encoder()
    for size in (1, 7, FRAMES):
        frames = in_pieces(network, "audio", case.audio, size * case.config.mimi.frame_samples, joined=1)
        np.testing.assert_allclose(frames, case.frames, rtol=0, atol=ENCODER_TOLERANCE, err_msg=f"{size} frames a call")


@pytest.mark.parametrize(("precision", "floor_db"), [(Precision.INT8, 28.5), (Precision.MIXED, 36)])
def test_rounded_decoders_stay_near(case: Case, precision: Precision, floor_db: float) -> None:
    network = case.decoder(precision)
    for size in (1, 4):
        audio = in_pieces(network, "latents", case.latents, size, joined=1)
        assert signal_to_noise_db(case.audio, audio) > floor_db


def test_precisions_differ(case: Case) -> None:
    """None is by accident another: 8 bits are worse than exact convolutions; small transformers are never rounded."""
    in_eight, mixed = (
        signal_to_noise_db(case.audio, in_pieces(case.decoder(precision), "latents", case.latents, 4, joined=1))
        for precision in (Precision.INT8, Precision.MIXED)
    )
    assert in_eight + 2 < mixed
    assert (mixed > 90) == (case.config.mimi.decoder_transformer_or_same.d_model < 256)


def test_four_bits_are_for_the_language_model_alone(smallest: Case) -> None:
    config, weights = smallest.config, smallest.weights
    in_four, in_eight = (
        decoder_graph(config, weights, precision=precision) for precision in (Precision.INT4, Precision.INT8)
    )
    assert in_four.graph.build() == in_eight.graph.build()


def test_rounded_weights_take_less_space(case: Case) -> None:
    exact, rounded = (
        write_decoder(case.directory, case.config, case.weights, precision).with_suffix(".data").stat().st_size
        for precision in (Precision.FP32, Precision.INT8)
    )
    has_wide_transformer = case.config.mimi.decoder_transformer_or_same.d_model >= 256
    assert rounded < (0.31 if has_wide_transformer else 0.85) * exact


def test_hours_do_not_blur_positions(smallest: Case) -> None:
    """A stream far from its beginning sounds like one that has just begun, once neither remembers its beginning."""
    network, settled = smallest.decoder(), 40 * smallest.config.mimi.frame_samples
    early, late = Streamed(network), Streamed(network)
    late.states["position"] = np.array(HOURS_10)
    expected, found = early(latents=smallest.latents), late(latents=smallest.latents)
    np.testing.assert_allclose(found[:, settled:], expected[:, settled:], rtol=0, atol=TOLERANCE)
    assert not np.allclose(found[:, : settled // 10], expected[:, : settled // 10], rtol=0, atol=TOLERANCE)
