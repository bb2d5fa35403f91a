"""How log lines look."""

import json
import logging
import threading
import warnings
from collections.abc import Iterator

import pytest

from wyoming_pocket_tts.core.logging import RateLimitFilter, request_context, set_up_logging


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    yield
    logging.captureWarnings(False)
    root.handlers[:] = before[1]
    root.setLevel(before[0])


def test_json_lines_are_objects_whatever_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="info", style="json")
    logging.getLogger("a").info('"quoted"\nand %s', "broken")
    try:
        int("no")
    except ValueError:
        logging.getLogger("b").exception("It failed")
    captured = capsys.readouterr()
    first, second = map(json.loads, captured.err.splitlines())
    assert first["message"] == '"quoted"\nand broken'
    assert first["level"] == "info"
    assert first["time"].endswith("+00:00")
    assert "ValueError: invalid literal" in second["exception"]
    assert captured.out == ""


def test_text_lines_respect_the_level_and_take_warnings_in(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="warning", style="text")
    logging.getLogger("a").info("quiet")
    logging.getLogger("a").warning("loud")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old thing", UserWarning, stacklevel=1)
    shown = capsys.readouterr().err
    assert "quiet" not in shown
    assert "WARNING a: loud" in shown
    assert "old thing" in shown


def test_debug_does_not_drown_in_packets() -> None:
    set_up_logging(level="debug", style="text")
    assert logging.getLogger("wyoming_pocket_tts").isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("zeroconf").isEnabledFor(logging.DEBUG)


def test_lines_say_which_request_they_are_request_context(capsys: pytest.CaptureFixture[str]) -> None:
    for style in ("text", "json"):
        set_up_logging(level="info", style="json" if style == "json" else "text")
        with request_context("4f1c9a2e"):
            logging.getLogger("a").info("inside")
        logging.getLogger("a").info("outside", extra={"fields": {"characters": 12}})
    inside, outside, json_inside, json_outside = capsys.readouterr().err.splitlines()
    assert inside.endswith("a: [4f1c9a2e] inside")
    assert outside.endswith("a: outside")
    assert json.loads(json_inside)["request"] == "4f1c9a2e"
    assert "request" not in json.loads(json_outside)
    assert json.loads(json_outside)["characters"] == 12


def test_threads_and_tasks_do_not_take_each_others_requests(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="info", style="text")
    with request_context("first"):
        stranger = threading.Thread(target=logging.getLogger("a").info, args=("from elsewhere",))
        stranger.start()
        stranger.join()
    assert "first" not in capsys.readouterr().err


def test_a_flood_is_thinned_out_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(level="info", style="text")
    for number in range(1_000):
        logging.getLogger("a").warning("flood %d", number)
    logging.getLogger("a").warning("something else")
    lines = capsys.readouterr().err.splitlines()
    assert 100 <= sum("flood" in line for line in lines) < 200
    assert "something else" in lines[-1]


def records(throttle: RateLimitFilter, count: int, *, line: int = 1, level: int = logging.INFO) -> list[int]:
    """Numbers of those left out that the records which pass tell."""
    made = [logging.LogRecord("a", level, "file.py", line, "flood", (), None) for _ in range(count)]
    return [int(vars(record).get("left_out", 0)) for record in made if throttle.filter(record)]


def test_lines_come_back_with_time_each_place_on_its_own() -> None:
    clock = iter([0.0] * 252 + [2.5] * 5).__next__
    throttle = RateLimitFilter(clock)
    assert records(throttle, 250) == [0] * 100
    assert records(throttle, 2, line=2) == [0, 0]
    assert records(throttle, 5) == [150, 0]


def test_debug_lines_are_never_left_out() -> None:
    assert len(records(RateLimitFilter(lambda: 0.0), 1_000, level=logging.DEBUG)) == 1_000
