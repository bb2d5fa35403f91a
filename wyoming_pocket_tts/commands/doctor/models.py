"""Looks at the converted models in the data directory: there, and whole to the last byte. Loads none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from wyoming_pocket_tts.commands.doctor.finding import Finding, ok, problem, warning
from wyoming_pocket_tts.commands.doctor.subject import Model
from wyoming_pocket_tts.errors import ModelError
from wyoming_pocket_tts.pocket.onnx.bundle import bundle_directory, open_bundle
from wyoming_pocket_tts.pocket.onnx.precision import Precision

_MEGABYTE = 1e6


@dataclass(frozen=True)
class Models:
    """Whether the models of the settings, and others that lie beside them, are whole."""

    title: ClassVar[str] = "models"
    limit_seconds: ClassVar[float] = 300.0  # every byte is read, from a memory card perhaps
    models: Sequence[Model]
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

    def _of(self, model: Model, directory: Path) -> Finding:
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
