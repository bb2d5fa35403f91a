"""A converted model in a directory of its own: where it is, what is in it, and whether it is whole.

Knows neither how it is made nor how it runs.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from wyoming_pocket_tts.errors import ConfigError, ModelError
from wyoming_pocket_tts.pocket.onnx.manifest import (
    FILE_NAMES,
    FORMAT,
    MANIFEST,
    MAX_STEPS,
    REFERENCE_NAMES,
    FileName,
    FileRecord,
    read_manifest,
)
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A converted model.

    Attributes:
        directory: where it lies.
        config: what the model is.
        name: the released model, or None for one of the user's own.
        precision: what it computes in.
        steps: of the sampler.
        fingerprint: of the weights that voices depend on.
        has_voice_cloning: whether it can hear voice prompts.
        key: of what it was made from; see ``bundle_key``.
        proved_on: processors on which it was compared with its reference.
        files: all of them, with their sizes and hashes.
    """

    directory: Path
    config: ModelConfig
    name: str | None
    precision: Precision
    steps: int
    fingerprint: str
    has_voice_cloning: bool
    key: str
    proved_on: tuple[str, ...]
    files: Mapping[FileName, FileRecord]

    @property
    def flow(self) -> Path:
        """The language model with its sampler."""
        return self.directory / "flow.onnx"

    @property
    def decoder(self) -> Path:
        """Latents to audio."""
        return self.directory / "decoder.onnx"

    @property
    def encoder(self) -> Path | None:
        """Audio to what describes a voice; None without voice cloning."""
        return self.directory / "encoder.onnx" if self.has_voice_cloning else None

    @property
    def tables(self) -> Path:
        """What is looked up outside the graphs."""
        return self.directory / "tables.safetensors"

    @property
    def probe(self) -> Path:
        """A fixed input, and what the exact model makes of it."""
        return self.directory / "probe.safetensors"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's file; its name's ending tells its format."""
        return self.directory / next(name for name in self.files if name.startswith("tokenizer."))

    @property
    def size_bytes(self) -> int:
        return sum(record.bytes for record in self.files.values())

    def verify(self) -> None:
        """Read every file and compare its hash.

        Raises:
            ModelError: a file is damaged; names it.
        """
        for name, record in self.files.items():
            path = self.directory / name
            try:
                found = file_hash(path)
            except OSError as error:
                raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
            if found != record.sha256:
                raise ModelError(f"{path}: is damaged: its hash is another than when it was written")


def open_bundle(directory: Path) -> Bundle:
    """Open a directory after a quick look: the manifest, and that all files are there in their size.

    Raises:
        ModelError: it is no bundle, it is damaged, or made by another version of this program.
    """
    manifest = read_manifest(directory)
    for name, record in manifest.files.items():
        path = directory / name
        try:
            status = path.lstat()
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror or error}") from error
        if not S_ISREG(status.st_mode):  # a link could lead anywhere
            raise ModelError(f"{path}: is no plain file")
        if status.st_size != record.bytes:
            raise ModelError(f"{path}: is damaged: it has {status.st_size} bytes instead of {record.bytes}")
    return Bundle(
        directory=directory,
        config=manifest.config,
        name=manifest.name,
        precision=manifest.precision,
        steps=manifest.steps,
        fingerprint=manifest.fingerprint,
        has_voice_cloning=manifest.has_voice_cloning,
        key=manifest.key,
        proved_on=manifest.proved_on,
        files=manifest.files,
    )


def bundle_key(config: ModelConfig, *, precision: Precision, steps: int) -> str:
    """Hash what a bundle depends on: its networks, its sources, and how it is converted.

    Sources are taken at their word, with the revision in them: an address without one names the same file for ever.
    Local files are told apart by size and time of change.
    """
    table = config.flow_lm.lookup_table
    sources = (
        config.weights_path,
        config.weights_path_without_voice_cloning,
        config.flow_lm.weights_path,
        config.mimi.weights_path,
        table.tokenizer_path,
    )
    parts = {
        "format": FORMAT,
        "flow_lm": config.flow_lm.model_dump(mode="json"),
        "mimi": config.mimi.model_dump(mode="json"),
        "sources": [source and _identity(source) for source in sources],
        "precision": precision.value,
        "steps": steps,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def bundle_directory(
    data_dir: Path, name: str | None, config: ModelConfig, *, precision: Precision, steps: int | None = None
) -> Path:
    """Where the bundle of a model belongs. ``steps`` is the model's own default unless given.

    Not by processor: a bundle that was proved on one is proved again on the next that opens it, so that it can be made
    on one machine and used on another.
    """
    key = bundle_key(config, precision=precision, steps=sampler_steps(config, steps))
    label = re.sub(r"[^\w.-]", "_", name or "custom", flags=re.ASCII)
    return data_dir / "models" / f"{label}-{precision}-{key[:12]}"


def sampler_steps(config: ModelConfig, steps: int | None = None) -> int:
    """How many steps the sampler gets: what is asked for, or what the model needs.

    Raises:
        ConfigError: it is out of range.
    """
    flow = config.flow_lm.flow
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"sampler steps are {steps}: allowed are 1 to {MAX_STEPS}")
    if flow.n_times == 0:  # it knows no steps
        return 1
    return steps or flow.fewest_steps


def looks_like_ours(directory: Path) -> bool:
    """Whether it holds nothing but what a bundle, whole or half made, has: then nothing is lost with it."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    ours = FILE_NAMES | {MANIFEST, *REFERENCE_NAMES}
    return all(
        entry.is_file() and not entry.is_symlink() and (entry.name in ours or entry.name.startswith(f".{MANIFEST}."))
        for entry in directory.iterdir()
    )


def file_hash(path: Path) -> str:
    """SHA-256, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _identity(source: str) -> Any:  # noqa: ANN401  (what JSON can hold)
    if "://" in source:
        return source
    path = Path(source).resolve()
    try:
        status = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), status.st_size, status.st_mtime_ns]
