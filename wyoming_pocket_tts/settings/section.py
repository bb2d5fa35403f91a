"""What the settings are made of: sections with checked leaves, each described once. Knows no single setting.

A setting is one field, made by ``setting``: its YAML key, its environment variable, its row in docs/settings.md and
the check of its value all follow from that line.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

ENVIRONMENT_PREFIX = "WYOMING_POCKET_TTS_"
ANY_NAME = "NAME"
"""Stands in documentation for the names that people give."""


class Section(BaseModel):
    """A branch of the tree: unknown keys are errors and nothing changes after the check."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


@dataclass(frozen=True, slots=True)
class RelativeToFile:
    """Marks a setting that holds paths: those in a settings file start where the file lies.

    ``anchor`` takes a checked value and the file's directory, and returns what is meant.
    """

    anchor: Callable[[Any, Path], Any]


def setting(default: Any, description: str, *, flag: str = "", **constraints: Any) -> Any:  # noqa: ANN401  (as Field)
    """Make a leaf of the tree; ``flag`` names the command-line options of ``serve`` that set it too."""
    extra: dict[str, Any] = {"flag": flag}
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **constraints)
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def keys_of(section: type[Section]) -> dict[str, FieldInfo]:
    """What a section holds, under the names that people write."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def section_in(field: FieldInfo) -> type[Section] | None:
    """The section that a key opens, if it does; for a mapping of names, the section behind each name."""
    kind = field.annotation
    if holds_names(field):
        kind = get_args(kind)[1]
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def holds_names(field: FieldInfo) -> bool:
    """Whether what stands under this key are names that people give."""
    return get_origin(field.annotation) is Mapping


def shown(default: object) -> str:
    """Write a value as the environment would have it."""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting, described for readers of the environment and of the documentation."""

    key: tuple[str, ...]
    """The way to it through the tree, for example ``("log", "level")``."""
    description: str
    flag: str
    """Command-line options of ``serve`` that set it, or empty."""
    default: str
    """For people: empty where the description says what happens."""
    file_only: bool
    """Whether it stands below names that people give, or holds such: then only a file can."""

    @property
    def yaml_key(self) -> str:
        """As it is written in messages and documentation: ``log.level``."""
        return ".".join(self.key)

    @property
    def variable(self) -> str:
        """The environment variable that sets it; empty if only a file can."""
        return "" if self.file_only else ENVIRONMENT_PREFIX + "_".join(self.key).upper()


def leaves_of(section: type[Section], at: tuple[str, ...] = (), *, file_only: bool = False) -> Iterator[Leaf]:
    """Yield every setting in the order of the tree."""
    for name, field in keys_of(section).items():
        below = section_in(field)
        named = holds_names(field)
        if below is not None:
            yield from leaves_of(below, (*at, name, ANY_NAME) if named else (*at, name), file_only=file_only or named)
            continue
        extra = field.json_schema_extra
        assert isinstance(extra, dict), f"{name} is not made by setting"  # noqa: S101  (our own invariant)
        tells = not field.default_factory and not field.is_required() and field.default not in (None, (), {})
        yield Leaf(
            key=(*at, name),
            description=field.description or "",
            flag=str(extra["flag"]),
            default=shown(field.default) if tells else "",
            file_only=file_only or named,
        )
