"""The runner of checks: errors, hanging checks, the report."""

import errno
import os
import threading
from collections.abc import Iterator

from tests.cli.doctor.checking import named
from wyoming_pocket_tts.cli.doctor.base import (
    Check,
    Finding,
    examine,
    ok,
    problem,
    warning,
)
from wyoming_pocket_tts.cli.doctor.base import (
    FindingSeverity as Severity,
)
from wyoming_pocket_tts.cli.doctor.command import as_dict, is_healthy, line, summary
from wyoming_pocket_tts.core.errors import ModelError


def planned(
    *found: Finding,
    failure: Exception | None = None,
    until: threading.Event | None = None,
    limit_seconds: float = 20.0,
) -> Check:
    """A check that yields the findings, then fails or hangs."""

    def run() -> Iterator[Finding]:
        yield from found or (ok("first"),)
        if until is not None:
            until.wait()
        if failure is not None:
            raise failure

    return Check("planned", limit_seconds, run)


def found_by(check: Check) -> list[Finding]:
    return [result.finding for result in examine([check])]


def test_an_expected_error_becomes_a_problem_in_one_line() -> None:
    found = found_by(planned(failure=ModelError("two\nlines")))
    named(found, Severity.OK, "first")
    named(found, Severity.PROBLEM, "two lines")


def test_an_unexpected_error_is_a_mistake_of_ours() -> None:
    found = found_by(planned(failure=ZeroDivisionError("by nothing")))
    named(found, Severity.PROBLEM, "this check failed: ZeroDivisionError: by nothing")
    assert "report it" in found[-1].advice


def test_the_machines_trouble_is_no_mistake_of_ours() -> None:
    for number, cure in ((errno.EACCES, "as root"), (errno.EIO, "dmesg")):
        found = found_by(planned(failure=OSError(number, os.strerror(number), "/data/models")))
        named(found, Severity.PROBLEM, f"/data/models: {os.strerror(number)}")
        assert cure in found[-1].advice
        assert "report" not in found[-1].advice


def test_a_check_that_hangs_is_left_behind_and_the_next_one_is_heard() -> None:
    released = threading.Event()
    results = list(examine([planned(limit_seconds=0.2, until=released), planned(ok("second"))]))
    released.set()
    assert [result.finding.found for result in results] == ["first", "this check did not end within 0.2 s", "second"]


def test_threads_of_checks_that_end_are_joined() -> None:
    list(examine([planned()] * 3))
    assert not [thread for thread in threading.enumerate() if thread.name == "doctor planned"]


def test_the_report_tells_everything_and_what_to_do() -> None:
    results = list(examine([planned(ok("fine"), warning("slow", "wait"), problem("broken", "mend it"))]))
    assert [line(result) for result in results] == [
        "OK       planned          fine",
        "WARNING  planned          slow\n         -> wait",
        "PROBLEM  planned          broken\n         -> mend it",
    ]
    assert summary(results) == "1 problem, 1 warning."
    assert summary(results[:1]) == "All is well."
    assert (is_healthy(results), is_healthy(results[:2])) == (False, True)
    assert as_dict(results)["findings"][1] == {
        "check": "planned",
        "severity": "warning",
        "found": "slow",
        "advice": "wait",
    }
