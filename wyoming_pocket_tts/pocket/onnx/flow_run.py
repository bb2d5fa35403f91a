"""Calls the language model's graph for rows whose caches lie side by side. Knows no voice, text or sampling."""

from math import prod
from mmap import ACCESS_COPY, mmap

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.inference import Network
from wyoming_pocket_tts.pocket.schema import ModelConfig

Floats = NDArray[np.float32]

MAX_POSITIONS = 8192
"""Positions of a speech, the voice included: the graph's tables of rotations end there."""


def empty_caches(config: ModelConfig, *, rows: int, room: int) -> Floats:
    """Keys and values of all layers, [layers, 2, rows, key heads, room, head width].

    Memory comes page by page as it is written to: NumPy's own arrays get large pages, which take twice as much where
    most of the room stays empty, and are no faster.
    """
    sizes = config.flow_lm.transformer
    shape = (sizes.num_layers, 2, rows, sizes.kv_heads, room, sizes.head_dim)
    pages = mmap(-1, prod(shape) * np.dtype(np.float32).itemsize, access=ACCESS_COPY)  # this process's alone
    return np.frombuffer(pages, np.float32).reshape(shape)


class FlowRun:
    """The graph, tied to rows of caches, which each call extends in place. Belongs to one thread at a time.

    Args:
        flow: the graph that ``flow_lm.py`` writes.
        config: what the model is.
        caches: as ``empty_caches`` makes them, or some rows of those, one behind the other.

    Attributes:
        noise: [rows, latent_dim]: what the sampler starts from; to be set before a call.
        lengths: [rows]: positions of each row after the call; to be set before it.
        latent, eos_logit: [rows, latent_dim] and [rows]: what the call gave.
    """

    def __init__(self, flow: Network, config: ModelConfig, caches: Floats) -> None:
        rows, latent_dim = caches.shape[2], config.latent_dim
        self.noise: Floats = np.zeros((rows, latent_dim), np.float32)
        self.lengths = np.ones(rows, np.int64)
        self.latent: Floats = np.empty((rows, latent_dim), np.float32)
        self.eos_logit: Floats = np.empty(rows, np.float32)
        self._last = np.zeros(rows, np.int64)
        self._seqlens_k = np.zeros(rows, np.int32)
        self._total = np.zeros((), np.int32)
        self._no_inputs: Floats = np.empty((rows, 0, config.flow_lm.transformer.d_model), np.float32)
        self._no_latents: Floats = np.empty((rows, 0, latent_dim), np.float32)
        self._fed_back: Floats = np.empty((rows, 1, latent_dim), np.float32)
        self._steps = False
        self._binding = flow.bind(
            {
                "noise": self.noise,
                "last": self._last,
                "seqlens_k": self._seqlens_k,
                "total_sequence_length": self._total,
                **_named(caches, "past"),
            },
            {"latent": self.latent, "eos_logit": self.eos_logit, **_named(caches, "present")},
        )

    def read(self, inputs: Floats, latent: Floats | None = None) -> None:
        """Read ``[rows, S, D]``, and a latent ``[latent_dim]`` behind them; several positions need a single row."""
        self._steps = False
        self._binding.read("inputs", np.ascontiguousarray(inputs, np.float32))
        if latent is None:
            self._binding.read("latents", self._no_latents)
            self._run(inputs.shape[1])
        else:
            self._fed_back[:, 0] = latent
            self._binding.read("latents", self._fed_back)
            self._run(inputs.shape[1] + 1)

    def step(self, latents: Floats) -> None:
        """Read the last latents, ``[rows, latent_dim]``."""
        self._fed_back[:, 0] = latents
        if not self._steps:
            self._binding.read("inputs", self._no_inputs)
            self._binding.read("latents", self._fed_back)
            self._steps = True
        self._run(1)

    def _run(self, positions: int) -> None:
        self._last[:] = positions - 1
        self._seqlens_k[:] = self.lengths - 1
        self._total[()] = self.lengths.max()
        self._binding.run()


def _named(caches: Floats, when: str) -> dict[str, Floats]:
    """Keys and values by the graph's names: the past and the present are the same arrays."""
    return {
        f"{when}_{kind}_{index}": cache[place]
        for index, cache in enumerate(caches)
        for place, kind in enumerate(("key", "value"))
    }
