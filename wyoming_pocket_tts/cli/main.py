"""Typer app with lazily loaded command modules; serve."""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from wyoming_pocket_tts.cli.console import print_error
from wyoming_pocket_tts.cli.options import VersionFlag
from wyoming_pocket_tts.core.errors import ConfigError, HubUnreachable, TtsError

EXIT_FAILURE = 1
EXIT_USAGE = 2

COMMANDS = {
    "serve": ("service", "Serve Home Assistant and other Wyoming clients."),
    "generate": ("generate", "Turn text into a WAV file, without a server."),
    "clone": ("clone", "Make a voice for the service from a recording."),
    "export-voice": ("clone", "Turn recordings into voice files for Pocket TTS."),
    "download": ("models", "Download and convert models and voices ahead of time."),
    "convert": ("models", "Convert a model of your own ahead of time."),
    "export-onnx": ("models", "Write a Pocket TTS model as portable ONNX files."),
    "compare": ("compare", "Compare speed, size and accuracy of precisions."),
    "models": ("models", "List released models, and which are on this machine."),
    "doctor": ("doctor.command", "Find what keeps the service from working."),
    "benchmark": ("benchmark", "Measure which models this machine runs in real time."),
    "check": ("client", "Check that a running server answers and has voices."),
    "install-service": ("service", "Set up and start the service under systemd."),
    "say": ("client", "Speak through a running server, and show how fast it is."),
    "voices": ("voices", "List the service's voices, and what is wrong with them."),
    "config": ("config", "Check settings, or show those that are in effect."),
}
"""Name -> module in this package with an ``app`` that has the command, and the summary in ``--help``."""


class LazyGroup(TyperGroup):
    """Imports the module of a command when the command is run or its own help is shown."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401  (typer passes what its version has)
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS, TyperCommand(None))  # the names are for typer's "Did you mean"

    def get_command(self, _: Any, cmd_name: str) -> Any:  # noqa: ANN401  (typer's classes or click's, by version)
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"wyoming_pocket_tts.cli.{COMMANDS[cmd_name][0]}")
        return typer.main.get_group(module.app).commands[cmd_name]

    def format_commands(self, _: Any, formatter: Any) -> None:  # noqa: ANN401  (as above)
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    help="Streaming text to speech for Home Assistant over the Wyoming protocol.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(*, version: VersionFlag = False) -> None: ...


def main() -> None:
    """Run the command line. Expected errors end in one line per problem and an exit code."""
    try:
        app()
    except TtsError as error:
        print_error(str(error) or type(error).__name__)
        if isinstance(error, HubUnreachable):
            print_error(_connection_advice())
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)


def _connection_advice() -> str:
    from wyoming_pocket_tts.pocket.hub import kept_in  # noqa: PLC0415  (slow, and rarely needed)

    return (
        "connect this machine (cable, router, DNS, proxy), or run 'wyoming-pocket-tts download' on another machine and"
        f" copy the result here: the data directory, and {kept_in()}"
    )
