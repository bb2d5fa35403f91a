"""Models, voices and settings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.cli.doctor.base import ConfiguredModel, DoctorContext, Finding, ok, problem, warning
from wyoming_pocket_tts.cli.voices import VoiceListing
from wyoming_pocket_tts.config.loader import unknown_variables
from wyoming_pocket_tts.core.errors import ConfigError, ModelError
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, bundle_directory, open_bundle
from wyoming_pocket_tts.voices.resolver import check_settings

_MEGABYTE = 1e6


@dataclass(frozen=True)
class ModelsCheck:
    """Whether the models of the settings, and others that lie beside them, are whole."""

    title: ClassVar[str] = "models"
    limit_seconds: ClassVar[float] = 300.0  # every byte is read, from a memory card perhaps
    models: Sequence[ConfiguredModel]
    data_dir: Path
    precision: Precision

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        if not self.models:
            yield ok("the embedded voices alone are wanted")
        wanted: set[Path] = set()
        for model in self.models:
            directory = bundle_directory(
                self.data_dir,
                model.wanted.name,
                model.wanted.config,
                precision=self.precision,
                steps=model.wanted.steps,
            )
            wanted.add(directory)
            yield self._of(model, directory)
        for directory in self._others(wanted):
            yield _whole(directory, label=directory.name, cure=f"delete it: rm -r '{directory}'")

    def _of(self, model: ConfiguredModel, directory: Path) -> Finding:
        label = model.wanted.label
        download = f"wyoming-pocket-tts download {label}" if model.wanted.name else "wyoming-pocket-tts convert"
        try:
            directory.stat()
        except FileNotFoundError:
            return warning(
                f"{label}: is not here in {self.precision} yet; the embedded voices speak",
                f"start the service, which brings it, or run '{download}'",
            )
        return _whole(directory, label=label, cure=f"run '{download}', or restart the service: it is made anew")

    def _others(self, wanted: set[Path]) -> list[Path]:
        """What lies there besides; begun and abandoned conversions have a dot in front."""
        try:
            entries = sorted((self.data_dir / "models").iterdir())
        except OSError:
            return []
        return [each for each in entries if each.is_dir() and not each.name.startswith(".") and each not in wanted]


def _whole(directory: Path, *, label: str, cure: str) -> Finding:
    try:
        bundle = open_bundle(directory)
        bundle.verify()
    except ModelError as error:
        return problem(f"{label}: {error}", cure)
    cloning = "" if bundle.has_voice_cloning else ", without voice cloning"
    return ok(f"{label}: {bundle.precision}, {bundle.size_bytes / _MEGABYTE:.0f} MB, whole{cloning}")


@dataclass(frozen=True)
class VoicesCheck:
    """Whether everybody who is there can be spoken with."""

    title: ClassVar[str] = "voices"
    limit_seconds: ClassVar[float] = 120.0  # every recording is read
    listed: Callable[[], VoiceListing]

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        listing = self.listed()
        for text in listing.problems:
            yield problem(text, "replace the file, or remove it; the other voices are not affected")
        installed = sum(voice.installed for voice in listing.voices)
        if not installed:
            yield problem(
                "there is no voice to speak with", "name a model in models.names, or install the program anew"
            )
        else:
            yield ok(f"{installed} of {len(listing.voices)} can speak now")


_CORRECT = "correct it; 'wyoming-pocket-tts config check FILE' tells whether all is right then"


@dataclass(frozen=True)
class SettingsCheck:
    """Whether the settings can be read, go together, and name what there is."""

    title: ClassVar[str] = "settings"
    limit_seconds: ClassVar[float] = 10.0
    subject: DoctorContext

    def look(self) -> Iterator[Finding]:
        """See ``Check``."""
        subject = self.subject
        for stranger in unknown_variables(subject.environment):
            yield warning(f"environment: {stranger}", "rename or remove the variable")
        try:
            examined = check_settings(
                subject.file,
                environment=subject.environment,
                embedded=[voice.name for voice in subject.embedded],
                flags=subject.flags,
            )
        except ConfigError as error:
            for line in str(error).splitlines():
                yield problem(line, _CORRECT)
            yield _of_the_defaults()
            return
        for line in examined.problems:
            yield problem(line, _CORRECT)
        if not examined.is_whole:
            yield _of_the_defaults()
        for line in examined.warnings:
            yield warning(line, "wait until it has come, or choose another name")
        if not examined.problems:
            yield ok(f"{subject.file}: no mistakes" if subject.file else "defaults and environment: no mistakes")


def _of_the_defaults() -> Finding:
    return warning("what follows is checked with the default settings", "correct the settings first")
