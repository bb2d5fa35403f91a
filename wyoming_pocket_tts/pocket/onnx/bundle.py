"""Converted model on disk: manifest, hashes, size."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, Final, Literal, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.pocket.schema import ModelConfig

_BLOCK_BYTES = 1 << 20

FileName = Literal[
    "flow.onnx", "flow.data", "decoder.onnx", "encoder.onnx", "codec.data", "tables.safetensors", "probe.safetensors",
    "tokenizer.json", "tokenizer.model",
]  # fmt: skip
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FORMAT: Final = 1
"""Counts up when graphs or tables change in a way that matters to the backend."""
MANIFEST = "manifest.json"
MAX_STEPS: Final = 256
MAX_POSITIONS: Final = 8192
"""Positions of a sequence, the voice included: eleven minutes. The graph's rotation tables end there."""
FILE_NAMES: Final[frozenset[str]] = frozenset(get_args(FileName))
REFERENCE_NAMES: Final = ("reference.onnx", "reference.data")
"""The exact decoder and its data, there only during the conversion."""
_NEEDED: Final = FILE_NAMES - {"encoder.onnx", "tokenizer.json", "tokenizer.model"}
_LARGEST_BYTES = 200_000
_CHECKSUM = "checksum"
_Text = Annotated[str, Field(max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Strict):
    """Size and hash of a file."""

    bytes: Annotated[int, Field(ge=1, le=16 << 30)]
    sha256: _Hash


class Precision(StrEnum):
    """Speed and memory against exactness."""

    FP32 = "fp32"
    """The same numbers as PyTorch's, but for rounding."""
    INT8 = "int8"
    """Large matrices of the language model and of the codec in 8 bits."""
    MIXED = "mixed"
    """As ``INT8``, but the codec's convolutions stay exact."""
    INT4 = "int4"
    """As ``INT8``, but the language model's large matrices in 4 bits: audibly another rendition of the same text."""

    @property
    def language_model_bits(self) -> int | None:
        """Bits per weight in the language model's large matrices; None for float32."""
        return {Precision.FP32: None, Precision.INT8: 8, Precision.MIXED: 8, Precision.INT4: 4}[self]


class BundleManifest(_Strict):
    """``manifest.json``; its field ``proved_on`` lists the processors on which the bundle was verified."""

    format: Literal[1]
    key: _Hash
    """``bundle_key``."""
    name: _Text | None
    """The released model; None for a custom one."""
    config: ModelConfig
    precision: Annotated[Precision, Field(strict=False)]
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    fingerprint: _Text
    """Of the weights that voices depend on."""
    has_voice_cloning: bool
    proved_on: Annotated[tuple[_Text, ...], Field(strict=False, max_length=16)]
    """As ``cpu_name`` names them."""
    made_by: _Text
    files: Mapping[FileName, FileRecord]


@dataclass(frozen=True)
class ModelBundle:
    """A converted model in ``directory``, with the values of its manifest."""

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
        return self.directory / "flow.onnx"

    @property
    def decoder(self) -> Path:
        return self.directory / "decoder.onnx"

    @property
    def encoder(self) -> Path | None:
        """None without voice cloning."""
        return self.directory / "encoder.onnx" if self.has_voice_cloning else None

    @property
    def tables(self) -> Path:
        """Embedding tables and projections, which are no part of the graphs."""
        return self.directory / "tables.safetensors"

    @property
    def probe(self) -> Path:
        return self.directory / "probe.safetensors"

    @property
    def tokenizer(self) -> Path:
        """Its suffix is its format."""
        return self.directory / next(name for name in self.files if name.startswith("tokenizer."))

    @property
    def size_bytes(self) -> int:
        return sum(record.bytes for record in self.files.values())

    def verify(self) -> None:
        """Read every file; a ModelError names the first one with a wrong hash."""
        for name, record in self.files.items():
            path = self.directory / name
            try:
                found = file_hash(path)
            except OSError as error:
                raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
            if found != record.sha256:
                raise ModelError(f"{path}: is damaged: its hash is another than when it was written")


def open_bundle(directory: Path) -> ModelBundle:
    """Open a directory after a quick check: the manifest, and that all files are there in their size.

    Raises a ModelError if it is no bundle, is damaged, or was made by another version of this program.
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
    return ModelBundle(directory, **{each.name: getattr(manifest, each.name) for each in fields(ModelBundle)[1:]})


def bundle_key(config: ModelConfig, *, precision: Precision, steps: int) -> str:
    """Hash of everything that a bundle depends on: its networks, its sources, and how it is converted.

    Addresses of sources count as they are, with their revision; local files also by size and time of change.
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
    """The place of a model's bundle; ``steps`` are the model's own unless given.

    It does not depend on the processor, so that a bundle can be converted on one machine and used on another, where it
    is verified again.
    """
    key = bundle_key(config, precision=precision, steps=sampler_steps(config, steps))
    label = re.sub(r"[^\w.-]", "_", name or "custom", flags=re.ASCII)
    return data_dir / "models" / f"{label}-{precision}-{key[:12]}"


def sampler_steps(config: ModelConfig, steps: int | None = None) -> int:
    """The steps asked for, or those that the model needs; a ConfigError if they are out of range."""
    flow = config.flow_lm.flow
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"sampler steps are {steps}: allowed are 1 to {MAX_STEPS}")
    if flow.n_times == 0:  # its rule has no steps
        return 1
    return steps or flow.fewest_steps


def is_file_name(name: str) -> TypeGuard[FileName]:
    return name in FILE_NAMES


def write_manifest(directory: Path, manifest: BundleManifest) -> None:
    values = manifest.model_dump(mode="json")
    with atomic_path(directory / MANIFEST) as aside, aside.open("w", encoding="utf-8") as file:
        json.dump({**values, _CHECKSUM: _checksum(values)}, file, indent=1, ensure_ascii=False)


def read_manifest(directory: Path) -> BundleManifest:
    """Read and check the manifest; a ModelError names what is wrong with it."""
    path = directory / MANIFEST
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{directory}: is no converted model: {MANIFEST}: {error.strerror or error}") from error
    values = _parsed(raw, path)
    if values.get("format") != FORMAT:
        raise ModelError(f"{path}: has another format than this version of the program reads ({FORMAT})")
    if values.pop(_CHECKSUM, None) != _checksum(values):
        raise ModelError(f"{path}: was changed after it was written")
    try:
        manifest = BundleManifest.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise ModelError(f"{path}: is damaged: {error.errors()[0]['msg']}") from error
    names = set(manifest.files)
    tokenizers = names & {"tokenizer.json", "tokenizer.model"}
    if not names >= _NEEDED or len(tokenizers) != 1 or ("encoder.onnx" in names) != manifest.has_voice_cloning:
        raise ModelError(f"{path}: is damaged: it does not name the files that such a model has")
    return manifest


def _parsed(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(raw) if len(raw) <= _LARGEST_BYTES else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: is damaged: it is no JSON object of less than {_LARGEST_BYTES} bytes")
    return values


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def looks_like_ours(directory: Path) -> bool:
    """Whether all files are those of a bundle, whole or half made: then it may be deleted."""
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


_DECODER_SHARE: Final = 0.9
"""Of the codec's file. Much of that is the encoder, which is not loaded; the memory of decoding is as much."""
_POSITIONS: Final = 1000
"""Keys and values of two sequences at once, with their voices."""
_NUMBER_BYTES: Final = 4


def memory_bytes(bundle: ModelBundle) -> int:
    """Estimated memory of a model with one or two sequences at a time, without the libraries that all models share."""
    weights_bytes = _file_bytes(bundle, "flow.data") + _DECODER_SHARE * _file_bytes(bundle, "codec.data")
    return int(weights_bytes) + cache_bytes(bundle.config)


def cache_bytes(config: ModelConfig) -> int:
    """The part of ``memory_bytes`` for keys and values."""
    sizes = config.flow_lm.transformer
    return _POSITIONS * sizes.num_layers * 2 * sizes.kv_heads * sizes.head_dim * _NUMBER_BYTES


def _file_bytes(bundle: ModelBundle, name: FileName) -> int:
    record = bundle.files.get(name)
    return 0 if record is None else record.bytes
