"""The service's settings as one typed, frozen tree. Knows nothing about files, flags, sockets or models.

A new setting is one field here, made by ``_setting``: its YAML key, its environment variable, its row in the README and
the check of its value all follow from that line. ``settings_sources`` reads the tree from file, environment and flags.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from wyoming_pocket_tts.errors import ConfigError
from wyoming_pocket_tts.places import default_data_dir
from wyoming_pocket_tts.serving.address import parse_uri
from wyoming_pocket_tts.serving.limits import Limits

ENVIRONMENT_PREFIX = "WYOMING_POCKET_TTS_"
_LIMITS = Limits()


class Section(BaseModel):
    """A branch of the tree: unknown keys are errors and nothing changes after the check."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _setting(default: Any, description: str, *, flag: str = "", **constraints: Any) -> Any:  # noqa: ANN401  (as Field)
    """Make a leaf of the tree; ``flag`` names the command-line options of ``serve`` that set it too."""
    extra: dict[str, Any] = {"flag": flag}
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **constraints)
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def _check_uri(uri: str) -> str:
    try:
        parse_uri(uri)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return uri


def _expand_home(path: Path) -> Path:
    return path.expanduser()


class LimitSettings(Section):
    """What one client, and all of them together, may ask for."""

    connections: int = _setting(_LIMITS.connections, "Connections open at once", ge=1)
    connections_per_address: int = _setting(
        _LIMITS.connections_per_address,
        "Connections from one client address; a whole house shares Home Assistant's",
        ge=1,
    )
    queued_requests: int = _setting(
        _LIMITS.queued_requests, "Requests that may wait on one connection behind the one that speaks", ge=0
    )
    text_characters: int = _setting(_LIMITS.text_characters, "Longest text of one request", ge=1, le=1_000_000)
    idle_seconds: float = _setting(
        _LIMITS.idle_seconds, "Silence of a client after which its connection is closed", gt=0, allow_inf_nan=False
    )
    write_seconds: float = _setting(
        _LIMITS.write_seconds, "Time for a client that stopped reading to go on", gt=0, allow_inf_nan=False
    )


class ServerSettings(Section):
    """Where the server listens and how it ends."""

    uri: Annotated[str, AfterValidator(_check_uri)] = _setting(
        "tcp://0.0.0.0:10200",
        "Where to listen: `tcp://HOST:PORT`, `unix:///PATH` or `stdio://`. `tcp://:10200` takes IPv6 as well",
        flag="--uri",
    )
    shutdown_seconds: float = _setting(
        5.0, "How long speech that has begun may go on after the order to stop", ge=0, le=300
    )
    limits: LimitSettings = LimitSettings()


class DiscoverySettings(Section):
    """How Home Assistant finds the server by itself."""

    announce: bool | None = _setting(
        None,
        "Announce the server over zeroconf (mDNS). Unset: when it listens on a TCP address that others can reach",
        flag="--zeroconf, --no-zeroconf",
    )
    name: str | None = _setting(
        None,
        "Name to announce, unique in the network. Unset: one made of the host's name, kept in the data directory",
        flag="--zeroconf NAME",
        min_length=1,
        pattern=r"^[^\x00-\x1f\x7f.]*$",
    )


class VoiceSettings(Section):
    """How the service speaks when a client does not say."""

    default: str | None = _setting(
        None, "Voice for clients that name none. Unset: the first one that `voices` lists", flag="--voice", min_length=1
    )


def _split(names: Any) -> Any:  # noqa: ANN401  (whatever a source holds)
    """Take a list also as one text with commas, as the environment has it."""
    return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names


class ModelSettings(Section):
    """The Pocket TTS models that the service speaks with, beside the embedded voices."""

    names: Annotated[tuple[str, ...], BeforeValidator(_split)] = _setting(
        ("english",),
        "Models to download and speak with, the most important first: names that `wyoming-pocket-tts models` lists, or "
        "YAML files of your own. `none` keeps to the embedded voices",
        flag="--model",
        min_length=1,
    )
    precision: Literal["fp32", "int8", "mixed", "int4"] = _setting(
        "int8",
        "How exactly to compute: `int8` is fast, `mixed` a little slower and nearer to `fp32`, which is exact; `int4` "
        "is fastest, and audibly different",
        flag="--precision",
    )
    threads: int | None = _setting(
        None,
        "Threads of the language model; the codec has one more. Unset: by the number of processor cores",
        flag="--threads",
        ge=1,
        le=64,
    )
    voices: Literal["all", "default"] = _setting(
        "all", "Ready-made voices of the models to download: `all`, or only the `default` one of each"
    )
    local_files_only: bool = _setting(lambda: False, "Download nothing", flag="--local-files-only")


class LogSettings(Section):
    """What goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "How much to log. Only `debug` shows the texts that are spoken", flag="--debug"
    )
    format: Literal["text", "json"] = _setting(
        "text", "`text` for people, `json` for machines (one object a line)", flag="--log-format"
    )


class Settings(Section):
    """Everything that can be set, checked."""

    server: ServerSettings = ServerSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    voice: VoiceSettings = VoiceSettings()
    models: ModelSettings = ModelSettings()
    data_dir: Annotated[Path, AfterValidator(_expand_home)] = _setting(
        default_data_dir, "Where the service keeps what it must remember", flag="--data-dir"
    )
    log: LogSettings = LogSettings()


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

    @property
    def yaml_key(self) -> str:
        """As it is written in messages and documentation: ``log.level``."""
        return ".".join(self.key)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + "_".join(self.key).upper()


def leaves(section: type[Section] = Settings, at: tuple[str, ...] = ()) -> Iterator[Leaf]:
    """Yield every setting in the order of the tree."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from leaves(field.annotation, (*at, name))
            continue
        extra = field.json_schema_extra
        assert isinstance(extra, dict), f"{name} is not made by _setting"  # noqa: S101  (our own invariant)
        yield Leaf(
            key=(*at, name),
            description=field.description or "",
            flag=str(extra["flag"]),
            default="" if field.default_factory or field.default is None else shown(field.default),
        )
