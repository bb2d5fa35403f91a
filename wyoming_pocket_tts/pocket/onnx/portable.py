"""Exports a model as a set of portable files: five ONNX models of standard operators, tokenizer, voices, manifest.

Knows no graph and no runtime. The set is written aside and appears, or takes the place of an older one, by renaming.
"""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import ConfigError, ModelError, SpeechError, shown
from wyoming_pocket_tts.graph import DataFile
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.fit import check_voice
from wyoming_pocket_tts.pocket.hub import fetch as fetch_from_hub
from wyoming_pocket_tts.pocket.onnx.portable_codec import mimi_decoder_graph, mimi_encoder_graph
from wyoming_pocket_tts.pocket.onnx.portable_flow_lm import flow_lm_main_graph, text_conditioner_graph
from wyoming_pocket_tts.pocket.onnx.portable_head import flow_lm_flow_graph
from wyoming_pocket_tts.pocket.onnx.portable_manifest import describe_model, describe_set
from wyoming_pocket_tts.pocket.onnx.single_file import embed_data
from wyoming_pocket_tts.pocket.onnx.streaming import StreamingGraph
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.weights import Weights, load_weights
from wyoming_pocket_tts.text.tokenizer import load_tokenizer
from wyoming_pocket_tts.voices.state import read_state
from wyoming_pocket_tts.voices.styles import VOICE_SUFFIX

MANIFEST: Final = "manifest.json"
ENCODER: Final = "mimi_encoder"
_VOICES = "voices"
LARGEST_FILE_BYTES: Final = 2_000_000_000
"""What fits into a model file; the constants of larger models lie in a file beside it."""

_Write = Callable[[ModelConfig, Mapping[str, NDArray[np.float32]], DataFile], StreamingGraph]


@dataclass(frozen=True, slots=True)
class Exported:
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
) -> Exported:
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
    return Exported(target, sizes, weights.has_voice_cloning)


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
        with DataFile(data_path) as data:
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
            f"{shown(voice)}: a model of one's own has no ready-made voices; name a voice file, {VOICE_SUFFIX}, that"
            " `wyoming-pocket-tts export-voice` made for it"
        )
    return configs.voice_state_source(model, voice.lower())


def _voice_name(voice: str) -> str:
    return PurePosixPath(voice).stem if voice.endswith(VOICE_SUFFIX) else voice.lower()


def _write_voice(file: Path, voice: str, config: ModelConfig, weights: Weights, directory: Path) -> str:
    """Write a voice as the first states of ``flow_lm_main``; return the file's place in the set."""
    state = read_state(file)
    check_voice(state, config, fingerprint=weights.fingerprint, label=voice)
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
    aside, old = (target.with_name(f".{target.name}.{secrets.token_hex(4)}.{end}") for end in ("partial", "old"))
    try:
        aside.mkdir(parents=True)
        yield aside
        if replaces := os.path.lexists(target):
            target.rename(old)
        try:
            aside.rename(target)
        except OSError:
            if replaces:
                old.rename(target)
            raise
    except SpeechError:  # some are the system's errors, too
        raise
    except OSError as error:
        raise ModelError(
            f"{error.filename or target}: {error.strerror or error}; the models cannot be written there"
        ) from error
    finally:
        for leftover in (aside, old):
            shutil.rmtree(leftover, ignore_errors=True)
