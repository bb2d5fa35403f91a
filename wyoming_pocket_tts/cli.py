"""The command line: parses, builds objects, calls. Decides nothing itself; imports what is slow when needed."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from wyoming_pocket_tts import __version__, cli_config, cli_doctor, cli_pocket, cli_system, options
from wyoming_pocket_tts.cli_support import complain, read_settings, report
from wyoming_pocket_tts.engines import Engine, Ensemble, load_engine, load_ensemble
from wyoming_pocket_tts.errors import ConfigError, EmptyText, NoConnection, SpeechError

if TYPE_CHECKING:
    from wyoming_pocket_tts.client import Timing

EXIT_FAILURE = 1
EXIT_USAGE = 2


def _show_version(wanted: bool) -> None:  # noqa: FBT001  (typer calls it so)
    if wanted:
        typer.echo(f"wyoming-pocket-tts {__version__}")
        raise typer.Exit


VersionFlag = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
]
EngineOption = Annotated[Engine, typer.Option("--engine", hidden=True, help="For tests: a beep instead of a voice.")]

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
    from wyoming_pocket_tts.lifecycle import run_service  # noqa: PLC0415  (the server and what it needs)

    def load() -> Ensemble:
        return load_ensemble(engine, settings, file=config, flags=flags)

    asyncio.run(run_service(load, settings, ends_process=True))


@app.command()
def generate(
    text: options.OptionalTextArgument = None,
    *,
    text_option: options.TextOption = None,
    output: options.OutputOption = "speech.wav",
    voice: options.SpeakerOption = None,
    quiet: options.QuietFlag = False,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    checkpoint: options.CheckpointOption = None,
    sampler_decode_steps: options.SamplerStepsOption = None,
    lsd_decode_steps: options.LsdStepsOption = None,
    temperature: options.TemperatureOption = None,
    noise_clamp: options.NoiseClampOption = None,
    eos_threshold: options.EosThresholdOption = None,
    frames_after_eos: options.FramesAfterEosOption = None,
    max_tokens: options.MaxTokensOption = None,
    continuity: options.ContinuityOption = None,
    seed: options.SeedOption = None,
    device: options.DeviceOption = None,
    quantize: options.QuantizeFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
    engine: EngineOption = Engine.KOKORO,
) -> None:
    """Turn text into a WAV file, without a server.

    The embedded voice speaks, unless the voice or one of the other options asks for Pocket TTS.
    """
    if text is not None and text_option is not None:
        raise typer.BadParameter("give the text once: as TEXT or with --text")
    settings = read_settings(settings_file, {"data_dir": data_dir}, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.generate import Wanted, generate_speech  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.commands.manner import Manner  # noqa: PLC0415
    from wyoming_pocket_tts.commands.pocket_model import ModelChoice  # noqa: PLC0415  (pydantic)

    wanted = Wanted(
        text=text if text_option is None else text_option,
        voice=voice,
        model=ModelChoice(
            language=language,
            config=config,
            checkpoint=checkpoint,
            sampler_decode_steps=sampler_decode_steps,
            lsd_decode_steps=lsd_decode_steps,
            temperature=temperature,
            noise_clamp=noise_clamp,
            eos_threshold=eos_threshold,
            quantize=quantize,
            device=device,
        ),
        manner=Manner(
            frames_after_eos=frames_after_eos, max_tokens=max_tokens, continuity_seconds=continuity, seed=seed
        ),
        output=output,
        settings=settings,
    )
    note = (lambda _: None) if quiet else complain
    line = generate_speech(wanted, load_embedded=lambda: load_engine(engine), quiet=quiet, complain=note)
    if not quiet:
        report(line, output)


cli_pocket.register(app)
cli_config.register(app)
cli_doctor.register(app)
cli_system.register(app)


@app.command()
def say(
    text: options.TextArgument,
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

    if not text.strip():
        raise EmptyText("the text holds nothing to say")
    pieces = typed_pieces() if text == "-" else pieces_of(text)
    if output is None:
        with open_player() as player:
            timing = asyncio.run(say_through(uri, pieces, voice=voice, sink=player.write, tell=complain))
            _check_heard(timing)
    else:
        with open_wav(output) as wav:
            timing = asyncio.run(say_through(uri, pieces, voice=voice, sink=wav.write, tell=complain))
            _check_heard(timing)
            wav.finish(Format(rate_hz=16_000))
    report(str(timing), output)


def _check_heard(timing: "Timing") -> None:
    if timing.first_audio_seconds is None:
        raise EmptyText(str(timing))


@app.command()
def voices(
    *,
    as_json: options.JsonFlag = False,
    config: options.ConfigOption = None,
    data_dir: options.DataDirOption = None,
    engine: EngineOption = Engine.KOKORO,
) -> None:
    """List the voices that the service speaks with, and say what is wrong with those that cannot."""
    settings = read_settings(config, {"data_dir": data_dir}, log_level="warning")
    from wyoming_pocket_tts.commands.voices import listing  # noqa: PLC0415  (the models)
    from wyoming_pocket_tts.voice_list import as_dicts, as_table  # noqa: PLC0415

    listed = listing(settings, embedded=load_engine(engine).voices())
    voices = listed.voices
    typer.echo(json.dumps(as_dicts(voices), ensure_ascii=False, indent=2) if as_json else as_table(voices))
    for problem in listed.problems:
        complain(problem)


def main() -> None:
    """Run the command line; what is expected to go wrong ends in one clear line per problem and an exit code."""
    try:
        app()
    except SpeechError as error:
        complain(str(error) or type(error).__name__)
        if isinstance(error, NoConnection):
            complain(_without_a_connection())
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)


def _without_a_connection() -> str:
    """What somebody can do whose machine does not reach the hub."""
    from wyoming_pocket_tts.pocket.hub import kept_in  # noqa: PLC0415  (pydantic)

    return (
        "connect this machine (cable, router, DNS, proxy), or run 'wyoming-pocket-tts download' on another machine and"
        f" copy what it brought there: the data directory, and {kept_in()}"
    )
