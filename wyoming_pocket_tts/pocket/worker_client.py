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
from wyoming_pocket_tts.core.subprocess import WarningMessage, _Message, read_lines, send_task, spawn, stderr_tail
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.schema import ModelConfig

_LOGGER = logging.getLogger(__name__)

_MODULE = "wyoming_pocket_tts.pocket.worker"
CANNOT_COMPUTE = frozenset({signal.SIGILL, signal.SIGFPE, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
"""How a processor ends a program that asks for what it lacks."""

_WORK = {
    "convert": "the conversion",
    "prove": "the comparison with the exact model",
    "voices": "the download of voices",
    "hear": "the process that hears a recording",
}


class Progress(_Message):
    """How far it is: ``done`` rises from 0 to 1 within each stage; None where nobody knows."""

    kind: Literal["progress"] = "progress"
    stage: Literal["wait", "download", "convert", "verify", "voices", "hear"]
    done: float | None = None


Report = Callable[[Progress], None]


class WorkerTask(_Message):
    """What to do: ``convert`` into an empty directory, ``prove`` a bundle on this machine, bring ready-made ``voices``
    into a directory, or ``hear`` a recording with the bundle of the directory and write the voice to ``target``."""

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
    """Take no weights that cannot hear recordings."""


def run_task(order: WorkerTask, *, report: Report, stop: Event, inherited: tuple[int, ...] = ()) -> None:
    """Have an order carried out.

    Args:
        order: what is to be done.
        report: is told how far it is.
        stop: ends the child when it is set.
        inherited: open files that the child keeps open as well, such as a lock.

    Raises:
        Cancelled: ``stop`` was set.
        ModelError: no process can be started.
        UnfitPrecision: this machine cannot run what was made.
        SpeechError: what went wrong in the child.
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
            match _parsed(line):
                case Progress() as progress:
                    report(progress)
                case WarningMessage(text=text):
                    _LOGGER.warning("%s", text)
                case ErrorMessage() as failed:
                    raise failed.as_error()
                case DoneMessage(peak_bytes=peak_bytes):
                    finished = True
                    _LOGGER.debug("%s used %d MB of memory at most", order.task, (peak_bytes or 0) >> 20)
        status = child.wait()
        if not finished:
            raise _death(order, status, complaints)


class ErrorMessage(_Message):
    """It ended with an error, named by its class in ``errors``."""

    kind: Literal["failed"] = "failed"
    error: str
    text: str

    @classmethod
    def of(cls, error: TtsError) -> "ErrorMessage":
        return cls(error=type(error).__name__, text=str(error))

    def as_error(self) -> TtsError:
        """The error, to be raised here."""
        found = (
            UnsupportedPrecision if self.error == UnsupportedPrecision.__name__ else getattr(errors, self.error, None)
        )
        if isinstance(found, type) and issubclass(found, TtsError):
            return found(self.text)
        return ModelError(self.text)


class DoneMessage(_Message):
    """It is done; ``peak_bytes`` is the most memory that it had."""

    kind: Literal["finished"] = "finished"
    peak_bytes: int | None = None


def _parsed(line: bytes) -> Progress | WarningMessage | ErrorMessage | DoneMessage | None:
    try:
        return parse(line)
    except ValueError:
        _LOGGER.debug("the converting process wrote %r", line)
        return None


def _death(order: WorkerTask, status: int, complaints: IO[bytes]) -> ModelError:
    """Say why the child ended before it was done."""
    computes = order.task in ("convert", "prove")
    if computes and -status in CANNOT_COMPUTE:
        name = signal.Signals(-status).name
        return UnsupportedPrecision(f"{order.precision} does not run on this machine: it ended with {name}")
    work = _WORK[order.task]
    if status == -signal.SIGKILL:
        needs = ": it needs about 600 MB" if computes else ""
        return ModelError(f"{work} was killed, most likely because memory ran out{needs}; start it again")
    return ModelError(f"{work} ended unexpectedly (status {status}): {stderr_tail(complaints)}")


class UnsupportedPrecision(ModelError):  # noqa: N818  (named for the state)
    """What was converted computes something else on this processor than the exact model, or nothing at all."""


Message = Progress | WarningMessage | ErrorMessage | DoneMessage
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parse(line: bytes) -> Message:
    """Read one message.

    Raises:
        ValueError: it is none.
    """
    return _messages.validate_json(line)
