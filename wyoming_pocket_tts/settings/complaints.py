"""Says in plain words what the check of the settings found. Knows the tree by its shape, and no source."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from wyoming_pocket_tts.errors import shown
from wyoming_pocket_tts.settings.clashes import Key
from wyoming_pocket_tts.settings.examples import instead, section_at
from wyoming_pocket_tts.settings.section import keys_of

_KINDS = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number with an end",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "path_type": "a file or folder, as text",
    "tuple_type": "a list of names",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
}
"""What is allowed, by what the check found."""


def dotted(key: Key) -> str:
    """As a key is written in messages: ``log.level``."""
    return ".".join(str(part) for part in key)


def explain(problem: ErrorDetails, key: Key) -> str:
    """A sentence about what the check found at a key."""
    name = dotted(key)
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        allowed = keys_of(section_at(key[:-1]))
        return f"unknown key '{name}'{nearest(str(key[-1]), allowed)}; allowed here: {listed(allowed)}"
    if kind == "missing":
        return f"{name}: is missing: {keys_of(section_at(key[:-1]))[str(key[-1])].description}"
    if kind in ("model_type", "dict_type", "mapping_type"):
        return f"{name}: must hold keys of its own, not {plain(value)}{instead(key, value)}"
    if key[-1:] == ("[key]",):
        name = f"the key {value!r} of {dotted(key[:-2])}"
    if kind == "string_type":
        return f"{name}: should be text, not {plain(value)}{'' if value is None else '; text in quotes is always text'}"
    if kind == "value_error":  # from our own checks, which name the value
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}"
    return f"{name}: {_allowed(problem)}, not {plain(value)}"


def _allowed(problem: ErrorDetails) -> str:
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "string_too_long":
            return f"should have {limits['max_length']} characters at most"
        case "too_long":
            return f"should hold {limits['max_length']} entries at most"
        case kind if kind in _KINDS:
            return f"should be {_KINDS[kind]}"
    return problem["msg"].removeprefix("Input ")


def plain(value: object) -> str:
    """A value as somebody who writes settings would call it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case list() | tuple() | dict() if not value:
            return "an empty one"
    return shown(value)


def nearest(name: str, known: Mapping[str, Any] | set[str]) -> str:
    """A question for a message, or nothing where nothing is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def listed(names: Mapping[str, Any]) -> str:
    """Names for a message."""
    return ", ".join(sorted(names))
