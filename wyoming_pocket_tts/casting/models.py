"""The models that the settings name, as far as voices need to know. Loads none of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from wyoming_pocket_tts.casting.problems import Problems
from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.settings import ModelSettings
from wyoming_pocket_tts.voices.names import may_come_later, ready_made_name, same
from wyoming_pocket_tts.wanted import NONE, WantedModel, label_of, wanted_models


@dataclass(frozen=True, slots=True)
class Models:
    """What each model is called, speaks, and has for voices."""

    languages: Mapping[str, str]
    """Tags by labels, the most important model first."""
    ready_made: Mapping[str, tuple[str, ...]]
    """Names of ready-made voices by labels, without the model's name."""
    wanted: Mapping[str, WantedModel]
    """What is known about those that could be looked up, by labels."""

    @classmethod
    def of(cls, settings: ModelSettings, problems: Problems) -> "Models":
        """Look the models up; what cannot be looked up is noted and otherwise believed."""
        try:
            wanted: list[WantedModel] = wanted_models(settings.names, languages=settings.languages)
        except ConfigError as error:
            key = "languages" if str(error).startswith("models.languages: ") else "names"
            problems.at("models", key).error(str(error).removeprefix(f"models.{key}: "))
            labels = [label_of(name) for name in settings.names if name.lower() != NONE]
            return cls(dict.fromkeys(labels, "en"), dict.fromkeys(labels, configs.voice_names()), {})
        by_label = {model.label: model for model in wanted}
        languages = {label: model.language for label, model in by_label.items()}
        return cls(languages, {label: model.voices for label, model in by_label.items()}, by_label)

    @property
    def labels(self) -> tuple[str, ...]:
        """What they are called, the most important one first."""
        return tuple(self.languages)

    def full_name(self, name: str, model: str | None = None) -> str | None:
        """What clients call a ready-made voice that is given with or without its model's name; None if there is none.

        Without the model's name, ``model`` or else the first model that has it is meant.
        """
        for label in self.labels:
            for voice in self.ready_made[label]:
                if same(ready_made_name(label, voice), name):
                    return ready_made_name(label, voice)
        for label in (model,) if model is not None else self.labels:
            for voice in self.ready_made.get(label, ()):
                if same(voice, name):
                    return ready_made_name(label, voice)
        return None

    def split(self, full_name: str) -> tuple[str, str]:
        """The model's label and the voice of a name that ``full_name`` gave."""
        return next(
            (label, voice)
            for label in self.labels
            for voice in self.ready_made[label]
            if ready_made_name(label, voice) == full_name
        )

    def why_steps_change_nothing(self, label: str, steps: int, *, ready_made: bool) -> str | None:
        """Why a voice sounds the same with so many steps of the model's sampler; None if it does not.

        Args:
            label: what the model is called.
            steps: what is asked for.
            ready_made: whether it is a voice of the model's, not a file.
        """
        model = self.wanted.get(label)
        if model is None:
            return None
        flow = model.config.flow_lm.flow
        if flow.n_times == 0:
            return f"the model {label} draws in one go, without steps"
        if flow.fewest_steps == steps:
            return f"the model {label} takes {steps} anyway"
        if ready_made and model.name is None:
            return f"{label} is a model of your own, which hears that voice itself; give a recording after 'from'"
        return None

    def all_names(self) -> list[str]:
        """What clients call all ready-made voices."""
        return [ready_made_name(label, voice) for label in self.labels for voice in self.ready_made[label]]

    def may_come(self, name: str) -> bool:
        """Whether a voice that nobody has may be there one day: it is called like one of a model that is wanted.

        Where no model is wanted for once, any model counts.
        """
        if self.labels:
            return may_come_later(name, self.labels)
        return may_come_later(name, configs.model_names()) or any(same(name, each) for each in configs.voice_names())

    def of_another(self, name: str) -> str | None:
        """What to do about the name of a ready-made voice of a model that is not wanted; None for other names."""
        if not self.labels:
            return None
        for model in configs.model_names():
            if model not in self.labels and any(
                same(ready_made_name(model, each), name) for each in configs.voice_names()
            ):
                names = ", ".join(self.labels)
                return f"'{name}' is a voice of the model {model}, which is not in models.names ({names}); add it there"
        return None
