"""Compare a bundle with a NumPy reference."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import Floats, WeightArrays
from wyoming_pocket_tts.inference.session import OnnxSession, StreamingSession
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.kv_cache import cache_names, empty_caches
from wyoming_pocket_tts.pocket.schema import BackboneConfig, FlowLMConfig, ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import SafetensorsFile, write_tensors
from wyoming_pocket_tts.pocket.worker_client import UnsupportedPrecision

_TOKENS = 8
_FRAMES = 3
_ROOM = 32  # more positions than are used, as in synthesis
_EPSILON = 1e-5
_REMEDY = "this machine may lack what it takes"
MAX_HIDDEN_ERROR: Mapping[Precision, float] = {
    Precision.FP32: 1e-3, Precision.INT8: 0.25, Precision.MIXED: 0.25, Precision.INT4: 0.7,
}  # fmt: skip
"""Relative error of the head's condition. With random weights 8 bits have 0.03, 4 bits 0.3; nonsense has 1 or more."""
MIN_CODEC_SNR_DB: Mapping[Precision, float] = {
    Precision.FP32: 60, Precision.INT8: 10, Precision.MIXED: 10, Precision.INT4: 10,
}  # fmt: skip
"""With random weights 8 bits have 28 and more."""


@dataclass(frozen=True, slots=True)
class GoldenSample:
    """Fixed inputs, and the exact outputs for them."""

    inputs: Floats  # text as vectors, [S, D]
    latents: Floats  # what follows it, [1, latent_dim]
    noise: Floats  # the sampler's start, [latent_dim]
    hidden: Floats  # exact output of the transformer for its head, [condition_dim]
    frames: Floats  # latents for the codec, [T, latent_dim]
    audio: Floats  # exact output of the codec for them, [T * frame_samples]

    @classmethod
    def make(cls, config: ModelConfig, weights: Mapping[str, Floats], exact_decoder: Path) -> "GoldenSample":
        """Compute the exact outputs, the audio with a decoder graph in float32."""
        rng = np.random.default_rng(0)
        tokens = np.linspace(0, config.flow_lm.lookup_table.n_bins - 1, _TOKENS).astype(np.int64)
        inputs, latents = _text_inputs(weights, tokens), weights["flow_lm.bos_emb"][None]
        frames = rng.standard_normal((_FRAMES, config.latent_dim), dtype=np.float32)
        sample = cls(
            inputs=inputs,
            latents=latents,
            noise=0.5 * rng.standard_normal(config.latent_dim, dtype=np.float32),
            hidden=_last_hidden(config.flow_lm, weights, inputs, latents),
            frames=frames,
            audio=_decoded(exact_decoder, config, frames),
        )
        if not (np.isfinite(sample.hidden).all() and np.isfinite(sample.audio).all()):
            raise ModelError("the model's weights make numbers that are not finite: they are damaged")
        return sample

    @classmethod
    def read(cls, path: Path, config: ModelConfig) -> "GoldenSample":
        file = SafetensorsFile(path)
        latent_dim, samples = config.latent_dim, config.mimi.frame_samples
        shapes = {
            "inputs": (_TOKENS, config.flow_lm.transformer.d_model),
            "latents": (1, latent_dim),
            "noise": (latent_dim,),
            "hidden": (config.flow_lm.condition_dim,),
            "frames": (_FRAMES, latent_dim),
            "audio": (_FRAMES * samples,),
        }
        if {name: entry.shape for name, entry in file.entries.items()} != shapes:
            raise ModelError(f"{path}: is damaged: it does not belong to this model")
        return cls(**{name: file.read(entry) for name, entry in file.entries.items()})

    def write(self, path: Path) -> None:
        write_tensors(path, asdict(self))


@dataclass(frozen=True, slots=True)
class VerificationResult:
    """The distance of a converted model from the exact one."""

    hidden_error: float
    """Relative error of the head's condition."""
    codec_snr_db: float
    """Signal to noise of the decoded audio; infinite when nothing differs."""


def verify(directory: Path, config: ModelConfig, precision: Precision, sample: GoldenSample) -> VerificationResult:
    """Run the graphs in a directory on the golden sample.

    Raises an UnsupportedPrecision if they fail on this machine, or their output is too far from exact.
    """
    try:
        hidden, latent, eos_logit = _first_frame(directory / "flow.onnx", config, sample)
        audio = _decoded(directory / "decoder.onnx", config, sample.frames)
        encoded = _encoded(directory / "encoder.onnx", config) if (directory / "encoder.onnx").exists() else audio
    except ModelError as error:
        raise UnsupportedPrecision(f"{precision} does not run on this machine: {error}") from error
    if not all(np.isfinite(values).all() for values in (hidden, latent, eos_logit, audio, encoded)):
        raise UnsupportedPrecision(f"{precision} makes numbers on this machine that are not finite")
    off = float(np.linalg.norm(hidden - sample.hidden) / np.linalg.norm(sample.hidden))
    if off > MAX_HIDDEN_ERROR[precision]:
        raise UnsupportedPrecision(f"{precision} has an error of {off:.0%} in the language model on this machine")
    snr_db = _snr_db(sample.audio, audio)
    if snr_db < MIN_CODEC_SNR_DB[precision]:
        raise UnsupportedPrecision(f"{precision} decodes audio on this machine with noise of {-snr_db:.0f} dB")
    return VerificationResult(off, snr_db)


def _first_frame(path: Path, config: ModelConfig, sample: GoldenSample) -> tuple[Floats, Floats, Floats]:
    """Read text and the first latent; return the head's condition, the next latent, and the end's logit."""
    positions = len(sample.inputs) + len(sample.latents)
    hidden = np.full((1, config.flow_lm.condition_dim), np.nan, np.float32)
    latent = np.full((1, config.latent_dim), np.nan, np.float32)
    eos_logit = np.full(1, np.nan, np.float32)
    caches = empty_caches(config, slots=1, room=_ROOM)
    inputs: dict[str, NDArray[Any]] = {
        "inputs": np.ascontiguousarray(sample.inputs[None]),
        "latents": np.ascontiguousarray(sample.latents[None]),
        "noise": np.ascontiguousarray(sample.noise[None]),
        "last": np.array([positions - 1], np.int64),
        "seqlens_k": np.array([positions - 1], np.int32),
        "total_sequence_length": np.array(positions, np.int32),
    }
    outputs = {"hidden": hidden, "latent": latent, "eos_logit": eos_logit}
    OnnxSession(path, remedy=_REMEDY).bind(
        inputs | cache_names(caches, "past"), outputs | cache_names(caches, "present")
    ).run()
    return hidden[0], latent[0], eos_logit


def _decoded(path: Path, config: ModelConfig, frames: Floats) -> Floats:
    """[T, latent_dim] -> [T * frame_samples], in two pieces, as a stream."""
    stream = StreamingSession(OnnxSession(path, remedy=_REMEDY), source="latents", result="audio")
    samples = config.mimi.frame_samples
    pieces = [np.ascontiguousarray(piece[None]) for piece in (frames[:1], frames[1:])]
    return np.concatenate([stream(piece, (1, piece.shape[1] * samples))[0] for piece in pieces])


def _encoded(path: Path, config: ModelConfig) -> Floats:
    audio = 0.1 * np.sin(np.arange(config.mimi.frame_samples, dtype=np.float32) / 20)[None]
    stream = StreamingSession(OnnxSession(path, remedy=_REMEDY), source="audio", result="frames")
    return stream(audio.astype(np.float32), (1, 1, config.mimi.conditioning_dim))


def _snr_db(exact: Floats, found: Floats) -> float:
    noise = float(np.square(exact - found).sum())
    return float(10 * np.log10(np.square(exact).sum() / noise)) if noise else float("inf")


def _text_inputs(weights: WeightArrays, tokens: NDArray[np.int64]) -> Floats:
    """Vectors of tokens: [S, D]."""
    rows: Floats = weights["flow_lm.conditioner.embed.weight"][tokens]
    projection = "flow_lm.conditioner.proj.weight"
    return rows @ weights[projection].T if projection in weights else rows


def _last_hidden(config: FlowLMConfig, weights: WeightArrays, inputs: Floats, latents: Floats) -> Floats:
    """The head's condition [condition_dim] after text [S, D] and latents [L, latent_dim], from the beginning."""
    x = np.concatenate([inputs, latents @ weights["flow_lm.input_linear.weight"].T])
    for index in range(config.transformer.num_layers):
        name = f"flow_lm.transformer.layers.{index}"
        heads = _norm(weights, f"{name}.norm1", x) @ weights[f"{name}.self_attn.in_proj.weight"].T
        x = x + _attend(config.transformer, heads) @ weights[f"{name}.self_attn.out_proj.weight"].T
        inner = _gelu(_norm(weights, f"{name}.norm2", x) @ weights[f"{name}.linear1.weight"].T)
        x = x + inner @ weights[f"{name}.linear2.weight"].T
    hidden = _norm(weights, "flow_lm.out_norm", x[-1])
    return hidden @ weights["flow_lm.z_proj.weight"].T if config.z_dim else hidden


def _attend(sizes: BackboneConfig, projected: Floats) -> Floats:
    """Causal attention over [T, queries | keys | values] -> [T, attention_dim]."""
    length, width = len(projected), sizes.head_dim
    heads = projected.reshape(length, -1, width).transpose(1, 0, 2)  # [queries | keys | values, T, d]
    queries, keys, values = np.split(heads, [sizes.num_heads, sizes.num_heads + sizes.kv_heads])
    group = sizes.num_heads // sizes.kv_heads  # query heads that share a key head
    keys, values = (np.repeat(part, group, axis=0) for part in (_rotated(keys, sizes.max_period), values))
    scores = _rotated(queries, sizes.max_period) @ keys.transpose(0, 2, 1) / math.sqrt(width)
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended: Floats = (shares / shares.sum(axis=-1, keepdims=True) @ values).astype(np.float32)
    return attended.transpose(1, 0, 2).reshape(length, -1)


def _rotated(heads: Floats, max_period: float) -> Floats:
    """Turn neighbouring pairs of features of [H, T, d] by their positions."""
    length, width = heads.shape[1:]
    frequencies = max_period ** (-np.arange(0, width, 2) / width)
    turn = np.exp(1j * np.arange(length)[:, None] * frequencies)
    turned = (heads[..., 0::2] + 1j * heads[..., 1::2]) * turn
    return np.stack([turned.real, turned.imag], axis=-1).reshape(heads.shape).astype(np.float32)


def _norm(weights: WeightArrays, name: str, x: Floats) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(_EPSILON))
    normed: Floats = centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _gelu(x: Floats) -> Floats:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
    y: Floats = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y
