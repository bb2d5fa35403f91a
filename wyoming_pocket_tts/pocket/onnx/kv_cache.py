"""Slots of the shared KV cache, and the calls on them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from mmap import ACCESS_COPY, mmap
from statistics import NormalDist

import numpy as np

from wyoming_pocket_tts.core.errors import ModelError, VoiceError
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.inference.session import OnnxSession
from wyoming_pocket_tts.pocket.backend import DecodeOutput, SamplingParams
from wyoming_pocket_tts.pocket.onnx.bundle import MAX_POSITIONS
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_state import VoiceState

_LOGGER = logging.getLogger(__name__)

_SLOTS_PER_BLOCK = 8
_SMALLEST_ROOM = 512
"""Positions: enough for a voice prompt of ten seconds and any sentence, so that usually all slots share a block."""
_LONGEST_GAP = 1
"""Slots that are computed in vain rather than to make two calls: a call costs as much as one and a half of them."""


class NoiseSampler:
    """Draws the noise that the sampler starts from: normal, truncated if a limit is set, zeros at temperature 0."""

    def __init__(self, sampling: SamplingParams, seed: np.random.SeedSequence) -> None:
        self._deviation = sampling.temperature**0.5
        self._clamp = sampling.noise_clamp
        self._generator = np.random.default_rng(seed)

    def draw(self, out: Floats) -> None:
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
    """The language model, and what its sequences need besides the graph."""

    flow: OnnxSession
    config: ModelConfig
    embed: Callable[[Sequence[int]], Floats]
    """Looks tokens up: [T, D]."""
    bos: Floats
    """Stands for the latent before the first one, [latent_dim]."""
    noise: Callable[[SamplingParams], NoiseSampler]
    """A new sampler; raises a ModelError for other sampler steps than the model was converted for."""


@dataclass(eq=False, slots=True)
class Slot:
    """One sequence in a block of the KV cache."""

    block: "SlotBlock"
    index: int
    voice: VoiceState | None
    noise: NoiseSampler
    length: int
    """Positions so far, the voice included."""


class SlotPool:
    """The KV cache of all sequences of a model: blocks of slots, more and larger ones as they are needed."""

    def __init__(self, model: BatchedFlowModel) -> None:
        self._model = model
        self._blocks: list[SlotBlock] = []

    @property
    def capacity(self) -> int:
        return _SLOTS_PER_BLOCK * len(self._blocks)

    def join(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> Slot:
        """Allocate a slot that begins with a voice, with room for ``positions`` of text and audio.

        Raises a VoiceError if voice and text together are too long.
        """
        needed = voice.layers[0].shape[1] + positions
        noise = self._model.noise(sampling)
        block = next((each for each in self._blocks if each.room >= needed and not each.is_full), None)
        if block is None:
            check_positions(needed)
            room = _SMALLEST_ROOM
            while room < needed:
                room *= 2
            block = SlotBlock(self._model, slots=_SLOTS_PER_BLOCK, room=room)
            self._blocks.append(block)
        return block.allocate(voice, noise)

    def leave(self, slot: Slot) -> None:
        """Free a slot. A block without sequences goes, unless it is the only one."""
        slot.block.slots[slot.index] = None
        if not slot.block.taken and len(self._blocks) > 1:
            self._blocks.remove(slot.block)

    def read(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Prefill a part of the text; raises a ModelError if the call fails."""
        slot.block.prefill(slot, self._model.embed(tokens), None)

    def prefill(self, slot: Slot, tokens: Sequence[int]) -> DecodeOutput:
        """Prefill the rest of the text; return the first frame. Raises a ModelError if the call fails."""
        return slot.block.prefill(slot, self._model.embed(tokens), self._model.bos)

    def step(self, slots: Sequence[Slot], latents: Sequence[Floats]) -> list[DecodeOutput | ModelError]:
        """Decode the next frame of each slot after its last latent [latent_dim], or return the error.

        Where a call for several slots fails, each is tried alone, so that one failure does not end the others.
        """
        last = dict(zip(slots, latents, strict=True))
        outputs: dict[Slot, DecodeOutput | ModelError] = {}
        for block in self._blocks:
            block.close_gaps()
            for group in _neighbours(sorted((each for each in slots if each.block is block), key=lambda x: x.index)):
                outputs |= _decode(block, {slot: last[slot] for slot in group})
        return [*map(outputs.__getitem__, slots)]


def _decode(block: "SlotBlock", latents: dict[Slot, Floats]) -> "Mapping[Slot, DecodeOutput | ModelError]":
    try:
        return block.decode(latents)
    except ModelError as error:
        if len(latents) == 1:
            return dict.fromkeys(latents, error)
        _LOGGER.warning("a step of %d sequences failed, so each is tried alone: %s", len(latents), error)
        return {slot: _decode(block, {slot: latent})[slot] for slot, latent in latents.items()}


def _neighbours(slots: Sequence[Slot]) -> list[list[Slot]]:
    """Cut slots, in the order of their indices, at the gaps that are too long."""
    groups: list[list[Slot]] = []
    for slot in slots:
        if not groups or slot.index - groups[-1][-1].index > 1 + _LONGEST_GAP:
            groups.append([])
        groups[-1].append(slot)
    return groups


class SlotBlock:
    """Slots with the same room in one array, so that neighbours can be computed in one call without a copy."""

    def __init__(self, model: BatchedFlowModel, *, slots: int, room: int) -> None:
        self.room = room
        self.slots: list[Slot | None] = [None] * slots
        self._voices: list[VoiceState | None] = [None] * slots  # what each slot begins with, also while it is free
        self._model = model
        self._caches = empty_caches(model.config, slots=slots, room=room)
        self._sessions: dict[tuple[int, int], FlowSession] = {}  # by first slot and count

    @property
    def is_full(self) -> bool:
        return None not in self.slots

    @property
    def taken(self) -> list[Slot]:
        return [slot for slot in self.slots if slot is not None]

    def allocate(self, voice: VoiceState | None, noise: NoiseSampler) -> Slot:
        """Take a free slot beside those taken, if possible one that has the voice already."""
        taken = [slot.index for slot in self.taken]
        near = range(max(0, min(taken) - 1), min(len(self.slots), max(taken) + 2)) if taken else range(len(self.slots))
        free = [index for index in near if self.slots[index] is None]
        index = next((index for index in free if self._voices[index] is voice), free[0])
        if voice is not None and self._voices[index] is not voice:
            write_voice(self._caches[:, :, index], voice)
            self._voices[index] = voice
        length = voice.layers[0].shape[1] if voice is not None else 0
        slot = self.slots[index] = Slot(self, index, voice, noise, length)
        return slot

    def close_gaps(self) -> None:
        """Move the outermost slots into the gaps between the others."""
        while taken := self.taken:
            gaps = [index for index in range(taken[0].index, taken[-1].index) if self.slots[index] is None]
            if not gaps:
                return
            slot, index = taken[-1], gaps[0]
            self._caches[:, :, index, :, : slot.length] = self._caches[:, :, slot.index, :, : slot.length]
            self.slots[slot.index], self.slots[index] = None, slot
            slot.index, self._voices[index] = index, slot.voice

    def prefill(self, slot: Slot, inputs: Floats, latent: Floats | None) -> DecodeOutput:
        """Read [S, D], and a latent [latent_dim] behind them; the output is of use after the last part only."""
        session = self._session(slot.index, 1)
        length = slot.length + len(inputs) + (latent is not None)
        session.lengths[0] = length
        slot.noise.draw(session.noise)
        session.prefill(inputs[None], latent)
        slot.length = length  # not before the call: after a failure the positions do not count
        return DecodeOutput(session.latent[0].copy(), float(session.eos_logit[0]))

    def decode(self, latents: Mapping[Slot, Floats]) -> dict[Slot, DecodeOutput]:
        """The next frame of each slot after its last latent [latent_dim], in one call."""
        first, last = min(slot.index for slot in latents), max(slot.index for slot in latents)
        session = self._session(first, last - first + 1)
        inputs = np.zeros_like(session.latent)
        for row, slot in enumerate(self.slots[first : last + 1]):
            if slot is not None and slot in latents:
                inputs[row] = latents[slot]
                slot.noise.draw(session.noise[row])
                session.lengths[row] = slot.length + 1
            else:
                # slots between those are computed as well: what they get behind their last position is overwritten
                # later; a slot that is full gets it at its last position, which it will not need any more
                voice = self._voices[first + row]
                length = slot.length if slot is not None else voice.length if voice is not None else 0
                session.lengths[row] = min(length + 1, self.room)
        session.decode(inputs)
        outputs = {}
        for slot in latents:
            slot.length += 1
            row = slot.index - first
            outputs[slot] = DecodeOutput(session.latent[row].copy(), float(session.eos_logit[row]))
        return outputs

    def state(self, slot: Slot) -> tuple[Floats, ...]:
        """Copies of all keys and values of a slot: for each layer [2, T, kv_heads, head_dim]."""
        used = self._caches[:, :, slot.index, :, : slot.length].transpose(0, 1, 3, 2, 4)
        return tuple(np.ascontiguousarray(layer) for layer in used)

    def _session(self, first: int, count: int) -> "FlowSession":
        if (first, count) not in self._sessions:
            caches = self._caches[:, :, first : first + count]
            self._sessions[first, count] = FlowSession(self._model.flow, self._model.config, caches)
        return self._sessions[first, count]


class FlowSession:
    """The graph of ``flow_graphs``, bound to B neighbouring slots, which each call extends in place.

    Before a call, ``noise`` [B, latent_dim] and ``lengths`` [B], the slots' positions after it, must be set. Results
    are in ``latent`` [B, latent_dim] and ``eos_logit`` [B]. Belongs to one thread at a time.
    """

    def __init__(self, flow: OnnxSession, config: ModelConfig, caches: Floats) -> None:
        batch, latent_dim = caches.shape[2], config.latent_dim
        self.noise: Floats = np.zeros((batch, latent_dim), np.float32)
        self.lengths = np.ones(batch, np.int64)
        self.latent: Floats = np.empty((batch, latent_dim), np.float32)
        self.eos_logit: Floats = np.empty(batch, np.float32)
        self._last = np.zeros(batch, np.int64)
        self._seqlens_k = np.zeros(batch, np.int32)
        self._total = np.zeros((), np.int32)
        self._no_inputs: Floats = np.empty((batch, 0, config.flow_lm.transformer.d_model), np.float32)
        self._no_latents: Floats = np.empty((batch, 0, latent_dim), np.float32)
        self._last_latents: Floats = np.empty((batch, 1, latent_dim), np.float32)
        self._decodes = False  # whether inputs and latents are bound for ``decode``
        self._binding = flow.bind(
            {
                "noise": self.noise,
                "last": self._last,
                "seqlens_k": self._seqlens_k,
                "total_sequence_length": self._total,
                **cache_names(caches, "past"),
            },
            {"latent": self.latent, "eos_logit": self.eos_logit, **cache_names(caches, "present")},
        )

    def prefill(self, inputs: Floats, latent: Floats | None) -> None:
        """Read [B, S, D], and a latent [latent_dim] behind them; several positions need B = 1."""
        self._decodes = False
        if latent is not None:
            self._last_latents[:, 0] = latent
        self._set_positions(inputs.shape[1] + (latent is not None))
        self._binding.read("inputs", np.ascontiguousarray(inputs, np.float32))
        self._binding.read("latents", self._no_latents if latent is None else self._last_latents)
        self._binding.run()

    def decode(self, latents: Floats) -> None:
        self._last_latents[:, 0] = latents
        self._set_positions(1)
        if not self._decodes:
            self._binding.read("inputs", self._no_inputs)
            self._binding.read("latents", self._last_latents)
            self._decodes = True
        self._binding.run()

    def _set_positions(self, new: int) -> None:
        self._last[:] = new - 1
        self._seqlens_k[:] = self.lengths - 1
        self._total[()] = self.lengths.max()


def empty_caches(config: ModelConfig, *, slots: int, room: int) -> Floats:
    """Keys and values of all layers, [layers, 2, slots, kv_heads, room, head_dim].

    Memory comes page by page as it is written to: NumPy's own arrays get large pages, which take twice as much where
    most of the room stays empty, and are no faster.
    """
    sizes = config.flow_lm.transformer
    shape = (sizes.num_layers, 2, slots, sizes.kv_heads, room, sizes.head_dim)
    pages = mmap(-1, prod(shape) * np.dtype(np.float32).itemsize, access=ACCESS_COPY)  # this process's alone
    return np.frombuffer(pages, np.float32).reshape(shape)


def cache_names(caches: Floats, when: str) -> dict[str, Floats]:
    """Keys and values by the graph's names for the ``past`` or the ``present``: the same arrays for both."""
    return {
        f"{when}_{kind}_{index}": cache[place]
        for index, cache in enumerate(caches)
        for place, kind in enumerate(("key", "value"))
    }


def write_voice(slot: Floats, voice: VoiceState) -> None:
    """Write a voice's keys and values to the beginning of a slot [layers, 2, kv_heads, room, head_dim]."""
    for cache, layer in zip(slot, voice.layers, strict=True):
        cache[:, :, : layer.shape[1]] = layer.transpose(0, 2, 1, 3)


def check_positions(positions: int) -> None:
    if positions > MAX_POSITIONS:
        raise VoiceError(
            f"the voice and the text have {positions} positions: {MAX_POSITIONS} are possible; use less audio"
        )
