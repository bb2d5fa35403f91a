"""What ``compare`` and the process that measures one candidate tell each other, and how they do it.

Knows neither how a candidate is measured nor what the figures are for.
"""

import logging
import signal
import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wyoming_pocket_tts.errors import ModelError
from wyoming_pocket_tts.pocket.child_process import give, last_words, lines_of, started
from wyoming_pocket_tts.pocket.onnx.child import CANNOT_COMPUTE
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.onnx.protocol import Failed, UnfitPrecision, Warned
from wyoming_pocket_tts.pocket.schema import ModelConfig

logger = logging.getLogger(__name__)

_MODULE = "wyoming_pocket_tts.commands.comparison.measure"


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


class Job(_Message):
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


class Doing(_Message):
    """What the child begins with now, as words for a person."""

    kind: Literal["doing"] = "doing"
    text: str


class Figures(_Message):
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


class Done(_Message):
    """There is a result, and nothing to tell about it."""

    kind: Literal["done"] = "done"


_Answer = Doing | Figures | Done | Warned | Failed
_answers: TypeAdapter[_Answer] = TypeAdapter(Annotated[_Answer, Field(discriminator="kind")])


def run(job: Job, *, show: Callable[[str], None], warned: set[str]) -> Figures | None:
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
    answer: Figures | Done | None = None
    with tempfile.TemporaryFile() as complaints, started(_MODULE, complaints=complaints) as child:
        give(child, job)
        for line in lines_of(child, Event()):
            match _parsed(line):
                case Doing(text=text):
                    show(text)
                case Warned(text=text) if text not in warned:
                    warned.add(text)
                    logger.warning("%s", text)
                case Failed() as failed:
                    raise failed.as_error()
                case Figures() | Done() as answer:
                    pass
        status = child.wait()
        if -status in CANNOT_COMPUTE:
            raise UnfitPrecision(
                f"{job.candidate} does not run on this processor: it ended with {signal.Signals(-status).name}"
            )
        if status == -signal.SIGKILL:
            raise ModelError(f"{job.candidate} was killed, most likely because memory ran out")
        if answer is None:
            raise ModelError(f"{job.candidate} ended unexpectedly (status {status}): {last_words(complaints)}")
    return answer if isinstance(answer, Figures) else None


def _parsed(line: bytes) -> _Answer | None:
    try:
        return _answers.validate_json(line)
    except ValueError:
        logger.debug("a measuring process wrote %r", line)
        return None
