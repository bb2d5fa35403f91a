"""Random-weight models for benchmarks and tests."""

import itertools
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket.registry import load_config
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import Dtype, Shape, stream_tensors
from wyoming_pocket_tts.pocket.voice_state import VoiceState, write_state
from wyoming_pocket_tts.pocket.weights import expected_tensors

_EOS_GAP = 4.0
"""Initial distance of the end-of-speech logit below its threshold. With this the end comes when about a quarter of all
positions, voice and text included, are audio; after a long voice prompt, short texts reach their limit before."""
_MARK, _SHARE = 0, 1
"""Channels that make the end of speech come, see ``_set_clock``."""
_TEXT_AND_VOICE = ("conditioner.embed.weight", "conditioner.proj.weight", "speaker_proj_weight")

_SEED = 1
_VOICE_POSITIONS = 126
"""A voice prompt of ten seconds."""
_MARKS = (".", "!", "...", "?", ",", ";", ":")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'-"
_WORDS = "the a and to of in on is are be it will off out door room rain good"
"""As a trained tokenizer has them, so that a text has about as many tokens."""
_SPACE = "▁"


def write_random_model(
    directory: Path,
    config: ModelConfig,
    *,
    seed: int,
    tokenizer: Path,
    dtype: Dtype = "float32",
    eos_gap: float = _EOS_GAP,
) -> Path:
    """Write ``model.safetensors`` and ``model.yaml`` into ``directory``; return the path of the latter.

    ``tokenizer`` is a SentencePiece ``.model`` or a ``tokenizer.json``. The larger ``eos_gap``, the later the end.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = directory / "model.safetensors"

    def values(name: str, shape: Shape) -> Floats:
        tensor = random_tensor(config, name, shape, seed)
        return tensor - np.float32(eos_gap) if name == "flow_lm.out_eos.bias" else tensor

    stream_tensors(weights, expected_tensors(config), values, dtype)
    return write_config(directory / "model.yaml", config, weights=weights, tokenizer=tokenizer)


def write_config(path: Path, config: ModelConfig, *, weights: Path, tokenizer: Path) -> Path:
    values = config.model_dump(mode="json")
    values["weights_path"] = str(weights)
    values["weights_path_without_voice_cloning"] = None
    values["flow_lm"]["lookup_table"]["tokenizer_path"] = str(tokenizer)
    values["flow_lm"]["lookup_table"]["tokenizer"] = "tokenizers" if tokenizer.suffix == ".json" else "sentencepiece"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return path


def random_tensor(config: ModelConfig, name: str, shape: Shape, seed: int) -> Floats:
    """Depends on the seed and the name, not on other tensors."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    mean, std = _distribution(config, name, shape)
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    values += np.float32(mean)
    if name.endswith(".freqs"):
        values = np.exp(-math.log(10_000) * np.arange(shape[0]) / shape[0]).astype(np.float32)
    elif name.endswith("in_proj.weight"):
        backbone = config.flow_lm.transformer
        n_values = backbone.kv_heads * backbone.head_dim if name.startswith("flow_lm.") else shape[0] // 3
        values[:-n_values] *= 1.5  # queries and keys: attention that chooses
    if name.startswith("flow_lm."):
        _set_clock(config, name.removeprefix("flow_lm."), values, seed)
    return values


def _distribution(config: ModelConfig, name: str, shape: Shape) -> tuple[float, float]:
    """Mean and standard deviation; without a rule, a tensor keeps the scale of its input."""
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    scaled = 1 / math.sqrt(fan_in)
    if name.startswith("flow_lm."):
        scaled /= math.sqrt(max(1.0, config.flow_lm.transformer.num_layers / 6)) if _is_residual(name) else 1
    for ending, mean, std in (
        ("flow_lm.emb_mean", 0.0, 0.2),
        ("flow_lm.emb_std", 1.0, 0.15),
        ("flow_lm.bos_emb", 0.0, 1.0),
        ("flow_lm.bos_before_voice", 0.0, 1.0),
        ("flow_lm.conditioner.embed.weight", 0.0, 1.0),
        # Latents are mostly constant: the feedback of a frame into the next one decays.
        ("flow_lm.flow_net.final_layer.linear.weight", 0.0, 0.8 * scaled),
        ("flow_lm.flow_net.final_layer.linear.bias", 0.0, 0.6),
        ("flow_lm.out_eos.weight", 0.0, 0.5 * scaled),
        ("flow_lm.out_eos.bias", config.default_eos_threshold, 0.0),
        ("adaLN_modulation.1.weight", 0.0, 0.3 * scaled),
        ("adaLN_modulation.1.bias", 0.0, 0.2),
        ("self_attn.out_proj.weight", 0.0, 1.2 * scaled),
        ("linear2.weight", 0.0, 0.6 * scaled),
        (".alpha", 1.0, 0.1),
        (".scale", 0.3, 0.05),  # layer scales: large enough for the codec's transformers to matter
        ("norm.weight", 1.0, 0.1),
        ("norm1.weight", 1.0, 0.1),
        ("norm2.weight", 1.0, 0.1),
        ("in_ln.weight", 1.0, 0.1),
        (".bias", 0.0, 0.05),
        ("mimi.encoder.model.0.conv.weight", 0.0, 8 * scaled),  # speech is quiet: about 0.1
        ("mimi.upsample.convtr.convtr.weight", 0.0, 0.7),
        ("block.3.conv.weight", 0.0, 0.7 * scaled),
    ):
        if name.endswith(ending):
            return (mean, 0.002) if shape == (1,) and name.startswith("mimi.") else (mean, std)
    if name.endswith("convtr.weight"):
        return 0.0, 1.4 / math.sqrt(2 * shape[0])  # each output sample gets two taps
    if name.startswith("mimi.decoder.") and shape[0] == 1:
        return 0.0, 0.06 * scaled  # the last convolution: samples within [-1, 1]
    if ".conv.weight" in name and "coder.model" in name:
        return 0.0, 1.4 * scaled  # an ELU takes as much away
    return 0.0, scaled


def _is_residual(name: str) -> bool:
    return name.endswith(("self_attn.out_proj.weight", "linear2.weight"))


def _set_clock(config: ModelConfig, name: str, values: Floats, seed: int) -> None:
    """Let the end-of-speech logit rise with the share of audio among all positions.

    Audio is marked in one channel of FlowLM's stream. One head of the first layer attends to all positions alike and
    writes the share of marked ones to a second channel, where nothing else writes.
    """
    backbone = config.flow_lm.transformer
    if name == "input_linear.weight":
        usual = random_tensor(config, "flow_lm.flow_net.final_layer.linear.bias", (config.latent_dim,), seed)
        values[_MARK] = 3 * usual / (usual @ usual)  # what all latents have in common
    elif name == "bos_before_voice":
        values[..., [_MARK, _SHARE]] = 0
    elif name in _TEXT_AND_VOICE or _is_residual(name):
        table = values.T if name == "conditioner.embed.weight" else values
        if len(table) == backbone.d_model:  # not the narrow table of a low-rank embedding
            table[[_MARK, _SHARE]] = 0
    elif name == "out_eos.weight":
        values[0, 0 if config.flow_lm.z_dim else _SHARE] = 6
    elif name == "z_proj.weight":
        values[0] = np.eye(1, backbone.d_model, _SHARE, dtype=np.float32)
    if name == "input_linear.weight":
        values[_SHARE] = 0
    elif name == "transformer.layers.0.self_attn.in_proj.weight":
        values[: backbone.head_dim] = 0
        values[-backbone.kv_heads * backbone.head_dim] = np.eye(1, backbone.d_model, _MARK, dtype=np.float32)
    elif name == "transformer.layers.0.self_attn.out_proj.weight":
        values[:, 0] = 2 * np.eye(1, backbone.d_model, _SHARE, dtype=np.float32)


def make_model(directory: Path, config: ModelConfig) -> ModelConfig:
    """Write weights and tokenizer into a directory; return a config with their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = directory / "tokenizer.json"
    tokenizer.write_text(json.dumps(_tokenizer(config.flow_lm.lookup_table.n_bins)), encoding="utf-8")
    return load_config(write_random_model(directory, config, seed=_SEED, tokenizer=tokenizer, dtype="bfloat16"))


def make_voice(path: Path, config: ModelConfig) -> None:
    sizes = config.flow_lm.transformer
    empty = np.zeros((2, _VOICE_POSITIONS, sizes.kv_heads, sizes.head_dim), dtype=np.float32)
    write_state(VoiceState((empty,) * sizes.num_layers), path)


def _tokenizer(entries: int) -> dict[str, object]:
    """A ``tokenizer.json`` of signs, syllables and a few words: about three letters to a token."""
    pieces = list(itertools.islice(_pieces(), entries))
    return {
        "version": "1.0",
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": _SPACE},
                {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE},
            ],
        },
        "decoder": {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [[piece, -float(len(piece) < 2)] for piece in pieces]},  # noqa: PLR2004  (single signs are the last resort)
    }


def _pieces() -> Iterator[str]:
    yield from ("<unk>", *_MARKS, _SPACE, *_LETTERS)
    yield from (_SPACE + word for word in _WORDS.split() if len(word) > 2)  # noqa: PLR2004  (pairs follow)
    small = _LETTERS[:26]
    pairs = ["".join(pair) for pair in itertools.product(small, repeat=2)]
    yield from pairs
    yield from (_SPACE + pair for pair in pairs)
    for vowel in "eaoiu":
        yield from (pair[0] + vowel + pair[1] for pair in pairs if pair[0] + vowel + pair[1] not in pairs)
