"""Declaration of settings; options of texts, voices and satellites."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.fields import FieldInfo

from wyoming_pocket_tts.core.types import TextOptions

ENVIRONMENT_PREFIX = "WYOMING_POCKET_TTS_"
ANY_NAME = "NAME"
"""Placeholder in documentation for the names of voices and satellites."""

Key = tuple[str | int, ...]
"""Path to a value through mappings and lists."""


class SettingsModel(BaseModel):
    """A section of the tree, immutable; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:  # noqa: ANN401  (whatever a source holds)
        """Keys without a value are unset, as where all lines of a section are commented out."""
        if isinstance(values, dict):
            return {key: value for key, value in values.items() if value is not None}
        return {} if values is None else values


def relative_path(anchor: Callable[[Any, Path], Any]) -> AfterValidator:
    """Mark a setting that holds paths: ``anchor`` resolves its value from the directory of the settings file.

    That directory is the context of the validation; other sources have none.
    """
    return AfterValidator(lambda value, info: value if info.context is None else anchor(value, info.context))


def in_range(low: float, high: float, description: str) -> Any:  # noqa: ANN401  (as Field)
    """Declare an optional number, no text."""
    return setting(None, description, ge=low, le=high, strict=True)


def setting(default: Any, description: str, *, flag: str = "", **constraints: Any) -> Any:  # noqa: ANN401  (as Field)
    """Declare a leaf of the tree; ``flag`` lists the options of ``serve`` that set it, a callable makes the default."""
    constraints |= {"default_factory": default} if callable(default) else {"default": default}
    return Field(description=description, json_schema_extra={"flag": flag}, **constraints)


def keys_of(section: type[SettingsModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def section_in(field: FieldInfo) -> type[SettingsModel] | None:
    """The section below a key, or below each name of a mapping; None for other values."""
    kind = get_args(field.annotation)[1] if holds_names(field) else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, SettingsModel) else None


def holds_names(field: FieldInfo) -> bool:
    """Whether the keys below this one are names that the user chooses."""
    return get_origin(field.annotation) is Mapping


def environment_text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, slots=True)
class SettingInfo:
    """One setting, described for readers of the environment and of the documentation."""

    key: tuple[str, ...]
    description: str
    flag: str
    """Command-line options of ``serve`` that set it, or empty."""
    default: str
    """Empty where the description explains the default."""
    file_only: bool
    """Whether no environment variable sets it: names that the user chooses are above or below it."""

    @property
    def yaml_key(self) -> str:
        return ".".join(self.key)

    @property
    def variable(self) -> str:
        return "" if self.file_only else variable_of(self.yaml_key)


def variable_of(dotted_key: str) -> str:
    return ENVIRONMENT_PREFIX + dotted_key.replace(".", "_").upper()


def leaves_of(
    section: type[SettingsModel], at: tuple[str, ...] = (), *, file_only: bool = False
) -> Iterator[SettingInfo]:
    for name, field in keys_of(section).items():
        named = holds_names(field)
        if below := section_in(field):
            yield from leaves_of(below, (*at, name, ANY_NAME) if named else (*at, name), file_only=file_only or named)
            continue
        extra = field.json_schema_extra
        assert isinstance(extra, dict), f"{name} is not made by setting"  # noqa: S101  (our own invariant)
        has_default = not field.default_factory and not field.is_required() and field.default not in (None, (), {})
        yield SettingInfo(
            key=(*at, name),
            description=field.description or "",
            flag=str(extra["flag"]),
            default=environment_text(field.default) if has_default else "",
            file_only=file_only or named,
        )


Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96
_DNS_LABEL_BYTES = 63
_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*")
_PATH = re.compile(r"[/\\]|^[~.]|\.\w{2,11}$")


def is_path(source: str) -> bool:
    """Whether a voice's ``from`` is a file or folder, not a name: it has a slash or a suffix, or begins with ~ or ."""
    return _PATH.search(source) is not None


def _anchor_source(source: str, folder: Path) -> str:
    return str(folder / Path(source).expanduser()) if is_path(source) else source


def _check(is_valid: Callable[[str], object], otherwise: str) -> AfterValidator:
    def check(text: str) -> str:
        if not is_valid(text):
            raise ValueError(f"{text!r} {otherwise}")
        return text

    return AfterValidator(check)


def _as_tuple(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _parse_network(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    """Parse an address or a network. An IPv4-mapped IPv6 one becomes IPv4; a zone is dropped."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} should be text such as 192.168.1.20 or 192.168.1.0/24")  # noqa: TRY004  (pydantic)
    bare = re.sub(r"%[^/]*", "", value.strip())
    try:
        network = ip_network(bare, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} should be an IP address or network, such as 192.168.1.0/24") from None
    host = bare.partition("/")[0]
    if network.network_address != ip_network(host).network_address:
        raise ValueError(f"{value!r} should be {network} (the network) or {host} (one address)")
    mapped = network.network_address.ipv4_mapped if isinstance(network.network_address, IPv6Address) else None
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    _check(
        lambda name: name == " ".join(name.split()) and name.isprintable(),
        "should be printable, without spaces around it or doubled",
    ),
]
"""Name of a voice or satellite."""
Tag = Annotated[str, _check(_TAG.fullmatch, "should be the tag of a language, such as de or de-DE")]
"""A BCP-47 tag; ``de_DE`` is valid as well."""
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=_DNS_LABEL_BYTES),
    _check(lambda label: label.isprintable() and "." not in label, "should be printable and without a dot"),
]
"""A name to announce on the network, at most as long as a DNS label."""
Source = Annotated[
    str,
    _check(lambda source: "://" not in source, "is an address; fetch the recording, and write the file's name"),
    relative_path(_anchor_source),
]
Written = Annotated[str, StringConstraints(max_length=200), _check(str.strip, "should hold a word or sign")]
Spoken = Annotated[str, StringConstraints(max_length=1_000)]
Words = Annotated[Mapping[Written, Spoken], Field(max_length=5_000)]
"""Words or phrases of a text, and their replacements."""


class TextSettings(SettingsModel):
    """Text normalisation."""

    normalize: bool = setting(
        True,  # noqa: FBT003  (the default)
        "Replace numbers, units, dates, addresses and markup by words; `false` leaves texts unchanged",
        flag="--normalize, --no-normalize",
    )
    emoji: Literal["drop", "speak"] = setting(
        "drop", "`drop` removes emoji, `speak` replaces them by their names", flag="--emoji"
    )
    replacements: Words = setting(
        {}, "Replacements of whole words or phrases before normalisation: `HA: Home Assistant`"
    )
    pronunciations: Words = setting({}, "Spellings of words for the voice, applied last: `Siobhan: Shivawn`")

    def as_options(self) -> TextOptions:
        return TextOptions(
            normalize=self.normalize,
            emoji=self.emoji,
            replacements=tuple(self.replacements.items()),
            pronunciations=tuple(self.pronunciations.items()),
        )


class TextOverrideSettings(SettingsModel):
    """Text normalisation of one voice or satellite."""

    normalize: bool | None = setting(None, "Overrides `text.normalize`", strict=True)
    emoji: Literal["drop", "speak"] | None = setting(None, "Overrides `text.emoji`")
    replacements: Words = setting({}, "Added to `text.replacements`, with precedence")
    pronunciations: Words = setting({}, "Added to `text.pronunciations`, with precedence")


class SynthesisSettings(SettingsModel):
    """Options of the synthesis; None inherits."""

    temperature: float | None = in_range(0, 2, "Variation of the voice, 0 to 2; with 0 a text always sounds the same")
    eos_threshold: float | None = in_range(
        -20, 20, "Threshold for the end of speech, -20 to 20; a higher one ends later"
    )
    volume: float | None = in_range(-40, 20, "Gain in dB, -40 to 20, with a soft limiter")
    speed: float | None = in_range(0.5, 2, "Tempo, 0.5 to 2; the pitch stays")
    sentence_silence: float | None = in_range(
        0, 10, "Silence between two sentences, 0 to 10 s, added to the pause of the voice"
    )
    leading_silence: float | None = in_range(
        0, 10, "Silence before a response, 0 to 10 s, for loudspeakers that lose the first word"
    )
    trailing_silence: float | None = in_range(
        0, 10, "Silence after a response, 0 to 10 s, for loudspeakers that cut the last word"
    )
    sample_rate: int | None = in_range(8_000, 48_000, "Samples per second, 8000 to 48000. Unset: the rate of the model")
    text: TextOverrideSettings = TextOverrideSettings()


class VoiceSettings(SynthesisSettings):
    """A custom voice."""

    source: Source = setting(
        ...,
        "Source of the voice: a predefined voice (`alba`, `german-alba`), an embedded one (`kokoro-ray`), a recording, "
        "an exported voice (`.safetensors`), or a folder of them, one for each style (`recordings/anna/`)",
        alias="from",
        min_length=1,
    )
    model: str | None = setting(None, "Model of `models.names` that generates it. Unset: the first", min_length=1)
    language: Tag | None = setting(
        None, "Language for display and text normalisation, `de-DE`. Unset: the language of the model"
    )
    description: str | None = setting(
        None, "Text in lists of voices. Unset: generated from name and language", min_length=1, max_length=200
    )
    sampler_steps: int | None = in_range(1, 64, "Steps of the sampler, 1 to 64. Unset: the number that the model needs")


class SatelliteSettings(SynthesisSettings):
    """A room or other client with its own options; recognised by its name, its address or its own port."""

    voice: str | None = setting(
        None, "A voice of `voices`, or any other listed voice. Unset: the default voice", min_length=1
    )
    description: str | None = setting(
        None, "Text in lists of voices. Unset: generated from name, voice and language", min_length=1, max_length=200
    )
    address: Annotated[tuple[Annotated[Network, BeforeValidator(_parse_network)], ...], BeforeValidator(_as_tuple)] = (
        setting((), "Address or network of the client, or a list of them; the narrowest network applies", max_length=64)
    )
    port: int | None = in_range(
        1, 65535, "A separate port, 1 to 65535, which Home Assistant shows as a separate server"
    )
    name: Label | None = setting(
        None,
        "Announced name of that port. Unset: `discovery.name` and the name of the satellite, or a generated name",
    )
    visible: bool = setting(
        True,  # noqa: FBT003  (the default)
        "Whether the satellite is in the list of voices",
        strict=True,
    )

    def announced_as(self, own_name: str, *, server: str | None) -> str | None:
        """The announced name of its port, with ``discovery.name`` as ``server``; None if one is generated later."""
        if self.name is not None or self.port is None or server is None:
            return self.name
        name = " ".join(f"{server} {own_name}".replace(".", " ").split())
        return name if len(name.encode()) <= _DNS_LABEL_BYTES else None
