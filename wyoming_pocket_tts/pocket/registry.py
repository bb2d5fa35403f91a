"""Released models and voices (models.yaml)."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from wyoming_pocket_tts.core.errors import ConfigError, MissingConfig, VoiceError, quote_untrusted, suggest
from wyoming_pocket_tts.pocket.schema import ModelConfig

_RELEASED = Path(__file__).with_name("models.yaml")
_LARGEST_BYTES = 100_000
"""Configs have two kilobytes; what is larger is another file."""
_QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, eight times as fast, where PyYAML was built with it. For our own file: deep nesting crashes it."""


def load_config(path: Path) -> ModelConfig:
    """Read a model's YAML file, in upstream's format.

    Raises:
        MissingConfig: it is not there.
        ConfigError: it cannot be read, or a key or value is not allowed; one line per problem, each naming the file,
            the key, what was found and what is allowed.
    """
    try:
        return ModelConfig.model_validate(_read(path))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error


def model_names() -> tuple[str, ...]:
    """The released models, ``english`` first."""
    return tuple(_released().models)


def released_model(name: str) -> ModelConfig:
    """The config of a released model.

    Raises:
        MissingConfig: there is no such model; names those that there are.
    """
    released, model = _released(), _entry(name)
    paths = {
        "flow_lm": {"lookup_table": {"tokenizer_path": released.repositories.open + model.tokenizer}},
        "weights_path": released.repositories.weights + model.weights,
        "weights_path_without_voice_cloning": released.repositories.open + model.open_weights,
    }
    values: Mapping[str, Any] = released.base
    for layer in (
        released.languages[_family(name)].config,
        released.sizes[model.size] if model.size else {},
        model.config,
        paths,
    ):
        values = _laid_over(values, layer)
    return ModelConfig.model_validate(values)


def language(model: str) -> str:
    """The language that a released model speaks, as two letters ("en").

    Raises:
        MissingConfig: there is no such model.
    """
    _entry(model)
    return _released().languages[_family(model)].code


def default_voice(model: str) -> str:
    """The ready-made voice that a released model has when nobody asks for another.

    Raises:
        MissingConfig: there is no such model.
    """
    _entry(model)
    return _released().languages[_family(model)].default_voice


def voice_names() -> tuple[str, ...]:
    """The ready-made voices; every released model has all of them."""
    return tuple(_released().voices)


def voice_state_source(model: str, voice: str) -> str:
    """Where the state of a ready-made voice lies, computed with this released model's weights.

    Raises:
        MissingConfig: there is no such model.
        VoiceError: there is no such voice.
    """
    _entry(model)
    voice_audio_source(voice)
    released = _released()
    return released.repositories.open + released.voice_state.format(model=model, voice=voice)


def voice_audio_source(voice: str) -> str:
    """Where the recording behind a ready-made voice lies.

    Raises:
        VoiceError: there is no such voice.
    """
    try:
        return _released().voices[voice]
    except KeyError:
        raise VoiceError(f"there is no ready-made voice {_not_among(voice, voice_names())}") from None


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Repositories(_Strict):
    weights: str
    open: str


class _Language(_Strict):
    code: str
    default_voice: str
    config: Mapping[str, Any] = {}


class _Model(_Strict):
    weights: str
    open_weights: str
    tokenizer: str
    size: str | None = None
    config: Mapping[str, Any] = {}


class _Released(_Strict):
    """The shape of ``models.yaml``."""

    repositories: _Repositories
    voice_state: str
    base: Mapping[str, Any]
    sizes: Mapping[str, Mapping[str, Any]]
    languages: Mapping[str, _Language]
    models: Mapping[str, _Model]
    voices: Mapping[str, str]


@cache
def _released() -> _Released:
    return _Released.model_validate(_read(_RELEASED, _QUICK_LOADER))


def _entry(name: str) -> _Model:
    try:
        return _released().models[name]
    except KeyError:
        raise MissingConfig(f"there is no model {_not_among(name, model_names())}") from None


def _family(model: str) -> str:
    return model.partition("_")[0]


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _read(path: Path, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingConfig(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > _LARGEST_BYTES:
        raise ConfigError(f"{path}: is no model config: it has more than {_LARGEST_BYTES} bytes")
    try:
        values = yaml.load(data, Loader=loader)  # noqa: S506  (a safe one)
    except yaml.MarkedYAMLError as error:
        place = f"{path}, line {error.problem_mark.line + 1}" if error.problem_mark else path
        raise ConfigError(f"{place}: is not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys: {', '.join(ModelConfig.model_fields)}")
    return values


def _explain(problem: ErrorDetails) -> str:
    """One problem with a user's config, for the person who wrote it."""
    *parents, last = problem["loc"] or ("",)
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        allowed = _fields_at(parents)
        return f"unknown key '{key}'{suggest(str(last), allowed, most=3)}; allowed here: {', '.join(allowed)}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing"
    if problem["type"] in ("model_type", "dict_type"):
        return f"{key}: must hold keys of its own, not {quote_untrusted(problem['input'])}"
    if problem["type"] == "value_error":  # from our own checks, which name the values
        return f"{key}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    return f"{key}: {problem['msg'].removeprefix('Input ')}, not {quote_untrusted(problem['input'])}"


def _fields_at(key: Iterable[str | int]) -> tuple[str, ...]:
    """The keys that are allowed in a section of a config."""
    section: type[BaseModel] = ModelConfig
    for part in key:
        annotation = section.model_fields[str(part)].annotation
        candidates = (annotation, *getattr(annotation, "__args__", ()))
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return tuple(section.model_fields)


def _not_among(name: str, known: Iterable[str]) -> str:
    known = tuple(known)
    return f"{quote_untrusted(name)}{suggest(name, known, most=3)}; there are: {', '.join(known)}"


def ordered_voices(model: str) -> list[str]:
    """The names of the ready-made voices, the model's default one first.

    Raises:
        ConfigError: there is no such model.
    """
    default = default_voice(model)
    return [default, *(name for name in voice_names() if name != default)]
