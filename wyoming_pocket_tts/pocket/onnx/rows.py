"""Speeches of one model side by side: each a row of shared caches, so that one call gives all of them their next frame.

Knows nothing about whose turn it is, nor when a speech is over. Belongs to one thread at a time.

The graph wants the rows of a call one behind the other in memory. Rows come and go, so: a newcomer takes a place beside
the others, and when one leaves between them, the outermost moves into the gap. Nothing else is ever copied. A block of
places has room for ``_ROWS`` speeches; batches larger than that gain little. Whoever finds no place gets a new block.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import ModelError, VoiceError
from wyoming_pocket_tts.inference import Network
from wyoming_pocket_tts.pocket.backend import Frame, Sampling
from wyoming_pocket_tts.pocket.onnx.flow_run import MAX_POSITIONS, FlowRun, empty_caches
from wyoming_pocket_tts.pocket.onnx.noise import Noise
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.voices.state import VoiceState

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]

_ROWS = 8
_SMALLEST_ROOM = 512
"""Positions: enough for a voice prompt of ten seconds and any sentence, so that usually all rows share a block."""
_LONGEST_GAP = 1
"""Rows that are computed in vain rather than to make two calls: a call costs as much as one and a half of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowModel:
    """What speaking takes of a model.

    Attributes:
        flow: the language model's graph.
        embed: looks tokens up, ``[T, D]``.
        bos: stands for the latent before the first one, ``[latent_dim]``.
        noise: begins what a speech's latents are drawn from.
    """

    flow: Network
    config: ModelConfig
    embed: Callable[[Sequence[int]], Floats]
    bos: Floats
    noise: Callable[[Sampling], Noise]


@dataclass(eq=False, slots=True)
class Row:
    """One chunk of a speech, at its place."""

    block: "_Block"
    place: int
    voice: VoiceState
    noise: Noise
    length: int
    """Positions so far."""


class Rows:
    """All speeches of a model.

    Args:
        model: what computes them.
    """

    def __init__(self, model: FlowModel) -> None:
        self._model = model
        self._blocks: list[_Block] = []

    @property
    def capacity(self) -> int:
        """Rows that memory is set aside for."""
        return _ROWS * len(self._blocks)

    def join(self, voice: VoiceState, *, positions: int, sampling: Sampling) -> Row:
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

    def leave(self, row: Row) -> None:
        """Give a place back. A block without rows goes, unless it is the only one."""
        row.block.leave(row)
        if row.block.is_empty and len(self._blocks) > 1:
            self._blocks.remove(row.block)

    def read(self, row: Row, tokens: Sequence[int]) -> None:
        """Let a row remember a part of its text.

        Raises:
            ModelError: the call failed.
        """
        row.block.read(row, self._model.embed(tokens), None)

    def prefill(self, row: Row, tokens: Sequence[int]) -> Frame:
        """Read the rest of a row's text; return its first frame.

        Raises:
            ModelError: the call failed.
        """
        return row.block.read(row, self._model.embed(tokens), self._model.bos)

    def step(self, rows: Sequence[Row], latents: Sequence[Floats]) -> list[Frame | ModelError]:
        """Let rows read their last latents, ``[latent_dim]`` each; return the next frame of each, or why there is none.

        Where a call for several rows fails, each is tried alone, so that none suffers for another.
        """
        said = dict(zip(rows, latents, strict=True))
        found: dict[Row, Frame | ModelError] = {}
        for block in self._blocks:
            block.close_gaps()
            for together in _neighbours(sorted((row for row in rows if row.block is block), key=lambda row: row.place)):
                found |= block.step({row: said[row] for row in together})
        return [found[row] for row in rows]


@dataclass(eq=False)
class _Block:
    """Places of one size."""

    model: FlowModel
    room: int
    rows: list[Row | None] = field(default_factory=lambda: [None] * _ROWS)
    voices: list[VoiceState | None] = field(default_factory=lambda: [None] * _ROWS)
    """Whose keys and values each place begins with, also when nobody is there any more."""

    def __post_init__(self) -> None:
        self._caches = empty_caches(self.model.config, rows=_ROWS, room=self.room)
        self._runs: dict[tuple[int, int], FlowRun] = {}

    @property
    def is_full(self) -> bool:
        return None not in self.rows

    @property
    def is_empty(self) -> bool:
        return not self._taken

    @property
    def _taken(self) -> list[Row]:
        return [row for row in self.rows if row is not None]

    def join(self, voice: VoiceState, noise: Noise) -> Row:
        place = self._place_for(voice)
        if self.voices[place] is not voice:
            put_voice(self._caches[:, :, place], voice)
            self.voices[place] = voice
        row = self.rows[place] = Row(self, place, voice, noise, voice.length)
        return row

    def _place_for(self, voice: VoiceState) -> int:
        """A free place beside those taken, if possible one that has the voice already."""
        taken = [row.place for row in self._taken]
        near = range(max(0, min(taken) - 1), min(_ROWS, max(taken) + 2)) if taken else range(_ROWS)
        free = [place for place in near if self.rows[place] is None]
        return next((place for place in free if self.voices[place] is voice), free[0])

    def leave(self, row: Row) -> None:
        self.rows[row.place] = None

    def close_gaps(self) -> None:
        """Move the outermost rows into the gaps between the others."""
        while taken := self._taken:
            gaps = [place for place in range(taken[0].place, taken[-1].place) if self.rows[place] is None]
            if not gaps:
                return
            self._move(taken[-1], gaps[0])

    def _move(self, row: Row, place: int) -> None:
        self._caches[:, :, place, :, : row.length] = self._caches[:, :, row.place, :, : row.length]
        self.rows[row.place], self.rows[place] = None, row
        row.place, self.voices[place] = place, row.voice

    def read(self, row: Row, inputs: Floats, latent: Floats | None) -> Frame:
        """Read ``[S, D]`` and a latent behind them."""
        length = row.length + len(inputs) + (latent is not None)
        run = self._run(row.place, 1)
        run.lengths[0] = length
        row.noise.draw(run.noise)
        run.read(inputs[None], latent)
        row.length = length
        return Frame(run.latent[0].copy(), float(run.eos_logit[0]))

    def step(self, said: dict[Row, Floats]) -> "dict[Row, Frame | ModelError]":
        try:
            return dict(self._step(said))
        except ModelError as error:
            if len(said) == 1:
                return dict.fromkeys(said, error)
            logger.warning("a step of %d speeches failed, so each is tried alone: %s", len(said), error)
            return {row: self.step({row: latent})[row] for row, latent in said.items()}

    def _step(self, said: dict[Row, Floats]) -> Iterator[tuple[Row, Frame]]:
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
            yield row, Frame(run.latent[row.place - first].copy(), float(run.eos_logit[row.place - first]))

    def _end(self, place: int) -> int:
        """Positions of a place after another one: at most all, for a row that is full has said all that it will."""
        row, voice = self.rows[place], self.voices[place]
        length = row.length if row is not None else voice.length if voice is not None else 0
        return min(length + 1, self.room)

    def _run(self, first: int, count: int) -> FlowRun:
        if (first, count) not in self._runs:
            caches = self._caches[:, :, first : first + count]
            self._runs[first, count] = FlowRun(self.model.flow, self.model.config, caches)
        return self._runs[first, count]


def put_voice(row: Floats, voice: VoiceState) -> None:
    """Write a voice's keys and values where a row's begin, [layers, 2, key heads, room, head width]."""
    for cache, layer in zip(row, voice.layers, strict=True):
        cache[:, :, : voice.length] = layer.transpose(0, 2, 1, 3)


def check_room(positions: int) -> None:
    """Refuse what the graph has no positions for.

    Raises:
        VoiceError: voice and text together are too long.
    """
    if positions > MAX_POSITIONS:
        raise VoiceError(
            f"the voice and the text have {positions} positions: {MAX_POSITIONS} are possible; use less audio"
        )


def _room_class(positions: int) -> int:
    check_room(positions)
    room = _SMALLEST_ROOM
    while room < positions:
        room *= 2
    return room


def _neighbours(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Cut rows, in the order of their places, where the gaps are."""
    numbers = [0]
    for before, row in pairwise(rows):
        numbers.append(numbers[-1] + (row.place - before.place > 1 + _LONGEST_GAP))
    for _, group in groupby(zip(rows, numbers, strict=False), key=lambda pair: pair[1]):
        yield [row for row, _ in group]
