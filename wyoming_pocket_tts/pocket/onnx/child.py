"""Lets a child process convert: starts it, listens to it, and ends it. Knows nothing about what it does.

A process of its own, so that its memory is gone afterwards, that it can be ended at any moment, and that a processor
which cannot run the result takes nobody else down.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO

from wyoming_pocket_tts.errors import Cancelled, ModelError
from wyoming_pocket_tts.pocket.onnx.protocol import Failed, Finished, Order, Progress, UnfitPrecision, Warned, parse

logger = logging.getLogger(__name__)

_MODULE = "wyoming_pocket_tts.pocket.onnx.convert"
_ROOT = Path(__file__).parents[3]
"""Where the package lies: the child uses this copy."""
_POLL_SECONDS = 0.1
_PIPE_BYTES = 1 << 16
_CANNOT_COMPUTE = {signal.SIGILL, signal.SIGFPE, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS}

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
        UnfitPrecision: this machine cannot run what was made.
        SpeechError: what went wrong in the child.
    """
    with tempfile.TemporaryFile() as complaints, _started(inherited, complaints) as child:
        _give(child, order)
        finished = False
        for line in _lines(child, stop):
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


@contextmanager
def _started(inherited: tuple[int, ...], complaints: IO[bytes]) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a child that is gone when the block ends."""
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(  # noqa: S603  (this interpreter, with our own module)
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        pass_fds=inherited,
        process_group=0,  # Ctrl-C is for us: we end it then
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        yield child
    finally:
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.wait()


def _give(child: "subprocess.Popen[bytes]", order: Order) -> None:
    """Send the order; the pipe stays open as a sign of life."""
    assert child.stdin is not None  # noqa: S101  (it is a pipe)
    try:
        child.stdin.write(order.model_dump_json().encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:  # it died at once; its status tells why
        return


def _lines(child: "subprocess.Popen[bytes]", stop: Event) -> Iterator[bytes]:
    """Yield what the child writes, line by line, until it ends."""
    assert child.stdout is not None  # noqa: S101  (it is a pipe)
    pipe = child.stdout.fileno()
    unfinished = b""
    while True:
        if stop.is_set():
            raise Cancelled("the conversion was given up")
        ready, _, _ = select.select([pipe], [], [], _POLL_SECONDS)
        if not ready:
            continue
        piece = os.read(pipe, _PIPE_BYTES)
        if not piece:
            return
        *lines, unfinished = (unfinished + piece).split(b"\n")
        yield from lines


def _parsed(line: bytes) -> Progress | Warned | Failed | Finished | None:
    try:
        return parse(line)
    except ValueError:
        logger.debug("the converting process wrote %r", line)
        return None


def _death(order: Order, status: int, complaints: IO[bytes]) -> ModelError:
    """Say why the child ended before it was done."""
    if -status in _CANNOT_COMPUTE:
        name = signal.Signals(-status).name
        return UnfitPrecision(f"{order.precision} does not run on this machine: it ended with {name}")
    if status == -signal.SIGKILL:
        return ModelError(
            "the conversion was killed, most likely because memory ran out: it needs about 600 MB; start it again"
        )
    complaints.seek(0)
    last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
    return ModelError(f"the conversion ended unexpectedly (status {status}): {last or 'it said nothing'}")
