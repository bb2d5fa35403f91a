"""Measures one candidate of ``compare``, as the child of ``job.run``. Knows nothing about the others, but for what the
reference has said: that is put into this one's mouth.

Left to itself, a model that computes a little differently soon says something else, since each frame is made of the one
before, and two readings that are equally good differ everywhere. So a candidate is also led: each of its steps reads
what the *reference* had made so far, and what it makes of that is compared step by step. Likewise its codec decodes the
reference's latents.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from wyoming_pocket_tts.commands.comparison.job import Candidate, Doing, Done, Figures, Job
from wyoming_pocket_tts.errors import EmptyText, SpeechError
from wyoming_pocket_tts.pocket.backend import Backend, Frame, Latents, LatentStream, Samples, Sampling
from wyoming_pocket_tts.pocket.child_process import Teller, peak_bytes, take_order
from wyoming_pocket_tts.pocket.chunk_rules import frame_limit
from wyoming_pocket_tts.pocket.generate import Speaking, chunk_latents, speak
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import Loaded, load_for_torch, open_for_onnx
from wyoming_pocket_tts.pocket.onnx.bundle import open_bundle
from wyoming_pocket_tts.pocket.onnx.protocol import Failed
from wyoming_pocket_tts.pocket.tts_model import TTSModel
from wyoming_pocket_tts.pocket.weights import load_weights
from wyoming_pocket_tts.text.prompt import TextChunk, split
from wyoming_pocket_tts.voices.state import VoiceState, write_state

Floats = NDArray[np.float32]

_ROUNDS = 2
"""The better one counts: the first may meet cold caches, each may meet other programs."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a candidate made of the text.

    Attributes:
        audio: its speech, left to itself, [N].
        latents: of all chunks' steps, [T, latent_dim]; the reference's own, or what a led candidate made.
        eos_logits: of these steps, [T].
        steps: how many of them each chunk has, [chunks].
        decoded: audio of the reference's latents, each chunk's on its own, [T * frame_samples].
    """

    audio: Samples
    latents: Floats
    eos_logits: Floats
    steps: NDArray[np.int64]
    decoded: Samples

    @classmethod
    def read(cls, path: Path) -> "Said":
        """Read what a job has written."""
        with np.load(path) as file:
            return cls(**{name: file[name] for name in cls.__slots__})

    def write(self, path: Path) -> None:
        """Write it for others to read."""
        with path.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__slots__})

    def by_chunk(self) -> list[Latents]:
        """The latents of each chunk, [steps, latent_dim] each."""
        return np.split(self.latents, np.cumsum(self.steps)[:-1])


def measure(job: Job, teller: Teller) -> Figures:
    """Load the candidate, let it speak, lead it, and write what it said.

    Raises:
        EmptyText: the text holds nothing to say.
        SpeechError: the model or the voice cannot be used.
    """
    teller.tell(Doing(text="loading"))
    loaded, load_seconds = _load(job)
    voice = TTSModel(loaded).get_state_for_audio_prompt(Path(job.voice))
    how = _manner(job)
    chunks = list(split(job.text, loaded.tokenizer, job.config.text_rules))
    teller.tell(Doing(text="speaking"))
    audio, first_seconds, took_seconds = _speak(loaded.backend, voice, chunks, how)
    figures = Figures(
        load_seconds=load_seconds,
        first_audio_seconds=first_seconds,
        took_seconds=took_seconds,
        speech_seconds=len(audio) / loaded.backend.sample_rate_hz,
        peak_bytes=peak_bytes(),
    )
    teller.tell(Doing(text="comparing step by step"))
    if job.reference is None:
        frames = [_free_frames(loaded.backend, voice, chunk, how) for chunk in chunks]
        references = [_stacked(chunk) for chunk in frames]
    else:
        references = Said.read(job.reference).by_chunk()
        frames = [
            _led_frames(loaded.backend, voice, chunk, latents, how)
            for chunk, latents in zip(chunks, references, strict=True)
        ]
    Said(
        audio=audio,
        latents=np.concatenate([_stacked(chunk) for chunk in frames]),
        eos_logits=np.array([frame.eos_logit for chunk in frames for frame in chunk], np.float32),
        steps=np.array([len(chunk) for chunk in frames]),
        decoded=np.concatenate(list(_decoded(loaded.backend, references))),
    ).write(job.result)
    return figures


def make_voice(job: Job, teller: Teller) -> Done:
    """Turn a recording, or somebody's voice file, into one file for all candidates.

    Raises:
        VoiceError: it cannot be used with this model.
    """
    teller.tell(Doing(text="listening to the voice"))
    loaded, _ = _load(job)
    write_state(TTSModel(loaded).get_state_for_audio_prompt(job.voice, truncate=True), job.result)
    return Done()


def _load(job: Job) -> tuple[Loaded, float]:
    """The model, and how many seconds it took; what has to be downloaded first does not count."""
    if job.candidate is Candidate.TORCH:
        load_weights(job.config, on_demand=True)
        fetch(job.config.flow_lm.lookup_table.tokenizer_path)
    began = time.perf_counter()
    if job.bundle is None:
        loaded = load_for_torch(job.name, job.config, quantize=False, threads=job.threads)
    else:
        loaded = open_for_onnx(replace(open_bundle(job.bundle), config=job.config), flow_threads=job.threads)
    return loaded, time.perf_counter() - began


def _manner(job: Job) -> Speaking:
    return Speaking(
        sampling=Sampling(temperature=0.0, steps=job.steps),  # without noise: all differences are the candidate's own
        eos_threshold=job.config.default_eos_threshold,
        frames_after_eos=job.config.model_recommended_frames_after_eos,
    )


def _speak(
    backend: Backend, voice: VoiceState, chunks: Sequence[TextChunk], how: Speaking
) -> tuple[Samples, float, float]:
    """Speak as the service does; return the audio, and the seconds to the first and to the last of it."""
    pieces: list[Samples] = []
    firsts: list[float] = []
    lasts: list[float] = []
    for _ in range(_ROUNDS):
        pieces.clear()
        began = time.perf_counter()
        with closing(speak(backend, voice, chunks, how)) as stream:
            for piece in stream:
                if not pieces:
                    firsts.append(time.perf_counter() - began)
                pieces.append(piece)
        lasts.append(time.perf_counter() - began)
    if not pieces:
        raise EmptyText("the text holds nothing to say")
    return np.concatenate(pieces), min(firsts), min(lasts)


def _free_frames(backend: Backend, voice: VoiceState, chunk: TextChunk, how: Speaking) -> list[Frame]:
    """All steps of a chunk when the model is left to itself."""
    limit = frame_limit(len(chunk.tokens), backend.sample_rate_hz / backend.frame_samples)
    stream = _Noted(backend.open_speech(voice, positions=len(chunk.tokens) + limit, sampling=how.sampling))
    for _ in chunk_latents(stream, chunk, how, limit=limit, stop=Event()):
        pass
    return stream.frames


def _led_frames(
    backend: Backend, voice: VoiceState, chunk: TextChunk, reference: Latents, how: Speaking
) -> list[Frame]:
    """All steps of a chunk when each reads what the reference made, [T, latent_dim]."""
    positions = len(chunk.tokens) + len(reference)
    stream = backend.open_speech(voice, positions=positions, sampling=how.sampling)
    return [stream.prefill(chunk.tokens), *(stream.step(latent) for latent in reference[:-1])]


def _decoded(backend: Backend, chunks: Sequence[Latents]) -> Iterator[Samples]:
    """Decode frame by frame, as a service that keeps up does."""
    for latents in chunks:
        decoder = backend.open_decoder()
        for index in range(len(latents)):
            yield decoder.decode(latents[index : index + 1])


def _stacked(frames: Sequence[Frame]) -> Latents:
    return np.stack([frame.latent for frame in frames])


class _Noted:
    """Keeps all frames of a stream."""

    def __init__(self, stream: LatentStream) -> None:
        self._stream = stream
        self.frames: list[Frame] = []

    def prefill(self, tokens: Sequence[int]) -> Frame:
        self.frames.append(self._stream.prefill(tokens))
        return self.frames[-1]

    def step(self, latent: Floats) -> Frame:
        self.frames.append(self._stream.step(latent))
        return self.frames[-1]

    def state(self) -> VoiceState:
        return self._stream.state()


_TASKS = {"voice": make_voice, "measure": measure}


def main() -> None:
    """Do what standard input orders."""
    line, teller = take_order()
    job = Job.model_validate_json(line)
    try:
        teller.tell(_TASKS[job.task](job, teller))
    except SpeechError as error:
        teller.tell(Failed.of(error))
    except MemoryError:
        teller.tell(Failed(error="ModelError", text="memory ran out"))


if __name__ == "__main__":
    main()
