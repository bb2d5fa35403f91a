"""From latents to audio: a fresh codec for each chunk, several frames a call where their hearer can wait for them.

Knows nothing about where latents come from, threads or clocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.pocket.backend import AudioStream, Backend, Samples

_FADES_PER_SECOND = 200
"""The first 5 ms of a chunk fade in: a codec that starts from nothing begins with a small click."""
FRAMES_PER_CALL = 4
"""Frames decoded at once at most, unless told otherwise: more are no faster, and take memory for each."""


@dataclass(frozen=True, slots=True)
class Latent:
    """A frame on its way to the decoder, and the chunk that it belongs to."""

    chunk: int
    values: NDArray[np.float32]


class Decoding:
    """The audio of one speech.

    Args:
        backend: the model.
        frames_per_call: frames decoded at once at most; 0 leaves it to this.
    """

    def __init__(self, backend: Backend, frames_per_call: int = 0) -> None:
        self.frames_per_call = frames_per_call or FRAMES_PER_CALL
        self._backend = backend
        self._decoder: AudioStream | None = None
        self._chunk = -1

    def decode(self, latents: Sequence[Latent]) -> Samples:
        """Decode the next frames, all of one chunk and no more than ``frames_per_call``."""
        begins = self._decoder is None or latents[0].chunk != self._chunk
        if self._decoder is None or begins:
            self._decoder, self._chunk = self._backend.open_decoder(), latents[0].chunk
        samples = self._decoder.decode(np.stack([latent.values for latent in latents]))
        return _faded_in(samples, self._backend.sample_rate_hz) if begins else samples


def frames_to_wait_for(lead_seconds: float, frame_seconds: float) -> int:
    """How many frames are worth waiting for, at least one.

    Frames that are decoded together are cheaper. Whoever is ahead can wait for some, as long as that takes no more than
    half of the lead, even if they come no faster than they play.
    """
    return max(1, int(lead_seconds / 2 / frame_seconds))


def _faded_in(samples: Samples, rate_hz: int) -> Samples:
    count = min(rate_hz // _FADES_PER_SECOND, len(samples))
    ramp = np.linspace(0, 1, rate_hz // _FADES_PER_SECOND, dtype=np.float32)[:count]
    return np.concatenate([samples[:count] * ramp, samples[count:]])
