"""Models, voices and settings."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from wyoming_pocket_tts.cli.doctor.base import ConfiguredModel, DoctorContext, Finding, ok, problem, warning
from wyoming_pocket_tts.cli.voices import VoiceListing
from wyoming_pocket_tts.config.loader import unknown_variables
from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, bundle_directory, open_bundle
from wyoming_pocket_tts.voices.resolver import check_settings

_MEGABYTE = 1e6
_CORRECT = "correct it; 'wyoming-pocket-tts config check FILE' shows whether all is right then"
_DEFAULTS_USED = warning("what follows is checked with the default settings", "correct the settings first")


def check_config(context: DoctorContext) -> Iterator[Finding]:
    for variable in unknown_variables(context.environment):
        yield warning(f"environment: {variable}", "rename or remove the variable")
    try:
        examined = check_settings(
            context.file,
            environment=context.environment,
            embedded=[voice.name for voice in context.embedded],
            flags=context.flags,
        )
    except ConfigError as error:
        for line in str(error).splitlines():
            yield problem(line, _CORRECT)
        yield _DEFAULTS_USED
        return
    for line in examined.problems:
        yield problem(line, _CORRECT)
    if not examined.is_complete:
        yield _DEFAULTS_USED
    for line in examined.warnings:
        yield warning(line, "wait until it has come, or choose another name")
    if not examined.problems:
        yield ok(f"{context.file or 'defaults and environment'}: no mistakes")


def check_models(models: Sequence[ConfiguredModel], data_dir: Path, precision: Precision) -> Iterator[Finding]:
    """Whether the models of the settings, and other bundles beside them, are intact; reads every byte."""
    if not models:
        yield ok("the settings want the embedded voices alone")
    bundles: set[Path] = set()
    for model in models:
        wanted = model.wanted
        directory = bundle_directory(data_dir, wanted.name, wanted.config, precision=precision, steps=wanted.steps)
        bundles.add(directory)
        download = f"wyoming-pocket-tts download {wanted.label}" if wanted.name else "wyoming-pocket-tts convert"
        try:
            directory.stat()
        except FileNotFoundError:
            yield warning(
                f"{wanted.label}: is not here in {precision} yet; the embedded voices stand in",
                f"start the service, which brings it, or run '{download}'",
            )
        else:
            yield _check_bundle(directory, wanted.label, f"run '{download}', or restart the service: it is made anew")
    for directory in _bundles_in(data_dir / "models"):
        if directory not in bundles:
            yield _check_bundle(directory, directory.name, f"delete it: rm -r '{directory}'")


def _bundles_in(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        each for each in entries if each.is_dir() and not each.name.startswith(".")
    ]  # a dot: unfinished conversions


def _check_bundle(directory: Path, label: str, advice: str) -> Finding:
    try:
        bundle = open_bundle(directory)
        bundle.verify()
    except ModelError as error:
        return problem(f"{label}: {error}", advice)
    cloning = "" if bundle.has_voice_cloning else ", without voice cloning"
    return ok(f"{label}: {bundle.precision}, {bundle.size_bytes / _MEGABYTE:.0f} MB, whole{cloning}")


def check_voices(listed: Callable[[], VoiceListing]) -> Iterator[Finding]:
    listing = listed()
    for text in listing.problems:
        yield problem(text, "replace the file, or remove it; the other voices are not affected")
    installed = sum(voice.installed for voice in listing.voices)
    if installed:
        yield ok(f"{installed} of {len(listing.voices)} can be used now")
    else:
        yield problem("there is no voice to speak with", "name a model in models.names, or install the program anew")
