"""Single-sequence generation: frames, EOS rule, codec decoding."""

import logging
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from threading import Condition, Event, Thread
from time import monotonic
from typing import Generic, TypeVar
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.pocket.backend import (
    Backend,
    CodecDecoder,
    DecodeOutput,
    LatentGenerator,
    Samples,
    SamplingParams,
)
from wyoming_pocket_tts.pocket.text import TextChunk
from wyoming_pocket_tts.pocket.voice_state import VoiceState

T = TypeVar("T")


class ChannelClosed(Exception):  # noqa: N818  (named for the state)
    """The reader has closed its end."""


class BoundedChannel(Generic[T]):
    """Hands items from one writer to one reader, in order; the writer waits while ``capacity`` items do."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._finished = False
        self._error: BaseException | None = None
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item, as soon as there is room; raises ``ChannelClosed`` once the reader has closed its end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise ChannelClosed
            self._items.append(item)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def take(self, at_least: int = 1, *, at_most: int | None = None, patience_seconds: float | None = None) -> list[T]:
        """Take what waits, as soon as it is so many items, no more than ``at_most``; fewer, or none, at the end.

        After ``patience_seconds`` what is there, and at least one item. Raises the writer's error after the last item.
        """
        with self._changed:
            enough = min(at_least, self._capacity)
            self._changed.wait_for(lambda: len(self._items) >= enough or self._finished, timeout=patience_seconds)
            self._changed.wait_for(lambda: self._items or self._finished)
            count = len(self._items) if at_most is None else min(at_most, len(self._items))
            items = [self._items.popleft() for _ in range(count)]
            self._changed.notify_all()
            if not items and self._error is not None:
                raise self._error
            return items

    def close(self) -> None:
        """The reader goes: the writer's next or waiting ``put`` fails."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


_LOGGER = logging.getLogger(__name__)

_FIRST_FRAME_THAT_MAY_END = 6
"""Before speech has begun, some voices look as if they had finished."""
_TOKENS_PER_SECOND = 3.0
_SPARE_SECONDS = 2.0


def max_frames(tokens: int, frames_per_second: float) -> int:
    return math.ceil((tokens / _TOKENS_PER_SECOND + _SPARE_SECONDS) * frames_per_second)


class StopCriteria:
    """Decides when one chunk is over: some frames after the end-of-speech logit exceeds a threshold, or at a limit."""

    def __init__(self, tokens: int, *, limit: int, eos_threshold: float, frames_after_eos: int) -> None:
        self.over = limit < 1
        """Whether no further frame is wanted."""
        self._tokens = tokens
        self.limit = limit
        """Frames after which it is over at the latest."""
        self._eos_threshold = eos_threshold
        self._frames_after_eos = frames_after_eos
        self._index = 0
        self._last: int | None = None

    def accept(self, frame: DecodeOutput) -> bool:
        """Take the next frame; return whether it is spoken. The one that finds the chunk over is not."""
        index, self._index = self._index, self._index + 1
        if self._last is None and index >= _FIRST_FRAME_THAT_MAY_END and frame.eos_logit > self._eos_threshold:
            self._last = index + self._frames_after_eos
        if self._last is not None and index >= self._last:
            self.over = True
            return False
        if self._index == self.limit:
            self.over = True
            _LOGGER.warning(
                "no end of speech after %d frames of a chunk of %d tokens: "
                "the voice or the text may not suit the model",
                self.limit,
                self._tokens,
            )
        return True


_FADES_PER_SECOND = 200
"""The first 5 ms of a chunk fade in: a codec that starts from nothing begins with a small click."""
FRAMES_PER_CALL = 4
"""Frames decoded at once at most, unless told otherwise: more are no faster, and take memory for each."""


@dataclass(frozen=True, slots=True)
class LatentFrame:
    """A frame on its way to the decoder, and the chunk that it belongs to."""

    chunk: int
    values: NDArray[np.float32]


class CodecStream:
    """Decodes the frames of one sequence; ``frames_per_call`` at once at most, 0 for the default."""

    def __init__(self, backend: Backend, frames_per_call: int = 0) -> None:
        self.frames_per_call = frames_per_call or FRAMES_PER_CALL
        self._backend = backend
        self._decoder: CodecDecoder | None = None
        self._chunk = -1

    def decode(self, latents: Sequence[LatentFrame]) -> Samples:
        values = np.stack([latent.values for latent in latents])
        begins = self._decoder is None or latents[0].chunk != self._chunk
        if self._decoder is None or begins:
            self._decoder, self._chunk = self._backend.open_decoder(), latents[0].chunk
        samples = self._decoder.decode(values)
        return _faded_in(samples, self._backend.sample_rate_hz) if begins else samples


class PlaybackClock:
    """When a listener runs dry that plays blocks as they arrive. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.until: float | None = None
        """When there will be nothing left to hear; None before the first block."""

    def add(self, seconds: float, now: float) -> None:
        self.until = seconds + (now if self.until is None else max(self.until, now))

    def lead(self, now: float) -> float:
        """Seconds that are left to hear; negative for how long there has been nothing. 0 before the first block."""
        return 0.0 if self.until is None else self.until - now


def frames_to_wait_for(lead_seconds: float, frame_seconds: float) -> int:
    """How many frames are worth waiting for, at least one.

    Frames that are decoded together are cheaper. A listener with a lead can wait for some, as long as that takes no
    more than half of the lead, even if they come no faster than they play.
    """
    return max(1, int(lead_seconds / 2 / frame_seconds))


def _faded_in(samples: Samples, rate_hz: int) -> Samples:
    count = min(rate_hz // _FADES_PER_SECOND, len(samples))
    ramp = np.linspace(0, 1, rate_hz // _FADES_PER_SECOND, dtype=np.float32)[:count]
    return np.concatenate([samples[:count] * ramp, samples[count:]])


FRAMES_AHEAD = 64
"""Latents that may wait for the decoder: five seconds, so that a reader that pauses does not stop the generation."""


@dataclass(frozen=True, slots=True)
class GenerationParams:
    """How a text is generated.

    ``frames_after_eos``: None lets the text decide. ``frames_per_call``: frames decoded at once at most; 0 for the
    default. ``continuity_seconds``: the part of a chunk's own end that the next chunk gets behind the voice prompt, so
    that its tone carries over; 0 for a fresh start.
    """

    sampling: SamplingParams
    eos_threshold: float
    frames_after_eos: int | None = None
    frames_per_call: int = 0
    continuity_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """``chunks`` are taken one by one, so that a text of any length needs no more memory than a short one."""

    voice: VoiceState
    chunks: Iterator[TextChunk]
    how: GenerationParams


def stop_criteria(chunk: TextChunk, how: GenerationParams, frames_per_second: float) -> StopCriteria:
    limit = max_frames(len(chunk.tokens), frames_per_second)
    after_eos = chunk.frames_after_eos if how.frames_after_eos is None else how.frames_after_eos
    return StopCriteria(len(chunk.tokens), limit=limit, eos_threshold=how.eos_threshold, frames_after_eos=after_eos)


def speak(
    backend: Backend,
    voice: VoiceState,
    chunks: Iterable[TextChunk],
    how: GenerationParams,
    *,
    stop: Event | None = None,
    spoken: Callable[[VoiceState], None] | None = None,
) -> Generator[Samples, None, None]:
    """Yield the audio piece by piece, each as soon as it is decoded.

    Nothing happens before the first piece is asked for. The thread that generates is joined when the iterator ends, is
    closed, or raises. Once ``stop`` is set, generation ends early. ``spoken`` gets the state after each chunk, or what
    there is of it at an early end, on the thread that generates; the next chunk then goes on from there instead of the
    voice prompt. After an error of the engine, what was yielded before is valid.
    """
    stop = stop or Event()
    channel: BoundedChannel[LatentFrame] = BoundedChannel(FRAMES_AHEAD)

    def generate() -> None:
        try:
            with closing(_latents(backend, voice, chunks, how, stop=stop, spoken=spoken)) as latents:
                for latent in latents:
                    channel.put(latent)
            channel.finish()
        except ChannelClosed:
            pass
        except BaseException as error:  # noqa: BLE001  (it is raised again for the reader)
            channel.finish(error)

    thread = Thread(target=generate, name="pocket-latents", daemon=True)
    thread.start()
    # Called below or, where a program ends amid a speech, when Python does: PyTorch aborts if its threads are cut off.
    end = finalize(channel, _end, channel, thread)
    try:
        yield from _audio(backend, channel, how, stop)
    finally:
        end()


def _end(channel: BoundedChannel[LatentFrame], thread: Thread) -> None:
    channel.close()
    thread.join()


def _latents(
    backend: Backend,
    voice: VoiceState,
    chunks: Iterable[TextChunk],
    how: GenerationParams,
    *,
    stop: Event,
    spoken: Callable[[VoiceState], None] | None,
) -> Generator[LatentFrame, None, None]:
    """Generate chunk after chunk, each in the voice that the one before it leaves."""
    current = voice
    frames_per_second = backend.sample_rate_hz / backend.frame_samples
    tail: deque[NDArray[np.float32]] = deque(maxlen=math.ceil(how.continuity_seconds * frames_per_second))
    for index, chunk in enumerate(chunks):
        if stop.is_set():
            return
        if tail and spoken is None:
            current = backend.listen_on(voice, np.stack(tail))
        criteria = stop_criteria(chunk, how, frames_per_second)
        positions = len(chunk.tokens) + criteria.limit
        stream = backend.open_speech(current, positions=positions, sampling=how.sampling)
        tail.clear()
        try:
            for latent in chunk_latents(stream, chunk, criteria, stop=stop):
                yield LatentFrame(index, latent)
                tail.append(latent)
        finally:  # also of a chunk that its hearer leaves
            if spoken is not None:
                current = stream.state()
                spoken(current)


def chunk_latents(
    stream: LatentGenerator, chunk: TextChunk, rules: StopCriteria, *, stop: Event
) -> Iterator[NDArray[np.float32]]:
    """Yield the latents ``[latent_dim]`` of one chunk: until a few frames after its end, or until the limit."""
    frame: DecodeOutput | None = None
    while not (rules.over or stop.is_set()):
        frame = stream.prefill(chunk.tokens) if frame is None else stream.step(frame.latent)
        if rules.accept(frame):
            yield frame.latent


def _audio(
    backend: Backend, channel: BoundedChannel[LatentFrame], how: GenerationParams, stop: Event
) -> Iterator[Samples]:
    decoding = CodecStream(backend, how.frames_per_call)
    per_call = decoding.frames_per_call
    frame_seconds = backend.frame_samples / backend.sample_rate_hz
    playback = PlaybackClock()
    while True:
        lead_seconds = max(0.0, playback.lead(monotonic()))
        frames = min(per_call, frames_to_wait_for(lead_seconds, frame_seconds))
        latents = channel.take(frames, at_most=per_call, patience_seconds=lead_seconds / 2)
        if not latents:
            return
        for _, group in groupby(latents, lambda latent: latent.chunk):
            if stop.is_set():
                return
            samples = decoding.decode(list(group))
            playback.add(len(samples) / backend.sample_rate_hz, monotonic())
            yield samples
