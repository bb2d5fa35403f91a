"""The loop that speaks, with an engine made of counters: what is asked of it, in which order, and how it all ends."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wyoming_pocket_tts.pocket.backend import DecodeOutput, Latents, Samples, SamplingParams
from wyoming_pocket_tts.pocket.generate import GenerationParams, chunk_latents, max_frames, speak, stop_criteria
from wyoming_pocket_tts.pocket.text import TextChunk
from wyoming_pocket_tts.pocket.voice_state import VoiceState

FRAME_SAMPLES = 240
THREAD = "pocket-latents"


def a_voice(length: int = 3) -> VoiceState:
    return VoiceState(layers=(np.zeros((2, length, 1, 2), np.float32),))


def a_chunk(tokens: int = 4, words: int = 9) -> TextChunk:
    return TextChunk("text", tuple(range(tokens)), words)


HOW = GenerationParams(sampling=SamplingParams(0.0), eos_threshold=0.0)


class CountingSpeech:
    """Its latents are 1, 2, 3, ...; the end's logit is above the threshold from the given step on."""

    def __init__(self, engine: "CountingEngine", voice: VoiceState) -> None:
        self.engine, self.voice, self.steps = engine, voice, 0

    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        self.engine.asked.append(("prefill", len(tokens), self.voice.length))
        return self._next()

    def step(self, latent: NDArray[np.float32]) -> DecodeOutput:
        assert latent[0] == self.steps, "each step is given the latent before it"
        return self._next()

    def _next(self) -> DecodeOutput:
        if self.steps == self.engine.fails_at:
            raise RuntimeError("the network is on fire")
        self.steps += 1
        ended = self.engine.ends_at is not None and self.steps > self.engine.ends_at
        return DecodeOutput(np.array([self.steps], np.float32), 1.0 if ended else -1.0)

    def state(self) -> VoiceState:
        return a_voice(self.voice.length + self.steps)


class CountingDecoder:
    def __init__(self, engine: "CountingEngine") -> None:
        self.engine = engine

    def decode(self, latents: Latents) -> Samples:
        self.engine.calls.append(len(latents))
        if self.engine.decoder_fails:
            raise RuntimeError("the decoder is on fire")
        return np.repeat(latents[:, 0], FRAME_SAMPLES)


class CountingEngine:
    sample_rate_hz = 3000
    frame_samples = FRAME_SAMPLES
    fingerprint = "counters"
    fixed_steps: int | None = None
    device = "cpu"

    def __init__(self, *, ends_at: int | None = None, fails_at: int | None = None, decoder_fails: bool = False) -> None:
        self.ends_at, self.fails_at, self.decoder_fails = ends_at, fails_at, decoder_fails
        self.asked: list[tuple[Any, ...]] = []
        self.calls: list[int] = []
        self.decoders = 0

    def open_speech(self, voice: VoiceState, *, positions: int, sampling: SamplingParams) -> CountingSpeech:
        self.asked.append(("open", positions))
        return CountingSpeech(self, voice)

    def open_decoder(self) -> CountingDecoder:
        self.decoders += 1
        return CountingDecoder(self)

    def listen(self, samples: Samples, *, sampling: SamplingParams | None = None) -> VoiceState:
        raise NotImplementedError

    def listen_on(self, voice: VoiceState, latents: Latents) -> VoiceState:
        self.asked.append(("listen_on", voice.length, latents[:, 0].tolist()))
        return a_voice(voice.length + len(latents))

    def seed(self, number: int) -> None:
        raise NotImplementedError

    def move(self, device: Any) -> None:  # noqa: ANN401
        raise NotImplementedError

    @staticmethod
    def public(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array


def frames_of(pieces: Iterator[Samples]) -> list[float]:
    """Return the value of each frame; the last sample of one, since the first ones fade in."""
    return [float(value) for value in np.concatenate([*pieces])[FRAME_SAMPLES - 1 :: FRAME_SAMPLES]]


def generating_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert generating_threads() == []


@pytest.mark.parametrize(
    ("ends_at", "after", "expected"),
    [
        (10, 3, 13),
        (10, 0, 10),
        (6, 3, 9),
        (0, 3, 9),  # the first six frames cannot end
        (5, 3, 9),
        (40, 3, 42),  # the limit of 42 comes first
        (None, 3, 42),
    ],
)
def test_where_a_chunk_ends(ends_at: int | None, after: int, expected: int) -> None:
    """An end at step e (counted from 0) is followed by so many frames; the one that reaches the count is not spoken."""
    stream = CountingSpeech(CountingEngine(ends_at=ends_at), a_voice())
    limit = max_frames(4, 12.5)
    assert limit == 42
    speaking = replace(HOW, frames_after_eos=after)
    latents = list(chunk_latents(stream, a_chunk(), stop_criteria(a_chunk(), speaking, 12.5), stop=threading.Event()))
    assert [int(latent[0]) for latent in latents] == list(range(1, expected + 1))


@pytest.mark.parametrize(("words", "frames"), [(4, 15), (5, 13)])
def test_short_texts_get_more_frames_after_their_end(words: int, frames: int) -> None:
    assert len(frames_of(speak(CountingEngine(ends_at=10), a_voice(), [a_chunk(words=words)], HOW))) == frames


def test_a_chunk_that_does_not_end_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    list(speak(CountingEngine(), a_voice(), [a_chunk()], HOW))
    assert "no end of speech after 42 frames" in caplog.text


@given(
    tokens=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    ends_at=st.integers(0, 80),
    per_call=st.integers(0, 9),
)
def test_every_frame_is_spoken_once_in_order(tokens: list[int], ends_at: int, per_call: int) -> None:
    engine = CountingEngine(ends_at=ends_at)
    chunks = [a_chunk(count) for count in tokens]
    frames = frames_of(speak(engine, a_voice(), chunks, replace(HOW, frames_per_call=per_call, frames_after_eos=2)))
    lengths = [min(max(ends_at, 6) + 2, max_frames(count, 12.5)) for count in tokens]
    assert frames == [value for length in lengths for value in range(1, length + 1)]
    assert engine.decoders == len(tokens)
    assert max(engine.calls) <= (per_call or 4), "memory for a call is bounded"
    room = [count + max_frames(count, 12.5) for count in tokens]
    assert [entry[1] for entry in engine.asked if entry[0] == "open"] == room


def test_the_first_five_milliseconds_of_each_chunk_fade_in() -> None:
    audio = np.concatenate([*speak(CountingEngine(ends_at=6), a_voice(), [a_chunk(), a_chunk()], HOW)])
    ramp = np.linspace(0, 1, 15, dtype=np.float32)
    half = len(audio) // 2
    for chunk in (audio[:half], audio[half:]):
        assert np.array_equal(chunk[:15], ramp)
        assert (chunk[15:FRAME_SAMPLES] == 1).all()
        assert (chunk[FRAME_SAMPLES : 2 * FRAME_SAMPLES] == 2).all()


def test_a_speech_that_is_ahead_decodes_frames_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock stands still: every frame is a lead of 80 ms. Where time runs as fast as the speech, none waits."""
    now = 0.0
    monkeypatch.setattr("wyoming_pocket_tts.pocket.generate.monotonic", lambda: now)
    ahead, behind = CountingEngine(), CountingEngine()
    list(speak(ahead, a_voice(), [a_chunk()], HOW))
    assert ahead.calls[0] <= 4
    assert ahead.calls[-5:-1] == [4] * 4
    for piece in speak(behind, a_voice(), [a_chunk()], replace(HOW, frames_per_call=1)):
        now += len(piece) / behind.sample_rate_hz
    assert set(behind.calls) == {1}


def test_nothing_happens_before_the_first_piece_is_asked_for() -> None:
    engine = CountingEngine(ends_at=10)
    speak(engine, a_voice(), [a_chunk()], HOW)
    assert engine.asked == []


def test_a_reader_that_leaves_ends_the_generation() -> None:
    engine = CountingEngine()
    pieces = speak(engine, a_voice(), (a_chunk() for _ in range(1_000_000)), HOW)
    next(pieces)
    assert len(generating_threads()) == 1
    pieces.close()
    assert generating_threads() == []
    assert len(engine.asked) < 100


def test_a_stop_ends_the_speech_early() -> None:
    stop = threading.Event()
    engine = CountingEngine()
    pieces = speak(engine, a_voice(), (a_chunk() for _ in range(1_000_000)), HOW, stop=stop)
    next(pieces)
    stop.set()
    assert sum(len(piece) for piece in pieces) < 200 * FRAME_SAMPLES
    assert len(engine.asked) < 100, "what follows is not even begun"


def test_what_waits_for_the_decoder_is_not_decoded_after_a_stop() -> None:
    """All latents of a chunk are there, more than one call decodes."""
    stop = threading.Event()
    pieces = speak(CountingEngine(), a_voice(), [a_chunk()], HOW, stop=stop)
    spoken = len(next(pieces))
    for thread in generating_threads():
        thread.join(20)
    spoken += len(next(pieces))
    assert spoken < 42 * FRAME_SAMPLES
    stop.set()
    assert list(pieces) == []


def test_a_stop_before_the_beginning_says_nothing() -> None:
    stop = threading.Event()
    stop.set()
    assert list(speak(CountingEngine(), a_voice(), [a_chunk()], HOW, stop=stop)) == []


def test_a_text_without_end_needs_no_more_memory_than_a_short_one() -> None:
    """Chunks are taken when their turn comes: the generation is never far ahead of the reader."""
    taken: list[int] = []

    def chunks() -> Iterator[TextChunk]:
        for index in range(1_000_000):
            taken.append(index)
            yield a_chunk()

    pieces = speak(CountingEngine(ends_at=10), a_voice(), chunks(), HOW)
    for _ in range(50):
        next(pieces)
    pieces.close()
    assert len(taken) < 1000


def test_a_failing_network_is_heard_about_after_what_was_spoken() -> None:
    heard: list[Samples] = []
    with pytest.raises(RuntimeError, match="network is on fire"):
        heard.extend(speak(CountingEngine(fails_at=9), a_voice(), [a_chunk()], HOW))
    assert sum(len(piece) for piece in heard) == 9 * FRAME_SAMPLES


def test_a_failing_decoder_stops_the_generation() -> None:
    with pytest.raises(RuntimeError, match="decoder is on fire"):
        list(speak(CountingEngine(decoder_fails=True), a_voice(), (a_chunk() for _ in range(1_000_000)), HOW))


def test_failing_chunks_are_heard_about() -> None:
    def chunks() -> Iterator[TextChunk]:
        yield a_chunk()
        raise ValueError("cannot be cut")

    with pytest.raises(ValueError, match="cannot be cut"):
        list(speak(CountingEngine(ends_at=10), a_voice(), chunks(), HOW))


def test_every_chunk_starts_from_the_voice() -> None:
    engine = CountingEngine(ends_at=10)
    list(speak(engine, a_voice(7), [a_chunk(), a_chunk(5)], HOW))
    assert [entry for entry in engine.asked if entry[0] == "prefill"] == [("prefill", 4, 7), ("prefill", 5, 7)]


def test_what_was_spoken_can_become_the_voice() -> None:
    engine = CountingEngine(ends_at=10)
    states: list[VoiceState] = []
    list(speak(engine, a_voice(7), [a_chunk(), a_chunk(5)], replace(HOW, frames_after_eos=2), spoken=states.append))
    # 10 steps, 2 more, and the one that finds that it is over
    assert [entry for entry in engine.asked if entry[0] == "prefill"] == [("prefill", 4, 7), ("prefill", 5, 20)]
    assert [state.length for state in states] == [20, 33]


@pytest.mark.parametrize("stops", [True, False])
def test_what_was_spoken_becomes_the_voice_even_if_nobody_hears_the_end(*, stops: bool) -> None:
    stop = threading.Event()
    states: list[VoiceState] = []
    pieces = speak(CountingEngine(), a_voice(7), [a_chunk(100_000)], HOW, stop=stop, spoken=states.append)
    heard = len(next(pieces)) // FRAME_SAMPLES
    if stops:
        stop.set()
        list(pieces)
    else:
        pieces.close()
    assert [state.length >= 7 + heard for state in states] == [True]


def test_a_program_may_end_amid_a_speech() -> None:
    """Its thread is over before Python is: cut off in native code, it would take the whole process down."""
    program = """
import weakref
from tests.pocket.test_generate import *
weakref.finalize(generating_threads, lambda: print(len(generating_threads())))  # called after those that are made later
pieces = speak(CountingEngine(), a_voice(), (a_chunk() for _ in range(1_000_000)), HOW)
next(pieces)
print(len(generating_threads()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, [b"1", b"0"]), done.stderr


def test_continuity_lets_a_chunk_hear_the_end_of_the_one_before_and_no_more() -> None:
    engine = CountingEngine(ends_at=10)
    chunks = [a_chunk(), a_chunk(), a_chunk()]
    list(speak(engine, a_voice(7), chunks, replace(HOW, frames_after_eos=0, continuity_seconds=0.24)))
    heard = [entry for entry in engine.asked if entry[0] == "listen_on"]
    assert heard == [("listen_on", 7, [8.0, 9.0, 10.0])] * 2  # the voice prompt, and three frames of 80 ms
    assert [entry[2] for entry in engine.asked if entry[0] == "prefill"] == [7, 10, 10]


def test_continuity_lets_a_chunk_hear_the_one_before_alone() -> None:
    engine = CountingEngine(ends_at=6)
    how = replace(HOW, frames_after_eos=0, continuity_seconds=0.64)
    list(speak(engine, a_voice(7), [a_chunk(), a_chunk(), a_chunk()], how))
    heard = [entry[2] for entry in engine.asked if entry[0] == "listen_on"]
    assert heard == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 2  # six frames were spoken, though eight are wanted


def test_a_voice_that_takes_in_what_was_spoken_does_not_hear_it_twice() -> None:
    engine = CountingEngine(ends_at=10)
    how = replace(HOW, continuity_seconds=0.24)
    list(speak(engine, a_voice(), [a_chunk(), a_chunk()], how, spoken=lambda _: None))
    assert [entry for entry in engine.asked if entry[0] == "listen_on"] == []
