"""Export for other programs: files, manifest."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto, helper

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.errors import ConfigError, ModelError, TtsError, quote_untrusted
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.inference.graph import OPSET, ExternalDataFile, StreamingGraph
from wyoming_pocket_tts.inference.session import StateSpec
from wyoming_pocket_tts.pocket.hub import fetch as fetch_from_hub
from wyoming_pocket_tts.pocket.onnx.bundle import file_hash
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
from wyoming_pocket_tts.pocket.text import MAX_TOKENS, TextChunk, load_tokenizer
from wyoming_pocket_tts.pocket.voice_state import check_voice_matches_model, read_state
from wyoming_pocket_tts.pocket.voice_store import VOICE_SUFFIX
from wyoming_pocket_tts.pocket.weights import Weights, load_weights

MANIFEST: Final = "manifest.json"
ENCODER: Final = "mimi_encoder"
_VOICES = "voices"
LARGEST_FILE_BYTES: Final = 2_000_000_000
"""What fits into a model file; the constants of larger models lie in a file beside it."""

_Write = Callable[[ModelConfig, Mapping[str, NDArray[np.float32]], ExternalDataFile], StreamingGraph]


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A complete set.

    Attributes:
        directory: where it lies.
        file_bytes: the models' sizes by their names.
        has_voice_cloning: whether ``mimi_encoder`` is among them.
    """

    directory: Path
    file_bytes: Mapping[str, int]
    has_voice_cloning: bool


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
    """Write the set.

    Needs memory for one constant at a time.

    Args:
        name: the released model, None for one of the user's own.
        config: what it is, and where its weights are.
        target: the directory; an older set that is there gives way to the new one.
        quantize: multiply 8-bit numbers where that pays.
        voices: ready-made voices of the released model, or voice files.
        fetch: brings files to this machine.
        report: is told what is being done, for people.
        largest_file_bytes: models that are larger get a data file.

    Raises:
        ConfigError: the directory holds something else, or a voice cannot be meant.
        DownloadError: a file cannot be had.
        ModelError: weights or tokenizer cannot be used, or the directory cannot be written to.
        VoiceError: a voice does not exist, or belongs to another model.
    """
    _check_target(target)
    sources = {voice: _voice_source(name, voice) for voice in voices}
    report("Fetching the model")
    weights = load_weights(config, fetch=fetch, on_demand=True)
    table = config.flow_lm.lookup_table
    tokenizer = fetch(table.tokenizer_path)
    load_tokenizer(tokenizer, kind=table.tokenizer, entries=table.n_bins)
    is_json = table.tokenizer != "sentencepiece" or tokenizer.suffix == ".json"
    tokenizer_name = "tokenizer.json" if is_json else "tokenizer.model"
    with _written_aside(target) as aside:
        shutil.copyfile(tokenizer, aside / tokenizer_name)
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
            tokenizer=tokenizer_name,
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
    """Write model after model; return their descriptions."""
    writers = _writers(quantize=quantize)
    if not weights.has_voice_cloning:
        del writers[ENCODER]
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


def _writers(*, quantize: bool) -> dict[str, _Write]:
    return {
        "text_conditioner": partial(text_conditioner_graph, quantize=quantize),
        ENCODER: mimi_encoder_graph,
        "flow_lm_main": partial(flow_lm_main_graph, quantize=quantize),
        "flow_lm_flow": partial(flow_lm_flow_graph, quantize=quantize),
        "mimi_decoder": partial(mimi_decoder_graph, quantize=quantize),
    }


def _voice_source(model: str | None, voice: str) -> str:
    """Where the file of a voice lies."""
    if voice.endswith(VOICE_SUFFIX):
        return voice
    if model is None:
        raise ConfigError(
            f"{quote_untrusted(voice)}: a model of one's own has no ready-made voices; name a voice file, "
            f"{VOICE_SUFFIX}, that `wyoming-pocket-tts export-voice` made for it"
        )
    return voice_state_source(model, voice.lower())


def _voice_name(voice: str) -> str:
    return PurePosixPath(voice).stem if voice.endswith(VOICE_SUFFIX) else voice.lower()


def _write_voice(file: Path, voice: str, config: ModelConfig, weights: Weights, directory: Path) -> str:
    """Write a voice as the first states of ``flow_lm_main``; return the file's place in the set."""
    state = read_state(file)
    check_voice_matches_model(state, config, fingerprint=weights.fingerprint, label=voice)
    arrays: dict[str, NDArray[Any]] = {"position": np.array(state.length, np.int64)}
    for index, layer in enumerate(state.layers):  # [2, T, kv_heads, head_dim]
        keys, values = np.ascontiguousarray(layer.transpose(0, 2, 1, 3)[:, None])
        arrays |= {f"key_{index}": keys, f"value_{index}": values}
    place = f"{_VOICES}/{_voice_name(voice)}{VOICE_SUFFIX}"
    (directory / _VOICES).mkdir(exist_ok=True)
    (directory / place).write_bytes(safetensors.numpy.save(arrays))
    return place


def _check_target(target: Path) -> None:
    """Refuse a place where something else is."""
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())) or _is_ours(target):
        return
    raise ConfigError(f"{target}: holds something else; name a new or an empty directory")


def _is_ours(directory: Path) -> bool:
    """Whether it is a set that an export wrote, and nothing besides."""
    try:
        described = json.loads((directory / MANIFEST).read_bytes())
        known = {MANIFEST, _VOICES, described["text"]["tokenizer"]["file"]}
        for model in described["models"].values():
            known |= {model["file"], model.get("data_file", MANIFEST)}
        return {path.name for path in directory.iterdir()} <= known
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


@contextmanager
def _written_aside(target: Path) -> Iterator[Path]:
    """A directory beside the target, which takes its place when the block ends without an error.

    Raises:
        ModelError: the system refuses to write there.
    """
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


_LENGTH_DELIMITED = 2
_BLOCK_BYTES = 1 << 20


def embed_data(path: Path, data: Path) -> None:
    """Rewrite the model at ``path`` so that it needs ``data`` no longer, and delete that.

    Raises:
        OSError: the files cannot be read or written.
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
    """A constant as it will be in the file: what describes it, then its numbers if they come from the data file."""

    def __init__(self, tensor: TensorProto) -> None:
        described = TensorProto()
        described.CopyFrom(tensor)
        self._start, self._length = 0, 0
        self._head = b""
        if tensor.data_location == TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            self._start, self._length = int(place["offset"]), int(place["length"])
            self._head = _begin(TensorProto.RAW_DATA_FIELD_NUMBER, self._length)
            described.ClearField("external_data")
            described.ClearField("data_location")
        self._head = described.SerializeToString() + self._head
        self.bytes = len(self._head) + self._length

    def copy(self, source: BinaryIO, file: BinaryIO) -> None:
        file.write(self._head)
        source.seek(self._start)
        for size in _blocks(self._length):
            file.write(source.read(size))


def _blocks(length: int) -> Iterator[int]:
    for start in range(0, length, _BLOCK_BYTES):
        yield min(_BLOCK_BYTES, length - start)


def _begin(field: int, length: int) -> bytes:
    """The tag and the length of a field."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that there are more."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
