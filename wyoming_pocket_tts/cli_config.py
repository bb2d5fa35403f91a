"""The commands of the command line for settings: parses, builds objects, calls. Decides nothing itself.

Like ``cli.py``, imports what is slow when it is needed.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from wyoming_pocket_tts import options
from wyoming_pocket_tts.cli_support import complain, read_settings

SettingsFile = Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with settings.", show_default=False)]

OptionalSettingsFile = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="YAML file with settings.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Give the command line these commands."""
    config = typer.Typer(help="Check settings, or show those that are in effect.", no_args_is_help=True)
    config.command()(check)
    config.command()(show)
    app.add_typer(config, name="config")


def check(file: SettingsFile) -> None:
    """Explain what is wrong with a settings file, or tell who speaks how with it."""
    from wyoming_pocket_tts.commands.config import check as check_file  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.kokoro.runtime import VOICE_FOLDER, Description  # noqa: PLC0415  (numpy)

    embedded = [speaker.voice.name for speaker in Description.load(VOICE_FOLDER / "voice.json").speakers]
    check_file(file, environment=os.environ, embedded=embedded, tell=typer.echo, complain=complain)


def show(file: OptionalSettingsFile = None, *, config: options.ConfigOption = None) -> None:
    """Show all settings that are in effect, from file and environment, as YAML."""
    if file is not None and config is not None:
        raise typer.BadParameter("give the file once: as FILE or with --config")
    settings = read_settings(file or config, {}, log_level="warning")
    from wyoming_pocket_tts.commands.config import show as as_yaml  # noqa: PLC0415  (pydantic)

    typer.echo(as_yaml(settings))
