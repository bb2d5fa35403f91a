"""Typer app with lazily loaded command modules; serve."""

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.cli.console import print_error, read_settings, report
from wyoming_pocket_tts.cli.options import (
    AllVoicesFlag,
    AnewFlag,
    CandidatesOption,
    CheckpointOption,
    ClonedArgument,
    ClonedForOption,
    ComparedVoiceOption,
    ComparisonOption,
    ConfigOption,
    ContinuityOption,
    DataDirOption,
    DebugFlag,
    DeviceOption,
    EmojiOption,
    EosThresholdOption,
    ExportArgument,
    ForceFlag,
    FramesAfterEosOption,
    JsonFlag,
    LanguageOption,
    LocalFilesOnlyFlag,
    LogFormatOption,
    LsdStepsOption,
    MaxTokensOption,
    MetricsPortOption,
    ModelConfigOption,
    ModelNamesArgument,
    ModelsOption,
    NoiseClampOption,
    NormalizeFlag,
    NoTruncateFlag,
    OptionalTextArgument,
    OutputOption,
    OwnModelOption,
    PortableArgument,
    PortableQuantizeFlag,
    PortableVoicesOption,
    PrecisionOption,
    QuantizeFlag,
    QuietFlag,
    RecordingArgument,
    ReplaceFlag,
    SamplerStepsOption,
    SeedOption,
    SettingsOption,
    SpeakerOption,
    StepsOption,
    TemperatureOption,
    TextArgument,
    TextOption,
    ThreadsOption,
    VoiceNameOption,
    VoiceNamesOption,
    VoiceOption,
)
from wyoming_pocket_tts.core.errors import ConfigError, EmptyText, HubUnreachable, TtsError
from wyoming_pocket_tts.server.components import (
    Components,
    EmbeddedEngine,
    build_components,
    default_thread_count,
    load_engine,
)

if TYPE_CHECKING:
    from wyoming_pocket_tts.cli.client import ClientTiming
    from wyoming_pocket_tts.config.schema import Settings


SettingsFile = Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with settings.", show_default=False)]

OptionalSettingsFile = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="YAML file with settings.", show_default=False)
]


def register_config(app: typer.Typer) -> None:
    """Give the command line these commands."""
    config = typer.Typer(help="Check settings, or show those that are in effect.", no_args_is_help=True)
    config.command()(check_command)
    config.command()(show_command)
    app.add_typer(config, name="config")


def check_command(file: SettingsFile) -> None:
    """Explain what is wrong with a settings file, or tell who speaks how with it."""
    from wyoming_pocket_tts.cli.config import check as check_file  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER, VoiceManifest  # noqa: PLC0415  (numpy)

    embedded = [speaker.voice.name for speaker in VoiceManifest.load(VOICE_FOLDER / "voice.json").speakers]
    check_file(file, environment=os.environ, embedded=embedded, tell=typer.echo, complain=print_error)


def show_command(file: OptionalSettingsFile = None, *, config: ConfigOption = None) -> None:
    """Show all settings that are in effect, from file and environment, as YAML."""
    if file is not None and config is not None:
        raise typer.BadParameter("give the file once: as FILE or with --config")
    settings = read_settings(file or config, {}, log_level="warning")
    from wyoming_pocket_tts.cli.config import show as as_yaml  # noqa: PLC0415  (pydantic)

    typer.echo(as_yaml(settings))


RunningOption = Annotated[
    str | None,
    typer.Option(
        "--uri",
        metavar="URI",
        help="A running service to examine: tcp://HOST:PORT or unix:///PATH. Default: the one of the settings.",
        show_default=False,
    ),
]
QuickFlag = Annotated[bool, typer.Option("--quick", help="Measure one size: that of the settings' first model.")]
WriteOption = Annotated[
    Path | None,
    typer.Option(
        "--write", metavar="FILE", help="Write the choice into this settings file; comments and all else stay."
    ),
]


def register_doctor(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(doctor)
    app.command()(benchmark)


def doctor(
    *,
    as_json: JsonFlag = False,
    config: ConfigOption = None,
    uri: RunningOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Look for everything that could keep the service from speaking, and say what to do about it."""
    from wyoming_pocket_tts.cli.doctor import command  # noqa: PLC0415  (the models)
    from wyoming_pocket_tts.cli.doctor.base import DoctorContext  # noqa: PLC0415
    from wyoming_pocket_tts.core.logging import set_up_logging  # noqa: PLC0415
    from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER, VoiceManifest  # noqa: PLC0415  (numpy)

    set_up_logging(level="critical", style="plain")  # the report covers everything
    context = DoctorContext(
        file=config,
        uri=uri,
        flags={"data_dir": data_dir},
        environment=os.environ,
        embedded=[speaker.voice for speaker in VoiceManifest.load(VOICE_FOLDER / "voice.json").speakers],
        load_embedded=lambda: load_engine(EmbeddedEngine.KOKORO),
    )
    if not command.doctor(context, as_json=as_json, tell=typer.echo):
        raise typer.Exit(1)


def benchmark(
    *,
    quick: QuickFlag = False,
    write: WriteOption = None,
    as_json: JsonFlag = False,
    precision: PrecisionOption = None,
    threads: ThreadsOption = None,
    quiet: QuietFlag = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Measure which models this machine speaks with in real time. Downloads nothing."""
    flags = {"data_dir": data_dir, "models.precision": precision, "models.threads": threads}
    file = config or (write if write is not None and write.exists() else None)
    settings = read_settings(file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.benchmark import BenchmarkOptions, benchmark  # noqa: PLC0415  (numpy)

    wanted = BenchmarkOptions(quick=quick, write=write, threads=settings.models.threads or default_thread_count())
    benchmark(settings, wanted, as_json=as_json, quiet=quiet, tell=typer.echo)


def register_models(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(clone)
    app.command("export-voice")(export_voice)
    app.command()(download)
    app.command()(convert)
    app.command("export-onnx")(export_onnx_command)
    app.command()(compare)
    app.command()(models)


def clone(
    recording: ClonedArgument,
    *,
    name: VoiceNameOption,
    language: ClonedForOption = None,
    config: ModelConfigOption = None,
    precision: PrecisionOption = None,
    local_files_only: LocalFilesOnlyFlag = False,
    force: ReplaceFlag = False,
    quiet: QuietFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Make a voice of a recording, for the service: only of people who agreed."""
    flags = {
        "data_dir": data_dir,
        "models.precision": precision,
        "models.local_files_only": local_files_only or None,
    }
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.model_choice import ModelSelection  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.cli.voices import (  # noqa: PLC0415
        CloneOptions,
        check_name_is_free,
        clone,
        model_of_service,
    )
    from wyoming_pocket_tts.kokoro.synthesizer import VOICE_FOLDER, VoiceManifest  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.pocket.onnx.bundle import Precision  # noqa: PLC0415

    embedded = [speaker.voice.name for speaker in VoiceManifest.load(VOICE_FOLDER / "voice.json").speakers]
    check_name_is_free(name, settings, embedded=embedded)
    wanted = CloneOptions(
        recording=recording,
        name=name,
        data_dir=settings.data_dir,
        given_data_dir=data_dir,
        precision=Precision(settings.models.precision),
        force=force,
        local_files_only=settings.models.local_files_only,
        service_models=settings.models.names,
    )
    choice = ModelSelection(language=language, config=config)
    clone(
        wanted,
        model_of_service(choice, settings.models.names),
        quiet=quiet,
        tell=(lambda _: None) if quiet else typer.echo,
    )


def export_voice(
    audio: RecordingArgument,
    output: ExportArgument,
    *,
    quiet: QuietFlag = False,
    language: LanguageOption = None,
    config: ModelConfigOption = None,
    no_truncate: NoTruncateFlag = False,
    force: ForceFlag = False,
) -> None:
    """Turn a recording, or a folder of them, into voices that Pocket TTS has at once."""
    read_settings(None, {}, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.model_choice import ModelSelection  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.cli.voices import ExportOptions, export  # noqa: PLC0415  (numpy)

    export(
        ExportOptions(source=audio, target=output, truncate=not no_truncate, force=force),
        ModelSelection(language=language, config=config),
        quiet=quiet,
        tell=(lambda _: None) if quiet else typer.echo,
        complain=print_error,
    )


def download(
    model: ModelNamesArgument = None,
    *,
    voices: VoiceNamesOption = None,
    all_voices: AllVoicesFlag = False,
    precision: PrecisionOption = None,
    local_files_only: LocalFilesOnlyFlag = False,
    force: AnewFlag = False,
    quiet: QuietFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Fetch models and voices ahead of time and convert them, for images and machines without a network."""
    flags = {
        "data_dir": data_dir,
        "models.names": model or None,
        "models.precision": precision,
        "models.voices": "all" if all_voices else "default" if voices else None,
        "models.local_files_only": local_files_only or None,
    }
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.models import DownloadOptions, download_models  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.pocket.onnx.bundle import Precision  # noqa: PLC0415

    how = DownloadOptions(
        data_dir=settings.data_dir,
        given_data_dir=data_dir if settings_file else _given_data_dir(settings),
        given_settings=settings_file,
        precision=Precision(settings.models.precision),
        voices=voices or (),
        all_voices=settings.models.voices == "all",
        local_files_only=settings.models.local_files_only,
        anew=force,
    )
    download_models(settings.models.names, how, quiet=quiet, tell=typer.echo)


def convert(
    *,
    config: OwnModelOption,
    sampler_decode_steps: StepsOption = None,
    precision: PrecisionOption = None,
    local_files_only: LocalFilesOnlyFlag = False,
    force: AnewFlag = False,
    quiet: QuietFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Convert a model of your own ahead of time."""
    flags = {
        "data_dir": data_dir,
        "models.precision": precision,
        "models.local_files_only": local_files_only or None,
    }
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.models import DownloadOptions, convert_custom_model  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.pocket.onnx.bundle import Precision  # noqa: PLC0415

    how = DownloadOptions(
        data_dir=settings.data_dir,
        given_data_dir=data_dir if settings_file else _given_data_dir(settings),
        given_settings=settings_file,
        precision=Precision(settings.models.precision),
        steps=sampler_decode_steps,
        local_files_only=settings.models.local_files_only,
        anew=force,
    )
    convert_custom_model(config, how, quiet=quiet, tell=typer.echo)


def _given_data_dir(settings: "Settings") -> Path | None:
    """What somebody said about it, wherever."""
    return settings.data_dir if "data_dir" in settings.model_fields_set else None


def export_onnx_command(
    output: PortableArgument,
    *,
    language: LanguageOption = None,
    config: ModelConfigOption = None,
    checkpoint: CheckpointOption = None,
    quantize: PortableQuantizeFlag = False,
    voice: PortableVoicesOption = None,
    quiet: QuietFlag = False,
) -> None:
    """Write a model of Pocket TTS as portable ONNX models, for browsers and other programs."""
    read_settings(None, {}, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.model_choice import ModelSelection  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.cli.models import OnnxExportOptions, export_onnx  # noqa: PLC0415  (numpy)

    export_onnx(
        OnnxExportOptions(target=output, quantize=quantize, voices=tuple(voice or ())),
        ModelSelection(language=language, config=config, checkpoint=checkpoint),
        quiet=quiet,
        tell=(lambda _: None) if quiet else typer.echo,
    )


def compare(
    text: OptionalTextArgument = None,
    *,
    language: LanguageOption = None,
    config: ModelConfigOption = None,
    precision: CandidatesOption = None,
    voice: ComparedVoiceOption = None,
    output: ComparisonOption = Path("comparison"),
    threads: ThreadsOption = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Let several precisions say the same, and show how fast, how large and how exact each is on this machine."""
    flags = {"data_dir": data_dir, "models.threads": threads}
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.compare import CompareOptions, compare  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.cli.model_choice import ModelSelection  # noqa: PLC0415  (pydantic)

    wanted = CompareOptions(
        text=text,
        voice=voice,
        candidates=precision or (),
        threads=settings.models.threads or default_thread_count(),
        output=output,
        data_dir=settings.data_dir,
        given_data_dir=data_dir,
    )
    compare(wanted, ModelSelection(language=language, config=config), quiet=quiet, as_json=as_json, tell=typer.echo)


def models(*, as_json: JsonFlag = False, data_dir: DataDirOption = None) -> None:
    """List the released models of Pocket TTS, and which of them are on this machine."""
    settings = read_settings(None, {"data_dir": data_dir}, log_level="warning")
    from wyoming_pocket_tts.cli.models import as_dict, as_table, released_models  # noqa: PLC0415  (pydantic)

    listed = released_models(settings.data_dir)
    typer.echo(json.dumps(as_dict(listed), ensure_ascii=False, indent=2) if as_json else as_table(listed))


def register_system(app: typer.Typer) -> None:
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
    config: ConfigOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="N", min=0.1, help="How long the answer may take.")
    ] = 5.0,
) -> None:
    """Ask a running server what it speaks with, as Home Assistant does; for health checks and for people."""
    settings = read_settings(config, {}, log_level="warning")
    from wyoming_pocket_tts.cli.client import check as look  # noqa: PLC0415
    from wyoming_pocket_tts.cli.client import local_address  # noqa: PLC0415  (asyncio client)

    typer.echo(asyncio.run(look(uri or local_address(settings.server.uri), seconds=seconds)))


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
    from wyoming_pocket_tts.cli import service  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.cli.service import InstalledProgram  # noqa: PLC0415

    installation = InstalledProgram.running()
    machine = service.SystemdHost.this_one()
    again = shlex.join(["sudo", str(installation.program), *sys.argv[1:]])
    if uninstall:
        service.uninstall(machine, dry_run=dry_run, again=again, tell=typer.echo)
    else:
        file = config.absolute() if config is not None else service.DEFAULT_SETTINGS
        service.install(installation, file, machine, dry_run=dry_run, again=again, tell=typer.echo)


EXIT_FAILURE = 1
EXIT_USAGE = 2


def _show_version(wanted: bool) -> None:  # noqa: FBT001  (typer calls it so)
    if wanted:
        typer.echo(f"wyoming-pocket-tts {__version__}")
        raise typer.Exit


VersionFlag = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
]
EngineOption = Annotated[
    EmbeddedEngine, typer.Option("--engine", hidden=True, help="For tests: a beep instead of a voice.")
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
    model: ModelsOption = None,
    precision: PrecisionOption = None,
    threads: ThreadsOption = None,
    local_files_only: LocalFilesOnlyFlag = False,
    normalize: NormalizeFlag = None,
    emoji: EmojiOption = None,
    metrics_port: MetricsPortOption = None,
    debug: DebugFlag = False,
    log_format: LogFormatOption = None,
    engine: EngineOption = EmbeddedEngine.KOKORO,
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
    from wyoming_pocket_tts.server.app import run_service  # noqa: PLC0415  (the server and what it needs)

    def load() -> Components:
        return build_components(engine, settings, file=config, flags=flags)

    asyncio.run(run_service(load, settings, ends_process=True))


@app.command()
def generate(
    text: OptionalTextArgument = None,
    *,
    text_option: TextOption = None,
    output: OutputOption = "speech.wav",
    voice: SpeakerOption = None,
    quiet: QuietFlag = False,
    language: LanguageOption = None,
    config: ModelConfigOption = None,
    checkpoint: CheckpointOption = None,
    sampler_decode_steps: SamplerStepsOption = None,
    lsd_decode_steps: LsdStepsOption = None,
    temperature: TemperatureOption = None,
    noise_clamp: NoiseClampOption = None,
    eos_threshold: EosThresholdOption = None,
    frames_after_eos: FramesAfterEosOption = None,
    max_tokens: MaxTokensOption = None,
    continuity: ContinuityOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    quantize: QuantizeFlag = False,
    settings_file: SettingsOption = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = EmbeddedEngine.KOKORO,
) -> None:
    """Turn text into a WAV file, without a server.

    The embedded voice speaks, unless the voice or one of the other options asks for Pocket TTS.
    """
    if text is not None and text_option is not None:
        raise typer.BadParameter("give the text once: as TEXT or with --text")
    settings = read_settings(settings_file, {"data_dir": data_dir}, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.cli.generate import (  # noqa: PLC0415  (numpy)
        GenerateOptions,
        GenerationOptions,
        generate_speech,
    )
    from wyoming_pocket_tts.cli.model_choice import ModelSelection  # noqa: PLC0415  (pydantic)

    wanted = GenerateOptions(
        text=text if text_option is None else text_option,
        voice=voice,
        model=ModelSelection(
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
        manner=GenerationOptions(
            frames_after_eos=frames_after_eos, max_tokens=max_tokens, continuity_seconds=continuity, seed=seed
        ),
        output=output,
        settings=settings,
    )
    note = (lambda _: None) if quiet else print_error
    line = generate_speech(wanted, load_embedded=lambda: load_engine(engine), quiet=quiet, complain=note)
    if not quiet:
        report(line, output)


register_models(app)
register_config(app)
register_doctor(app)
register_system(app)


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
    from wyoming_pocket_tts.audio.files import (  # noqa: PLC0415
        AudioFormat,
        open_player,
        open_wav,
    )
    from wyoming_pocket_tts.cli.client import pieces_of, typed_pieces  # noqa: PLC0415
    from wyoming_pocket_tts.cli.client import synthesize as say_through  # noqa: PLC0415  (asyncio client)

    if not text.strip():
        raise EmptyText("the text holds nothing to say")
    pieces = typed_pieces() if text == "-" else pieces_of(text)
    if output is None:
        with open_player() as player:
            timing = asyncio.run(say_through(uri, pieces, voice=voice, sink=player.write, tell=print_error))
            _check_heard(timing)
    else:
        with open_wav(output) as wav:
            timing = asyncio.run(say_through(uri, pieces, voice=voice, sink=wav.write, tell=print_error))
            _check_heard(timing)
            wav.finish(AudioFormat(rate_hz=16_000))
    report(str(timing), output)


def _check_heard(timing: "ClientTiming") -> None:
    if timing.first_audio_seconds is None:
        raise EmptyText(str(timing))


@app.command()
def voices(
    *,
    as_json: JsonFlag = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    engine: EngineOption = EmbeddedEngine.KOKORO,
) -> None:
    """List the voices that the service speaks with, and say what is wrong with those that cannot."""
    settings = read_settings(config, {"data_dir": data_dir}, log_level="warning")
    from wyoming_pocket_tts.cli.progress import as_dicts, as_table  # noqa: PLC0415
    from wyoming_pocket_tts.cli.voices import listing  # noqa: PLC0415  (the models)

    listed = listing(settings, embedded=load_engine(engine).voices())
    voices = listed.voices
    typer.echo(json.dumps(as_dicts(voices), ensure_ascii=False, indent=2) if as_json else as_table(voices))
    for problem in listed.problems:
        print_error(problem)


def main() -> None:
    """Run the command line; what is expected to go wrong ends in one clear line per problem and an exit code."""
    try:
        app()
    except TtsError as error:
        print_error(str(error) or type(error).__name__)
        if isinstance(error, HubUnreachable):
            print_error(_without_a_connection())
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_FAILURE)


def _without_a_connection() -> str:
    """What somebody can do whose machine does not reach the hub."""
    from wyoming_pocket_tts.pocket.hub import kept_in  # noqa: PLC0415  (pydantic)

    return (
        "connect this machine (cable, router, DNS, proxy), or run 'wyoming-pocket-tts download' on another machine and"
        f" copy what it brought there: the data directory, and {kept_in()}"
    )
