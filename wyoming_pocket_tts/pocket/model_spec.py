"""A configured model: name, config, language, voices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from wyoming_pocket_tts.core.errors import ConfigError, DownloadError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket import registry
from wyoming_pocket_tts.pocket.hub import fetch, suffix_of
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision
from wyoming_pocket_tts.pocket.onnx.install import find_converted
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_store import listed_voices

NONE = "none"
_DEFAULT_LANGUAGE = "en"
_CONFIG_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    label: str
    """First part of the names of its voices."""
    name: str | None
    """The released model; None for a custom one."""
    config: ModelConfig
    language: str
    voices: tuple[str, ...]
    """Its predefined voices, the default one first; for a custom model one, of which it encodes the recording."""
    steps: int | None = None
    """Of the sampler; None for what the model needs."""
    variant_of: str | None = None
    """Label of the model of which this is another conversion, for voices of the settings only; else None."""

    @property
    def speaks_for(self) -> str:
        """The label by which clients ask for it: its own, or that of the model of which it is a variant."""
        return self.variant_of or self.label

    @property
    def is_hidden(self) -> bool:
        """Whether clients cannot ask for its predefined voices."""
        return self.variant_of is not None

    def in_steps(self, steps: int) -> "ModelSpec":
        """The same model with so many steps of the sampler, which are part of its conversion."""
        return replace(self, label=f"{self.label} ({steps} steps)", steps=steps, variant_of=self.label)

    @classmethod
    def of(cls, wanted: str, *, language: str | None = None) -> "ModelSpec":
        """Find a released model by its name, or read a custom config: a file, or the address of a downloaded one.

        ``language`` is the tag of a custom model, English by default. Raises ConfigError.
        """
        if not is_config(wanted):
            config, voices = registry.released_model(wanted), tuple(registry.ordered_voices(wanted))
            return cls(wanted, wanted, config, registry.language(wanted), voices)
        try:
            path = fetch(wanted, local_files_only=True)  # the service listens before it downloads
        except DownloadError as error:
            raise ConfigError(
                f"models.names: {wanted} is not on this machine yet: 'wyoming-pocket-tts convert --config {wanted}' "
                "downloads it"
            ) from error
        config, voices = registry.load_config(path), (default_voice_of_own_models(),)
        return cls(model_label(wanted), None, config, language or _DEFAULT_LANGUAGE, voices)

    def listed(self) -> list[Voice]:
        if self.is_hidden:
            return []
        return listed_voices(
            self.label, self.voices, language=self.language, rate_hz=self.config.mimi.sample_rate, there=set()
        )

    def installed(self, data_dir: Path, precision: Precision) -> ModelBundle | None:
        return find_converted(self.name, self.config, data_dir=data_dir, precision=precision, steps=self.steps)


def default_voice_of_own_models() -> str:
    """The predefined voice that custom models encode from its recording."""
    return registry.default_voice(registry.model_names()[0])


def is_config(wanted: str) -> bool:
    """Whether this is a model's config and not the name of a released model."""
    return suffix_of(wanted) in _CONFIG_SUFFIXES


def model_label(wanted: str) -> str:
    if not is_config(wanted):
        return wanted
    path = urlsplit(wanted).path if "://" in wanted else wanted
    return Path(path.partition("@")[0] if wanted.startswith("hf://") else path).stem


def model_specs(names: Sequence[str], *, languages: Mapping[str, str] | None = None) -> list[ModelSpec]:
    """The models of the settings: released names, and configs; ``none`` is none.

    ``languages`` are tags of custom models by label. Raises ConfigError, also for a model that is named twice.
    """
    if any(name.lower() == NONE for name in names):
        if len(names) > 1:
            raise ConfigError("models.names: 'none' excludes other models")
        return []
    labels = [model_label(name) for name in names]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"models.names: two models would be called '{label}'")
    spoken = languages or {}
    for label in spoken.keys() - set(labels):
        raise ConfigError(f"models.languages: there is no model '{label}' among models.names")
    return [ModelSpec.of(name, language=spoken.get(label)) for name, label in zip(names, labels, strict=True)]
