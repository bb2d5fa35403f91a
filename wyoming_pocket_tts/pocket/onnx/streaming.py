"""A graph that is called piece after piece of a stream. Knows no network.

Needs the package ``onnx``; only what makes models imports this.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wyoming_pocket_tts.graph import Graph
from wyoming_pocket_tts.pocket.onnx.states import StateSpec, to_metadata

END = 2**31 - 1
"""Where a slice ends that goes to the end."""

POSITION = StateSpec("position", (), "int64")


@dataclass(frozen=True)
class StreamingGraph:
    """A complete graph.

    Attributes:
        states: what it carries from call to call; its last outputs, in this order.
    """

    graph: Graph
    states: tuple[StateSpec, ...]

    def save(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write the model, its states among the metadata."""
        self.graph.save(path, {**(metadata or {}), **to_metadata(self.states)})


class Stream:
    """The states of a graph under construction.

    ``position`` says how many of the transformer's positions lie in the past; 0 marks the beginning.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = graph.input(POSITION.name, np.int64, POSITION.shape)
        self._next: dict[StateSpec, str] = {POSITION: self.position}
        self._is_first: str | None = None

    def advance(self, count: str) -> None:
        """Set how many positions this call adds: int64, a scalar."""
        self._next[POSITION] = self.graph.add(self.position, count)

    def state(self, *shape: int, fill: float = 0.0) -> StateSpec:
        """Add an input; ``keep`` sets its next value."""
        spec = StateSpec(f"state_{len(self._next) - 1}", shape, fill=fill)
        self._next[spec] = self.graph.input(spec.name, np.float32, shape)
        return spec

    def keep(self, spec: StateSpec, value: str) -> None:
        """Say what the state is in the next call."""
        self._next[spec] = value

    def with_past(self, x: str, rows: int, channels: int, *, replicate: bool = False, fill: float = 0.0) -> str:
        """Put the last rows of the calls before in front: [T, C] -> [rows + T, C].

        Before the beginning lies ``fill`` everywhere, or with ``replicate`` the first row.
        """
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
        """Add the states to the graph's outputs, after what it gives already."""
        for spec, value in self._next.items():
            self.graph.output(value, spec.next_name, np.dtype(spec.dtype).type, spec.shape)
        return StreamingGraph(self.graph, tuple(self._next))

    def is_first(self) -> str:
        """Whether this call is the stream's first: bool, a scalar."""
        if self._is_first is None:
            self._is_first = self.graph.node("Equal", self.position, self.graph.constant(np.array(0, np.int64)))
        return self._is_first
