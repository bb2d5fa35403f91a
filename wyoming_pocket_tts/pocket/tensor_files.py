"""Safetensors: mapped read, checked read, streamed write."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeGuard

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wyoming_pocket_tts.core.errors import (
    MissingFile,
    MissingWeights,
    ModelError,
    VoiceError,
    VoiceUnavailable,
    quote_untrusted,
)
from wyoming_pocket_tts.core.types import Floats

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Types that files may hold; ``read`` refuses what is no number with a fraction."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where in a file a tensor lies, and what it is."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """In bytes, from the beginning of the file."""

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * _BYTES[self.dtype]


class SafetensorsFile:
    """A file of tensors. The mapping lives as long as the arrays that were read from it."""

    def __init__(self, path: Path) -> None:
        """Read the table of contents.

        Raises:
            MissingWeights: there is no such file.
            ModelError: the file cannot be read, is no safetensors file, or is cut short.
        """
        self.path = path
        try:
            self.entries: dict[str, TensorEntry] = _table(path)
            # Private: torch wants to be able to write, but nothing that does so would reach the file.
            self._pages: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="c")
        except FileNotFoundError as error:
            raise MissingWeights(f"{path}: there is no such file; check weights_path in the config") from error
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
        except SafetensorError as error:
            raise ModelError(
                f"{path}: is damaged or no safetensors file ({error}); delete it to have it downloaded again"
            ) from error

    def read(self, entry: TensorEntry, *, mapped: bool = True) -> NDArray[np.float32]:
        """The tensor as float32: a view into the file where that is its type, otherwise converted.

        Args:
            entry: which one.
            mapped: if not, it is always copied. Pages of a file that were looked at count as this process's memory
                for as long as the system likes; a copy is gone with its last user.

        Raises:
            ModelError: its type is none of float16, bfloat16, float32 and float64.
        """
        if mapped:
            raw = np.asarray(self._pages)[entry.offset : entry.offset + entry.n_bytes]
        else:
            raw = np.fromfile(self.path, np.uint8, entry.n_bytes, offset=entry.offset)
        if entry.offset % _BYTES[entry.dtype]:
            raw = raw.copy()  # numpy copes with numbers that begin between words, others do not
        match entry.dtype:
            case "F32":
                values = raw.view("<f4")
            case "F16":
                values = raw.view("<f2").astype(np.float32)
            case "F64":
                values = raw.view("<f8").astype(np.float32)
            case "BF16":  # the upper half of a float32
                values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
            case _:
                raise ModelError(
                    f"{self.path}: tensor {quote_untrusted(entry.name)} has the type {entry.dtype};"
                    " allowed are F32, F16, BF16 and F64"
                )
        return values.reshape(entry.shape)


def _table(path: Path) -> dict[str, TensorEntry]:
    entries: dict[str, TensorEntry] = {}
    with safe_open(path, framework="np") as file, path.open("rb") as header:
        offset = 8 + int.from_bytes(header.read(8), "little")
        for name in file.offset_keys():  # the library has checked that they lie without gaps
            part = file.get_slice(name)
            if part.get_dtype() not in _BYTES:
                raise ModelError(
                    f"{path}: tensor {quote_untrusted(name)} has the type {part.get_dtype()}, which is not supported"
                )
            entry = TensorEntry(name, part.get_dtype(), tuple(part.get_shape()), offset)
            entries[name] = entry
            offset += entry.n_bytes
    return entries


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
        raise VoiceUnavailable(f"{path}: cannot be read ({error.strerror or error})") from error


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
    spans = {name: _span(entry, f"{path}: tensor {quote_untrusted(name)}") for name, entry in header.items()}
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
        raise VoiceError(f"{where}: has the type {quote_untrusted(dtype)}; allowed are {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or 0 in shape or len(shape) > _MAX_RANK:
        raise VoiceError(f"{where}: {quote_untrusted(shape)} is no shape of a tensor that holds something")
    if not _are_sizes(offsets) or len(offsets) != 2:  # noqa: PLR2004  (a beginning and an end)
        raise VoiceError(f"{where}: its place in the file is damaged")
    begin, end = offsets
    if end - begin != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise VoiceError(f"{where}: {end - begin} bytes cannot hold the shape {quote_untrusted(shape)} of {dtype}")
    return _Span(dtype, tuple(shape), begin, end)


def _are_sizes(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < _MAX_DIMENSION for value in values)


_NAMES = {
    "text_table": "conditioner.embed.weight",
    "text_proj": "conditioner.proj.weight",
    "speaker_proj_weight": "speaker_proj_weight",
    "bos_emb": "bos_emb",
    "bos_before_voice": "bos_before_voice",
    "emb_mean": "emb_mean",
    "emb_std": "emb_std",
}
"""What the tables are called in a bundle, and in the weights; not every model has all of them."""


def write_tables(path: Path, weights: Mapping[str, Floats]) -> None:
    """Write the tables of a model as float32.

    Raises:
        OSError: the file cannot be written.
    """
    tables = {ours: weights[f"flow_lm.{theirs}"] for ours, theirs in _NAMES.items() if f"flow_lm.{theirs}" in weights}
    write_tensors(path, tables)


def write_tensors(path: Path, tensors: Mapping[str, Floats]) -> None:
    """Write a safetensors file; the library's own way would hide what the system said about the disk.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_bytes(safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in tensors.items()}))
