"""Safetensors: mapped read, checked read, streamed write."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeGuard

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import (
    MissingFile,
    MissingWeights,
    ModelError,
    VoiceError,
    VoiceUnavailable,
    quote_untrusted,
)
from wyoming_pocket_tts.core.types import Floats

Shape = tuple[int, ...]
Dtype = Literal["float32", "float16", "bfloat16"]

MAX_FILE_BYTES: Final = 1 << 30
"""A voice of half a minute has 80 MB in the largest model; more than this is no voice."""
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_RANK: Final = 8
_MAX_SIZE: Final = 1 << 40
"""Of a dimension or an offset."""
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip
_FLOATS: Final = ("F32", "F16", "BF16", "F64")


def _decode(raw: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    values = raw.view(_DTYPES[dtype])
    if dtype == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values


def _encode(values: Floats, dtype: Dtype) -> bytes:
    if dtype == "bfloat16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()  # to the nearest, ties to even
    return values.astype(dtype).tobytes()


# --- reading


@dataclass(frozen=True, slots=True)
class TensorEntry:
    name: str
    dtype: str
    shape: Shape
    offset: int
    """In bytes, from the beginning of the file."""

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * _DTYPES[self.dtype].itemsize


class SafetensorsFile:
    """A mapped file of weights. The mapping lives as long as the arrays that were read from it."""

    def __init__(self, path: Path) -> None:
        """Read the table of contents; raises MissingWeights, or ModelError for what is damaged or cannot be read."""
        self.path = path
        try:
            with path.open("rb") as file:
                entries, _ = _read_header(file)
            # Private: torch wants to be able to write, but nothing that does so would reach the file.
            self._pages: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="c")
        except FileNotFoundError as error:
            raise MissingWeights(f"{path}: there is no such file; check weights_path in the config") from error
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
        except _FormatError as error:
            raise ModelError(
                f"{path}: is damaged or no safetensors file ({error}); delete it to have it downloaded again"
            ) from error
        self.entries: dict[str, TensorEntry] = {entry.name: entry for entry in entries}

    def read(self, entry: TensorEntry, *, mapped: bool = True) -> Floats:
        """The tensor as float32: a view into the file where that is its type, otherwise converted.

        Not ``mapped`` it is always a copy, which is freed after use; pages of a mapping count as this process's
        memory for as long as the system likes. Raises ModelError for integers.
        """
        if entry.dtype not in _FLOATS:
            raise ModelError(
                f"{self.path}: tensor {quote_untrusted(entry.name)} has the type {entry.dtype};"
                " allowed are F32, F16, BF16 and F64"
            )
        if mapped:
            raw = np.asarray(self._pages)[entry.offset : entry.offset + entry.n_bytes]
        else:
            raw = np.fromfile(self.path, np.uint8, entry.n_bytes, offset=entry.offset)
        if entry.offset % _DTYPES[entry.dtype].itemsize:
            raw = raw.copy()  # numpy copes with numbers that begin between words, others do not
        return _decode(raw, entry.dtype).astype(np.float32, copy=False).reshape(entry.shape)


def read_voice_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read a small file completely: its tensors (bfloat16 as float32) and its metadata.

    Raises MissingFile, VoiceUnavailable if it cannot be read now, VoiceError for what is too large, cut short, or no
    safetensors file.
    """
    try:
        with path.open("rb") as file:
            entries, metadata = _read_header(file, max_bytes=MAX_FILE_BYTES)
            tensors: dict[str, NDArray[Any]] = {}
            for entry in entries:
                file.seek(entry.offset)
                raw = np.frombuffer(bytearray(file.read(entry.n_bytes)), np.uint8)
                tensors[entry.name] = _decode(raw, entry.dtype).reshape(entry.shape)
            return tensors, metadata
    except FileNotFoundError as error:
        raise MissingFile(f"{path}: there is no such file") from error
    except OSError as error:
        raise VoiceUnavailable(f"{path}: cannot be read ({error.strerror or error})") from error
    except _FormatError as error:
        raise VoiceError(f"{path}: {error}") from error


def looks_whole(path: Path) -> bool:
    """Whether a voice file has the length that its header says; does not read its tensors."""
    try:
        with path.open("rb") as file:
            _read_header(file, max_bytes=MAX_FILE_BYTES)
    except (OSError, _FormatError):
        return False
    return True


class _FormatError(ValueError):
    """What is wrong with a file, without its path."""


def _read_header(file: BinaryIO, *, max_bytes: int | None = None) -> tuple[list[TensorEntry], dict[str, str]]:
    """The tensors in the order of their data, and the metadata."""
    size = file.seek(0, 2)
    if max_bytes is not None and size > max_bytes:
        raise _FormatError(f"has {size} bytes; a voice state has at most {max_bytes}")
    file.seek(0)
    header_bytes = int.from_bytes(file.read(8), "little")
    if header_bytes > min(size - 8, _MAX_HEADER_BYTES):
        raise _FormatError("is no safetensors file, or its beginning is damaged")
    try:
        header = json.loads(file.read(header_bytes))
    except (ValueError, RecursionError) as error:
        raise _FormatError("is no safetensors file, or its beginning is damaged") from error
    if not isinstance(header, dict):
        raise _FormatError("is no safetensors file: its header is no table of tensors")
    metadata = header.pop("__metadata__", None)
    texts = metadata.items() if isinstance(metadata, dict) else ()
    data_start = 8 + header_bytes
    entries = [_entry(name, values, data_start) for name, values in header.items()]
    entries.sort(key=lambda entry: (entry.offset, entry.n_bytes))
    end = data_start
    for entry in entries:  # overlapping tensors of a small file could fill the memory
        if entry.offset != end:
            raise _FormatError("is damaged: its tensors overlap, or there are gaps between them")
        end += entry.n_bytes
    if end > size:
        raise _FormatError(f"is cut short: tensors need {end - data_start} bytes, {size - data_start} are there")
    if end < size:
        raise _FormatError(f"is damaged: {size - end} bytes follow its tensors")
    return entries, {key: text for key, text in texts if isinstance(text, str)}


def _entry(name: str, values: object, data_start: int) -> TensorEntry:
    # Quoting is for errors only: a model has hundreds of tensors.
    if not isinstance(values, dict):
        raise _FormatError(f"{_where(name)}: is not described as a tensor")
    dtype, shape, offsets = values.get("dtype"), values.get("shape"), values.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise _FormatError(f"{_where(name)}: has the type {quote_untrusted(dtype)}; allowed are {', '.join(_DTYPES)}")
    if not _are_sizes(shape) or len(shape) > _MAX_RANK:
        raise _FormatError(f"{_where(name)}: {quote_untrusted(shape)} is no shape of a tensor")
    if not _are_sizes(offsets) or len(offsets) != 2:  # noqa: PLR2004  (a beginning and an end)
        raise _FormatError(f"{_where(name)}: its place in the file is damaged")
    entry, found = TensorEntry(name, dtype, tuple(shape), data_start + offsets[0]), offsets[1] - offsets[0]
    if found != entry.n_bytes:
        raise _FormatError(f"{_where(name)}: {found} bytes cannot hold the shape {quote_untrusted(shape)} of {dtype}")
    return entry


def _where(name: str) -> str:
    return f"tensor {quote_untrusted(name)}"


def _are_sizes(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < _MAX_SIZE for value in values)


# --- writing; an OSError says why a file cannot be written


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: dict[str, str] | None = None) -> None:
    """Write tensors as the library orders them; its own way to a file would hide what the system said."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def stream_tensors(
    path: Path, shapes: Mapping[str, Shape], values: Callable[[str, Shape], Floats], dtype: Dtype = "float32"
) -> None:
    """Write tensors one by one as ``values`` makes them, so that large files need little memory."""
    code, width = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}[dtype]
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + width * math.prod(shape)
        header[name] = {"dtype": code, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            file.write(_encode(values(name, shape), dtype))


_TABLES = {
    "text_table": "conditioner.embed.weight",
    "text_proj": "conditioner.proj.weight",
    **{name: name for name in ("speaker_proj_weight", "bos_emb", "bos_before_voice", "emb_mean", "emb_std")},
}
"""Names of the tables in a bundle, and in the weights; not every model has all of them."""


def write_tables(path: Path, weights: Mapping[str, Floats]) -> None:
    names = {table: f"flow_lm.{name}" for table, name in _TABLES.items()}
    write_tensors(path, {table: weights[name] for table, name in names.items() if name in weights})
