"""Exports a Pocket TTS model for other programs, as portable ONNX files. Knows nothing about how they are written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.commands.pocket_model import ModelChoice
from wyoming_pocket_tts.commands.progress import StatusLine

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxExport:
    """What is to be exported, and how.

    Attributes:
        target: the directory.
        quantize: multiply 8-bit numbers.
        voices: to go with the models: ready-made ones, or voice files.
    """

    target: Path
    quantize: bool = False
    voices: tuple[str, ...] = ()


def export_onnx(what: OnnxExport, choice: ModelChoice, *, quiet: bool, tell: Callable[[str], None]) -> None:
    """Write the set; it appears when it is complete.

    Args:
        what: from what to what.
        choice: the model; nothing but which one it is counts.
        quiet: show no progress.
        tell: is given lines for people: what was written, and what to do next.

    Raises:
        ConfigError: the directory holds something else.
        SpeechError: the model or a voice cannot be had or used.
    """
    from wyoming_pocket_tts.pocket.loading import find_model  # noqa: PLC0415  (what downloads)
    from wyoming_pocket_tts.pocket.onnx.portable import MANIFEST, export_portable  # noqa: PLC0415  (the package onnx)

    name, config = find_model(choice.language, choice.config, choice.checkpoint)
    with StatusLine(quiet=quiet) as status:
        exported = export_portable(
            name,
            config,
            what.target,
            quantize=what.quantize,
            voices=what.voices,
            report=lambda line: status.show(f"{line} ..."),
        )
    total = sum(exported.file_bytes.values())
    for model, size in exported.file_bytes.items():
        tell(f"{what.target / model}.onnx: {_megabytes(size)}")
    precision = "int8" if what.quantize else "fp32"
    tell(f"{len(exported.file_bytes)} models ({precision}, {_megabytes(total)}), described in {what.target / MANIFEST}")
    if not exported.has_voice_cloning:
        tell(
            "These weights cannot clone voices, so there is no mimi_encoder: export a voice with the models (--voice"
            " alba), or get access to the weights that can (docs/pocket-tts.md)."
        )
    tell("Next: docs/onnx-export.md has a program of one page that speaks with them, with onnxruntime and numpy alone.")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.1f} MB"
