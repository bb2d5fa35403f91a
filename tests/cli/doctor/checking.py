"""Runs one check of the doctor for a test."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.cli.doctor.base import Check, Finding, examine
from wyoming_pocket_tts.cli.doctor.base import FindingSeverity as Severity
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.onnx.bundle import (
    BundleManifest,
    FileName,
    FileRecord,
    Precision,
    bundle_directory,
    bundle_key,
    sampler_steps,
    write_manifest,
)

MODEL = "english_2m_2026-10"
FILES: Sequence[FileName] = (
    "flow.onnx",
    "flow.data",
    "decoder.onnx",
    "codec.data",
    "tables.safetensors",
    "probe.safetensors",
    "tokenizer.model",
)


def findings(check: Iterable[Finding]) -> list[Finding]:
    """What a check yields, its errors included, as the doctor reports it."""
    return [result.finding for result in examine([Check("tested", 100, lambda: check)])]


def only(check: Iterable[Finding]) -> Finding:
    (finding,) = findings(check)
    return finding


def named(found: Iterable[Finding], severity: Severity, text: str) -> None:
    """One finding of that severity holds the text, and says what to do about it."""
    matching = [each for each in found if each.severity is severity and text in each.found]
    assert len(matching) == 1, found
    assert matching[0].advice or severity is Severity.OK


def make_bundle(data_dir: Path, name: str = MODEL) -> Path:
    """A directory that is a converted model as far as its manifest and hashes go; it could not be loaded."""
    config, precision = configs.released_model(name), Precision.INT8
    directory = bundle_directory(data_dir, name, config, precision=precision)
    directory.mkdir(parents=True)
    files: dict[FileName, FileRecord] = {}
    for file in FILES:
        content = file.encode() * 100
        (directory / file).write_bytes(content)
        files[file] = FileRecord(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    manifest = BundleManifest(
        format=1,
        key=bundle_key(config, precision=precision, steps=sampler_steps(config)),
        name=name,
        config=config,
        precision=precision,
        steps=sampler_steps(config),
        fingerprint="0" * 64,
        has_voice_cloning=False,
        proved_on=(),
        made_by=__version__,
        files=files,
    )
    write_manifest(directory, manifest)
    return directory
