"""A configured model: name, config, language, voices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from wyoming_pocket_tts.core.errors import ConfigError, DownloadError
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.hub import fetch, suffix_of
from wyoming_pocket_tts.pocket.registry import default_voice, load_config, model_names, ordered_voices, released_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.voice_store import listed_voices

NONE = "none"
_DEFAULT_LANGUAGE = "en"
_CONFIG_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that the service is to speak with.

    Attributes:
        label: what it is called in the names of its voices.
        name: the released model; None for one of the user's own.
        config: what it is.
        language: what it speaks, as a tag.
        voices: names of its ready-made voices, the default one first; for a model of one's own the one whose recording
            it hears.
        steps: of the sampler; None for what the model needs.
        variant_of: the label of the model of which this is another conversion, for voices of the settings alone: it has
            no voices that clients could ask for; None for a model by itself.
    """

    label: str
    name: str | None
    config: ModelConfig
    language: str
    voices: tuple[str, ...]
    steps: int | None = None
    variant_of: str | None = None

    @property
    def speaks_for(self) -> str:
        """The label of the model by whose name it is asked for: its own, or that of which it is a variant."""
        return self.variant_of or self.label

    @property
    def is_hidden(self) -> bool:
        """Whether its ready-made voices are nobody's to ask for."""
        return self.variant_of is not None

    def in_steps(self, steps: int) -> "ModelSpec":
        """The same model with so many steps of the sampler, which are part of its conversion."""
        return replace(self, label=f"{self.label} ({steps} steps)", steps=steps, variant_of=self.label)

    @classmethod
    def of(cls, wanted: str, *, language: str | None = None) -> "ModelSpec":
        """Find a released model by its name, or read the config of one's own from a YAML file.

        Args:
            wanted: the name, or the file; an address of a file that has been downloaded.
            language: the tag of what a model of one's own speaks; English unless given.

        Raises:
            ConfigError: there is no such model, or the file is wrong.
        """
        if not is_config(wanted):
            config = released_model(wanted)
            return cls(wanted, wanted, config, configs.language(wanted), tuple(ordered_voices(wanted)))
        return cls(
            model_label(wanted),
            None,
            load_config(_local(wanted)),
            language or _DEFAULT_LANGUAGE,
            (default_voice_of_own_models(),),
        )

    def listed(self) -> list[Voice]:
        """Its voices, none of which can be spoken with yet."""
        if self.is_hidden:
            return []
        return listed_voices(
            self.label, self.voices, language=self.language, rate_hz=self.config.mimi.sample_rate, there=set()
        )


def default_voice_of_own_models() -> str:
    """The ready-made voice whose recording models of one's own hear."""
    return default_voice(model_names()[0])


def is_config(wanted: str) -> bool:
    """Whether this names a model's config and not a released model."""
    return suffix_of(wanted) in _CONFIG_SUFFIXES


def model_label(wanted: str) -> str:
    """What a model is called in the names of its voices: its name, or that of its config."""
    if not is_config(wanted):
        return wanted
    path = urlsplit(wanted).path if "://" in wanted else wanted
    return Path(path.partition("@")[0] if wanted.startswith("hf://") else path).stem


def model_specs(names: Sequence[str], *, languages: Mapping[str, str] | None = None) -> list[ModelSpec]:
    """Look the models up; ``none`` is none.

    Args:
        names: released models, and configs of one's own.
        languages: tags of what models of one's own speak, by their labels.

    Raises:
        ConfigError: there is no such model, one is named twice, or ``none`` stands among others.
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


def _local(config: str) -> Path:
    """The file of a config; nobody waits for a download before the service listens.

    Raises:
        ConfigError: it is not on this machine.
    """
    try:
        return fetch(config, local_files_only=True)
    except DownloadError as error:
        raise ConfigError(
            f"models.names: {config} is not on this machine yet: 'wyoming-pocket-tts convert --config {config}' "
            "downloads it"
        ) from error
