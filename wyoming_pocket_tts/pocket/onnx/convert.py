"""Converts a model into a directory. Run as a program it is the child of ``child.py``: it takes an order from standard
input, tells how far it is on standard output, and ends when its parent is gone.

Knows nothing about locks and other versions of the model. Memory is needed for one tensor at a time, and for one graph
when it is tried.
"""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.errors import ModelError, SpeechError
from wyoming_pocket_tts.pocket import hub
from wyoming_pocket_tts.pocket.child_process import peak_bytes, take_order
from wyoming_pocket_tts.pocket.onnx.bundle import file_hash, open_bundle
from wyoming_pocket_tts.pocket.onnx.cpu import cpu_name
from wyoming_pocket_tts.pocket.onnx.disk import sync
from wyoming_pocket_tts.pocket.onnx.heard import carry_out
from wyoming_pocket_tts.pocket.onnx.manifest import (
    REFERENCE_NAMES,
    FileName,
    FileRecord,
    Manifest,
    is_file_name,
    write_manifest,
)
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.probe import Probe, prove
from wyoming_pocket_tts.pocket.onnx.protocol import Failed, Finished, Message, Order, Progress
from wyoming_pocket_tts.pocket.onnx.ready_made import fetch_voices
from wyoming_pocket_tts.pocket.onnx.tables import write_tables
from wyoming_pocket_tts.pocket.onnx.views import Part, Watched
from wyoming_pocket_tts.pocket.weights import Weights, load_weights
from wyoming_pocket_tts.text.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from wyoming_pocket_tts.graph import DataFile

Floats = NDArray[np.float32]
Tell = Callable[[Message], None]

_POLITENESS = 5
"""Those who speak meanwhile go first."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def convert(order: Order, tell: Tell) -> None:
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
    watched = Watched(weights.tensors, lambda done: tell(Progress(stage="convert", done=done)))
    write_tables(order.directory / "tables.safetensors", watched)
    _write_graphs(order, watched, encoder=weights.has_voice_cloning)
    tell(Progress(stage="verify", done=0.0))
    probe = _make_probe(order, weights.tensors)
    tell(Progress(stage="verify", done=0.5))
    prove(order.directory, order.config, order.precision, probe)
    _finish(order, weights)
    tell(Progress(stage="verify", done=1.0))


def prove_again(order: Order, tell: Tell) -> None:
    """Prove a bundle on this machine.

    Raises:
        ModelError: it is damaged.
        UnfitPrecision: it is not for this machine.
    """
    tell(Progress(stage="verify", done=0.0))
    bundle = open_bundle(order.directory)
    prove(bundle.directory, bundle.config, bundle.precision, Probe.read(bundle.probe, bundle.config))
    tell(Progress(stage="verify", done=1.0))


def _copy_tokenizer(order: Order, fetch: Callable[[str], Path]) -> None:
    table = order.config.flow_lm.lookup_table
    source = fetch(table.tokenizer_path)
    load_tokenizer(source, kind=table.tokenizer, entries=table.n_bins)
    is_json = table.tokenizer != "sentencepiece" or source.suffix == ".json"
    shutil.copyfile(source, order.directory / ("tokenizer.json" if is_json else "tokenizer.model"))


def _write_graphs(order: Order, weights: Mapping[str, Floats], *, encoder: bool) -> None:
    from wyoming_pocket_tts.graph import DataFile  # noqa: PLC0415  (the package onnx)
    from wyoming_pocket_tts.pocket.onnx.flow_lm import flow_lm_graph  # noqa: PLC0415
    from wyoming_pocket_tts.pocket.onnx.mimi import encoder_graph  # noqa: PLC0415

    directory, config = order.directory, order.config
    with DataFile(directory / "flow.data") as data:
        graph = flow_lm_graph(config, weights, data, precision=order.precision, steps=order.steps)
        graph.save(directory / "flow.onnx")
    with DataFile(directory / "codec.data") as data:
        _write_decoder(order, weights, data, directory / "decoder.onnx", order.precision)
        if encoder:
            encoder_graph(config.mimi, Part(weights, "mimi.encoder", "mimi.downsample"), data).save(
                directory / "encoder.onnx"
            )


def _write_decoder(
    order: Order, weights: Mapping[str, Floats], data: "DataFile", path: Path, precision: Precision
) -> None:
    from wyoming_pocket_tts.pocket.onnx.mimi import decoder_graph  # noqa: PLC0415  (the package onnx)

    mean, deviation = weights["flow_lm.emb_mean"], weights["flow_lm.emb_std"]
    part = Part(weights, "mimi.decoder", "mimi.quantizer", "mimi.upsample")
    decoder_graph(order.config.mimi, part, mean, deviation, data, precision=precision).save(path)


def _make_probe(order: Order, weights: Mapping[str, Floats]) -> Probe:
    from wyoming_pocket_tts.graph import DataFile  # noqa: PLC0415  (the package onnx)

    exact, data_path = (order.directory / name for name in REFERENCE_NAMES)
    with DataFile(data_path) as data:
        _write_decoder(order, weights, data, exact, Precision.FP32)
    probe = Probe.make(order.config, weights, exact)
    exact.unlink()
    data_path.unlink()
    probe.write(order.directory / "probe.safetensors")
    return probe


def _finish(order: Order, weights: Weights) -> None:
    """Bring everything to the disk, and say last what there is."""
    files: dict[FileName, FileRecord] = {}
    for path in sorted(order.directory.iterdir()):
        if not is_file_name(path.name):
            raise ModelError(f"{path}: somebody else's file lies among the converted ones")
        sync(path)
        files[path.name] = FileRecord(bytes=path.stat().st_size, sha256=file_hash(path))
    manifest = Manifest(
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


def _unwritable(error: OSError, directory: Path) -> ModelError:
    models = directory.parent
    if error.errno in _FULL:
        return ModelError(f"{models}: {error.strerror}: free some space, or choose another place with --data-dir")
    return ModelError(f"{error.filename or models}: {error.strerror or error}")


_TASKS = {"convert": convert, "prove": prove_again, "voices": fetch_voices, "hear": carry_out}


def main() -> None:
    """Do what standard input orders."""
    os.nice(_POLITENESS)
    line, teller = take_order()
    order = Order.model_validate_json(line)
    try:
        _TASKS[order.task](order, teller.tell)
    except SpeechError as error:
        teller.tell(Failed.of(error))
    except OSError as error:
        teller.tell(Failed.of(_unwritable(error, order.directory)))
    else:
        teller.tell(Finished(peak_bytes=peak_bytes()))


if __name__ == "__main__":
    main()
