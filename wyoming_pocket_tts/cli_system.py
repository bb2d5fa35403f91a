"""The commands of the command line for a machine's keeper: parses, builds objects, calls. Decides nothing itself.

Like ``cli.py``, imports what is slow when it is needed.
"""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from wyoming_pocket_tts import options
from wyoming_pocket_tts.cli_support import read_settings


def register(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(check)
    app.command("install-service")(install_service)


def check(
    uri: Annotated[
        str | None,
        typer.Argument(
            metavar="[URI]",
            help="The server: tcp://HOST:PORT or unix:///PATH. Default: where the settings let this machine's listen.",
            show_default=False,
        ),
    ] = None,
    *,
    config: options.ConfigOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="N", min=0.1, help="How long the answer may take.")
    ] = 5.0,
) -> None:
    """Ask a running server what it speaks with, as Home Assistant does; for health checks and for people."""
    settings = read_settings(config, {}, log_level="warning")
    from wyoming_pocket_tts.client import reachable_from_here  # noqa: PLC0415  (asyncio client)
    from wyoming_pocket_tts.commands.check import check as look  # noqa: PLC0415

    typer.echo(asyncio.run(look(uri or reachable_from_here(settings.server.uri), seconds=seconds)))


def install_service(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file with settings. Default: /etc/wyoming-pocket-tts/settings.yaml, made if it is not there.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop the service and remove it instead.")] = False,
) -> None:
    """Set the service up under systemd, as a user of its own, and start it; again, to bring it up to date."""
    read_settings(None, {}, log_level="warning")
    from wyoming_pocket_tts.commands import install_service as service  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.commands.unit_file import Installation  # noqa: PLC0415

    installation = Installation.running()
    machine = service.Machine.this_one()
    again = shlex.join(["sudo", str(installation.program), *sys.argv[1:]])
    if uninstall:
        service.uninstall(machine, dry_run=dry_run, again=again, tell=typer.echo)
    else:
        file = config.absolute() if config is not None else service.DEFAULT_SETTINGS
        service.install(installation, file, machine, dry_run=dry_run, again=again, tell=typer.echo)
