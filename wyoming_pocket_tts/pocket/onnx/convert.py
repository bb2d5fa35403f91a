"""Conversion process: protocol, tasks."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

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
from wyoming_pocket_tts.pocket.onnx.verify import GoldenSample, verify
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.tensor_files import write_tables
from wyoming_pocket_tts.pocket.text import load_tokenizer
from wyoming_pocket_tts.pocket.weights import Weights, load_weights
from wyoming_pocket_tts.pocket.worker_client import Message, Progress, WorkerTask

Report = Callable[[Message], None]


def convert(task: WorkerTask, report: Report) -> None:
    """Fill the task's directory with a bundle that was verified on this machine; its manifest is the last file.

    Raises an UnsupportedPrecision if this machine cannot compute in that precision.
    """
    report(Progress(stage="download"))

    def fetch(source: str) -> Path:
        return hub.fetch(
            source,
            local_files_only=task.local_files_only,
            progress=lambda done: report(Progress(stage="download", done=done)),
        )

    copy_tokenizer(task.config, fetch, task.directory)
    config = task.config
    if task.hearing:
        config = config.model_copy(update={"weights_path_without_voice_cloning": None})
    weights = load_weights(config, fetch=fetch, on_demand=True)
    tensors = ProgressMapping(weights.tensors, lambda done: report(Progress(stage="convert", done=done)))
    write_tables(task.directory / "tables.safetensors", tensors)
    _write_graphs(task, tensors, encoder=weights.has_voice_cloning)
    report(Progress(stage="verify", done=0.0))
    sample = _make_golden_sample(task, weights.tensors)
    report(Progress(stage="verify", done=0.5))
    verify(task.directory, task.config, task.precision, sample)
    _finish(task, weights)
    report(Progress(stage="verify", done=1.0))


def verify_again(task: WorkerTask, report: Report) -> None:
    report(Progress(stage="verify", done=0.0))
    bundle = open_bundle(task.directory)
    verify(bundle.directory, bundle.config, bundle.precision, GoldenSample.read(bundle.probe, bundle.config))
    report(Progress(stage="verify", done=1.0))


def copy_tokenizer(config: ModelConfig, fetch: Callable[[str], Path], directory: Path) -> str:
    """Check a model's tokenizer and copy it into a directory; return its file name there."""
    table = config.flow_lm.lookup_table
    source = fetch(table.tokenizer_path)
    load_tokenizer(source, kind=table.tokenizer, entries=table.n_bins)
    is_json = table.tokenizer != "sentencepiece" or source.suffix == ".json"
    name = "tokenizer.json" if is_json else "tokenizer.model"
    shutil.copyfile(source, directory / name)
    return name


def _write_graphs(task: WorkerTask, weights: Mapping[str, Floats], *, encoder: bool) -> None:
    from wyoming_pocket_tts.inference.graph import ExternalDataFile  # noqa: PLC0415  (the package onnx)
    from wyoming_pocket_tts.pocket.onnx.codec_graphs import decoder_graph, encoder_graph  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.onnx.flow_graphs import flow_lm_graph  # noqa: PLC0415

    directory, config = task.directory, task.config
    with ExternalDataFile(directory / "flow.data") as data:
        graph = flow_lm_graph(config, weights, data, precision=task.precision, steps=task.steps)
        graph.save(directory / "flow.onnx")
    with ExternalDataFile(directory / "codec.data") as data:
        decoder_graph(config, weights, data, precision=task.precision).save(directory / "decoder.onnx")
        if encoder:
            encoder_graph(config, weights, data).save(directory / "encoder.onnx")


def _make_golden_sample(task: WorkerTask, weights: Mapping[str, Floats]) -> GoldenSample:
    from wyoming_pocket_tts.inference.graph import ExternalDataFile  # noqa: PLC0415  (the package onnx)
    from wyoming_pocket_tts.pocket.onnx.codec_graphs import decoder_graph  # noqa: PLC0415

    exact, data_path = (task.directory / name for name in REFERENCE_NAMES)
    with ExternalDataFile(data_path) as data:
        decoder_graph(task.config, weights, data, precision=Precision.FP32).save(exact)
    sample = GoldenSample.make(task.config, weights, exact)
    exact.unlink()
    data_path.unlink()
    sample.write(task.directory / "probe.safetensors")
    return sample


def _finish(task: WorkerTask, weights: Weights) -> None:
    """Bring everything to the disk, the manifest last."""
    files: dict[FileName, FileRecord] = {}
    for path in sorted(task.directory.iterdir()):
        if not is_file_name(path.name):
            raise ModelError(f"{path}: a foreign file lies among the converted ones")
        sync(path)
        files[path.name] = FileRecord(bytes=path.stat().st_size, sha256=file_hash(path))
    manifest = BundleManifest(
        format=1,
        key=task.key,
        name=task.name,
        config=task.config,
        precision=task.precision,
        steps=task.steps,
        fingerprint=weights.fingerprint,
        has_voice_cloning=weights.has_voice_cloning,
        proved_on=(cpu_name(),),
        made_by=__version__,
        files=files,
    )
    write_manifest(task.directory, manifest)
    sync(task.directory)


class ProgressMapping(Mapping[str, Floats]):
    """Reports the share of all tensors that was read; membership is answered without reading a tensor."""

    def __init__(self, weights: Mapping[str, Floats], report: Callable[[float], None]) -> None:
        self._weights = weights
        self._report = report
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Floats:
        tensor = self._weights[name]
        if name not in self._seen:
            self._seen.add(name)
            self._report(len(self._seen) / len(self._weights))
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:
        return name in self._weights
