"""Export for other programs: files, manifest."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.errors import ConfigError, ModelError, TtsError, quote_untrusted
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.core.types import WeightArrays
from wyoming_pocket_tts.inference.graph import OPSET, Array, ExternalDataFile, StreamingGraph
from wyoming_pocket_tts.inference.session import StateSpec
from wyoming_pocket_tts.pocket.hub import fetch as fetch_from_hub
from wyoming_pocket_tts.pocket.onnx.bundle import file_hash
from wyoming_pocket_tts.pocket.onnx.convert import copy_tokenizer
from wyoming_pocket_tts.pocket.onnx.portable_graphs import (
    flow_lm_flow_graph,
    flow_lm_main_graph,
    mimi_decoder_graph,
    mimi_encoder_graph,
    text_conditioner_graph,
    time_inputs,
)
from wyoming_pocket_tts.pocket.registry import voice_state_source
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.text import MAX_TOKENS, TextChunk
from wyoming_pocket_tts.pocket.voice_state import check_voice_matches_model, read_state
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX
from wyoming_pocket_tts.pocket.weights import Weights, load_weights

MANIFEST: Final = "manifest.json"
ENCODER: Final = "mimi_encoder"
_VOICES = "voices"
LARGEST_FILE_BYTES: Final = 2_000_000_000
"""What fits into a model file; the constants of larger models lie in a file beside it."""

FORMAT = 1
_SHORT_WORDS = 4
_RULES = {
    "lsd": "x = noise; for i in 0..n-1: x += flow_lm_flow(condition, s=i/n, t=(i+1)/n, x) / n",
    "flow_matching": "x = noise; for i in 0..n-1: x += flow_lm_flow(condition, s=i/n, x) / n",
    "drifting": "x = flow_lm_flow(condition, x=noise)",
    "pointwise": "x = noise + flow_lm_flow(condition, x=noise)",
}
_LENGTH_DELIMITED = 2  # a protobuf wire type
_BLOCK_BYTES = 1 << 20

_Write = Callable[[ModelConfig, WeightArrays, ExternalDataFile], StreamingGraph]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A complete set of models."""

    directory: Path
    file_bytes: Mapping[str, int]
    """Sizes by the models' names."""
    has_voice_cloning: bool
    """Whether ``mimi_encoder`` is among them."""


def export_portable(
    name: str | None,
    config: ModelConfig,
    target: Path,
    *,
    quantize: bool = False,
    voices: Sequence[str] = (),
    fetch: Callable[[str], Path] = fetch_from_hub,
    report: Callable[[str], None] = lambda _: None,
    largest_file_bytes: int = LARGEST_FILE_BYTES,
) -> ExportResult:
    """Write a model's ONNX files, tokenizer, voices and manifest to ``target``, in place of an older set.

    Needs memory for one constant at a time. ``name`` is that of the released model, None for a custom one;
    ``voices`` are predefined voices of that model, or voice files. Models above ``largest_file_bytes`` get a data file.

    Raises a ConfigError if the directory holds something else or a voice is none, a VoiceError for a voice of another
    model, a DownloadError for files that cannot be had, and a ModelError for files that cannot be used or written.
    """
    if os.path.lexists(target) and not _is_ours(target) and not (target.is_dir() and not any(target.iterdir())):
        raise ConfigError(f"{target}: holds something else; name a new or an empty directory")
    sources = {voice: _voice_source(name, voice) for voice in voices}
    report("Fetching the model")
    weights = load_weights(config, fetch=fetch, on_demand=True)
    with _staging_directory(target) as aside:
        tokenizer = copy_tokenizer(config, fetch, aside)
        voice_files = {
            _voice_name(voice): _write_voice(fetch(source), voice, config, weights, aside)
            for voice, source in sources.items()
        }
        models = _write_models(
            config, weights, aside, quantize=quantize, report=report, largest_file_bytes=largest_file_bytes
        )
        manifest = describe_set(
            name,
            config,
            weights.tensors,
            quantize=quantize,
            tokenizer=tokenizer,
            voices=voice_files,
            models=models,
        )
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sizes = {model: described["bytes"] + described.get("data_bytes", 0) for model, described in models.items()}
    return ExportResult(target, sizes, weights.has_voice_cloning)


def _write_models(
    config: ModelConfig,
    weights: Weights,
    directory: Path,
    *,
    quantize: bool,
    report: Callable[[str], None],
    largest_file_bytes: int,
) -> dict[str, Any]:
    writers: dict[str, _Write] = {
        "text_conditioner": partial(text_conditioner_graph, quantize=quantize),
        **({ENCODER: mimi_encoder_graph} if weights.has_voice_cloning else {}),
        "flow_lm_main": partial(flow_lm_main_graph, quantize=quantize),
        "flow_lm_flow": partial(flow_lm_flow_graph, quantize=quantize),
        "mimi_decoder": partial(mimi_decoder_graph, quantize=quantize),
    }
    described = {}
    for number, (model, write) in enumerate(writers.items(), 1):
        report(f"[{number}/{len(writers)}] Writing {model}")
        path, data_path = (directory / f"{model}{suffix}" for suffix in (".onnx", ".data"))
        with ExternalDataFile(data_path) as data:
            written = write(config, weights.tensors, data)
            written.save(path)
        structure = onnx.load(path, load_external_data=False)
        if path.stat().st_size + data_path.stat().st_size <= largest_file_bytes:
            embed_data(path, data_path)
        described[model] = describe_model(path, structure, written.states)
    return described


def _voice_source(model: str | None, voice: str) -> str:
    if voice.endswith(VOICE_SUFFIX):
        return voice
    if model is None:
        raise ConfigError(
            f"{quote_untrusted(voice)}: a custom model has no predefined voices; name a voice file, "
            f"{VOICE_SUFFIX}, that `wyoming-pocket-tts export-voice` made for it"
        )
    return voice_state_source(model, voice.lower())


def _voice_name(voice: str) -> str:
    return PurePosixPath(voice).stem if voice.endswith(VOICE_SUFFIX) else voice.lower()


def _write_voice(file: Path, voice: str, config: ModelConfig, weights: Weights, directory: Path) -> str:
    """Write a voice as the first states of ``flow_lm_main``; return the file's path in the set."""
    state = read_state(file)
    check_voice_matches_model(state, config, fingerprint=weights.fingerprint, label=voice)
    arrays: dict[str, Array] = {"position": np.array(state.length, np.int64)}
    for index, layer in enumerate(state.layers):  # [2, T, kv_heads, head_dim]
        keys, values = np.ascontiguousarray(layer.transpose(0, 2, 1, 3)[:, None])
        arrays |= {f"key_{index}": keys, f"value_{index}": values}
    path = f"{_VOICES}/{_voice_name(voice)}{VOICE_SUFFIX}"
    (directory / _VOICES).mkdir(exist_ok=True)
    (directory / path).write_bytes(safetensors.numpy.save(arrays))
    return path


def _is_ours(directory: Path) -> bool:
    try:
        described = json.loads((directory / MANIFEST).read_bytes())
        known = {MANIFEST, _VOICES, described["text"]["tokenizer"]["file"]}
        for model in described["models"].values():
            known |= {model["file"], model.get("data_file", MANIFEST)}
        return {path.name for path in directory.iterdir()} <= known
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


@contextmanager
def _staging_directory(target: Path) -> Iterator[Path]:
    """A directory that replaces the target when the block ends without an error."""
    try:
        with atomic_path(target, durable=False) as aside:
            aside.mkdir(parents=True)
            yield aside
    except TtsError:  # some are the system's errors, too
        raise
    except OSError as error:
        raise ModelError(
            f"{error.filename or target}: {error.strerror or error}; the models cannot be written there"
        ) from error


def describe_model(path: Path, model: onnx.ModelProto, states: Sequence[StateSpec]) -> dict[str, Any]:
    """A model's files, the names, types and shapes of its values, and the states from call to call."""
    carried = {name for state in states for name in (state.name, state.next_name)}
    inputs, outputs = (
        {value.name: _describe_value(value) for value in values} for values in (model.graph.input, model.graph.output)
    )
    described = {"file": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path)}
    if (data := path.with_suffix(".data")).exists():
        described |= {"data_file": data.name, "data_bytes": data.stat().st_size, "data_sha256": file_hash(data)}
    return {
        **described,
        "inputs": [value for name, value in inputs.items() if name not in carried],
        "outputs": [value for name, value in outputs.items() if name not in carried],
        "states": [
            {
                "input": state.name,
                "output": state.next_name,
                "dtype": state.dtype,
                "shape": inputs[state.name]["shape"],
                "initial_shape": list(state.shape),
                "fill": state.fill,
            }
            for state in states
        ],
    }


def describe_set(
    name: str | None,
    config: ModelConfig,
    tensors: WeightArrays,
    *,
    quantize: bool,
    tokenizer: str,
    voices: Mapping[str, str],
    models: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole manifest, with the files of voices by their names, and each model's ``describe_model``."""
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


def _describe_value(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    return {
        "name": value.name,
        "dtype": str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
        "shape": [size.dim_param or size.dim_value for size in tensor.shape.dim],
    }


def embed_data(path: Path, data: Path) -> None:
    """Rewrite the model at ``path`` with the constants of ``data``, and delete that.

    Protobuf would need memory for all constants at once, so the fields are written one by one.
    """
    model = onnx.load(path, load_external_data=False)
    constants = [_Constant(tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    field_of_constant = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
    graph_bytes = len(graph) + sum(len(_begin(field_of_constant, each.bytes)) + each.bytes for each in constants)
    with atomic_path(path, durable=False) as aside, data.open("rb") as source, aside.open("wb") as file:
        file.write(model.SerializeToString())
        file.write(_begin(onnx.ModelProto.GRAPH_FIELD_NUMBER, graph_bytes))
        file.write(graph)
        for constant in constants:
            file.write(_begin(field_of_constant, constant.bytes))
            constant.copy(source, file)
    data.unlink()


class _Constant:
    """A constant as a field of the file: its description, then its numbers if they come from the data file."""

    def __init__(self, tensor: TensorProto) -> None:
        described = TensorProto()
        described.CopyFrom(tensor)
        self._start, self._length, raw_data = 0, 0, b""
        if tensor.data_location == TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            self._start, self._length = int(place["offset"]), int(place["length"])
            raw_data = _begin(TensorProto.RAW_DATA_FIELD_NUMBER, self._length)
            described.ClearField("external_data")
            described.ClearField("data_location")
        self._head = described.SerializeToString() + raw_data
        self.bytes = len(self._head) + self._length

    def copy(self, source: BinaryIO, file: BinaryIO) -> None:
        file.write(self._head)
        source.seek(self._start)
        for start in range(0, self._length, _BLOCK_BYTES):
            file.write(source.read(min(_BLOCK_BYTES, self._length - start)))


def _begin(field: int, length: int) -> bytes:
    """The tag and the length of a field."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth is set but in the last byte."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
