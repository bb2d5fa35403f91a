"""Opens ONNX models on the CPU. Knows no particular model, and is the one place that loads ONNX Runtime.

ONNX Runtime 1.31 for Linux reports its use to its maker unless the environment forbids that *before* its library is
loaded. Nothing may leave the house, so it is forbidden here, and nobody else may import it (``tests/test_imports.py``).
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime

SILENCED = "ORT_DISABLE_TELEMETRY"


class Network:
    """A graph in ONNX Runtime, on one thread. Safe to use from several threads.

    Raises:
        ModelError: the file is missing or is no such graph.
    """

    def __init__(self, path: Path) -> None:
        self._session = _open(path)

    def __call__(self, **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Compute all outputs, in the graph's order."""
        return self._session.run(None, inputs)  # type: ignore[no-any-return]


def _open(path: Path) -> "onnxruntime.InferenceSession":
    os.environ[SILENCED] = "1"
    import onnxruntime  # noqa: PLC0415  (after the line above, or it is too late)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # sentences differ in length: an arena only grows
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common root
        raise ModelError(f"the model file {path.name} is missing or damaged: {error}; reinstall the package") from error
