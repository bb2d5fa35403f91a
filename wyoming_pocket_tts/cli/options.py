"""Shared options."""

from pathlib import Path
from typing import Annotated

import typer

from wyoming_pocket_tts import __version__


def _show_version(wanted: bool) -> None:  # noqa: FBT001  (typer calls it so)
    if wanted:
        typer.echo(f"wyoming-pocket-tts {__version__}")
        raise typer.Exit


VersionFlag = Annotated[
    bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
]

# what the service's commands share
ConfigOption = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="YAML file with settings.")]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where the service keeps models, voices and other data."),
]
VoiceOption = Annotated[str | None, typer.Option("--voice", metavar="NAME", help="Voice for clients that name none.")]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Pocket TTS model to speak with, or a YAML file of your own; may be given several times. "
        "'none' keeps to the embedded voices.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[
    str | None, typer.Option("--precision", metavar="fp32|int8|mixed|int4", help="Precision in which models compute.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", metavar="N", help="Threads of the language model.")]
LocalFilesOnlyFlag = Annotated[bool, typer.Option("--local-files-only", help="Download nothing.")]
NormalizeFlag = Annotated[
    bool | None, typer.Option("--normalize/--no-normalize", help="Say numbers, units and markup in words, or not.")
]
EmojiOption = Annotated[
    str | None, typer.Option("--emoji", metavar="drop|speak", help="Leave emoji out, or say their names.")
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Log everything, spoken texts included.")]
MetricsPortOption = Annotated[
    int | None, typer.Option("--metrics-port", metavar="PORT", help="Answer /metrics, /health and /ready on this port.")
]
LogFormatOption = Annotated[str | None, typer.Option("--log-format", metavar="text|json", help="Format of log lines.")]
TextArgument = Annotated[
    str,
    typer.Argument(
        metavar="TEXT", help="What to say, or - for standard input. Put -- before a text that begins with a dash."
    ),
]

# generate
OptionalTextArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TEXT",
        help="What to say, or - for standard input. Put -- before a text that begins with a dash. "
        "Without one, Pocket TTS says a few words in its language.",
        show_default=False,
    ),
]
TextOption = Annotated[str | None, typer.Option("--text", metavar="TEXT", help="The same as an option.")]
OutputOption = Annotated[
    str, typer.Option("--output", "-o", "--output-path", metavar="FILE", help="WAV file, or - for standard output.")
]
SpeakerOption = Annotated[
    str | None,
    typer.Option(
        "--voice",
        metavar="VOICE",
        help="Voice to speak with: an embedded one; or, with Pocket TTS, a ready-made one, a recording, or an exported "
        "voice (.safetensors), as a file, an https:// or an hf:// address.",
    ),
]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
SettingsOption = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE", help="YAML file with the service's settings.")
]

# which model: generate, export-voice
LanguageOption = Annotated[
    str | None,
    typer.Option(
        "--language", metavar="NAME", help="A released model; `wyoming-pocket-tts models` lists them. Default: english."
    ),
]
ModelConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Instead, the YAML config of a model of your own: a path, an https:// or an hf:// address.",
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option("--checkpoint", metavar="FILE", help="Weights of your own for that model, as .safetensors."),
]
QuantizeFlag = Annotated[bool, typer.Option("--quantize", help="Keep the large matrices in 8 bits.")]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", metavar="NAME", help="Device on which PyTorch computes, such as cuda. Default: cpu."),
]

# how the model speaks: generate
SamplerStepsOption = Annotated[
    int | None,
    typer.Option(
        "--sampler-decode-steps",
        min=1,
        metavar="N",
        help="Steps of the sampler for each frame. Default: 1, or 16 for a flow_matching model.",
    ),
]
LsdStepsOption = Annotated[int | None, typer.Option("--lsd-decode-steps", min=1, hidden=True)]
TemperatureOption = Annotated[
    float | None,
    typer.Option(
        "--temperature", min=0, metavar="X", help="0 says a text the same way each time. Default: the model's."
    ),
]
NoiseClampOption = Annotated[
    float | None,
    typer.Option("--noise-clamp", min=0, metavar="X", help="Bound of the noise that speech is drawn from."),
]
EosThresholdOption = Annotated[
    float | None,
    typer.Option("--eos-threshold", metavar="X", help="Higher values end speech later. Default: the model's."),
]
FramesAfterEosOption = Annotated[
    int | None,
    typer.Option("--frames-after-eos", min=0, metavar="N", help="Frames of 80 ms after the end of a chunk of text."),
]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Tokens of a chunk of text. Default: 50.")
]
ContinuityOption = Annotated[
    float | None,
    typer.Option(
        "--continuity",
        min=0,
        metavar="SECONDS",
        help="Length of the end of a chunk that precedes the next one, so that the tone carries over. Default: 0.",
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="N", help="Makes the noise the same each time.")
]

# export-voice
RecordingArgument = Annotated[
    str,
    typer.Argument(
        metavar="AUDIO", help="A recording, as a file, an https:// or an hf:// address; or a folder of recordings."
    ),
]
ExportArgument = Annotated[
    Path,
    typer.Argument(metavar="OUTPUT", help="The voice's file (.safetensors); or, for a folder, the folder for voices."),
]
ForceFlag = Annotated[
    bool, typer.Option("--force", help="Make all voices of a folder again, also those that are up to date.")
]
NoTruncateFlag = Annotated[
    bool, typer.Option("--no-truncate", help="Use all of a recording, not its first 30 seconds.")
]

# clone
ClonedArgument = Annotated[
    str,
    typer.Argument(metavar="RECORDING", help="A recording of one person, as a file, an https:// or an hf:// address."),
]
VoiceNameOption = Annotated[str, typer.Option("--name", metavar="NAME", help="Name of the new voice.")]
ReplaceFlag = Annotated[bool, typer.Option("--force", help="Replace a voice of that name.")]
ClonedForOption = Annotated[
    str | None,
    typer.Option(
        "--language",
        metavar="NAME",
        help="The released model that speaks with it; `wyoming-pocket-tts models` lists them. "
        "Default: the service's first.",
        show_default=False,
    ),
]

# export-onnx
PortableArgument = Annotated[
    Path, typer.Argument(metavar="OUTPUT", help="The directory for the models; an older export there is replaced.")
]
PortableQuantizeFlag = Annotated[
    bool, typer.Option("--quantize", help="Multiply 8-bit numbers: a third of the size, and less exact.")
]
PortableVoicesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--voice",
        metavar="VOICE",
        help="A ready-made voice, or a file of export-voice, to go along; may be given several times.",
        show_default=False,
    ),
]

# compare
CandidatesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--precision",
        metavar="fp32|mixed|int8|int4|torch",
        help="What to compare with fp32; may be given several times. torch is PyTorch. "
        "Default: all that this machine can compute.",
        show_default=False,
    ),
]
ComparedVoiceOption = Annotated[
    str | None,
    typer.Option(
        "--voice",
        metavar="VOICE",
        help="Voice that all of them use: a ready-made one, a recording, or an exported voice (.safetensors), "
        "as a file, an https:// or an hf:// address. Default: the model's own.",
    ),
]
ComparisonOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="DIR", help="Directory for the recordings and the picture.")
]

# download, convert
ModelNamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL]...",
        help="Released models; `wyoming-pocket-tts models` lists them. Default: those that the settings name.",
        show_default=False,
    ),
]
VoiceNamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--voices",
        metavar="NAME[,NAME]",
        help="Ready-made voices beside the default one; may be given several times. Default: what the settings say.",
        show_default=False,
    ),
]
AllVoicesFlag = Annotated[bool, typer.Option("--all-voices", help="All ready-made voices.")]
OwnModelOption = Annotated[
    str,
    typer.Option("--config", metavar="FILE", help="The model's YAML config: a path, an https:// or an hf:// address."),
]
StepsOption = Annotated[
    int | None,
    typer.Option(
        "--sampler-decode-steps",
        min=1,
        metavar="N",
        help="Steps of the sampler, which become part of the model. Default: 1, or 16 for a flow_matching model.",
    ),
]
AnewFlag = Annotated[bool, typer.Option("--force", help="Convert again what has been converted.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
