"""The commands of the command line for models of Pocket TTS: parses, builds objects, calls. Decides nothing itself.

Like ``cli.py``, imports what is slow when it is needed.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wyoming_pocket_tts import options
from wyoming_pocket_tts.cli_support import complain, read_settings
from wyoming_pocket_tts.engines import threads_of_this_machine

if TYPE_CHECKING:
    from wyoming_pocket_tts.settings import Settings


def register(app: typer.Typer) -> None:
    """Give the command line these commands."""
    app.command()(clone)
    app.command("export-voice")(export_voice)
    app.command()(download)
    app.command()(convert)
    app.command("export-onnx")(export_onnx)
    app.command()(compare)
    app.command()(models)


def clone(
    recording: options.ClonedArgument,
    *,
    name: options.VoiceNameOption,
    language: options.ClonedForOption = None,
    config: options.ModelConfigOption = None,
    precision: options.PrecisionOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    force: options.ReplaceFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Make a voice of a recording, for the service: only of people who agreed."""
    flags = {
        "data_dir": data_dir,
        "models.precision": precision,
        "models.local_files_only": local_files_only or None,
    }
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.clone import (  # noqa: PLC0415  (numpy)
        Cloning,
        clone,
        model_of_service,
        refuse_taken,
    )
    from wyoming_pocket_tts.commands.pocket_model import ModelChoice  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.kokoro.runtime import VOICE_FOLDER, Description  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.pocket.onnx.precision import Precision  # noqa: PLC0415

    embedded = [speaker.voice.name for speaker in Description.load(VOICE_FOLDER / "voice.json").speakers]
    refuse_taken(name, settings, embedded=embedded)
    wanted = Cloning(
        recording=recording,
        name=name,
        data_dir=settings.data_dir,
        given_data_dir=data_dir,
        precision=Precision(settings.models.precision),
        force=force,
        local_files_only=settings.models.local_files_only,
        service_models=settings.models.names,
    )
    choice = ModelChoice(language=language, config=config)
    clone(
        wanted,
        model_of_service(choice, settings.models.names),
        quiet=quiet,
        tell=(lambda _: None) if quiet else typer.echo,
    )


def export_voice(
    audio: options.RecordingArgument,
    output: options.ExportArgument,
    *,
    quiet: options.QuietFlag = False,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    no_truncate: options.NoTruncateFlag = False,
    force: options.ForceFlag = False,
) -> None:
    """Turn a recording, or a folder of them, into voices that Pocket TTS has at once."""
    read_settings(None, {}, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.export import Export, export  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.commands.pocket_model import ModelChoice  # noqa: PLC0415  (pydantic)

    export(
        Export(source=audio, target=output, truncate=not no_truncate, force=force),
        ModelChoice(language=language, config=config),
        quiet=quiet,
        tell=(lambda _: None) if quiet else typer.echo,
        complain=complain,
    )


def download(
    model: options.ModelNamesArgument = None,
    *,
    voices: options.VoiceNamesOption = None,
    all_voices: options.AllVoicesFlag = False,
    precision: options.PrecisionOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    force: options.AnewFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
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
    from wyoming_pocket_tts.commands.provide import Provision, provide  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.pocket.onnx.precision import Precision  # noqa: PLC0415

    how = Provision(
        data_dir=settings.data_dir,
        given_data_dir=data_dir if settings_file else _given_data_dir(settings),
        given_settings=settings_file,
        precision=Precision(settings.models.precision),
        voices=voices or (),
        all_voices=settings.models.voices == "all",
        local_files_only=settings.models.local_files_only,
        anew=force,
    )
    provide(settings.models.names, how, quiet=quiet, tell=typer.echo)


def convert(
    *,
    config: options.OwnModelOption,
    sampler_decode_steps: options.StepsOption = None,
    precision: options.PrecisionOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    force: options.AnewFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Convert a model of your own ahead of time."""
    flags = {
        "data_dir": data_dir,
        "models.precision": precision,
        "models.local_files_only": local_files_only or None,
    }
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.provide import Provision, provide_own  # noqa: PLC0415  (pydantic)
    from wyoming_pocket_tts.pocket.onnx.precision import Precision  # noqa: PLC0415

    how = Provision(
        data_dir=settings.data_dir,
        given_data_dir=data_dir if settings_file else _given_data_dir(settings),
        given_settings=settings_file,
        precision=Precision(settings.models.precision),
        steps=sampler_decode_steps,
        local_files_only=settings.models.local_files_only,
        anew=force,
    )
    provide_own(config, how, quiet=quiet, tell=typer.echo)


def _given_data_dir(settings: "Settings") -> Path | None:
    """What somebody said about it, wherever."""
    return settings.data_dir if "data_dir" in settings.model_fields_set else None


def export_onnx(
    output: options.PortableArgument,
    *,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    checkpoint: options.CheckpointOption = None,
    quantize: options.PortableQuantizeFlag = False,
    voice: options.PortableVoicesOption = None,
    quiet: options.QuietFlag = False,
) -> None:
    """Write a model of Pocket TTS as portable ONNX models, for browsers and other programs."""
    read_settings(None, {}, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.export_onnx import OnnxExport, export_onnx  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.commands.pocket_model import ModelChoice  # noqa: PLC0415  (pydantic)

    export_onnx(
        OnnxExport(target=output, quantize=quantize, voices=tuple(voice or ())),
        ModelChoice(language=language, config=config, checkpoint=checkpoint),
        quiet=quiet,
        tell=(lambda _: None) if quiet else typer.echo,
    )


def compare(
    text: options.OptionalTextArgument = None,
    *,
    language: options.LanguageOption = None,
    config: options.ModelConfigOption = None,
    precision: options.CandidatesOption = None,
    voice: options.ComparedVoiceOption = None,
    output: options.ComparisonOption = Path("comparison"),
    threads: options.ThreadsOption = None,
    as_json: options.JsonFlag = False,
    quiet: options.QuietFlag = False,
    settings_file: options.SettingsOption = None,
    data_dir: options.DataDirOption = None,
) -> None:
    """Let several precisions say the same, and show how fast, how large and how exact each is on this machine."""
    flags = {"data_dir": data_dir, "models.threads": threads}
    settings = read_settings(settings_file, flags, log_level="error" if quiet else "warning")
    from wyoming_pocket_tts.commands.compare import Wanted, compare  # noqa: PLC0415  (numpy)
    from wyoming_pocket_tts.commands.pocket_model import ModelChoice  # noqa: PLC0415  (pydantic)

    wanted = Wanted(
        text=text,
        voice=voice,
        candidates=precision or (),
        threads=settings.models.threads or threads_of_this_machine(),
        output=output,
        data_dir=settings.data_dir,
        given_data_dir=data_dir,
    )
    compare(wanted, ModelChoice(language=language, config=config), quiet=quiet, as_json=as_json, tell=typer.echo)


def models(*, as_json: options.JsonFlag = False, data_dir: options.DataDirOption = None) -> None:
    """List the released models of Pocket TTS, and which of them are on this machine."""
    settings = read_settings(None, {"data_dir": data_dir}, log_level="warning")
    from wyoming_pocket_tts.commands.model_list import as_dict, as_table, released_models  # noqa: PLC0415  (pydantic)

    listed = released_models(settings.data_dir)
    typer.echo(json.dumps(as_dict(listed), ensure_ascii=False, indent=2) if as_json else as_table(listed))
