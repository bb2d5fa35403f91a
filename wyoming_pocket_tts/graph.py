"""Writes ONNX graphs node by node, from arrays. Knows nothing about any particular network, nor how to run one.

Needs the package ``onnx``; only what makes models imports this.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9
_MIN_HALF_SIZE = 256  # smaller constants stay exact: they cost nothing

Array = NDArray[Any]


class Graph:
    """A graph under construction. Values are named by strings; every method that adds a node returns its output.

    Arguments:
        name: the graph's name.
        half_weights: store large constants as float16, to be widened when a session is made.
    """

    def __init__(self, name: str, *, half_weights: bool = False) -> None:
        self._name, self._half = name, half_weights
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

    def constant(self, array: Array, *, exact: bool = False) -> str:
        array = np.asarray(array)
        name = self._new("c")
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

    def split(self, x: str, parts: int, axis: int) -> list[str]:
        names = [self._new("v") for _ in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], names, axis=axis, num_outputs=parts))
        return names

    def add(self, a: str, b: str) -> str:
        return self.node("Add", a, b)

    def linear(self, x: str, weight: Array, bias: Array | None = None) -> str:
        """``x @ weight.T + bias``, weight [out, in]."""
        y = self.node("MatMul", x, self.constant(np.ascontiguousarray(weight.T)))
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

    def concat(self, *values: str, axis: int) -> str:
        return self.node("Concat", *values, axis=axis)

    def build(self, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        """The checked model."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, dict(metadata or {}))
        onnx.checker.check_model(model)
        return model

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def _value_info(name: str, dtype: type, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
