"""Runs checks one after the other, each for a bounded time and whatever happens in it. Knows no check."""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from wyoming_pocket_tts.commands.doctor.cures import cure_of
from wyoming_pocket_tts.commands.doctor.finding import Check, Finding, problem
from wyoming_pocket_tts.errors import SpeechError

_HANGING = "look at the machine's log (dmesg), then run doctor again"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found."""

    check: str
    finding: Finding


def examine(checks: Iterable[Check]) -> Iterator[Result]:
    """Yield what the checks find, each as soon as it is known; never raises because of a check."""
    for check in checks:
        for finding in _within_time(check):
            yield Result(check.title, finding)


def _within_time(check: Check) -> Iterator[Finding]:
    """The findings of a check, and a problem if it does not end.

    A check that hangs, on a disk that is gone say, cannot be stopped from outside: its thread is left behind, a daemon
    that ends with the process. One that ends in time is joined.
    """
    findings: SimpleQueue[Finding | None] = SimpleQueue()
    thread = threading.Thread(target=_work, args=(check, findings), name=f"doctor {check.title}", daemon=True)
    thread.start()
    deadline = time.monotonic() + check.limit_seconds
    while True:
        try:
            finding = findings.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            yield problem(
                f"this check did not end within {check.limit_seconds:g} s",
                f"a disk, a network or the machine itself hangs: {_HANGING}",
            )
            return
        if finding is None:
            break
        yield finding
    thread.join()


def _work(check: Check, findings: "SimpleQueue[Finding | None]") -> None:
    try:
        for finding in check.look():
            findings.put(finding)
    except SpeechError as error:
        cure = cure_of(error, otherwise="do what the message says, then run doctor again")
        findings.put(problem(" ".join(str(error).split()), cure))
    except OSError as error:  # the machine's trouble, or a person's who may not look
        cure = "run doctor as root (sudo) or as the service's user" if isinstance(error, PermissionError) else _HANGING
        findings.put(problem(f"{error.filename or 'this check failed'}: {error.strerror or error}", cure))
    except Exception as error:  # noqa: BLE001  (a doctor who faints at what he sees is of no use)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        findings.put(problem(f"this check failed: {text}", "this is a mistake in the program: please report it"))
    finally:
        findings.put(None)
