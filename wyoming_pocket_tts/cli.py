"""The command line: parses, builds objects, calls. Decides nothing itself; imports what is slow when needed."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.engines import Engine, load_engine
from wyoming_pocket_tts.errors import ConfigError, SpeechError

if TYPE_CHECKING:
    from wyoming_pocket_tts.settings import Settings

EXIT_FAILURE = 1
EXIT_USAGE = 2


def _show_version(wanted: bool) -> None:  # noqa: FBT001  (typer calls it so)
    if wanted:
        typer.echo(f"wyoming-pocket-tts {__version__}")
        raise typer.Exit


VersionFlag = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
]
ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="YAML file with settings.")]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the service keeps what it must remember.")
]
VoiceOption = Annotated[str | None, typer.Option("--voice", metavar="NAME", help="Voice for clients that name none.")]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Log everything, spoken texts included.")]
LogFormatOption = Annotated[str | None, typer.Option("--log-format", metavar="text|json", help="How log lines look.")]
EngineOption = Annotated[Engine, typer.Option("--engine", hidden=True, help="For tests: a beep instead of a voice.")]
TextArgument = Annotated[
    str,
    typer.Argument(
        metavar="TEXT", help="What to say, or - for standard input. Put -- before a text that begins with a dash."
    ),
]

app = typer.Typer(
    help="Streaming text to speech for Home Assistant over the Wyoming protocol.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(*, version: VersionFlag = False) -> None: ...


class _ServeCommand(TyperCommand):
    """Lets ``--zeroconf`` stand alone, which typer's options cannot: then its value is empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's class or click's, by version)
        following = [*args, "-"][1:]
        spelled_out = [
            "--zeroconf=" if arg == "--zeroconf" and after.startswith("-") else arg
            for arg, after in zip(args, following, strict=True)
        ]
        return super().parse_args(ctx, spelled_out)


@app.command(cls=_ServeCommand)
def serve(
    *,
    uri: Annotated[
        str | None,
        typer.Option("--uri", metavar="URI", help=r"Where to listen: tcp://HOST:PORT, unix:///PATH or stdio://."),
    ] = None,
    zeroconf: Annotated[
        str | None,
        typer.Option("--zeroconf", metavar="[NAME]", help="Announce the server, under this name if one is given."),
    ] = None,
    no_zeroconf: Annotated[bool, typer.Option("--no-zeroconf", help="Do not announce the server.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    voice: VoiceOption = None,
    debug: DebugFlag = False,
    log_format: LogFormatOption = None,
    engine: EngineOption = Engine.KOKORO,
    version: VersionFlag = False,  # noqa: ARG001  (its callback does it all)
) -> None:
    """Serve Home Assistant and other Wyoming clients."""
    if zeroconf is not None and no_zeroconf:
        raise typer.BadParameter("--zeroconf and --no-zeroconf exclude each other")
    flags = {
        "server.uri": uri,
        "discovery.announce": True if zeroconf is not None else False if no_zeroconf else None,
        "discovery.name": zeroconf or None,
        "data_dir": data_dir,
        "voice.default": voice,
        "log.level": "debug" if debug else None,
        "log.format": log_format,
    }
    settings = _settings(config, flags)
    from wyoming_pocket_tts.lifecycle import run_service  # noqa: PLC0415  (the server and what it needs)

    asyncio.run(run_service(lambda: load_engine(engine), settings))


@app.command()
def generate(
    text: TextArgument,
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="WAV file, or - for standard output.")
    ] = "speech.wav",
    voice: Annotated[str | None, typer.Option("--voice", metavar="NAME", help="Voice to speak with.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = Engine.KOKORO,
) -> None:
    """Turn text into a WAV file, without a server."""
    settings = _settings(config, {"voice.default": voice, "data_dir": data_dir}, quiet=True)
    from wyoming_pocket_tts.offline import find_voice, speak  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.wav import Format, open_wav  # noqa: PLC0415

    synthesizer = load_engine(engine)
    choice = find_voice(synthesizer.voices(), settings.voice.default)
    audio_format = Format(rate_hz=choice.voice.sample_rate_hz)
    with open_wav(output) as wav:
        for block in speak(synthesizer, _whole_text(text), choice):
            wav.write(block.astype("<i2").tobytes(), audio_format)
        if not wav.seconds:
            raise SpeechError("the text holds nothing to say")
        wav.finish(audio_format)
    _report(f"{wav.seconds:.2f} s of speech by '{choice.voice.name}' in {output}", output)


@app.command()
def say(
    text: TextArgument,
    *,
    uri: Annotated[
        str, typer.Option("--uri", metavar="URI", help="The server: tcp://HOST:PORT or unix:///PATH.")
    ] = "tcp://127.0.0.1:10200",
    voice: Annotated[str | None, typer.Option("--voice", metavar="NAME", help="Voice to ask for.")] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="WAV file, or - for standard output, instead of playing."),
    ] = None,
) -> None:
    """Speak through a running server, and show how fast it is."""
    from wyoming_pocket_tts.client import say as say_through  # noqa: PLC0415  (asyncio client)
    from wyoming_pocket_tts.player import open_player  # noqa: PLC0415
    from wyoming_pocket_tts.standard_input import pieces_of, typed_pieces  # noqa: PLC0415
    from wyoming_pocket_tts.wav import Format, open_wav  # noqa: PLC0415

    pieces = typed_pieces() if text == "-" else pieces_of(text)
    if output is None:
        with open_player() as player:
            timing = asyncio.run(say_through(uri, pieces, voice=voice, sink=player.write))
    else:
        with open_wav(output) as wav:
            timing = asyncio.run(say_through(uri, pieces, voice=voice, sink=wav.write))
            if timing.first_audio_seconds is None:
                raise SpeechError(str(timing))
            wav.finish(Format(rate_hz=16_000))
    _report(str(timing), output)


@app.command()
def voices(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = Engine.KOKORO,
) -> None:
    """List the voices that this installation speaks with."""
    _settings(config, {"data_dir": data_dir}, quiet=True)
    from wyoming_pocket_tts.voice_list import as_dicts, as_table  # noqa: PLC0415

    listed = load_engine(engine).voices()
    typer.echo(json.dumps(as_dicts(listed), ensure_ascii=False, indent=2) if as_json else as_table(listed))


def _settings(config: Path | None, flags: Mapping[str, Any], *, quiet: bool = False) -> "Settings":
    """Read the settings and set the log up; ``quiet`` keeps what is not worth a warning away from one-shot commands."""
    import logging  # noqa: PLC0415

    from wyoming_pocket_tts.logs import set_up_logging  # noqa: PLC0415
    from wyoming_pocket_tts.settings_sources import load_settings, unknown_variables  # noqa: PLC0415

    settings = load_settings(file=config, environment=os.environ, flags=flags)
    set_up_logging(level="warning" if quiet else settings.log.level, style=settings.log.format)
    for stranger in unknown_variables(os.environ):
        logging.getLogger(__name__).warning("%s", stranger)
    return settings


def _whole_text(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def _report(line: str, output: str | None) -> None:
    """Tell a person how it went, on standard error when standard output carries the audio."""
    typer.echo(line, err=output == "-")


def main() -> None:
    """Run the command line; what is expected to go wrong ends in one clear line per problem and an exit code."""
    try:
        app()
    except SpeechError as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            typer.echo(f"wyoming-pocket-tts: {line}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)
