"""Converted model on disk: manifest, hashes, size."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
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


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Strict):
    """What a file must be."""

    bytes: Annotated[int, Field(ge=1, le=16 << 30)]
    sha256: _Hash


class Precision(StrEnum):
    """A choice between speed and memory on one side and exactness on the other."""

    FP32 = "fp32"
    """The same numbers as the PyTorch network's, but for rounding."""
    INT8 = "int8"
    """Large matrices of the language model and of the codec in 8 bits."""
    MIXED = "mixed"
    """As ``INT8``, but the codec's convolutions stay exact."""
    INT4 = "int4"
    """As ``INT8``, but the language model's large matrices in 4 bits: audibly another reading of the same text."""

    @property
    def language_model_bits(self) -> int | None:
        """Bits of a number in the language model's large matrices; None for float32."""
        return {Precision.FP32: None, Precision.INT8: 8, Precision.MIXED: 8, Precision.INT4: 4}[self]


@dataclass(frozen=True)
class ModelBundle:
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


def open_bundle(directory: Path) -> ModelBundle:
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
    return ModelBundle(
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


FORMAT: Final = 1
"""Counts up when graphs or tables change in a way that matters to who runs them."""
MANIFEST = "manifest.json"
MAX_STEPS: Final = 256
FILE_NAMES: Final[frozenset[str]] = frozenset(get_args(FileName))
REFERENCE_NAMES: Final = ("reference.onnx", "reference.data")
"""There only while a bundle is made: the exact decoder and its data."""
_NEEDED: Final = FILE_NAMES - {"encoder.onnx", "tokenizer.json", "tokenizer.model"}
_LARGEST_BYTES = 200_000
_CHECKSUM = "checksum"
_Text = Annotated[str, Field(max_length=1000)]


class BundleManifest(_Strict):
    """All about a bundle."""

    format: Literal[1]
    key: _Hash
    """Of what it was made from, and how; see ``bundle.bundle_key``."""
    name: _Text | None
    """The released model; None for one of the user's own."""
    config: ModelConfig
    precision: Annotated[Precision, Field(strict=False)]
    steps: Annotated[int, Field(ge=1, le=MAX_STEPS)]
    fingerprint: _Text
    """Of the weights that voices depend on."""
    has_voice_cloning: bool
    proved_on: Annotated[tuple[_Text, ...], Field(strict=False, max_length=16)]
    """Processors, as ``cpu.cpu_name`` names them, on which it was compared with its reference."""
    made_by: _Text
    files: Mapping[FileName, FileRecord]


def is_file_name(name: str) -> TypeGuard[FileName]:
    """Whether a bundle may have a file of this name."""
    return name in FILE_NAMES


def write_manifest(directory: Path, manifest: BundleManifest) -> None:
    """Write it beside the old one, if there is one, and put it in its place.

    Raises:
        OSError: the directory cannot be written to.
    """
    values = manifest.model_dump(mode="json")
    with atomic_path(directory / MANIFEST) as aside, aside.open("w", encoding="utf-8") as file:
        json.dump({**values, _CHECKSUM: _checksum(values)}, file, indent=1, ensure_ascii=False)


def read_manifest(directory: Path) -> BundleManifest:
    """Read and check it.

    Raises:
        ModelError: it is missing, damaged, changed, or of another version of this program.
    """
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


_DECODER_SHARE: Final = 0.9
"""Of the codec's file. Much of that is the encoder, which is not loaded; what decoding computes with is as much."""
_POSITIONS: Final = 1000
"""Keys and values of two speeches at once, and of their voices."""
_NUMBER_BYTES: Final = 4


def memory_bytes(bundle: ModelBundle) -> int:
    """Estimate what the model takes that speaks for one or two at a time, beside the libraries that all share."""
    weights_bytes = _file_bytes(bundle, "flow.data") + _DECODER_SHARE * _file_bytes(bundle, "codec.data")
    return int(weights_bytes) + cache_bytes(bundle.config)


def cache_bytes(config: ModelConfig) -> int:
    """The part of that for keys and values."""
    sizes = config.flow_lm.transformer
    return _POSITIONS * sizes.num_layers * 2 * sizes.kv_heads * sizes.head_dim * _NUMBER_BYTES


def _file_bytes(bundle: ModelBundle, name: FileName) -> int:
    record = bundle.files.get(name)
    return 0 if record is None else record.bytes
