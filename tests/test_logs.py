"""How log lines look."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from wyoming_pocket_tts.logs import set_up_logging


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
