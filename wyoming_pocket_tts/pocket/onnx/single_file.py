"""Puts a model and its data file into one file, reading and writing one constant at a time. Knows no network.

The package onnx would hold the whole model in memory, several times over. A model is a protobuf message: fields, each
with a tag and its length in front, in any order; so the constants can be copied into their places.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import onnx
from onnx import TensorProto

_LENGTH_DELIMITED = 2
_BLOCK_BYTES = 1 << 20


def embed_data(path: Path, data: Path) -> None:
    """Rewrite the model at ``path`` so that it needs ``data`` no longer, and delete that.

    Raises:
        OSError: the files cannot be read or written.
    """
    model = onnx.load(path, load_external_data=False)
    constants = [_Constant(tensor) for tensor in model.graph.initializer]
    del model.graph.initializer[:]
    graph = model.graph.SerializeToString()
    model.ClearField("graph")
    field_of_constant = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
    graph_bytes = len(graph) + sum(len(_begin(field_of_constant, each.bytes)) + each.bytes for each in constants)
    aside = path.with_suffix(".single")
    with data.open("rb") as source, aside.open("wb") as file:
        file.write(model.SerializeToString())
        file.write(_begin(onnx.ModelProto.GRAPH_FIELD_NUMBER, graph_bytes))
        file.write(graph)
        for constant in constants:
            file.write(_begin(field_of_constant, constant.bytes))
            constant.copy(source, file)
    aside.replace(path)
    data.unlink()


class _Constant:
    """A constant as it will be in the file: what describes it, then its numbers if they come from the data file."""

    def __init__(self, tensor: TensorProto) -> None:
        described = TensorProto()
        described.CopyFrom(tensor)
        self._start, self._length = 0, 0
        self._head = b""
        if tensor.data_location == TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            self._start, self._length = int(place["offset"]), int(place["length"])
            self._head = _begin(TensorProto.RAW_DATA_FIELD_NUMBER, self._length)
            described.ClearField("external_data")
            described.ClearField("data_location")
        self._head = described.SerializeToString() + self._head
        self.bytes = len(self._head) + self._length

    def copy(self, source: BinaryIO, file: BinaryIO) -> None:
        file.write(self._head)
        source.seek(self._start)
        for size in _blocks(self._length):
            file.write(source.read(size))


def _blocks(length: int) -> Iterator[int]:
    for start in range(0, length, _BLOCK_BYTES):
        yield min(_BLOCK_BYTES, length - start)


def _begin(field: int, length: int) -> bytes:
    """The tag and the length of a field."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that there are more."""
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
