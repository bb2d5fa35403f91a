"""Slots of the shared KV cache, and the calls on them."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import prod
from mmap import ACCESS_COPY, mmap
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ModelError, VoiceError
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.pocket.backend import DecodeOutput, SamplingParams
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_state import VoiceState

_LOGGER = logging.getLogger(__name__)

_ROWS = 8
_SMALLEST_ROOM = 512
"""Positions: enough for a voice prompt of ten seconds and any sentence, so that usually all rows share a block."""
_LONGEST_GAP = 1
"""Rows that are computed in vain rather than to make two calls: a call costs as much as one and a half of them."""


class NoiseSampler:
    """Draws what the sampler starts from.

    Args:
        sampling: variance and limits.
        seed: of the generator.
    """

    def __init__(self, sampling: SamplingParams, seed: np.random.SeedSequence) -> None:
        self._deviation = sampling.temperature**0.5
        self._clamp = sampling.noise_clamp
        self._generator = np.random.default_rng(seed)

    def draw(self, out: NDArray[np.float32]) -> None:
        """Fill an array with normal noise, truncated if a limit is set; with zeros at temperature 0."""
        if not self._deviation:
            out[...] = 0
        elif self._clamp is None:
            self._generator.standard_normal(dtype=np.float32, out=out)
            out *= self._deviation
        else:
            normal = NormalDist(0, self._deviation)
            low, high = normal.cdf(-self._clamp), normal.cdf(self._clamp)
            quantiles = np.clip(self._generator.uniform(low, high, out.shape), 1e-12, 1 - 1e-12)
            out[...] = np.vectorize(normal.inv_cdf)(quantiles)
            np.clip(out, -self._clamp, self._clamp, out=out)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchedFlowModel:
    """What speaking takes of a model.

    Attributes:
        flow: the language model's graph.
        embed: looks tokens up, ``[T, D]``.
        bos: stands for the latent before the first one, ``[latent_dim]``.
        noise: begins what a speech's latents are drawn from.
    """

    flow: OnnxSession
    config: ModelConfig
    embed: Callable[[Sequence[int]], Floats]
    bos: Floats
    noise: Callable[[SamplingParams], NoiseSampler]


@dataclass(eq=False, slots=True)
class Slot:
    """One chunk of a speech, at its place."""

    block: "_Block"
    place: int
    voice: VoiceState
    noise: NoiseSampler
    length: int
    """Positions so far."""


class SlotPool:
    """All speeches of a model.

    Args:
        model: what computes them.
    """

    def __init__(self, model: BatchedFlowModel) -> None:
        self._model = model
        self._blocks: list[_Block] = []

    @property
    def capacity(self) -> int:
        """Rows that memory is set aside for."""
        return _ROWS * len(self._blocks)

    def join(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> Slot:
        """Begin a chunk in a voice, with room for that many positions of text and audio.

        Raises:
            VoiceError: voice and text together are too long.
            ModelError: the sampler has other steps than the model was converted for.
        """
        noise = self._model.noise(sampling)
        room = voice.length + positions
        block = next((each for each in self._blocks if each.room >= room and not each.is_full), None)
        if block is None:
            block = _Block(self._model, _room_class(room))
            self._blocks.append(block)
        return block.join(voice, noise)

    def leave(self, row: Slot) -> None:
        """Give a place back. A block without rows goes, unless it is the only one."""
        row.block.leave(row)
        if row.block.is_empty and len(self._blocks) > 1:
            self._blocks.remove(row.block)

    def read(self, row: Slot, tokens: Sequence[int]) -> None:
        """Let a row remember a part of its text.

        Raises:
            ModelError: the call failed.
        """
        row.block.read(row, self._model.embed(tokens), None)

    def prefill(self, row: Slot, tokens: Sequence[int]) -> DecodeOutput:
        """Read the rest of a row's text; return its first frame.

        Raises:
            ModelError: the call failed.
        """
        return row.block.read(row, self._model.embed(tokens), self._model.bos)

    def step(self, rows: Sequence[Slot], latents: Sequence[Floats]) -> list[DecodeOutput | ModelError]:
        """Let rows read their last latents, ``[latent_dim]`` each; return the next frame of each, or why there is none.

        Where a call for several rows fails, each is tried alone, so that none suffers for another.
        """
        said = dict(zip(rows, latents, strict=True))
        found: dict[Slot, DecodeOutput | ModelError] = {}
        for block in self._blocks:
            block.close_gaps()
            for together in _neighbours(sorted((row for row in rows if row.block is block), key=lambda row: row.place)):
                found |= block.step({row: said[row] for row in together})
        return [found[row] for row in rows]


class FlowSession:
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

    def __init__(self, flow: OnnxSession, config: ModelConfig, caches: Floats) -> None:
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


@dataclass(eq=False)
class _Block:
    """Places of one size."""

    model: BatchedFlowModel
    room: int
    rows: list[Slot | None] = field(default_factory=lambda: [None] * _ROWS)
    voices: list[VoiceState | None] = field(default_factory=lambda: [None] * _ROWS)
    """Whose keys and values each place begins with, also when nobody is there any more."""

    def __post_init__(self) -> None:
        self._caches = empty_caches(self.model.config, rows=_ROWS, room=self.room)
        self._runs: dict[tuple[int, int], FlowSession] = {}

    @property
    def is_full(self) -> bool:
        return None not in self.rows

    @property
    def is_empty(self) -> bool:
        return not self._taken

    @property
    def _taken(self) -> list[Slot]:
        return [row for row in self.rows if row is not None]

    def join(self, voice: VoiceState, noise: NoiseSampler) -> Slot:
        place = self._place_for(voice)
        if self.voices[place] is not voice:
            write_voice(self._caches[:, :, place], voice)
            self.voices[place] = voice
        row = self.rows[place] = Slot(self, place, voice, noise, voice.length)
        return row

    def _place_for(self, voice: VoiceState) -> int:
        """A free place beside those taken, if possible one that has the voice already."""
        taken = [row.place for row in self._taken]
        near = range(max(0, min(taken) - 1), min(_ROWS, max(taken) + 2)) if taken else range(_ROWS)
        free = [place for place in near if self.rows[place] is None]
        return next((place for place in free if self.voices[place] is voice), free[0])

    def leave(self, row: Slot) -> None:
        self.rows[row.place] = None

    def close_gaps(self) -> None:
        """Move the outermost rows into the gaps between the others."""
        while taken := self._taken:
            gaps = [place for place in range(taken[0].place, taken[-1].place) if self.rows[place] is None]
            if not gaps:
                return
            self._move(taken[-1], gaps[0])

    def _move(self, row: Slot, place: int) -> None:
        self._caches[:, :, place, :, : row.length] = self._caches[:, :, row.place, :, : row.length]
        self.rows[row.place], self.rows[place] = None, row
        row.place, self.voices[place] = place, row.voice

    def read(self, row: Slot, inputs: Floats, latent: Floats | None) -> DecodeOutput:
        """Read ``[S, D]`` and a latent behind them."""
        length = row.length + len(inputs) + (latent is not None)
        run = self._run(row.place, 1)
        run.lengths[0] = length
        row.noise.draw(run.noise)
        run.read(inputs[None], latent)
        row.length = length
        return DecodeOutput(run.latent[0].copy(), float(run.eos_logit[0]))

    def step(self, said: dict[Slot, Floats]) -> "dict[Slot, DecodeOutput | ModelError]":
        try:
            return dict(self._step(said))
        except ModelError as error:
            if len(said) == 1:
                return dict.fromkeys(said, error)
            _LOGGER.warning("a step of %d speeches failed, so each is tried alone: %s", len(said), error)
            return {row: self.step({row: latent})[row] for row, latent in said.items()}

    def _step(self, said: dict[Slot, Floats]) -> Iterator[tuple[Slot, DecodeOutput]]:
        """One call, for these rows and those between them, whose caches get something that is overwritten later."""
        first, last = min(row.place for row in said), max(row.place for row in said)
        run = self._run(first, last - first + 1)
        fed_back = np.zeros_like(run.latent)
        for index, row in enumerate(self.rows[first : last + 1]):
            if row in said:
                fed_back[index] = said[row]
                row.noise.draw(run.noise[index])
            run.lengths[index] = self._end(first + index)
        run.step(fed_back)
        for row in said:
            row.length += 1
            yield row, DecodeOutput(run.latent[row.place - first].copy(), float(run.eos_logit[row.place - first]))

    def _end(self, place: int) -> int:
        """Positions of a place after another one: at most all, for a row that is full has said all that it will."""
        row, voice = self.rows[place], self.voices[place]
        length = row.length if row is not None else voice.length if voice is not None else 0
        return min(length + 1, self.room)

    def _run(self, first: int, count: int) -> FlowSession:
        if (first, count) not in self._runs:
            caches = self._caches[:, :, first : first + count]
            self._runs[first, count] = FlowSession(self.model.flow, self.model.config, caches)
        return self._runs[first, count]


def write_voice(row: Floats, voice: VoiceState) -> None:
    """Write a voice's keys and values where a row's begin, [layers, 2, key heads, room, head width]."""
    for cache, layer in zip(row, voice.layers, strict=True):
        cache[:, :, : voice.length] = layer.transpose(0, 2, 1, 3)


def check_positions(positions: int) -> None:
    """Refuse what the graph has no positions for.

    Raises:
        VoiceError: voice and text together are too long.
    """
    if positions > MAX_POSITIONS:
        raise VoiceError(
            f"the voice and the text have {positions} positions: {MAX_POSITIONS} are possible; use less audio"
        )


def _room_class(positions: int) -> int:
    check_positions(positions)
    room = _SMALLEST_ROOM
    while room < positions:
        room *= 2
    return room


def _neighbours(rows: Sequence[Slot]) -> Iterator[list[Slot]]:
    """Cut rows, in the order of their places, where the gaps are."""
    numbers = [0]
    for before, row in pairwise(rows):
        numbers.append(numbers[-1] + (row.place - before.place > 1 + _LONGEST_GAP))
    for _, group in groupby(zip(rows, numbers, strict=False), key=lambda pair: pair[1]):
        yield [row for row, _ in group]


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


def _named(caches: Floats, when: str) -> dict[str, Floats]:
    """Keys and values by the graph's names: the past and the present are the same arrays."""
    return {
        f"{when}_{kind}_{index}": cache[place]
        for index, cache in enumerate(caches)
        for place, kind in enumerate(("key", "value"))
    }
