"""The command serve."""

import asyncio
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.config.loader import read_settings
from wyoming_pocket_tts.server.app import run_service
from wyoming_pocket_tts.server.components import Components, EmbeddedEngine, build_components

app = typer.Typer(rich_markup_mode=None)


class _ServeCommand(TyperCommand):
    """Accepts ``--zeroconf`` without a value as an empty one, which typer's options cannot express."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's class or click's, by version)
        pairs = zip(args, [*args, "-"][1:], strict=True)
        args = ["--zeroconf=" if arg == "--zeroconf" and after.startswith("-") else arg for arg, after in pairs]
        return super().parse_args(ctx, args)


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
    config: options.ConfigOption = None,
    data_dir: options.DataDirOption = None,
    voice: options.VoiceOption = None,
    model: options.ModelsOption = None,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    normalize: options.NormalizeFlag = None,
    emoji: options.EmojiOption = None,
    metrics_port: options.MetricsPortOption = None,
    debug: options.DebugFlag = False,
    log_format: options.LogFormatOption = None,
    engine: options.EngineOption = EmbeddedEngine.KOKORO,
    version: options.VersionFlag = False,  # noqa: ARG001  (its callback does everything)
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
        "models.names": model or None,
        "models.precision": precision,
        "models.threads": threads,
        "models.local_files_only": local_files_only or None,
        "text.normalize": normalize,
        "text.emoji": emoji,
        "metrics.port": metrics_port,
        "log.level": "debug" if debug else None,
        "log.format": log_format,
    }
    settings = read_settings(config, flags)

    def load() -> Components:
        return build_components(engine, settings, file=config, flags=flags)

    asyncio.run(run_service(load, settings, ends_process=True))
