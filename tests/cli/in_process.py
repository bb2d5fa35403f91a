"""Runs a command in the test's process, where the start of a process is not the point."""

import contextlib
import io
import logging
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from wyoming_pocket_tts.cli.main import main
from wyoming_pocket_tts.pocket import registry
from wyoming_pocket_tts.pocket.schema import ModelConfig


def run(*arguments: str, stdin: bytes = b"", at: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """What ``main`` writes, and its exit status. Leaves the log, the streams and the working directory as they were.

    With the option ``--engine``, which only the tests' program has, it is a process of its own.
    """
    if "--engine" in arguments:
        command = [sys.executable, "-m", "tests.support.tone_app", *arguments]
        return subprocess.run(command, input=stdin, cwd=at, capture_output=True, check=False, timeout=60)
    stdout, stderr = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, "utf-8", write_through=True) for stream in (stdout, stderr))
    log = logging.getLogger()
    level, handlers = log.level, log.handlers[:]
    code: object = 0
    with (
        contextlib.chdir(at or Path.cwd()),
        patch.object(sys, "argv", ["wyoming-pocket-tts", *arguments]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            logging.captureWarnings(False)
            log.handlers[:] = handlers
            log.setLevel(level)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, stdout.getvalue(), stderr.getvalue())


def replace_released_models(monkeypatch: pytest.MonkeyPatch, config: ModelConfig) -> None:
    """Every released model is this one, in all modules that look one up."""
    original = registry.released_model
    for module in list(sys.modules.values()):
        if getattr(module, "released_model", None) is original:
            monkeypatch.setattr(module, "released_model", lambda _: config)
