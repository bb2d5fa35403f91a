"""ONNX Runtime session, I/O binding, streaming state."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ModelError, quote_untrusted
from wyoming_pocket_tts.core.types import Floats

if TYPE_CHECKING:
    import onnxruntime

SILENCED = "ORT_DISABLE_TELEMETRY"

Array = NDArray[Any]


class OnnxSession:
    """A graph in ONNX Runtime. Safe to use from several threads; an ``IoBinding`` belongs to one at a time.

    ``threads`` compute an operation together, the caller's included. ``keeps_memory`` is for graphs with many short
    runs of few sizes; where sizes differ much, the memory that is kept only grows. Raises a ModelError that ends with
    ``remedy`` if the file cannot be used.
    """

    def __init__(
        self, path: Path, *, threads: int = 1, remedy: str = "reinstall the package", keeps_memory: bool = False
    ) -> None:
        os.environ[SILENCED] = "1"
        import onnxruntime  # noqa: PLC0415  (after the line above, or it is too late)

        self._name = path.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = keeps_memory
        # threads sleep between operations: those of several sessions would starve one another if they spun
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # x86 processors without VNNI would otherwise add products of 8 bits in 16 bits, which overflow: audibly wrong
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common root
            raise ModelError(f"the model file {path.name} is missing or damaged: {error}; {remedy}") from error

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._session.get_modelmeta().custom_metadata_map  # type: ignore[no-any-return]

    @cached_property
    def states(self) -> "tuple[StateSpec, ...]":
        """Of a ``StreamingGraph``; a ModelError if its metadata is missing or damaged."""
        return from_metadata(self.metadata)

    def __call__(self, **inputs: Array) -> list[NDArray[np.float32]]:
        """Compute all outputs, in the graph's order."""
        return self._session.run(None, inputs)  # type: ignore[no-any-return]

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> "IoBinding":
        """Bind arrays by name, to be read and written in place by every run; other outputs are dropped.

        One array may be input and output where the operator can update it in place. Unknown names and wrong types
        raise a ModelError.
        """
        return IoBinding(self._name, self._session, inputs, outputs)


class IoBinding:
    """The arrays of one stream of runs, kept alive by it."""

    def __init__(
        self,
        name: str,
        session: "onnxruntime.InferenceSession",
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        self._name = name
        self._session = session
        self._bound = session.io_binding()
        self._arrays: dict[tuple[str, bool], Array] = {}  # those of inputs and of outputs may have the same name
        for key, array in inputs.items():
            self._bind(key, array, is_output=False)
        for key, array in outputs.items():
            self._bind(key, array, is_output=True)

    def read(self, name: str, array: Array) -> None:
        """Bind an input to another array, of any shape, in microseconds."""
        self._bind(name, array, is_output=False)

    def write(self, name: str, array: Array) -> None:
        self._bind(name, array, is_output=True)

    def run(self) -> None:
        """Compute the outputs; raises a ModelError if shapes do not fit or the graph fails."""
        try:
            self._session.run_with_iobinding(self._bound)
        except Exception as error:  # ONNX Runtime's errors have no common root
            raise ModelError(f"the model {self._name} failed: {error}") from error

    def _bind(self, name: str, array: Array, *, is_output: bool) -> None:
        if not array.flags.c_contiguous or (is_output and not array.flags.writeable):
            raise ValueError(f"{name}: only contiguous arrays can be bound, and only writeable ones as outputs")
        bind = self._bound.bind_output if is_output else self._bound.bind_input
        try:
            bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        except Exception as error:
            raise ModelError(f"{name} of the model {self._name} cannot be bound: {error}") from error
        self._arrays[name, is_output] = array  # only its address is bound


class StreamingSession:
    """One stream through the session of a ``StreamingGraph``, from its input ``source`` to its output ``result``.

    Belongs to one thread at a time.
    """

    def __init__(self, network: OnnxSession, *, source: str, result: str) -> None:
        self._network, self._source, self._result = network, source, result
        self._now = {state.name: state.initial() for state in network.states}
        self._next = {name: np.empty_like(array) for name, array in self._now.items()}
        self._bindings: list[IoBinding] = []  # two take turns: a run reads the states that the one before it wrote

    def __call__(self, piece: Floats, shape: tuple[int, ...]) -> Floats:
        """Run the next piece of the stream; ``shape`` is that of the result."""
        result = np.empty(shape, np.float32)
        if len(self._bindings) == 2:  # noqa: PLR2004
            binding = self._bindings.pop(0)
        else:
            after = {state.next_name: self._next[state.name] for state in self._network.states}
            binding = self._network.bind(self._now, after)
        binding.read(self._source, piece)
        binding.write(self._result, result)
        binding.run()
        self._bindings.append(binding)
        self._now, self._next = self._next, self._now
        return result


METADATA_KEY = "states"
_LARGEST_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class StateSpec:
    """An input of a graph that holds the output ``next_name`` of the call before; its shape never changes."""

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"] = "float32"
    fill: float = 0.0
    """All elements at the beginning of a stream."""

    @property
    def next_name(self) -> str:
        return f"next_{self.name}"

    def initial(self) -> NDArray[Any]:
        return np.full(self.shape, self.fill, np.dtype(self.dtype))


def to_metadata(states: Sequence[StateSpec]) -> dict[str, str]:
    return {METADATA_KEY: json.dumps([asdict(state) for state in states])}


def from_metadata(metadata: Mapping[str, str]) -> tuple[StateSpec, ...]:
    """Read the states back; missing or damaged ones raise a ModelError."""
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"the model's metadata has no '{METADATA_KEY}': it was not made by this program; convert again"
        )
    try:
        entries = json.loads(text)
        if not isinstance(entries, list):
            raise TypeError("no list")  # noqa: TRY301  (one message for all that can be wrong)
        return tuple(_checked(StateSpec(**{**entry, "shape": tuple(entry["shape"])})) for entry in entries)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"the model's metadata '{METADATA_KEY}' is damaged: {quote_untrusted(text)}; convert it again"
        ) from error


def _checked(spec: StateSpec) -> StateSpec:
    sizes_fit = all(isinstance(size, int) and 0 < size <= _LARGEST_SIZE for size in spec.shape)
    if spec.dtype not in {"float32", "int64"} or not sizes_fit or not isinstance(spec.fill, int | float):
        raise ValueError(f"{spec.name} is no state")
    return spec
