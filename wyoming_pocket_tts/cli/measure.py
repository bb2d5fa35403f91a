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
from wyoming_pocket_tts.pocket.backend import Backend, DecodeOutput, LatentGenerator, Latents, Samples, SamplingParams
from wyoming_pocket_tts.pocket.generate import GenerationParams, chunk_latents, speak, stop_criteria
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

_MODULE = __name__
_ROUNDS = 2
"""The faster one counts: the first may meet cold caches, each may meet other programs."""


class Candidate(StrEnum):
    """ONNX Runtime in each precision, and PyTorch; the first is the reference."""

    FP32 = "fp32"
    MIXED = "mixed"
    INT8 = "int8"
    INT4 = "int4"
    TORCH = "torch"

    @property
    def precision(self) -> Precision | None:
        """None for PyTorch."""
        return None if self is Candidate.TORCH else Precision(self.value)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MeasureTask(_Message):
    """What the process does with one candidate: encode a ``voice`` for all candidates, or ``measure`` this one."""

    task: Literal["voice", "measure"]
    candidate: Candidate
    bundle: Path | None
    """None for PyTorch."""
    name: str | None
    """None for a custom model."""
    config: ModelConfig
    steps: int
    """Of the sampler."""
    voice: str
    """A recording or a voice file; for ``measure``, the file that was encoded."""
    text: str
    threads: int
    """Of the language model."""
    reference: Path | None = None
    """The result of the reference; None for the reference itself."""
    result: Path


class StatusMessage(_Message):
    kind: Literal["doing"] = "doing"
    text: str


class Measurement(_Message):
    """Speed and memory. Times to the first and last audio count from the start of synthesis."""

    kind: Literal["figures"] = "figures"
    load_seconds: float
    """Includes the start of the engine."""
    first_audio_seconds: float
    took_seconds: float
    speech_seconds: float
    peak_bytes: int | None
    """Peak memory of the process; None if the system does not report it."""

    @property
    def speed(self) -> float:
        return self.speech_seconds / max(self.took_seconds, 1e-6)


class TaskDone(_Message):
    kind: Literal["done"] = "done"


_Response = StatusMessage | Measurement | TaskDone | WarningMessage | ErrorMessage
_responses: TypeAdapter[_Response] = TypeAdapter(Annotated[_Response, Field(discriminator="kind")])


@dataclass(frozen=True, slots=True)
class GeneratedOutput:
    """What a candidate generated from the text."""

    audio: Samples
    """Left to itself, [N]."""
    latents: NDArray[np.float32]
    """Of all chunks' steps, [T, latent_dim]: the reference's own, or those of a led candidate."""
    eos_logits: NDArray[np.float32]
    """Of these steps, [T]."""
    steps: NDArray[np.int64]
    """Number of steps of each chunk, [chunks]."""
    decoded: Samples
    """Audio of the reference's latents, each chunk on its own, [T * frame_samples]."""

    @classmethod
    def read(cls, path: Path) -> "GeneratedOutput":
        with np.load(path) as file:
            return cls(**{name: file[name] for name in cls.__slots__})

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__slots__})

    def by_chunk(self) -> list[Latents]:
        """The latents of each chunk, [steps, latent_dim] each."""
        return np.split(self.latents, np.cumsum(self.steps)[:-1])


# --- the parent's end


def run_task(task: MeasureTask, *, show: Callable[[str], None], warned: set[str]) -> Measurement | None:
    """Run a task in a child process, which has its own memory and may crash alone; None if nothing was measured.

    ``show`` gets status texts. Warnings in ``warned`` are not logged again; new ones are added. Raises
    UnsupportedPrecision if this processor cannot run the candidate.
    """
    result: Measurement | TaskDone | None = None
    with tempfile.TemporaryFile() as stderr, spawn(_MODULE, complaints=stderr) as child:
        send_task(child, task)
        for line in read_lines(child, Event()):
            match _parsed(line):
                case StatusMessage(text=text):
                    show(text)
                case WarningMessage(text=text) if text not in warned:
                    warned.add(text)
                    _LOGGER.warning("%s", text)
                case ErrorMessage() as failed:
                    raise failed.as_error()
                case Measurement() | TaskDone() as result:
                    pass
        status = child.wait()
        if -status in CANNOT_COMPUTE:
            raise UnsupportedPrecision(
                f"{task.candidate} does not run on this processor: it ended with {signal.Signals(-status).name}"
            )
        if status == -signal.SIGKILL:
            raise ModelError(f"{task.candidate} was killed, most likely because memory ran out")
        if result is None:
            raise ModelError(f"{task.candidate} ended unexpectedly (status {status}): {stderr_tail(stderr)}")
    return result if isinstance(result, Measurement) else None


def _parsed(line: bytes) -> _Response | None:
    try:
        return _responses.validate_json(line)
    except ValueError:
        _LOGGER.debug("a measuring process wrote %r", line)
        return None


# --- the child's end


def _measure(task: MeasureTask, parent: MessageWriter) -> Measurement:
    parent.tell(StatusMessage(text="loading"))
    loaded, load_seconds = _load(task)
    backend = loaded.backend
    voice = TTSModel(loaded).get_state_for_audio_prompt(Path(task.voice))
    params = GenerationParams(
        sampling=SamplingParams(temperature=0.0, steps=task.steps),  # no noise: differences are the candidate's
        eos_threshold=task.config.default_eos_threshold,
        frames_after_eos=task.config.model_recommended_frames_after_eos,
    )
    chunks = list(split(task.text, loaded.tokenizer, task.config.text_rules))
    parent.tell(StatusMessage(text="speaking"))
    audio, first_seconds, took_seconds = _synthesize(backend, voice, chunks, params)
    measurement = Measurement(
        load_seconds=load_seconds,
        first_audio_seconds=first_seconds,
        took_seconds=took_seconds,
        speech_seconds=len(audio) / backend.sample_rate_hz,
        peak_bytes=peak_bytes(),
    )
    parent.tell(StatusMessage(text="comparing step by step"))
    if task.reference is None:
        frames = [_free_frames(backend, voice, chunk, params) for chunk in chunks]
        references = [_latents(chunk) for chunk in frames]
    else:
        references = GeneratedOutput.read(task.reference).by_chunk()
        pairs = zip(chunks, references, strict=True)
        frames = [_led_frames(backend, voice, chunk, latents, params) for chunk, latents in pairs]
    GeneratedOutput(
        audio=audio,
        latents=np.concatenate([_latents(chunk) for chunk in frames]),
        eos_logits=np.array([frame.eos_logit for chunk in frames for frame in chunk], np.float32),
        steps=np.array([len(chunk) for chunk in frames]),
        decoded=np.concatenate(list(_decoded(backend, references))),
    ).write(task.result)
    return measurement


def _encode_voice(task: MeasureTask, parent: MessageWriter) -> TaskDone:
    """Turn a recording or a voice file into one file for all candidates."""
    parent.tell(StatusMessage(text="encoding the voice"))
    loaded, _ = _load(task)
    write_state(TTSModel(loaded).get_state_for_audio_prompt(task.voice, truncate=True), task.result)
    return TaskDone()


def _load(task: MeasureTask) -> tuple[LoadedModel, float]:
    """The model, and the seconds that loading took, without downloads."""
    if task.candidate is Candidate.TORCH:
        load_weights(task.config, on_demand=True)
        fetch(task.config.flow_lm.lookup_table.tokenizer_path)
    began = time.perf_counter()
    if task.bundle is None:
        loaded = load_for_torch(task.name, task.config, quantize=False, threads=task.threads)
    else:
        loaded = open_for_onnx(replace(open_bundle(task.bundle), config=task.config), flow_threads=task.threads)
    return loaded, time.perf_counter() - began


def _synthesize(
    backend: Backend, voice: VoiceState, chunks: Sequence[TextChunk], params: GenerationParams
) -> tuple[Samples, float, float]:
    """Generate as the service does: the audio, and the seconds to the first and to the last block."""
    blocks: list[Samples] = []
    firsts: list[float] = []
    lasts: list[float] = []
    for _ in range(_ROUNDS):
        blocks.clear()
        began = time.perf_counter()
        with closing(speak(backend, voice, chunks, params)) as stream:
            for block in stream:
                if not blocks:
                    firsts.append(time.perf_counter() - began)
                blocks.append(block)
        lasts.append(time.perf_counter() - began)
    if not blocks:
        raise EmptyText("the text holds nothing to say")
    return np.concatenate(blocks), min(firsts), min(lasts)


def _free_frames(backend: Backend, voice: VoiceState, chunk: TextChunk, params: GenerationParams) -> list[DecodeOutput]:
    """All steps of a chunk, left to itself."""
    criteria = stop_criteria(chunk, params, backend.sample_rate_hz / backend.frame_samples)
    stream = _RecordingStream(
        backend.open_speech(voice, positions=len(chunk.tokens) + criteria.limit, sampling=params.sampling)
    )
    for _ in chunk_latents(stream, chunk, criteria, stop=Event()):
        pass
    return stream.frames


def _led_frames(
    backend: Backend, voice: VoiceState, chunk: TextChunk, reference: Latents, params: GenerationParams
) -> list[DecodeOutput]:
    """All steps of a chunk, each given the latent of the reference, [T, latent_dim]."""
    positions = len(chunk.tokens) + len(reference)
    stream = backend.open_speech(voice, positions=positions, sampling=params.sampling)
    return [stream.prefill(chunk.tokens), *(stream.step(latent) for latent in reference[:-1])]


def _decoded(backend: Backend, chunks: Sequence[Latents]) -> Iterator[Samples]:
    for latents in chunks:
        decoder = backend.open_decoder()
        for index in range(len(latents)):
            yield decoder.decode(latents[index : index + 1])


def _latents(frames: Sequence[DecodeOutput]) -> Latents:
    return np.stack([frame.latent for frame in frames])


class _RecordingStream:
    """Keeps all frames of a stream."""

    def __init__(self, stream: LatentGenerator) -> None:
        self._stream = stream
        self.frames: list[DecodeOutput] = []

    def prefill(self, tokens: Sequence[int]) -> DecodeOutput:
        self.frames.append(self._stream.prefill(tokens))
        return self.frames[-1]

    def step(self, latent: NDArray[np.float32]) -> DecodeOutput:
        self.frames.append(self._stream.step(latent))
        return self.frames[-1]

    def state(self) -> VoiceState:
        return self._stream.state()


def _main() -> None:
    line, parent = receive_task()
    task = MeasureTask.model_validate_json(line)
    try:
        parent.tell(_measure(task, parent) if task.task == "measure" else _encode_voice(task, parent))
    except TtsError as error:
        parent.tell(ErrorMessage.of(error))
    except MemoryError:
        parent.tell(ErrorMessage(error="ModelError", text="memory ran out"))


if __name__ == "__main__":
    _main()
