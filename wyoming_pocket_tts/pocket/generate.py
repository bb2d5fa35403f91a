"""The one loop that speaks: latents on one thread, their audio on the caller's, both at once.

Knows nothing about PyTorch, ONNX Runtime, files or sockets. An engine (``backend.py``) does the arithmetic.
"""

import logging
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
from wyoming_pocket_tts.pocket.backend import AudioStream, Backend, Latents, LatentStream, Samples, Sampling
from wyoming_pocket_tts.pocket.channel import Channel, ChannelClosed
from wyoming_pocket_tts.text.prompt import TextChunk
from wyoming_pocket_tts.voices.state import VoiceState

logger = logging.getLogger(__name__)

_FIRST_FRAME_THAT_MAY_END = 6
"""Before speech has begun, some voices look as if they had finished."""
_TOKENS_PER_SECOND = 3.0
_SPARE_SECONDS = 2.0
_FADES_PER_SECOND = 200
"""The first 5 ms of a chunk fade in: a codec that starts from nothing begins with a small click."""
_FRAMES_AHEAD = 64
"""Latents that may wait for the decoder: five seconds, so that a reader who pauses does not stop the generation."""
_FRAMES_PER_CALL = 4
"""Frames decoded at once at most: more are no faster, and take memory for each."""


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
class _Latent:
    """A frame on its way to the decoder, and the chunk that it belongs to."""

    chunk: int
    values: NDArray[np.float32]


def frame_limit(tokens: int, frames_per_second: float) -> int:
    """Give the number of steps after which a chunk of so many tokens is given up."""
    return math.ceil((tokens / _TOKENS_PER_SECOND + _SPARE_SECONDS) * frames_per_second)


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
    channel: Channel[_Latent] = Channel(_FRAMES_AHEAD)

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


def _end(channel: Channel[_Latent], thread: Thread) -> None:
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
) -> Generator[_Latent, None, None]:
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
                yield _Latent(index, latent)
                tail.append(latent)
        finally:  # also of a chunk that its hearer leaves
            if spoken is not None:
                current = stream.state()
                spoken(current)


def chunk_latents(
    stream: LatentStream, chunk: TextChunk, how: Speaking, *, limit: int, stop: Event
) -> Iterator[NDArray[np.float32]]:
    """Yield the latents ``[latent_dim]`` of one chunk: until a few frames after its end, or until the limit."""
    after_eos = chunk.frames_after_eos if how.frames_after_eos is None else how.frames_after_eos
    last: int | None = None
    latent: NDArray[np.float32] | None = None
    for index in range(limit):
        if stop.is_set():
            return
        frame = stream.prefill(chunk.tokens) if latent is None else stream.step(latent)
        if last is None and index >= _FIRST_FRAME_THAT_MAY_END and frame.eos_logit > how.eos_threshold:
            last = index + after_eos
        if last is not None and index >= last:
            return
        latent = frame.latent
        yield latent
    logger.warning(
        "no end of speech after %d frames of a chunk of %d tokens: the voice or the text may not suit the model",
        limit,
        len(chunk.tokens),
    )


def _audio(backend: Backend, channel: Channel[_Latent], how: Speaking, stop: Event) -> Iterator[Samples]:
    """Decode what waits, in calls that never reach over the end of a chunk."""
    decoder: AudioStream | None = None
    chunk = -1
    per_call = how.frames_per_call or _FRAMES_PER_CALL
    lead = _Lead(backend.frame_samples / backend.sample_rate_hz)
    while latents := channel.take(
        at_least=min(per_call, lead.frames_to_wait_for()), patience_seconds=lead.seconds_to_wait()
    ):
        for index, group in groupby(latents, lambda latent: latent.chunk):
            frames: Latents = np.stack([latent.values for latent in group])
            begins = index != chunk
            if begins or decoder is None:
                decoder, chunk = backend.open_decoder(), index
            for first in range(0, len(frames), per_call):
                if stop.is_set():
                    return
                samples = decoder.decode(frames[first : first + per_call])
                lead.add(len(samples) / backend.sample_rate_hz)
                yield _faded_in(samples, backend.sample_rate_hz) if begins and not first else samples


class _Lead:
    """How far a speech is ahead of somebody who plays it as it comes.

    Frames that are decoded together are cheaper. Whoever is ahead can wait for some, as long as that takes no more than
    half of the lead, even if they come no faster than they play.
    """

    def __init__(self, frame_seconds: float) -> None:
        self._frame_seconds = frame_seconds
        self._began_seconds: float | None = None
        self._spoken_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count what is about to be played."""
        if self._began_seconds is None:
            self._began_seconds = monotonic()
        self._spoken_seconds += seconds

    def frames_to_wait_for(self) -> int:
        """At least one."""
        return max(1, int(self.seconds_to_wait() / self._frame_seconds))

    def seconds_to_wait(self) -> float:
        """None of whom has no lead."""
        if self._began_seconds is None:
            return 0.0
        return max(0.0, (self._spoken_seconds - (monotonic() - self._began_seconds)) / 2)


def _faded_in(samples: Samples, rate_hz: int) -> Samples:
    count = min(rate_hz // _FADES_PER_SECOND, len(samples))
    ramp = np.linspace(0, 1, rate_hz // _FADES_PER_SECOND, dtype=np.float32)[:count]
    return np.concatenate([samples[:count] * ramp, samples[count:]])
