"""How a setting is declared; voice, satellite and text options."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.fields import FieldInfo

from wyoming_pocket_tts.core.types import TextOptions

ENVIRONMENT_PREFIX = "WYOMING_POCKET_TTS_"
ANY_NAME = "NAME"
"""Stands in documentation for the names that people give."""


class SettingsModel(BaseModel):
    """A branch of the tree: unknown keys are errors and nothing changes after the check."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


@dataclass(frozen=True, slots=True)
class RelativePath:
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


def keys_of(section: type[SettingsModel]) -> dict[str, FieldInfo]:
    """What a section holds, under the names that people write."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def section_in(field: FieldInfo) -> type[SettingsModel] | None:
    """The section that a key opens, if it does; for a mapping of names, the section behind each name."""
    kind = field.annotation
    if holds_names(field):
        kind = get_args(kind)[1]
    return kind if isinstance(kind, type) and issubclass(kind, SettingsModel) else None


def holds_names(field: FieldInfo) -> bool:
    """Whether what stands under this key are names that people give."""
    return get_origin(field.annotation) is Mapping


def shown(default: object) -> str:
    """Write a value as the environment would have it."""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


@dataclass(frozen=True, slots=True)
class SettingInfo:
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


def leaves_of(
    section: type[SettingsModel], at: tuple[str, ...] = (), *, file_only: bool = False
) -> Iterator[SettingInfo]:
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
        yield SettingInfo(
            key=(*at, name),
            description=field.description or "",
            flag=str(extra["flag"]),
            default=shown(field.default) if tells else "",
            file_only=file_only or named,
        )


Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96
_MOST_WORDS = 5_000
_LABEL_BYTES = 63
"""What DNS holds of a name."""
_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")
_PATH = re.compile(r"[/\\]|^[~.]|\.\w{2,11}$")


def is_path(source: str) -> bool:
    """Whether a voice's ``from`` is a file or folder, not a name: it has a slash or a suffix, or begins with ~ or ."""
    return _PATH.search(source) is not None


def _anchor_source(source: str, folder: Path) -> str:
    return str(folder / Path(source).expanduser()) if is_path(source) else source


def _check_source(source: str) -> str:
    if "://" in source:
        raise ValueError(f"{source!r} is an address; fetch the recording, and write the file's name")
    return source


def _check_name(name: str) -> str:
    if name != " ".join(name.split()) or not name.isprintable() or not name:
        raise ValueError(f"{name!r} should be printable, without spaces around it or doubled")
    return name


def _one_or_several(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _read_network(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    """Take an address or a network; an IPv4 one that is written as IPv6 becomes IPv4, a zone is left out."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} should be text such as 192.168.1.20 or 192.168.1.0/24")  # noqa: TRY004  (pydantic)
    bare = re.sub(r"%[^/]*", "", value.strip())
    try:
        network = ip_network(bare)
    except ValueError:
        try:
            meant = ip_network(bare, strict=False)
        except ValueError:
            raise ValueError(f"{value!r} should be an IP address or network, such as 192.168.1.0/24") from None
        host = bare.partition("/")[0]
        raise ValueError(f"{value!r} should be {meant} (the network) or {host} (one address)") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network.network_address, IPv6Address) else None
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network


def _check_tag(tag: str) -> str:
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{tag!r} should be the tag of a language, such as de or de-DE")
    return tag


def _check_label(label: str) -> str:
    if not label.isprintable() or "." in label:
        raise ValueError(f"{label!r} should be printable and without a dot")
    return label


def _check_written(text: str) -> str:
    if not text.strip():
        raise ValueError(f"{text!r} should hold a word or sign")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_check_name)]
"""What a voice or satellite is called."""
Tag = Annotated[str, AfterValidator(_check_tag)]
"""A BCP-47 tag; ``de_DE`` is taken as well."""
Label = Annotated[str, StringConstraints(min_length=1, max_length=63), AfterValidator(_check_label)]
"""What is announced on the network: as long as DNS can hold."""
Written = Annotated[str, StringConstraints(max_length=200), AfterValidator(_check_written)]
"""What stands in a text."""
Spoken = Annotated[str, StringConstraints(max_length=1_000)]
"""What is to be said."""
Words = Mapping[Written, Spoken]


class TextSettings(SettingsModel):
    """What becomes of a text before a voice gets it."""

    normalize: bool = setting(
        True,  # noqa: FBT003  (the default)
        "Say numbers, units, dates, addresses and markup as a person would; `false` leaves texts as they come",
        flag="--normalize, --no-normalize",
    )
    emoji: Literal["drop", "speak"] = setting("drop", "Leave emoji out, or say what they show", flag="--emoji")
    replacements: Words = setting(
        {},
        "What to say instead of what is written: whole words or phrases, `HA: Home Assistant`",
        max_length=_MOST_WORDS,
    )
    pronunciations: Words = setting(
        {},
        "How to write words so that the voice says them right, `Siobhan: Shivawn`; after everything else",
        max_length=_MOST_WORDS,
    )

    def as_reading(self) -> TextOptions:
        """The same as the speech contract has it."""
        return TextOptions(
            normalize=self.normalize,
            emoji=self.emoji,
            replacements=tuple(self.replacements.items()),
            pronunciations=tuple(self.pronunciations.items()),
        )


class TextOverrideSettings(SettingsModel):
    """What is different about texts here."""

    normalize: bool | None = setting(None, "Instead of `text.normalize`", strict=True)
    emoji: Literal["drop", "speak"] | None = setting(None, "Instead of `text.emoji`")
    replacements: Words = setting({}, "Beside `text.replacements`, and before them", max_length=_MOST_WORDS)
    pronunciations: Words = setting({}, "Beside `text.pronunciations`, and before them", max_length=_MOST_WORDS)


class SynthesisSettings(SettingsModel):
    """How to speak; what is not said here stays as it is."""

    temperature: float | None = setting(
        None, "How freely the model draws, 0 to 2; 0 says a text the same way each time", ge=0, le=2, strict=True
    )
    eos_threshold: float | None = setting(
        None, "Where the model's end of speech lies, -20 to 20; higher ends later", ge=-20, le=20, strict=True
    )
    volume: float | None = setting(
        None, "Gain in dB, -40 to 20; what would be too loud is limited softly", ge=-40, le=20, strict=True
    )
    speed: float | None = setting(None, "Tempo, 0.5 to 2; the pitch stays", ge=0.5, le=2, strict=True)
    pause: float | None = setting(
        None, "Silence between two sentences, 0 to 10 s, beside the voice's own", ge=0, le=10, strict=True
    )
    leading_silence: float | None = setting(
        None, "Silence before an answer, 0 to 10 s, for speakers that swallow the first word", ge=0, le=10, strict=True
    )
    trailing_silence: float | None = setting(
        None, "Silence behind an answer, 0 to 10 s, for speakers that cut the last word", ge=0, le=10, strict=True
    )
    rate: int | None = setting(
        None, "Samples a second, 8000 to 48000. Unset: the model's", ge=8_000, le=48_000, strict=True
    )
    text: TextOverrideSettings = TextOverrideSettings()


class VoiceSettings(SynthesisSettings):
    """A voice of one's own making."""

    source: Annotated[str, AfterValidator(_check_source), RelativePath(_anchor_source)] = setting(
        ...,
        "Who lends the voice: a ready-made voice (`alba`, `german-alba`), an embedded one (`kokoro-ray`), a recording, "
        "an exported voice (`.safetensors`), or a folder of them, one for each style (`recordings/anna/`)",
        alias="from",
        min_length=1,
    )
    model: str | None = setting(None, "Which of `models.names` speaks it. Unset: the first", min_length=1)
    language: Tag | None = setting(None, "Language to show and to read numbers in, `de-DE`. Unset: the model's")
    description: str | None = setting(
        None, "What people read in lists. Unset: made of name and language", min_length=1, max_length=200
    )
    steps: int | None = setting(
        None, "Steps of the sampler, 1 to 64. Unset: what the model needs", ge=1, le=64, strict=True
    )


class SatelliteSettings(SynthesisSettings):
    """A room, or whoever asks, and how it is spoken to. Recognised by its name, its address or a port of its own."""

    voice: str | None = setting(
        None, "A voice of `voices`, or any that the service lists. Unset: the default voice", min_length=1
    )
    description: str | None = setting(
        None, "What people read in lists. Unset: made of name, voice and language", min_length=1, max_length=200
    )
    address: Annotated[
        tuple[Annotated[Network, BeforeValidator(_read_network)], ...], BeforeValidator(_one_or_several)
    ] = setting((), "Address or network of the client, or a list of them; the narrowest network counts", max_length=64)
    port: int | None = setting(
        None, "A port of its own, 1 to 65535, which Home Assistant shows as a server of its own", ge=1, le=65535,
        strict=True,
    )  # fmt: skip
    name: Label | None = setting(
        None,
        "Name under which that port is announced. Unset: `discovery.name` and its own; without that, made for the port",
    )
    listed: bool = setting(
        True,  # noqa: FBT003  (the default)
        "Whether it is in the list of voices, for a pipeline to choose",
        strict=True,
    )

    def announced_as(self, own_name: str, *, server: str | None) -> str | None:
        """The name under which its port is announced; None if one is to be made for the port.

        Args:
            own_name: what the satellite is called.
            server: ``discovery.name``.
        """
        if self.name is not None or self.port is None or server is None:
            return self.name
        name = " ".join(f"{server} {own_name}".replace(".", " ").split())
        return name if len(name.encode()) <= _LABEL_BYTES else None


Key = tuple[str | int, ...]
"""The way to a value through mappings and lists."""
