"""The settings that say who speaks how: voices, satellites, and what becomes of the text. Knows no voice that there is.

Numbers are strict here: these settings come from a file, where ``speed: yes`` is a mistake.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StringConstraints

from wyoming_pocket_tts.settings.section import RelativeToFile, Section, setting
from wyoming_pocket_tts.speech import Reading

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


class TextSettings(Section):
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

    def as_reading(self) -> Reading:
        """The same as the speech contract has it."""
        return Reading(
            normalize=self.normalize,
            emoji=self.emoji,
            replacements=tuple(self.replacements.items()),
            pronunciations=tuple(self.pronunciations.items()),
        )


class TextOverrides(Section):
    """What is different about texts here."""

    normalize: bool | None = setting(None, "Instead of `text.normalize`", strict=True)
    emoji: Literal["drop", "speak"] | None = setting(None, "Instead of `text.emoji`")
    replacements: Words = setting({}, "Beside `text.replacements`, and before them", max_length=_MOST_WORDS)
    pronunciations: Words = setting({}, "Beside `text.pronunciations`, and before them", max_length=_MOST_WORDS)


class DeliverySettings(Section):
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
    text: TextOverrides = TextOverrides()


class VoiceEntry(DeliverySettings):
    """A voice of one's own making."""

    source: Annotated[str, AfterValidator(_check_source), RelativeToFile(_anchor_source)] = setting(
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


class SatelliteEntry(DeliverySettings):
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
