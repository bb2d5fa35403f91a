"""Opens a safetensors file as float32 arrays. Knows nothing about what the tensors mean.

The library's own numpy reader copies every tensor and has no bfloat16. Here the library checks the file, and arrays are
views into its pages: they are read when they are used, and the system may drop them again.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from wyoming_pocket_tts.errors import MissingWeights, ModelError, shown

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Types that files may hold; ``read`` refuses what is no number with a fraction."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where in a file a tensor lies, and what it is."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """In bytes, from the beginning of the file."""

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * _BYTES[self.dtype]


class MappedTensors:
    """A file of tensors. The mapping lives as long as the arrays that were read from it."""

    def __init__(self, path: Path) -> None:
        """Read the table of contents.

        Raises:
            MissingWeights: there is no such file.
            ModelError: the file cannot be read, is no safetensors file, or is cut short.
        """
        self.path = path
        try:
            self.entries: dict[str, Entry] = _table(path)
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

    def read(self, entry: Entry, *, mapped: bool = True) -> NDArray[np.float32]:
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
                    f"{self.path}: tensor {shown(entry.name)} has the type {entry.dtype};"
                    " allowed are F32, F16, BF16 and F64"
                )
        return values.reshape(entry.shape)


def _table(path: Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    with safe_open(path, framework="np") as file, path.open("rb") as header:
        offset = 8 + int.from_bytes(header.read(8), "little")
        for name in file.offset_keys():  # the library has checked that they lie without gaps
            part = file.get_slice(name)
            if part.get_dtype() not in _BYTES:
                raise ModelError(
                    f"{path}: tensor {shown(name)} has the type {part.get_dtype()}, which is not supported"
                )
            entry = Entry(name, part.get_dtype(), tuple(part.get_shape()), offset)
            entries[name] = entry
            offset += entry.n_bytes
    return entries
