"""Reads small safetensors files with numpy, distrustfully. Knows nothing about what the tensors mean.

The library's own numpy reader knows no bfloat16, and a file from a stranger must not decide how much memory is used:
nothing is read before sizes are checked, and all that is read is at most as large as the file.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import MissingFile, VoiceError, VoiceOutOfReach, shown

MAX_FILE_BYTES: Final = 1 << 30
"""A voice of half a minute has 80 MB in the largest model; more than this is no voice."""
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_RANK: Final = 8
_MAX_DIMENSION: Final = 1 << 31
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorFile:
    """All of a file: tensors of native types (bfloat16 as float32), and what the file says about itself."""

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str]


def read_tensor_file(path: Path) -> TensorFile:
    """Read a file completely.

    Raises:
        MissingFile: it is not there.
        VoiceOutOfReach: it cannot be read now.
        VoiceError: it is too large, cut short, or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except FileNotFoundError as error:
        raise MissingFile(f"{path}: there is no such file") from error
    except OSError as error:
        raise VoiceOutOfReach(f"{path}: cannot be read ({error.strerror or error})") from error


def looks_whole(path: Path) -> bool:
    """Whether a file has the length that its own header says: a quick look, which a file cut short does not stand."""
    try:
        with path.open("rb") as file:
            _header(file, path)
    except (OSError, VoiceError):
        return False
    return True


def _read(file: BinaryIO, path: Path) -> TensorFile:
    spans, metadata, data_start = _header(file, path)
    tensors = {name: span.read(file, data_start) for name, span in spans.items()}
    texts = metadata.items() if isinstance(metadata, dict) else ()
    return TensorFile(tensors, {key: text for key, text in texts if isinstance(text, str)})


def _header(file: BinaryIO, path: Path) -> tuple[dict[str, "_Span"], object, int]:
    """Where the tensors lie, what the file says about itself, and where its data begins."""
    size = file.seek(0, 2)
    if size > MAX_FILE_BYTES:
        raise VoiceError(f"{path}: has {size} bytes; a voice state has at most {MAX_FILE_BYTES}")
    file.seek(0)
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > min(size - 8, _MAX_HEADER_BYTES):
        raise VoiceError(f"{path}: is no safetensors file, or its beginning is damaged")
    header = _parsed(file.read(header_bytes), path)
    metadata = header.pop("__metadata__", None) or {}
    data_bytes = size - 8 - header_bytes
    spans = {name: _span(entry, f"{path}: tensor {shown(name)}") for name, entry in header.items()}
    end = max((span.end for span in spans.values()), default=0)
    if end > data_bytes:
        raise VoiceError(f"{path}: is cut short: tensors need {end} bytes, {data_bytes} are there")
    if sum(span.end - span.begin for span in spans.values()) > data_bytes:  # else a small file could fill the memory
        raise VoiceError(f"{path}: is damaged: its tensors overlap")
    return spans, metadata, 8 + header_bytes


def _parsed(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise VoiceError(f"{path}: is no safetensors file, or its beginning is damaged") from error
    if not isinstance(header, dict):
        raise VoiceError(f"{path}: is no safetensors file: its header is no table of tensors")
    return header


@dataclass(frozen=True, slots=True)
class _Span:
    """Where in the data a tensor lies, and what it is."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    def read(self, file: BinaryIO, data_start: int) -> NDArray[Any]:
        file.seek(data_start + self.begin)
        array: NDArray[Any] = np.frombuffer(bytearray(file.read(self.end - self.begin)), dtype=_DTYPES[self.dtype])
        if self.dtype == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return array.reshape(self.shape)


def _span(entry: object, where: str) -> _Span:
    if not isinstance(entry, dict):
        raise VoiceError(f"{where}: is not described as a tensor")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise VoiceError(f"{where}: has the type {shown(dtype)}; allowed are {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or 0 in shape or len(shape) > _MAX_RANK:
        raise VoiceError(f"{where}: {shown(shape)} is no shape of a tensor that holds something")
    if not _are_sizes(offsets) or len(offsets) != 2:  # noqa: PLR2004  (a beginning and an end)
        raise VoiceError(f"{where}: its place in the file is damaged")
    begin, end = offsets
    if end - begin != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise VoiceError(f"{where}: {end - begin} bytes cannot hold the shape {shown(shape)} of {dtype}")
    return _Span(dtype, tuple(shape), begin, end)


def _are_sizes(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < _MAX_DIMENSION for value in values)
