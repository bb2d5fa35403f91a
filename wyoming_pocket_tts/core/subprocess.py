"""Worker process with JSON-lines protocol, dies with its parent."""

import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import IO, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict

from wyoming_pocket_tts.core.errors import Cancelled

_ROOT = Path(__file__).parents[2]
"""Where the package lies: the child uses this copy."""
_PACKAGE = __name__.partition(".")[0]
_POLL_SECONDS = 0.1
_PIPE_BYTES = 1 << 16
_EXIT_ORPHANED = 3


class TaskMessage(BaseModel):
    """Base of what parent and child send each other, one JSON object a line."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WarningMessage(TaskMessage):
    """A line for the log of the parent."""

    kind: Literal["warning"] = "warning"
    text: str


# --- the parent's end


@contextmanager
def spawn(
    module: str, *, complaints: IO[bytes], inherited: tuple[int, ...] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a module in a child, which is killed when the block ends.

    ``complaints`` takes its standard error; the descriptors ``inherited`` stay open in it, such as a lock.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(  # noqa: S603  (this interpreter, with our own module)
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        pass_fds=inherited,
        process_group=0,  # Ctrl-C reaches the parent alone, which ends the child
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        yield child
    finally:
        child.kill()
        for pipe in filter(None, (child.stdin, child.stdout)):
            pipe.close()
        child.wait()


def send_task(child: "subprocess.Popen[bytes]", task: BaseModel) -> None:
    """Send the task; the pipe stays open as a sign of life."""
    assert child.stdin is not None  # noqa: S101  (it is a pipe)
    with suppress(BrokenPipeError):  # if it died at once, its status says why
        child.stdin.write(task.model_dump_json().encode() + b"\n")
        child.stdin.flush()


def read_lines(child: "subprocess.Popen[bytes]", stop: Event) -> Iterator[bytes]:
    """Yield what the child writes, line by line, until it ends; raises ``Cancelled`` once ``stop`` is set."""
    assert child.stdout is not None  # noqa: S101  (it is a pipe)
    pipe = child.stdout.fileno()
    unfinished = b""
    while not stop.is_set():
        if select.select([pipe], [], [], _POLL_SECONDS)[0]:
            piece = os.read(pipe, _PIPE_BYTES)
            if not piece:
                return
            *lines, unfinished = (unfinished + piece).split(b"\n")
            yield from lines
    raise Cancelled("the work of another process was given up")


def stderr_tail(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    return complaints.read().decode(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


# --- the child's end


class MessageWriter(logging.Handler):
    """Writes messages as lines; as a log handler it sends log records as ``WarningMessage``."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(logging.WARNING)
        self._stream = stream

    def tell(self, message: BaseModel) -> None:
        self._stream.write(message.model_dump_json().encode() + b"\n")
        self._stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] != _PACKAGE and record.levelno < logging.ERROR:
            return  # a library that tries again and logs each attempt: the result is reported in the end
        self.tell(WarningMessage(text=record.getMessage()))


def receive_task() -> tuple[bytes, MessageWriter]:
    """Return the task and the writer for messages.

    Standard output is taken over for messages; warnings of the log become messages; the process ends with its parent.
    """
    task = sys.stdin.buffer.readline()
    # A daemon, since nothing can wake it before its pipe closes: then the process ends anyway.
    threading.Thread(target=_end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    writer = MessageWriter(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is not for the parent
    logging.basicConfig(handlers=[writer], level=logging.WARNING)
    return task, writer


def peak_bytes() -> int | None:
    """The most memory this process had. ``getrusage`` would include the parent's at the time of the fork."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(kilobytes) << 10 for _, kilobytes, *_ in lines), None)


def _end_with_parent(pipe: int) -> None:
    """Die when the parent's end of the pipe closes, which it does however the parent dies."""
    while os.read(pipe, 1):
        pass
    os._exit(_EXIT_ORPHANED)
