"""Released models and voices (models.yaml)."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wyoming_pocket_tts.core.errors import ConfigError, MissingConfig, VoiceError, quote_untrusted, suggest
from wyoming_pocket_tts.pocket.schema import ModelConfig

_RELEASED = Path(__file__).with_name("models.yaml")
_LARGEST_BYTES = 100_000
"""Configs have two kilobytes; what is larger is another file."""
_QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Written in C, eight times as fast, where PyYAML has it. For ``models.yaml`` only: deep nesting crashes it."""


# --- released models: an unknown name raises MissingConfig, an unknown voice VoiceError; both list what there is


@cache
def _released() -> dict[str, Any]:
    return _read(_RELEASED, _QUICK_LOADER)


def _find(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries of a model and of its language."""
    models = _released()["models"]
    if name not in models:
        raise MissingConfig(f"there is no model {_not_among(name, models)}")
    return models[name], _released()["languages"][name.partition("_")[0]]


def model_names() -> tuple[str, ...]:
    return tuple(_released()["models"])


def released_model(name: str) -> ModelConfig:
    released, (model, language) = _released(), _find(name)
    weights, open_files = released["repositories"]["weights"], released["repositories"]["open"]
    paths = {
        "flow_lm": {"lookup_table": {"tokenizer_path": open_files + model["tokenizer"]}},
        "weights_path": weights + model["weights"],
        "weights_path_without_voice_cloning": open_files + model["open_weights"],
    }
    size = released["sizes"][model["size"]] if "size" in model else {}
    values = released["base"]
    for layer in (language.get("config", {}), size, model.get("config", {}), paths):
        values = _merged(values, layer)
    return ModelConfig.model_validate(values)


def language(model: str) -> str:
    return str(_find(model)[1]["code"])


def default_voice(model: str) -> str:
    return str(_find(model)[1]["default_voice"])


def voice_names() -> tuple[str, ...]:
    """The predefined voices; every released model has all of them."""
    return tuple(_released()["voices"])


def ordered_voices(model: str) -> list[str]:
    default = default_voice(model)
    return [default, *(name for name in voice_names() if name != default)]


def voice_state_source(model: str, voice: str) -> str:
    """Address of the state of a predefined voice, computed with this released model's weights."""
    _find(model)
    voice_audio_source(voice)
    return str(_released()["repositories"]["open"] + _released()["voice_state"].format(model=model, voice=voice))


def voice_audio_source(voice: str) -> str:
    voices = _released()["voices"]
    if voice not in voices:
        raise VoiceError(f"there is no ready-made voice {_not_among(voice, voices)}")
    return str(voices[voice])


# --- configs of the user


def load_config(path: Path) -> ModelConfig:
    """Read a model's YAML file, in upstream's format.

    Raises MissingConfig, or ConfigError with one line per problem: file, key, what was found and what is allowed.
    """
    try:
        return ModelConfig.model_validate(_read(path))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_explain(problem)}" for problem in error.errors())) from error


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


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _explain(problem: ErrorDetails) -> str:
    *parents, last = problem["loc"] or ("",)
    key = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            allowed = _fields_at(parents)
            return f"unknown key '{key}'{suggest(str(last), allowed, most=3)}; allowed here: {', '.join(allowed)}"
        case "missing":
            return f"the key '{key}' is missing"
        case "model_type" | "dict_type":
            return f"{key}: must hold keys of its own, not {quote_untrusted(problem['input'])}"
        case "value_error":  # from ``schema``'s checks, which name the values
            return f"{key}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        case _:
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
    return f"{quote_untrusted(name)}{suggest(name, known, most=3)}; there are: {', '.join(known)}"
