"""Worker process with JSON-lines protocol, dies with its parent."""

import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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

# --- the parent's end


@contextmanager
def spawn(
    module: str, *, complaints: IO[bytes], inherited: tuple[int, ...] = ()
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a child that is gone when the block ends.

    Args:
        module: what it runs.
        complaints: takes its standard error.
        inherited: open files that the child keeps open as well, such as a lock.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(  # noqa: S603  (this interpreter, with our own module)
        [sys.executable, "-P", "-m", module],
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


def send_task(child: "subprocess.Popen[bytes]", order: BaseModel) -> None:
    """Send the order; the pipe stays open as a sign of life."""
    assert child.stdin is not None  # noqa: S101  (it is a pipe)
    try:
        child.stdin.write(order.model_dump_json().encode() + b"\n")
        child.stdin.flush()
    except BrokenPipeError:  # it died at once; its status tells why
        return


def read_lines(child: "subprocess.Popen[bytes]", stop: Event) -> Iterator[bytes]:
    """Yield what the child writes, line by line, until it ends.

    Raises:
        Cancelled: ``stop`` was set.
    """
    assert child.stdout is not None  # noqa: S101  (it is a pipe)
    pipe = child.stdout.fileno()
    unfinished = b""
    while True:
        if stop.is_set():
            raise Cancelled("the work of another process was given up")
        ready, _, _ = select.select([pipe], [], [], _POLL_SECONDS)
        if not ready:
            continue
        piece = os.read(pipe, _PIPE_BYTES)
        if not piece:
            return
        *lines, unfinished = (unfinished + piece).split(b"\n")
        yield from lines


def stderr_tail(complaints: IO[bytes]) -> str:
    """The last line that the child wrote on standard error."""
    complaints.seek(0)
    return complaints.read().decode(errors="replace").strip().rpartition("\n")[2] or "it said nothing"


# --- the child's end


class MessageWriter(logging.Handler):
    """Writes messages as lines; as a handler of the log it makes warnings of what is logged."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(logging.WARNING)
        self._stream = stream

    def tell(self, message: BaseModel) -> None:
        self._stream.write(message.model_dump_json().encode() + b"\n")
        self._stream.flush()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] != _PACKAGE and record.levelno < logging.ERROR:
            return  # a library that tries again and says so each time: what comes of it is told in the end
        self.tell(WarningMessage(text=record.getMessage()))


def receive_task() -> tuple[bytes, MessageWriter]:
    """Read the order, take standard output over for messages, and see to it that we end with our parent.

    Returns:
        The order, and what tells our parent things; warnings of the log go there by themselves.
    """
    order = sys.stdin.buffer.readline()
    # A daemon, since nothing can wake it before its pipe closes: then the process ends anyway.
    threading.Thread(target=_end_with_parent, args=(sys.stdin.fileno(),), daemon=True).start()
    teller = MessageWriter(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is not for the parent
    logging.basicConfig(handlers=[teller], level=logging.WARNING)
    return order, teller


def peak_bytes() -> int | None:
    """The most memory this program had. ``getrusage`` would count what its parent had when it started us, too."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(kilobytes) << 10 for _, kilobytes, *_ in lines), None)


def _end_with_parent(pipe: int) -> None:
    """Wait until the parent's end of the pipe closes, which it does however the parent dies; then die."""
    while os.read(pipe, 1):
        pass
    os._exit(_EXIT_ORPHANED)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WarningMessage(_Message):
    """A line for the log of the process that waits."""

    kind: Literal["warning"] = "warning"
    text: str
