"""Measuring process shared by benchmark and compare."""

import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wyoming_pocket_tts.core.errors import EmptyText, ModelError, TtsError
from wyoming_pocket_tts.core.subprocess import (
    MessageWriter,
    WarningMessage,
    peak_bytes,
    read_lines,
    receive_task,
    send_task,
    spawn,
    stderr_tail,
)
from wyoming_pocket_tts.core.types import Floats
from wyoming_pocket_tts.pocket.backend import Backend, DecodeOutput, LatentGenerator, Latents, Samples, SamplingParams
from wyoming_pocket_tts.pocket.generate import GenerationParams, chunk_latents, frame_limit, speak
from wyoming_pocket_tts.pocket.hub import fetch
from wyoming_pocket_tts.pocket.loading import LoadedModel, load_for_torch, open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, open_bundle
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.text import TextChunk, split
from wyoming_pocket_tts.pocket.voice_state import VoiceState, write_state
from wyoming_pocket_tts.pocket.weights import load_weights
from wyoming_pocket_tts.pocket.worker_client import CANNOT_COMPUTE, ErrorMessage, UnsupportedPrecision

_LOGGER = logging.getLogger(__name__)

_MODULE = "wyoming_pocket_tts.cli.measure"


class Candidate(StrEnum):
    """What can be compared: ONNX Runtime in each precision, and PyTorch. The first is what the others are held to."""

    FP32 = "fp32"
    MIXED = "mixed"
    INT8 = "int8"
    INT4 = "int4"
    TORCH = "torch"

    @property
    def precision(self) -> Precision | None:
        """What ONNX Runtime computes in; None for PyTorch."""
        return None if self is Candidate.TORCH else Precision(self.value)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasureTask(_Message):
    """What to do with one candidate.

    Attributes:
        task: make a ``voice`` file for all candidates, or ``measure`` this one.
        candidate: which one.
        bundle: the converted model's directory; None for PyTorch.
        name: the released model; None for one of the user's own.
        config: what the model is.
        steps: of the sampler.
        voice: a recording or a voice file; for ``measure`` the file that was made for all.
        text: what to say.
        threads: of the language model.
        reference: what the reference's job has written; None for the reference itself.
        result: the file to write.
    """

    task: Literal["voice", "measure"]
    candidate: Candidate
    bundle: Path | None
    name: str | None
    config: ModelConfig
    steps: int
    voice: str
    text: str
    threads: int
    reference: Path | None = None
    result: Path


class StatusMessage(_Message):
    """What the child begins with now, as words for a person."""

    kind: Literal["doing"] = "doing"
    text: str


class Measurement(_Message):
    """What was measured.

    Attributes:
        load_seconds: from nothing to a model that can speak, the engine's own start included.
        first_audio_seconds: from the order to speak to the first audio.
        took_seconds: from the order to speak to the last audio.
        speech_seconds: length of the speech.
        peak_bytes: the most memory that the process had until then; None where the system does not tell.
    """

    kind: Literal["figures"] = "figures"
    load_seconds: float
    first_audio_seconds: float
    took_seconds: float
    speech_seconds: float
    peak_bytes: int | None

    @property
    def speed(self) -> float:
        """How many times as fast as it plays."""
        return self.speech_seconds / max(self.took_seconds, 1e-6)


class TaskDone(_Message):
    """There is a result, and nothing to tell about it."""

    kind: Literal["done"] = "done"


_Answer = StatusMessage | Measurement | TaskDone | WarningMessage | ErrorMessage
_answers: TypeAdapter[_Answer] = TypeAdapter(Annotated[_Answer, Field(discriminator="kind")])


def run(job: MeasureTask, *, show: Callable[[str], None], warned: set[str]) -> Measurement | None:
    """Have a job done by a process of its own, so that its memory is its own and nothing it does takes us down.

    Args:
        job: the job.
        show: is told what goes on.
        warned: warnings that need not be given again; new ones are added.

    Returns:
        What was measured; None if the job was another.

    Raises:
        UnfitPrecision: this processor cannot run the candidate.
        SpeechError: what went wrong in the child.
    """
    answer: Measurement | TaskDone | None = None
    with tempfile.TemporaryFile() as complaints, spawn(_MODULE, complaints=complaints) as child:
        send_task(child, job)
        for line in read_lines(child, Event()):
            match _parsed(line):
                case StatusMessage(text=text):
                    show(text)
                case WarningMessage(text=text) if text not in warned:
                    warned.add(text)
                    _LOGGER.warning("%s", text)
                case ErrorMessage() as failed:
                    raise failed.as_error()
                case Measurement() | TaskDone() as answer:
                    pass
        status = child.wait()
        if -status in CANNOT_COMPUTE:
            raise UnsupportedPrecision(
                f"{job.candidate} does not run on this processor: it ended with {signal.Signals(-status).name}"
            )
        if status == -signal.SIGKILL:
            raise ModelError(f"{job.candidate} was killed, most likely because memory ran out")
        if answer is None:
            raise ModelError(f"{job.candidate} ended unexpectedly (status {status}): {stderr_tail(complaints)}")
    return answer if isinstance(answer, Measurement) else None


def _parsed(line: bytes) -> _Answer | None:
    try:
        return _answers.validate_json(line)
    except ValueError:
        _LOGGER.debug("a measuring process wrote %r", line)
        return None


_ROUNDS = 2
"""The better one counts: the first may meet cold caches, each may meet other programs."""


@dataclass(frozen=True, slots=True)
class GeneratedOutput:
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
    def read(cls, path: Path) -> "GeneratedOutput":
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


def measure(job: MeasureTask, teller: MessageWriter) -> Measurement:
    """Load the candidate, let it speak, lead it, and write what it said.

    Raises:
        EmptyText: the text holds nothing to say.
        SpeechError: the model or the voice cannot be used.
    """
    teller.tell(StatusMessage(text="loading"))
    loaded, load_seconds = _load(job)
    voice = TTSModel(loaded).get_state_for_audio_prompt(Path(job.voice))
    how = _manner(job)
    chunks = list(split(job.text, loaded.tokenizer, job.config.text_rules))
    teller.tell(StatusMessage(text="speaking"))
    audio, first_seconds, took_seconds = _speak(loaded.backend, voice, chunks, how)
    figures = Measurement(
        load_seconds=load_seconds,
        first_audio_seconds=first_seconds,
        took_seconds=took_seconds,
        speech_seconds=len(audio) / loaded.backend.sample_rate_hz,
        peak_bytes=peak_bytes(),
    )
    teller.tell(StatusMessage(text="comparing step by step"))
    if job.reference is None:
        frames = [_free_frames(loaded.backend, voice, chunk, how) for chunk in chunks]
        references = [_stacked(chunk) for chunk in frames]
    else:
        references = GeneratedOutput.read(job.reference).by_chunk()
        frames = [
            _led_frames(loaded.backend, voice, chunk, latents, how)
            for chunk, latents in zip(chunks, references, strict=True)
        ]
    GeneratedOutput(
        audio=audio,
        latents=np.concatenate([_stacked(chunk) for chunk in frames]),
        eos_logits=np.array([frame.eos_logit for chunk in frames for frame in chunk], np.float32),
        steps=np.array([len(chunk) for chunk in frames]),
        decoded=np.concatenate(list(_decoded(loaded.backend, references))),
    ).write(job.result)
    return figures


def make_voice(job: MeasureTask, teller: MessageWriter) -> TaskDone:
    """Turn a recording, or somebody's voice file, into one file for all candidates.

    Raises:
        VoiceError: it cannot be used with this model.
    """
    teller.tell(StatusMessage(text="listening to the voice"))
    loaded, _ = _load(job)
    write_state(TTSModel(loaded).get_state_for_audio_prompt(job.voice, truncate=True), job.result)
    return TaskDone()


def _load(job: MeasureTask) -> tuple[LoadedModel, float]:
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


def _manner(job: MeasureTask) -> GenerationParams:
    return GenerationParams(
        sampling=SamplingParams(
            temperature=0.0, steps=job.steps
        ),  # without noise: all differences are the candidate's own
        eos_threshold=job.config.default_eos_threshold,
        frames_after_eos=job.config.model_recommended_frames_after_eos,
    )


def _speak(
    backend: Backend, voice: VoiceState, chunks: Sequence[TextChunk], how: GenerationParams
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


def _free_frames(backend: Backend, voice: VoiceState, chunk: TextChunk, how: GenerationParams) -> list[DecodeOutput]:
    """All steps of a chunk when the model is left to itself."""
    limit = frame_limit(len(chunk.tokens), backend.sample_rate_hz / backend.frame_samples)
    stream = _Noted(backend.open_speech(voice, positions=len(chunk.tokens) + limit, sampling=how.sampling))
    for _ in chunk_latents(stream, chunk, how, limit=limit, stop=Event()):
        pass
    return stream.frames


def _led_frames(
    backend: Backend, voice: VoiceState, chunk: TextChunk, reference: Latents, how: GenerationParams
) -> list[DecodeOutput]:
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


def _stacked(frames: Sequence[DecodeOutput]) -> Latents:
    return np.stack([frame.latent for frame in frames])


class _Noted:
    """Keeps all frames of a stream."""

    def __init__(self, stream: LatentGenerator) -> None:
        self._stream = stream
        self.frames: list[DecodeOutput] = []

    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        self.frames.append(self._stream.prefill(tokens))
        return self.frames[-1]

    def step(self, latent: Floats) -> DecodeOutput:
        self.frames.append(self._stream.step(latent))
        return self.frames[-1]

    def state(self) -> VoiceState:
        return self._stream.state()


_TASKS = {"voice": make_voice, "measure": measure}


def main() -> None:
    """Do what standard input orders."""
    line, teller = receive_task()
    job = MeasureTask.model_validate_json(line)
    try:
        teller.tell(_TASKS[job.task](job, teller))
    except TtsError as error:
        teller.tell(ErrorMessage.of(error))
    except MemoryError:
        teller.tell(ErrorMessage(error="ModelError", text="memory ran out"))


if __name__ == "__main__":
    main()
