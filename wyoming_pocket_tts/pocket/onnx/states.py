"""What a streaming graph carries from one call to the next, described so that a runtime can allocate it.

Knows no graph and no runtime. The description travels in the model's metadata: the file alone is enough to run it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import ModelError, shown

METADATA_KEY = "states"
_LARGEST_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class StateSpec:
    """One input of a graph that holds what its output ``next_name`` was in the call before.

    Attributes:
        name: of the input.
        shape: the same in every call.
        fill: what all its elements are at the beginning of a stream.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "int64"] = "float32"
    fill: float = 0.0

    @property
    def next_name(self) -> str:
        return f"next_{self.name}"

    def initial(self) -> NDArray[Any]:
        """A new array as it is at the beginning of a stream."""
        return np.full(self.shape, self.fill, np.dtype(self.dtype))


def to_metadata(states: Sequence[StateSpec]) -> dict[str, str]:
    """The states as an entry of a model's metadata."""
    return {METADATA_KEY: json.dumps([asdict(state) for state in states])}


def from_metadata(metadata: Mapping[str, str]) -> tuple[StateSpec, ...]:
    """Read the states back.

    Raises:
        ModelError: they are missing or damaged.
    """
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
            f"the model's metadata '{METADATA_KEY}' is damaged: {shown(text)}; convert it again"
        ) from error


def _checked(spec: StateSpec) -> StateSpec:
    sizes_fit = all(isinstance(size, int) and 0 < size <= _LARGEST_SIZE for size in spec.shape)
    if spec.dtype not in {"float32", "int64"} or not sizes_fit or not isinstance(spec.fill, int | float):
        raise ValueError(f"{spec.name} is no state")
    return spec
