"""An engine made of counters whose speeches are computed together, and which notes what it is asked."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.pocket.backend import DecodeOutput, Latents, Samples, SamplingParams
from wyoming_pocket_tts.pocket.generate import GenerationParams, GenerationRequest
from wyoming_pocket_tts.pocket.text import TextChunk
from wyoming_pocket_tts.pocket.voice_state import VoiceState

FRAME_SAMPLES = 240
RATE_HZ = 3000
PATIENCE_SECONDS = 20.0


@dataclass(eq=False)
class CountedRow:
    """Its frames are 1, 2, 3, ... plus the length of its voice times 1000."""

    voice: VoiceState
    ends_at: int
    made: int = 0
    read: int = 0


@dataclass
class SharedEngine:
    """Chunks end after as many frames as the voice is long, the ones after the end not counted.

    ``before`` is called ahead of each step with its rows, and may wait or raise; ``results`` may change its frames.
    """

    before: Callable[[Sequence[CountedRow]], None] = lambda _: None
    results: Callable[[CountedRow, DecodeOutput], DecodeOutput | ModelError] = lambda _, frame: frame
    join_fails: BaseException | None = None
    joined: list[CountedRow] = field(default_factory=list)
    left: list[CountedRow] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)
    opened: int = 0

    sample_rate_hz = RATE_HZ
    frame_samples = FRAME_SAMPLES
    fingerprint = "counters"
    fixed_steps: int | None = None
    device = "cpu"

    def open_rows(self) -> "SharedEngine":
        self.opened += 1
        return self

    def join(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> CountedRow:
        if self.join_fails is not None:
            raise self.join_fails
        row = CountedRow(voice, ends_at=voice.length)
        self.joined.append(row)
        return row

    def leave(self, row: CountedRow) -> None:
        assert row not in self.left
        self.left.append(row)

    def read(self, row: CountedRow, tokens: Sequence[int]) -> None:
        self.asked.append(("read", len(tokens)))
        row.read += len(tokens)

    def prefill(self, row: CountedRow, tokens: Sequence[int]) -> DecodeOutput:
        self.asked.append(("prefill", len(tokens)))
        row.read += len(tokens)
        return self._frame(row)

    def step(
        self, rows: Sequence[CountedRow], latents: Sequence[NDArray[np.float32]]
    ) -> list[DecodeOutput | ModelError]:
        assert rows
        self.before(rows)
        self.steps.append(len(rows))
        for row, latent in zip(rows, latents, strict=True):
            assert latent[0] == row.made + 1000 * row.voice.length, "each step is given the latent before it"
        return [self.results(row, self._frame(row)) for row in rows]

    @staticmethod
    def _frame(row: CountedRow) -> DecodeOutput:
        row.made += 1
        value = row.made + 1000 * row.voice.length
        return DecodeOutput(np.array([value], np.float32), 1.0 if row.made > row.ends_at else -1.0)

    def open_decoder(self) -> "CountingDecoder":
        return CountingDecoder(self)

    def open_speech(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> Any:  # noqa: ANN401
        raise NotImplementedError

    def listen(self, samples: Samples, *, sampling: SamplingParams | None = None) -> VoiceState:
        raise NotImplementedError

    def listen_on(self, voice: VoiceState, latents: Latents) -> VoiceState:
        raise NotImplementedError

    def seed(self, number: int) -> None:
        raise NotImplementedError

    def move(self, device: Any) -> None:  # noqa: ANN401
        raise NotImplementedError

    @staticmethod
    def public(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array


@dataclass
class CountingDecoder:
    engine: SharedEngine

    def decode(self, latents: Latents) -> Samples:
        self.engine.decoded.append(len(latents))
        return np.repeat(latents[:, 0], FRAME_SAMPLES)


class Hold:
    """Keeps steps waiting, one by one, and says when one does."""

    def __init__(self) -> None:
        self._waiting = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)

    def __call__(self, rows: Sequence[CountedRow]) -> None:
        self._waiting.release()
        assert self._permits.acquire(timeout=PATIENCE_SECONDS)

    def until_one_waits(self) -> None:
        assert self._waiting.acquire(timeout=PATIENCE_SECONDS)

    def let(self, steps: int = 1) -> None:
        self._permits.release(steps)


def a_script(frames: int, *, chunks: int = 1, tokens: int = 60, after: int = 0, per_call: int = 0) -> GenerationRequest:
    """So many frames in each chunk, which are spoken by a voice of that length."""
    voice = VoiceState(layers=(np.zeros((2, frames, 1, 2), np.float32),))
    how = GenerationParams(
        sampling=SamplingParams(0.0), eos_threshold=0.0, frames_after_eos=after, frames_per_call=per_call
    )
    return GenerationRequest(voice, iter([TextChunk("text", tuple(range(tokens)), 9) for _ in range(chunks)]), how)


def frames_in(pieces: Sequence[Samples]) -> list[int]:
    """The value of each frame; the last sample of one, since the first ones fade in."""
    return [int(value) for value in np.concatenate([np.zeros(0), *pieces])[FRAME_SAMPLES - 1 :: FRAME_SAMPLES]]


def expected_frames(frames: int, chunks: int = 1) -> list[int]:
    return [number + 1000 * frames for _ in range(chunks) for number in range(1, frames + 1)]
