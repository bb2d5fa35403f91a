"""What a converted model's directory says about itself: data, checked like a stranger's. Opens no file but its own.

``manifest.json`` names every file with its size and hash, and carries a hash of its own, so that neither a file nor the
manifest can change unnoticed. File names come from a fixed list: no path can lead out of the directory.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeGuard, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wyoming_pocket_tts.errors import ModelError
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig

FORMAT: Final = 1
"""Counts up when graphs or tables change in a way that matters to who runs them."""
MANIFEST = "manifest.json"
MAX_STEPS: Final = 256

FileName = Literal[
    "flow.onnx", "flow.data", "decoder.onnx", "encoder.onnx", "codec.data", "tables.safetensors", "probe.safetensors",
    "tokenizer.json", "tokenizer.model",
]  # fmt: skip
FILE_NAMES: Final[frozenset[str]] = frozenset(get_args(FileName))
REFERENCE_NAMES: Final = ("reference.onnx", "reference.data")
"""There only while a bundle is made: the exact decoder and its data."""
_NEEDED: Final = FILE_NAMES - {"encoder.onnx", "tokenizer.json", "tokenizer.model"}
_LARGEST_BYTES = 200_000
_CHECKSUM = "checksum"
_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Text = Annotated[str, Field(max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Strict):
    """What a file must be."""

    bytes: Annotated[int, Field(ge=1, le=16 << 30)]
    sha256: _Hash


class Manifest(_Strict):
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


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write it beside the old one, if there is one, and put it in its place.

    Raises:
        OSError: the directory cannot be written to.
    """
    values = manifest.model_dump(mode="json")
    aside = directory / f".{MANIFEST}.{os.getpid()}"
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump({**values, _CHECKSUM: _checksum(values)}, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(directory / MANIFEST)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_manifest(directory: Path) -> Manifest:
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
        manifest = Manifest.model_validate_json(json.dumps(values))
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
