"""Conversion process: protocol, tasks."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.system import cpu_name, sync
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket import hub
from wyoming_pocket_tts.pocket.onnx.bundle import (
    REFERENCE_NAMES,
    BundleManifest,
    FileName,
    FileRecord,
    Precision,
    file_hash,
    is_file_name,
    open_bundle,
    write_manifest,
)
from wyoming_pocket_tts.pocket.onnx.verify import GoldenSample, prove
from wyoming_pocket_tts.pocket.tensor_files import write_tables
from wyoming_pocket_tts.pocket.text import load_tokenizer
from wyoming_pocket_tts.pocket.weights import Weights, load_weights
from wyoming_pocket_tts.pocket.worker_client import Message, Progress, WorkerTask

if TYPE_CHECKING:
    from wyoming_pocket_tts.inference.graph import ExternalDataFile


Tell = Callable[[Message], None]


def convert(order: WorkerTask, tell: Tell) -> None:
    """Fill the order's directory with a bundle that was proved on this machine; its manifest is the last file.

    Raises:
        ModelError: weights or tokenizer cannot be had or used.
        UnfitPrecision: the precision is not for this machine.
        OSError: the directory cannot be written to.
    """
    tell(Progress(stage="download"))

    def fetch(source: str) -> Path:
        return hub.fetch(
            source,
            local_files_only=order.local_files_only,
            progress=lambda done: tell(Progress(stage="download", done=done)),
        )

    _copy_tokenizer(order, fetch)
    config = order.config
    if order.hearing:
        config = config.model_copy(update={"weights_path_without_voice_cloning": None})
    weights = load_weights(config, fetch=fetch, on_demand=True)
    watched = ProgressMapping(weights.tensors, lambda done: tell(Progress(stage="convert", done=done)))
    write_tables(order.directory / "tables.safetensors", watched)
    _write_graphs(order, watched, encoder=weights.has_voice_cloning)
    tell(Progress(stage="verify", done=0.0))
    probe = _make_probe(order, weights.tensors)
    tell(Progress(stage="verify", done=0.5))
    prove(order.directory, order.config, order.precision, probe)
    _finish(order, weights)
    tell(Progress(stage="verify", done=1.0))


def verify_again(order: WorkerTask, tell: Tell) -> None:
    """Prove a bundle on this machine.

    Raises:
        ModelError: it is damaged.
        UnfitPrecision: it is not for this machine.
    """
    tell(Progress(stage="verify", done=0.0))
    bundle = open_bundle(order.directory)
    prove(bundle.directory, bundle.config, bundle.precision, GoldenSample.read(bundle.probe, bundle.config))
    tell(Progress(stage="verify", done=1.0))


def _copy_tokenizer(order: WorkerTask, fetch: Callable[[str], Path]) -> None:
    table = order.config.flow_lm.lookup_table
    source = fetch(table.tokenizer_path)
    load_tokenizer(source, kind=table.tokenizer, entries=table.n_bins)
    is_json = table.tokenizer != "sentencepiece" or source.suffix == ".json"
    shutil.copyfile(source, order.directory / ("tokenizer.json" if is_json else "tokenizer.model"))


def _write_graphs(order: WorkerTask, weights: Mapping[str, Floats], *, encoder: bool) -> None:
    from wyoming_pocket_tts.inference.graph import ExternalDataFile  # noqa: PLC0415  (the package onnx)
    from wyoming_pocket_tts.pocket.onnx.codec_graphs import encoder_graph  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.onnx.flow_graphs import flow_lm_graph  # noqa: PLC0415

    directory, config = order.directory, order.config
    with ExternalDataFile(directory / "flow.data") as data:
        graph = flow_lm_graph(config, weights, data, precision=order.precision, steps=order.steps)
        graph.save(directory / "flow.onnx")
    with ExternalDataFile(directory / "codec.data") as data:
        _write_decoder(order, weights, data, directory / "decoder.onnx", order.precision)
        if encoder:
            encoder_graph(config.mimi, WeightSubset(weights, "mimi.encoder", "mimi.downsample"), data).save(
                directory / "encoder.onnx"
            )


def _write_decoder(
    order: WorkerTask, weights: Mapping[str, Floats], data: "ExternalDataFile", path: Path, precision: Precision
) -> None:
    from wyoming_pocket_tts.pocket.onnx.codec_graphs import decoder_graph  # noqa: PLC0415  (the package onnx)

    mean, deviation = weights["flow_lm.emb_mean"], weights["flow_lm.emb_std"]
    part = WeightSubset(weights, "mimi.decoder", "mimi.quantizer", "mimi.upsample")
    decoder_graph(order.config.mimi, part, mean, deviation, data, precision=precision).save(path)


def _make_probe(order: WorkerTask, weights: Mapping[str, Floats]) -> GoldenSample:
    from wyoming_pocket_tts.inference.graph import ExternalDataFile  # noqa: PLC0415  (the package onnx)

    exact, data_path = (order.directory / name for name in REFERENCE_NAMES)
    with ExternalDataFile(data_path) as data:
        _write_decoder(order, weights, data, exact, Precision.FP32)
    probe = GoldenSample.make(order.config, weights, exact)
    exact.unlink()
    data_path.unlink()
    probe.write(order.directory / "probe.safetensors")
    return probe


def _finish(order: WorkerTask, weights: Weights) -> None:
    """Bring everything to the disk, and say last what there is."""
    files: dict[FileName, FileRecord] = {}
    for path in sorted(order.directory.iterdir()):
        if not is_file_name(path.name):
            raise ModelError(f"{path}: somebody else's file lies among the converted ones")
        sync(path)
        files[path.name] = FileRecord(bytes=path.stat().st_size, sha256=file_hash(path))
    manifest = BundleManifest(
        format=1,
        key=order.key,
        name=order.name,
        config=order.config,
        precision=order.precision,
        steps=order.steps,
        fingerprint=weights.fingerprint,
        has_voice_cloning=weights.has_voice_cloning,
        proved_on=(cpu_name(),),
        made_by=__version__,
        files=files,
    )
    write_manifest(order.directory, manifest)
    sync(order.directory)


class WeightSubset(Mapping[str, Floats]):
    """The tensors whose names begin in certain ways: to go through them does not read the others."""

    def __init__(self, weights: Mapping[str, Floats], *prefixes: str) -> None:
        self._weights = weights
        self._names = dict.fromkeys(name for name in weights if name.startswith(prefixes))

    def __getitem__(self, name: str) -> Floats:
        if name not in self._names:
            raise KeyError(name)
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


class ProgressMapping(Mapping[str, Floats]):
    """Tells which share of all tensors was asked for."""

    def __init__(self, weights: Mapping[str, Floats], tell: Callable[[float], None]) -> None:
        self._weights = weights
        self._tell = tell
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Floats:
        tensor = self._weights[name]
        if name not in self._seen:
            self._seen.add(name)
            self._tell(len(self._seen) / len(self._weights))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:
        return name in self._weights
