"""Lets a child process convert: starts it, listens to it, and ends it. Knows nothing about what it does.

A process of its own, so that its memory is gone afterwards, that it can be ended at any moment, and that a processor
which cannot run the result takes nobody else down.
"""

import logging
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event
from typing import IO

from wyoming_pocket_tts.errors import ModelError
from wyoming_pocket_tts.pocket.child_process import give, last_words, lines_of, started
from wyoming_pocket_tts.pocket.onnx.protocol import Failed, Finished, Order, Progress, UnfitPrecision, Warned, parse

logger = logging.getLogger(__name__)

_MODULE = "wyoming_pocket_tts.pocket.onnx.convert"
CANNOT_COMPUTE = frozenset({signal.SIGILL, signal.SIGFPE, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS})
"""How a processor ends a program that asks for what it lacks."""

_WORK = {
    "convert": "the conversion",
    "prove": "the comparison with the exact model",
    "voices": "the download of voices",
    "hear": "the process that hears a recording",
}

Report = Callable[[Progress], None]


def run_child(order: Order, *, report: Report, stop: Event, inherited: tuple[int, ...] = ()) -> None:
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
            child = stack.enter_context(started(_MODULE, complaints=complaints, inherited=inherited))
        except OSError as error:  # no room, memory or process left
            raise ModelError(f"{_WORK[order.task]} cannot be started: {error.strerror or error}") from error
        give(child, order)
        finished = False
        for line in lines_of(child, stop):
            match _parsed(line):
                case Progress() as progress:
                    report(progress)
                case Warned(text=text):
                    logger.warning("%s", text)
                case Failed() as failed:
                    raise failed.as_error()
                case Finished(peak_bytes=peak_bytes):
                    finished = True
                    logger.debug("%s used %d MB of memory at most", order.task, (peak_bytes or 0) >> 20)
        status = child.wait()
        if not finished:
            raise _death(order, status, complaints)


def _parsed(line: bytes) -> Progress | Warned | Failed | Finished | None:
    try:
        return parse(line)
    except ValueError:
        logger.debug("the converting process wrote %r", line)
        return None


def _death(order: Order, status: int, complaints: IO[bytes]) -> ModelError:
    """Say why the child ended before it was done."""
    computes = order.task in ("convert", "prove")
    if computes and -status in CANNOT_COMPUTE:
        name = signal.Signals(-status).name
        return UnfitPrecision(f"{order.precision} does not run on this machine: it ended with {name}")
    work = _WORK[order.task]
    if status == -signal.SIGKILL:
        needs = ": it needs about 600 MB" if computes else ""
        return ModelError(f"{work} was killed, most likely because memory ran out{needs}; start it again")
    return ModelError(f"{work} ended unexpectedly (status {status}): {last_words(complaints)}")
