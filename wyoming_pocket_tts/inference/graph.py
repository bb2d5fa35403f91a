"""ONNX graph builder, streaming graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from wyoming_pocket_tts.inference.session import StateSpec, to_metadata

OPSET = 20
IR_VERSION = 9
CONTRIB = "com.microsoft"
"""The domain of the operators that ONNX Runtime adds."""
_CONTRIB_VERSION = 1
_MIN_HALF_SIZE = 256  # smaller constants stay exact: they cost nothing
_MIN_EXTERNAL_BYTES = 4096
_PAGE_BYTES = 4096

Array = NDArray[Any]


class ExternalDataFile:
    """A file beside the models for their large constants, each written at once: memory is needed for one at a time.

    Running a model maps the file instead of copying it. The models must be saved in the directory of ``path``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._places: dict[str, list[tuple[str, str]]] = {}

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> "ExternalDataFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def store(self, array: Array, shared: str | None) -> onnx.TensorProto:
        """Write the array, unless one of that shared name was written; return a tensor that refers to it."""
        place = self._places.get(shared or "") or self._write(array)
        if shared:
            self._places[shared] = place
        tensor = onnx.TensorProto(
            dims=array.shape,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in place:
            tensor.external_data.add(key=key, value=value)
        return tensor

    def _write(self, array: Array) -> list[tuple[str, str]]:
        self._file.write(bytes(-self._file.tell() % _PAGE_BYTES))  # a page of its own, so that it can be mapped
        offset = self._file.tell()
        self._file.write(np.ascontiguousarray(array).data)
        return [("location", self._path.name), ("offset", str(offset)), ("length", str(array.nbytes))]


class GraphBuilder:
    """A graph under construction. Values are named by strings; every method that adds a node returns its output.

    ``half_weights`` stores large constants as float16, which sessions widen when they load the model. Large constants
    go into ``data``, or into the model without it.
    """

    def __init__(self, name: str, *, half_weights: bool = False, data: ExternalDataFile | None = None) -> None:
        self._name, self._half, self._data = name, half_weights, data
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: type, shape: Sequence[int | str]) -> str:
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, value: str, name: str, dtype: type, shape: Sequence[int | str]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(_value_info(name, dtype, shape))

    def scalar(self, value: float) -> str:
        """int64 or float32 [], by the type of ``value``."""
        return self.constant(np.array(value, np.int64 if isinstance(value, int) else np.float32))

    def constant(self, array: Array, *, exact: bool = False, shared: str | None = None) -> str:
        """Add a constant, ``exact`` also with ``half_weights``.

        In a data file, constants of the same ``shared`` name are written once; the first one's value counts.
        """
        array = np.asarray(array)
        name = self._new("c")
        if self._data and array.nbytes >= _MIN_EXTERNAL_BYTES:
            tensor = self._data.store(array, shared)
            tensor.name = name
            self._constants.append(tensor)
            return name
        if self._half and not exact and array.dtype == np.float32 and array.size >= _MIN_HALF_SIZE:
            self._constants.append(numpy_helper.from_array(array.astype(np.float16), name))
            return self.node("Cast", name, to=TensorProto.FLOAT)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401  (as in onnx.helper.make_node)
        name = self._new("v")
        self._nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def nodes(self, op: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:  # noqa: ANN401
        """Add a node with several outputs. Contrib operators have ``domain=CONTRIB``; an input left out is ``""``."""
        names = [self._new("v") for _ in range(outputs)]
        self._nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def split(self, x: str, parts: int, axis: int) -> list[str]:
        return self.nodes("Split", x, outputs=parts, axis=axis, num_outputs=parts)

    def add(self, a: str, b: str) -> str:
        return self.node("Add", a, b)

    def linear(self, x: str, weight: Array, bias: Array | None = None, *, shared: str | None = None) -> str:
        """``x @ weight.T + bias``, weight [out, in]."""
        y = self.node("MatMul", x, self.constant(np.ascontiguousarray(weight.T), shared=shared))
        return y if bias is None else self.add(y, self.constant(bias))

    def layer_norm(self, x: str, weight: Array, bias: Array, epsilon: float = 1e-5) -> str:
        return self.node("LayerNormalization", x, self.constant(weight), self.constant(bias), axis=-1, epsilon=epsilon)

    def conv1d(self, x: str, weight: Array, bias: Array, *, pad: int, groups: int = 1) -> str:
        """x [B, C, T] -> [B, C', T + 2 * pad - kernel + 1]."""
        inputs = (x, self.constant(weight), self.constant(bias))
        return self.node("Conv", *inputs, pads=[pad, pad], group=groups, kernel_shape=[weight.shape[-1]])

    def reshape(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.ints(*shape))

    def transpose(self, x: str, *order: int) -> str:
        return self.node("Transpose", x, perm=list(order))

    def squeeze(self, x: str, *axes: int) -> str:
        return self.node("Squeeze", x, self.ints(*axes))

    def slice(self, x: str, start: str, end: str, axis: int) -> str:
        return self.node("Slice", x, start, end, self.ints(axis))

    def size(self, x: str, axis: int) -> str:
        return self.squeeze(self.slice(self.node("Shape", x), self.ints(axis), self.ints(axis + 1), 0), 0)

    def concat(self, *values: str, axis: int) -> str:
        return self.node("Concat", *values, axis=axis)

    def build(self, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        """The model; checked here unless it has a data file, which is only found from the saved model's directory."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == CONTRIB for node in self._nodes):
            opsets.append(helper.make_opsetid(CONTRIB, _CONTRIB_VERSION))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        helper.set_model_props(model, dict(metadata or {}))
        if self._data is None:
            onnx.checker.check_model(model)
        return model

    def save(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write and check the model, which lies beside its data file if it has one."""
        onnx.save(self.build(metadata), path)
        if self._data is not None:
            self._data.flush()
        onnx.checker.check_model(path)

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def _value_info(name: str, dtype: type, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


END = 2**31 - 1
"""The end of a slice that goes to the end of its axis."""

POSITION = StateSpec("position", (), "int64")


@dataclass(frozen=True)
class StreamingGraph:
    """A complete graph."""

    graph: GraphBuilder
    states: tuple[StateSpec, ...]
    """Carried from call to call; the graph's last outputs, in this order."""

    def save(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        self.graph.save(path, {**(metadata or {}), **to_metadata(self.states)})


class GraphState:
    """The states of a graph under construction; ``position`` counts the transformer's past positions, 0 at first."""

    def __init__(self, graph: GraphBuilder) -> None:
        self.graph = graph
        self.position = graph.input(POSITION.name, np.int64, POSITION.shape)
        self._next: dict[StateSpec, str] = {POSITION: self.position}
        self._is_first: str | None = None

    def advance(self, count: str) -> None:
        """Set the number of positions that this call adds: int64 []."""
        self._next[POSITION] = self.graph.add(self.position, count)

    def state(self, *shape: int, fill: float = 0.0) -> StateSpec:
        """Add an input; ``keep`` sets its value in the next call."""
        spec = StateSpec(f"state_{len(self._next) - 1}", shape, fill=fill)
        self._next[spec] = self.graph.input(spec.name, np.float32, shape)
        return spec

    def keep(self, spec: StateSpec, value: str) -> None:
        self._next[spec] = value

    def with_past(self, x: str, rows: int, channels: int, *, replicate: bool = False, fill: float = 0.0) -> str:
        """Put the last rows of the past in front: [T, C] -> [rows + T, C]; at first ``fill``, or the first row."""
        if not rows:
            return x
        g, spec = self.graph, self.state(rows, channels, fill=fill)
        past = spec.name
        if replicate:
            first_row = g.slice(x, g.ints(0), g.ints(1), 0)
            past = g.node("Where", self.is_first(), first_row, past)
        joined = g.concat(past, x, axis=0)
        self.keep(spec, g.slice(joined, g.ints(-rows), g.ints(END), 0))
        return joined

    def finish(self) -> StreamingGraph:
        for spec, value in self._next.items():
            self.graph.output(value, spec.next_name, np.dtype(spec.dtype).type, spec.shape)
        return StreamingGraph(self.graph, tuple(self._next))

    def is_first(self) -> str:
        """Whether this call is the stream's first: bool []."""
        if self._is_first is None:
            self._is_first = self.graph.node("Equal", self.position, self.graph.constant(np.array(0, np.int64)))
        return self._is_first
