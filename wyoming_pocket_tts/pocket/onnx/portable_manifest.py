"""Describes a set of portable models for a program that has nothing but ONNX and JSON. Writes no model.

All that a caller must do around the models is data here: states, sampler, end of speech, text rules. The page
``docs/onnx-export.md`` explains it and has a complete program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.graph import OPSET
from wyoming_pocket_tts.pocket.onnx.bundle import file_hash
from wyoming_pocket_tts.pocket.onnx.portable_head import time_inputs
from wyoming_pocket_tts.pocket.onnx.states import StateSpec
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.text.prompt import MAX_TOKENS, TextChunk

FORMAT = 1

_SHORT_WORDS = 4
_RULES = {
    "lsd": "x = noise; for i in 0..n-1: x += flow_lm_flow(condition, s=i/n, t=(i+1)/n, x) / n",
    "flow_matching": "x = noise; for i in 0..n-1: x += flow_lm_flow(condition, s=i/n, x) / n",
    "drifting": "x = flow_lm_flow(condition, x=noise)",
    "pointwise": "x = noise + flow_lm_flow(condition, x=noise)",
}


def describe_model(path: Path, model: onnx.ModelProto, states: Sequence[StateSpec]) -> dict[str, Any]:
    """What a caller must know of a model: its file, names, types and shapes, and what it carries from call to call."""
    graph = model.graph
    carried = {name for state in states for name in (state.name, state.next_name)}
    data = path.with_suffix(".data")
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": file_hash(path),
        **(_describe_data(data) if data.exists() else {}),
        "inputs": [_describe_value(value) for value in graph.input if value.name not in carried],
        "outputs": [_describe_value(value) for value in graph.output if value.name not in carried],
        "states": [
            {
                "input": state.name,
                "output": state.next_name,
                "dtype": state.dtype,
                "shape": _describe_value(value)["shape"],
                "initial_shape": list(state.shape),
                "fill": state.fill,
            }
            for state in states
            for value in graph.input
            if value.name == state.name
        ],
    }


def describe_set(
    name: str | None,
    config: ModelConfig,
    tensors: Mapping[str, NDArray[np.float32]],
    *,
    quantize: bool,
    tokenizer: str,
    voices: Mapping[str, str],
    models: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole manifest.

    Args:
        name: the released model; None for one of the user's own.
        config: what it is.
        tensors: its weights.
        quantize: whether the models multiply 8-bit numbers.
        tokenizer: its file.
        voices: the files of voices by their names.
        models: what ``describe_model`` said of each.
    """
    codec = config.mimi
    return {
        "format": FORMAT,
        "made_by": f"wyoming-pocket-tts {__version__}",
        "model": name,
        "precision": "int8" if quantize else "fp32",
        "opset": OPSET,
        "sample_rate_hz": codec.sample_rate,
        "frame_samples": codec.frame_samples,
        "frames_per_second": codec.frame_rate,
        "models": models,
        "latent": {
            "size": config.latent_dim,
            "first": tensors["flow_lm.bos_emb"].tolist(),
            "mean": tensors["flow_lm.emb_mean"].tolist(),
            "deviation": tensors["flow_lm.emb_std"].tolist(),
            "about": "latents of flow_lm are normalised, and so mimi_decoder takes them; the codec's own are"
            " latent * deviation + mean",
        },
        "sampler": _describe_sampler(config),
        "end_of_speech": _describe_end(config),
        "text": {
            "tokenizer": {"file": tokenizer, "kind": Path(tokenizer).suffix.removeprefix(".")},
            "tokens": config.flow_lm.lookup_table.n_bins,
            "max_tokens": MAX_TOKENS,
            "rules": {**asdict(config.text_rules), "replace_characters": dict(config.replace_characters)},
        },
        "voices": {
            "from_recordings": "mimi_encoder" in models,
            "files": voices,
            "positions_before_recording": int(config.flow_lm.insert_bos_before_voice),
        },
    }


def _describe_sampler(config: ModelConfig) -> dict[str, Any]:
    flow = config.flow_lm.flow
    return {
        "type": flow.type,
        "rule": _RULES[flow.type],
        "time_inputs": list(time_inputs(flow)),
        "adds_to_noise": flow.type != "drifting",
        "takes_any_steps": flow.n_times > 0,
        "steps": flow.fewest_steps,
        "temperature": config.default_temperature,
        "noise": "normal, its variance is the temperature",
    }


def _describe_end(config: ModelConfig) -> dict[str, Any]:
    recommended = config.model_recommended_frames_after_eos
    short, long = (TextChunk("", (), words).frames_after_eos for words in (_SHORT_WORDS, _SHORT_WORDS + 1))
    return {
        "threshold": config.default_eos_threshold,
        "first_frame": 6,
        "frames_after": {
            "short_text_words": _SHORT_WORDS,
            "short_text": short if recommended is None else recommended,
            "long_text": long if recommended is None else recommended,
        },
        "frame_limit": {"tokens_per_second": 3.0, "spare_seconds": 2.0},
        "fade_in_seconds": 0.005,
    }


def _describe_data(path: Path) -> dict[str, Any]:
    return {"data_file": path.name, "data_bytes": path.stat().st_size, "data_sha256": file_hash(path)}


def _describe_value(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    return {
        "name": value.name,
        "dtype": str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
        "shape": [size.dim_param or size.dim_value for size in tensor.shape.dim],
    }
