"""The one loop that speaks: latents on one thread, their audio on the caller's, both at once.

Knows nothing about PyTorch, ONNX Runtime, files or sockets. An engine (``backend.py``) does the arithmetic.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from threading import Event, Thread
from time import monotonic
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.playback import Playback
from wyoming_pocket_tts.pocket.backend import Backend, Frame, LatentStream, Samples, Sampling
from wyoming_pocket_tts.pocket.channel import Channel, ChannelClosed
from wyoming_pocket_tts.pocket.chunk_rules import ChunkRules, frame_limit
from wyoming_pocket_tts.pocket.decoding import Decoding, Latent, frames_to_wait_for
from wyoming_pocket_tts.text.prompt import TextChunk
from wyoming_pocket_tts.voices.state import VoiceState

FRAMES_AHEAD = 64
"""Latents that may wait for the decoder: five seconds, so that a reader who pauses does not stop the generation."""


@dataclass(frozen=True, slots=True)
class Speaking:
    """How a text is spoken.

    Attributes:
        sampling: how latents are drawn.
        eos_threshold: the end is where the end's logit is above it.
        frames_after_eos: frames after the end; None lets the text decide.
        frames_per_call: frames decoded at once at most; 0 leaves it to the loop.
        continuity_seconds: how much of a chunk's own end the next chunk hears after the voice prompt, so that its tone
            carries over; 0 for a fresh start with each chunk.

    Raises:
        ConfigError: a value is not possible.
    """

    sampling: Sampling
    eos_threshold: float
    frames_after_eos: int | None = None
    frames_per_call: int = 0
    continuity_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.continuity_seconds < math.inf:
            raise ConfigError(f"continuity_seconds is {self.continuity_seconds}: it must be 0 or more")


@dataclass(frozen=True, slots=True)
class Script:
    """A speech as it is to be: who says what and how.

    Attributes:
        chunks: what to say; taken one by one, so that a text of any length needs no more memory than a short one.
    """

    voice: VoiceState
    chunks: Iterator[TextChunk]
    how: Speaking


def chunk_rules(chunk: TextChunk, how: Speaking, *, limit: int) -> ChunkRules:
    """The rules of a chunk's end."""
    after_eos = chunk.frames_after_eos if how.frames_after_eos is None else how.frames_after_eos
    return ChunkRules(len(chunk.tokens), limit=limit, eos_threshold=how.eos_threshold, frames_after_eos=after_eos)


def speak(
    backend: Backend,
    voice: VoiceState,
    chunks: Iterable[TextChunk],
    how: Speaking,
    *,
    stop: Event | None = None,
    spoken: Callable[[VoiceState], None] | None = None,
) -> Generator[Samples, None, None]:
    """Yield the speech piece by piece, each as soon as it is decoded.

    Nothing happens before the first piece is asked for. The thread that generates is joined when the iterator ends, is
    closed, or raises.

    Args:
        backend: the model.
        voice: who speaks.
        chunks: what to say; taken one by one, so that a text of any length needs no more memory than a short one.
        how: options.
        stop: once set, nothing further is generated and the speech ends early.
        spoken: is given the state after each chunk, or what there is of it when the speech ends early, on the thread
            that generates; the next chunk then goes on from there instead of returning to the voice prompt.

    Raises:
        RuntimeError: the engine failed; what was decoded before has been yielded.
    """
    stop = stop or Event()
    channel: Channel[Latent] = Channel(FRAMES_AHEAD)

    def generate() -> None:
        try:
            with closing(_latents(backend, voice, chunks, how, stop=stop, spoken=spoken)) as latents:
                for latent in latents:
                    channel.put(latent)
            channel.finish()
        except ChannelClosed:
            pass
        except BaseException as error:  # noqa: BLE001  (it is raised again where somebody can act on it)
            channel.finish(error)

    thread = Thread(target=generate, name="pocket-latents", daemon=True)
    thread.start()
    # Called below or, where a program ends amid a speech, when Python does: PyTorch aborts if its threads are cut off.
    end = finalize(channel, _end, channel, thread)
    try:
        yield from _audio(backend, channel, how, stop)
    finally:
        end()


def _end(channel: Channel[Latent], thread: Thread) -> None:
    channel.close()
    thread.join()


def _latents(
    backend: Backend,
    voice: VoiceState,
    chunks: Iterable[TextChunk],
    how: Speaking,
    *,
    stop: Event,
    spoken: Callable[[VoiceState], None] | None,
) -> Generator[Latent, None, None]:
    """Generate chunk after chunk, each in the voice that the one before it leaves."""
    current = voice
    frames_per_second = backend.sample_rate_hz / backend.frame_samples
    tail: deque[NDArray[np.float32]] = deque(maxlen=math.ceil(how.continuity_seconds * frames_per_second))
    for index, chunk in enumerate(chunks):
        if stop.is_set():
            return
        if tail and spoken is None:
            current = backend.listen_on(voice, np.stack(tail))
        limit = frame_limit(len(chunk.tokens), frames_per_second)
        stream = backend.open_speech(current, positions=len(chunk.tokens) + limit, sampling=how.sampling)
        tail.clear()
        try:
            for latent in chunk_latents(stream, chunk, how, limit=limit, stop=stop):
                yield Latent(index, latent)
                tail.append(latent)
        finally:  # also of a chunk that its hearer leaves
            if spoken is not None:
                current = stream.state()
                spoken(current)


def chunk_latents(
    stream: LatentStream, chunk: TextChunk, how: Speaking, *, limit: int, stop: Event
) -> Iterator[NDArray[np.float32]]:
    """Yield the latents ``[latent_dim]`` of one chunk: until a few frames after its end, or until the limit."""
    rules = chunk_rules(chunk, how, limit=limit)
    frame: Frame | None = None
    while not (rules.over or stop.is_set()):
        frame = stream.prefill(chunk.tokens) if frame is None else stream.step(frame.latent)
        if rules.accept(frame):
            yield frame.latent


def _audio(backend: Backend, channel: Channel[Latent], how: Speaking, stop: Event) -> Iterator[Samples]:
    """Decode what waits, in calls that never reach over the end of a chunk."""
    decoding = Decoding(backend, how.frames_per_call)
    per_call = decoding.frames_per_call
    frame_seconds = backend.frame_samples / backend.sample_rate_hz
    playback = Playback()
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
