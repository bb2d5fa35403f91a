"""The sizes that models of a language come in, largest first. Measures nothing."""

from dataclasses import dataclass

from wyoming_pocket_tts.pocket import config as configs
from wyoming_pocket_tts.pocket.schema import ModelConfig

_DEFAULT_LANGUAGE = "english"


@dataclass(frozen=True, slots=True)
class Size:
    """A released model that stands for all of its size in its language.

    Attributes:
        name: of the model.
        config: what it is.
    """

    name: str
    config: ModelConfig


def sizes_of(language: str) -> list[Size]:
    """One model of each size, largest first: they sound the better the larger they are.

    Args:
        language: as the models' names begin, such as ``english``.
    """
    by_shape: dict[tuple[int, int], list[str]] = {}
    for name in configs.model_names():
        if family(name) == language:
            by_shape.setdefault(_shape(configs.released_model(name)), []).append(name)
    chosen = [_plainest(by_shape[shape]) for shape in sorted(by_shape, reverse=True)]
    return [Size(name, configs.released_model(name)) for name in chosen]


def language_of(names: tuple[str, ...]) -> str:
    """The language of the first released model among those that settings name; English if there is none."""
    return next((family(name) for name in names if name in configs.model_names()), _DEFAULT_LANGUAGE)


def family(name: str) -> str:
    """As the names of a language's models begin."""
    return name.partition("_")[0]


def _shape(config: ModelConfig) -> tuple[int, int]:
    """Width and depth: what tells the sizes apart."""
    transformer = config.flow_lm.transformer
    return transformer.d_model, transformer.num_layers


def _plainest(names: list[str]) -> str:
    """The one without additions to its name; of several the newest."""
    shortest = min(map(len, names))
    return max(name for name in names if len(name) == shortest)
