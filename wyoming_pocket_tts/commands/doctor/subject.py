"""What the doctor examines: the settings, and who speaks by them. Knows no check."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wyoming_pocket_tts.commands.doctor.asking import ask, connectable
from wyoming_pocket_tts.commands.doctor.sizes import ModelSize, computed_in
from wyoming_pocket_tts.errors import ConfigError, Overloaded, SpeechError
from wyoming_pocket_tts.pocket.onnx.cpu import cpu_flags
from wyoming_pocket_tts.pocket.onnx.install import installed
from wyoming_pocket_tts.pocket.onnx.memory_size import memory_bytes
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.serving.info import PROGRAM
from wyoming_pocket_tts.settings import Settings
from wyoming_pocket_tts.settings_sources import merge_sources
from wyoming_pocket_tts.speech import Synthesizer, Voice
from wyoming_pocket_tts.wanted import NONE, WantedModel, wanted_models

_ASKING_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What somebody wants examined.

    Attributes:
        file: the settings; None for what environment and flags say alone.
        uri: a running service; None for the one of the settings, if it runs.
        flags: lie over file and environment.
        environment: the process's own.
        embedded: the embedded voices.
        load_embedded: loads what speaks with them; takes a second.
    """

    file: Path | None
    uri: str | None
    flags: Mapping[str, object]
    environment: Mapping[str, str]
    embedded: Sequence[Voice]
    load_embedded: Callable[[], Synthesizer]

    def settings(self) -> Settings:
        """The settings; the defaults where they cannot be read, which the check of the settings tells."""
        try:
            return merge_sources(file=self.file, environment=self.environment, flags=self.flags)
        except ConfigError:
            return merge_sources(flags=self.flags)

    def running(self, settings: Settings) -> str | None:
        """Where a service of ours runs: where somebody says, or else where the settings have it, if it answers.

        One that has no room for another client is taken for ours: who else would say so in our words.
        """
        if self.uri is not None:
            return connectable(self.uri)
        try:
            answer = ask(settings.server.uri, seconds=_ASKING_SECONDS)
        except Overloaded:
            return connectable(settings.server.uri)
        except SpeechError:
            return None
        return connectable(settings.server.uri) if is_ours(answer.program) else None


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the settings, and whether it is here."""

    wanted: WantedModel
    size: ModelSize
    is_installed: bool


def models_of(settings: Settings) -> list[Model]:
    """The models of the settings; none if they name what there is not, which the check of the settings tells."""
    if [name.lower() for name in settings.models.names] == [NONE]:
        return []
    precision = Precision(settings.models.precision)
    computed = computed_in(precision, cpu_flags())
    try:
        wanted = wanted_models(settings.models.names, languages=settings.models.languages)
    except ConfigError:
        return []
    models = []
    for model in wanted:
        size = ModelSize.of_wanted(model, computed)
        bundle = installed(model.name, model.config, data_dir=settings.data_dir, precision=precision)
        if bundle is not None:
            size = replace(size, budget_bytes=memory_bytes(bundle))  # as the service counts it
        models.append(Model(model, size, bundle is not None))
    return models


def is_ours(program: str) -> bool:
    """Whether a program that answered is this one; at a satellite's port it has the satellite's name behind its own."""
    return program == PROGRAM or program.startswith(f"{PROGRAM} ")
