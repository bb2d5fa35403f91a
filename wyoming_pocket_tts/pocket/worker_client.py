"""Run a task in the worker process: messages, progress, death."""

import logging
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import IO, Annotated, Literal

from pydantic import Field, TypeAdapter

from wyoming_pocket_tts.core import errors
from wyoming_pocket_tts.core.errors import ModelError, TtsError
from wyoming_pocket_tts.core.subprocess import TaskMessage, WarningMessage, read_lines, send_task, spawn, stderr_tail
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig

_LOGGER = logging.getLogger(__name__)

_MODULE = "wyoming_pocket_tts.pocket.worker"
CANNOT_COMPUTE = frozenset({signal.SIGILL, signal.SIGFPE, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
"""How a processor ends a program that needs what it lacks."""

_WORK = {
    "convert": "the conversion",
    "prove": "the comparison with the exact model",
    "voices": "the download of voices",
    "hear": "the process that encodes a recording",
}


class UnsupportedPrecision(ModelError):  # noqa: N818  (named for the state)
    """On this processor the converted model computes something else than the exact one, or nothing at all."""


class WorkerTask(TaskMessage):
    """``convert`` into an empty directory, ``prove`` a bundle on this machine, download predefined ``voices`` into a
    directory, or ``hear`` (encode) a recording with the bundle in the directory and write the voice to ``target``."""

    task: Literal["convert", "prove", "voices", "hear"]
    directory: Path
    key: str
    name: str | None
    config: ModelConfig
    precision: Precision
    steps: int
    voices: tuple[str, ...] = ()
    recording: str = ""
    target: Path | None = None
    local_files_only: bool = False
    hearing: bool = False
    """Refuse weights that cannot encode recordings."""


class Progress(TaskMessage):
    """``done`` rises from 0 to 1 within each stage; None where it is unknown."""

    kind: Literal["progress"] = "progress"
    stage: Literal["wait", "download", "convert", "verify", "voices", "hear"]
    done: float | None = None


class ErrorMessage(TaskMessage):
    """The task failed with an error, named by its class."""

    kind: Literal["failed"] = "failed"
    error: str
    text: str

    @classmethod
    def of(cls, error: TtsError) -> "ErrorMessage":
        return cls(error=type(error).__name__, text=str(error))

    def as_error(self) -> TtsError:
        if self.error == UnsupportedPrecision.__name__:
            return UnsupportedPrecision(self.text)
        found = getattr(errors, self.error, None)
        return found(self.text) if isinstance(found, type) and issubclass(found, TtsError) else ModelError(self.text)


class DoneMessage(TaskMessage):
    """The task is done; ``peak_bytes`` is the most memory that the worker had."""

    kind: Literal["finished"] = "finished"
    peak_bytes: int | None = None


Report = Callable[[Progress], None]
Message = Progress | WarningMessage | ErrorMessage | DoneMessage
Tell = Callable[[Message], None]
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parse(line: bytes) -> Message:
    """Read one message; a ValueError if it is none."""
    return _messages.validate_json(line)


def run_task(order: WorkerTask, *, report: Report, stop: Event, inherited: tuple[int, ...] = ()) -> None:
    """Run a task in the worker process, with the descriptors ``inherited`` open in it, until it is done.

    Raises ``Cancelled`` once ``stop`` is set, ``UnsupportedPrecision`` if this machine cannot run what was converted,
    otherwise the error of the worker, or ModelError if the process cannot be started or dies.
    """
    with ExitStack() as stack:
        try:
            complaints = stack.enter_context(tempfile.TemporaryFile())
            child = stack.enter_context(spawn(_MODULE, complaints=complaints, inherited=inherited))
        except OSError as error:  # no room, memory or process left
            raise ModelError(f"{_WORK[order.task]} cannot be started: {error.strerror or error}") from error
        send_task(child, order)
        finished = False
        for line in read_lines(child, stop):
            try:
                message = parse(line)
            except ValueError:
                _LOGGER.debug("the worker process wrote %r", line)
                continue
            match message:
                case Progress():
                    report(message)
                case WarningMessage(text=text):
                    _LOGGER.warning("%s", text)
                case ErrorMessage():
                    raise message.as_error()
                case DoneMessage(peak_bytes=peak_bytes):
                    finished = True
                    _LOGGER.debug("%s used %d MB of memory at most", order.task, (peak_bytes or 0) >> 20)
        status = child.wait()
        if not finished:
            raise _death(order, status, complaints)


def _death(order: WorkerTask, status: int, complaints: IO[bytes]) -> ModelError:
    work, computes = _WORK[order.task], order.task in ("convert", "prove")
    if computes and -status in CANNOT_COMPUTE:
        name = signal.Signals(-status).name
        return UnsupportedPrecision(f"{order.precision} does not run on this machine: it ended with {name}")
    if status == -signal.SIGKILL:
        needs = ": it needs about 600 MB" if computes else ""
        return ModelError(f"{work} was killed, most likely because memory ran out{needs}; start it again")
    return ModelError(f"{work} ended unexpectedly (status {status}): {stderr_tail(complaints)}")
