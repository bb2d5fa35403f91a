"""Contract between generation and an engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.pocket.voice_state import VoiceState

Samples = NDArray[np.float32]
"""Mono audio, -1 to 1, at the model's rate."""

Latents = NDArray[np.float32]
"""Normalised latents ``[T, latent_dim]``, one for each frame of audio."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next latent is drawn; a ``ConfigError``, with ``TTSModel``'s names, for an impossible value.

    ``temperature`` is the variance of the noise (0: always the same speech), ``steps`` those of the sampler, and
    ``noise_clamp`` bounds the noise (None: no limit).
    """

    temperature: float
    steps: int = 1
    noise_clamp: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"temp is {self.temperature}: it must be 0 or more")
        if self.steps < 1:
            raise ConfigError(f"sampler_decode_steps is {self.steps}: it must be 1 or more")
        if self.noise_clamp is not None and not self.noise_clamp >= 0:
            raise ConfigError(f"noise_clamp is {self.noise_clamp}: it must be 0 or more, or None for no limit")


class DecodeOutput(NamedTuple):
    """One step of the language model."""

    latent: NDArray[np.float32]  # [latent_dim], normalised
    eos_logit: float


class LatentGenerator(Protocol):
    """A voice that speaks one chunk of text, latent by latent."""

    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        """Read the text; return the first frame."""

    def step(self, latent: NDArray[np.float32]) -> DecodeOutput: ...

    def state(self) -> VoiceState:
        """All that was heard and said, as a voice to go on from."""


R = TypeVar("R")


class BatchRunner(Protocol[R]):
    """Speeches that are computed together: each is a row of every call. Belongs to one thread."""

    def join(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> R:
        """Begin a chunk in a voice, as ``Backend.open_speech`` does."""

    def leave(self, row: R) -> None: ...

    def read(self, row: R, tokens: Sequence[int]) -> None:
        """Read a part of the text, so that a long one does not stop the others."""

    def prefill(self, row: R, tokens: Sequence[int]) -> DecodeOutput:
        """Read the rest of the text; return the first frame."""

    def step(self, rows: Sequence[R], latents: Sequence[NDArray[np.float32]]) -> Sequence[DecodeOutput | ModelError]:
        """Read the last frames' latents; return each row's next frame, or why it has none."""


class CodecDecoder(Protocol):
    """The codec's decoder at work on one chunk."""

    def decode(self, latents: Latents) -> Samples: ...


class Backend(Protocol):
    """One loaded model."""

    sample_rate_hz: int
    frame_samples: int
    fingerprint: str
    """What the weights are known by, in the voices that they make."""
    fixed_steps: int | None
    """The sampler's steps where they cannot be chosen any more."""

    @property
    def device(self) -> Any:  # noqa: ANN401  (as the engine names it)
        ...

    def move(self, device: Any) -> None:  # noqa: ANN401
        """Move the weights; a ``ConfigError`` if the engine cannot use that device."""

    def seed(self, number: int) -> None:
        """Let the noise of what is said from now on begin with this number."""

    def open_speech(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> LatentGenerator:
        """Begin a chunk in a voice, with room for that many positions of text and audio."""

    def open_decoder(self) -> CodecDecoder: ...

    def listen(self, samples: Samples, *, sampling: SamplingParams | None = None) -> VoiceState:
        """Encode a voice prompt of any length.

        ``sampling`` does not change the voice; but PyTorch's engine draws once here without use, as pocket-tts does,
        and bounded noise takes more numbers of the generator.
        """

    def listen_on(self, voice: VoiceState, latents: Latents) -> VoiceState:
        """Hear the model's own latents after the voice prompt; return the voice with them."""

    @staticmethod
    def public(array: NDArray[np.float32]) -> Any:  # noqa: ANN401  (the array type of the engine)
        """Give an array the type that the engine's users expect.

        Voices keep this function. Bound to an engine, it would be copied and pickled with the whole model.
        """


@runtime_checkable
class BatchedBackend(Backend, Protocol):
    """A model that computes several sequences together."""

    def open_rows(self) -> BatchRunner[Any]:
        """Begin with no speech; may be called again, for others beside these."""
