"""Messages, status line, progress stages, tables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from wyoming_pocket_tts.config.schema import Settings


def read_settings(config: Path | None, flags: Mapping[str, Any], *, log_level: str | None = None) -> "Settings":
    """Read the settings and set the log up; one-shot commands have a level of their own, and lines for people."""
    import logging  # noqa: PLC0415

    from wyoming_pocket_tts.config.loader import load_settings, unknown_variables  # noqa: PLC0415
    from wyoming_pocket_tts.core.logging import set_up_logging  # noqa: PLC0415

    settings = load_settings(file=config, environment=os.environ, flags=flags)
    style = settings.log.format
    set_up_logging(
        level=log_level or settings.log.level, style="plain" if log_level is not None and style == "text" else style
    )
    for stranger in unknown_variables(os.environ):
        logging.getLogger(__name__).warning("%s", stranger)
    return settings


def report(line: str, output: str | None) -> None:
    """Tell a person how it went, on standard error when standard output carries the audio."""
    typer.echo(line, err=output == "-")


def print_error(text: str) -> None:
    """Tell on standard error what went wrong, each line under the program's name."""
    for line in text.splitlines():
        typer.echo(f"wyoming-pocket-tts: {line}", err=True)
