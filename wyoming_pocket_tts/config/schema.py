"""The settings tree (pydantic): server, models, log, limits."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from wyoming_pocket_tts.config.fields import (
    Label,
    Name,
    SatelliteSettings,
    SettingInfo,
    SettingsModel,
    Tag,
    TextSettings,
    VoiceSettings,
    leaves_of,
    relative_path,
    setting,
)
from wyoming_pocket_tts.core.address import parse_uri
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.system import default_data_dir

_TCP_WITHOUT_SCHEME = re.compile(r"(?:(?:tcp|http):)?(?:/?/?([\w.-]+|\[[\da-fA-F:]+\]):|:)?(\d{1,5})/?")


def _as_text(uri: object) -> object:
    """A port alone is a number for YAML; the message for it is that of other text that is no URI."""
    return str(uri) if isinstance(uri, int) and not isinstance(uri, bool) else uri


def _check_uri(uri: str) -> str:
    try:
        parse_uri(uri)
    except ConfigError as error:
        meant = _TCP_WITHOUT_SCHEME.fullmatch(uri)
        question = f" (did you mean 'tcp://{meant[1] or '0.0.0.0'}:{meant[2]}'?)" if meant else ""  # noqa: S104
        raise ValueError(f"{error}{question}") from error
    return uri


def _expand_home(path: Path) -> Path:
    return path.expanduser()


def _anchor_path(path: Path, folder: Path) -> Path:
    return folder / path


def _renamed_value(value: object) -> object:
    """Values of an earlier release stay valid."""
    return {"refuse": "reject", "embedded": "fallback"}.get(value, value) if isinstance(value, str) else value


class LimitSettings(SettingsModel):
    """Limits of one client, and of all together."""

    max_connections: int = setting(64, "Connections open at once", ge=1)
    max_connections_per_client: int = setting(
        24, "Connections from one client address; all satellites share the address of Home Assistant", ge=1
    )
    # fewer than max_running: one address of clients that stop reading must leave places for the rest
    max_queued_requests: int = setting(8, "Requests that may wait on one connection behind the running one", ge=0)
    max_text_length: int = setting(
        20_000, "Maximum length of the text of one request, in characters", ge=1, le=1_000_000
    )
    idle_timeout: float = setting(
        300.0, "Seconds without events after which a connection is closed", gt=0, allow_inf_nan=False
    )  # a language model that calls tools may pause for minutes within a stream
    write_timeout: float = setting(
        30.0, "Seconds after which a client that does not read is disconnected", gt=0, allow_inf_nan=False
    )
    max_running: int = setting(32, "Sentences in synthesis at once, of all clients together", ge=1, le=1_000)
    max_waiting: int = setting(32, "Requests in the queue behind the running sentences", ge=0, le=1_000)
    queue_timeout: float = setting(
        30.0, "Maximum time in the queue in seconds; then the request is rejected", gt=0, allow_inf_nan=False
    )
    limit_to_realtime: bool = setting(
        default=False,
        description="Limit the sentences in synthesis to the number that this machine generates in real time, by the "
        "measured throughput; others wait",
    )
    on_overload: Annotated[Literal["reject", "fallback"], BeforeValidator(_renamed_value)] = setting(
        "reject",
        "Reaction to a request that can neither run nor wait: `reject` sends an error, `fallback` uses an embedded "
        "voice of its language, for which two more places are reserved",
    )


class ServerSettings(SettingsModel):
    """Where the server listens and how it ends."""

    uri: Annotated[str, BeforeValidator(_as_text), AfterValidator(_check_uri)] = setting(
        "tcp://0.0.0.0:10200",
        "Listen address: `tcp://HOST:PORT`, `unix:///PATH` or `stdio://`. `tcp://:10200` also accepts IPv6",
        flag="--uri",
    )
    shutdown_timeout: float = setting(5.0, "Seconds for running requests to finish after the stop signal", ge=0, le=300)
    limits: LimitSettings = LimitSettings()


class DiscoverySettings(SettingsModel):
    """How Home Assistant finds the server by itself."""

    announce: bool | None = setting(
        None,
        "Announce the server over zeroconf (mDNS). Unset: if other machines can reach its TCP address",
        flag="--zeroconf, --no-zeroconf",
    )
    name: Label | None = setting(
        None,
        "Announced name, unique in the network. Unset: generated from the host name and kept in the data directory",
        flag="--zeroconf NAME",
    )


class DefaultVoiceSettings(SettingsModel):
    """The default voice."""

    default: str | None = setting(
        None,
        "Voice for clients that name none. Unset: the first voice that `wyoming-pocket-tts voices` lists",
        flag="--voice",
        min_length=1,
    )


def _split(names: Any) -> Any:  # noqa: ANN401  (whatever a source holds)
    """Take a list also as one text with commas, as the environment has it."""
    return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else names


def _anchor_configs(names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Names of released models stay what they are, and so do addresses of configs."""
    is_file = re.compile(r"^(?!\w+://).*\.ya?ml$", re.IGNORECASE)
    return tuple(str(folder / Path(name).expanduser()) if is_file.match(name) else name for name in names)


class ModelSettings(SettingsModel):
    """The Pocket TTS models of the service, beside the embedded voices."""

    names: Annotated[tuple[str, ...], BeforeValidator(_split), relative_path(_anchor_configs)] = setting(
        ("english",),
        "Models to download and use, the most important first: names that `wyoming-pocket-tts models` lists, or "
        "YAML files of custom models. `none`: only the embedded voices",
        flag="--model",
        min_length=1,
    )
    languages: Mapping[str, Tag] = setting({}, "Languages of custom models, by the names of the models: `mine: sv`")
    precision: Literal["fp32", "int8", "mixed", "int4"] = setting(
        "int8",
        "Precision of the weights: `int8` is fast, `mixed` slightly slower and closer to `fp32`, which is exact; "
        "`int4` is the fastest and audibly different",
        flag="--precision",
    )
    threads: int | None = setting(
        None,
        "Threads of the language model; the codec has one more. Unset: by the number of processor cores",
        flag="--threads",
        ge=1,
        le=64,
    )
    memory_budget_mb: int | None = setting(
        None,
        "Budget in megabytes for models in memory, the embedded voice included: all models except the first are "
        "loaded on request, and idle models are evicted to make room. Unset: all stay loaded",
        ge=1,
    )
    voices: Literal["all", "default"] = setting(
        "all", "Predefined voices to download: `all`, or only the `default` voice of each model"
    )
    local_files_only: bool = setting(lambda: False, "Download nothing", flag="--local-files-only")


class MetricsSettings(SettingsModel):
    """The HTTP endpoint for monitoring."""

    port: int | None = setting(
        None,
        "Port for `/metrics` (Prometheus), `/health` and `/ready`; 0 selects a free port. Unset: no endpoint",
        flag="--metrics-port",
        ge=0,
        le=65535,
    )
    host: str = setting(
        "127.0.0.1",
        "Listen address of that port. It has no login; by default only programs on this machine can connect",
        min_length=1,
    )


class LogSettings(SettingsModel):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "Log level. Only `debug` logs the texts of requests", flag="--debug"
    )
    format: Literal["text", "json"] = setting(
        "text", "Lines of `text`, or `json` (one object per line)", flag="--log-format"
    )


class Settings(SettingsModel):
    """Everything that can be set, checked."""

    server: ServerSettings = ServerSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    voice: DefaultVoiceSettings = DefaultVoiceSettings()
    models: ModelSettings = ModelSettings()
    text: TextSettings = TextSettings()
    voices: Mapping[Name, VoiceSettings] = setting({}, "Custom voices")
    satellites: Mapping[Name, SatelliteSettings] = setting({}, "Satellites and their options")
    data_dir: Annotated[Path, AfterValidator(_expand_home), relative_path(_anchor_path)] = setting(
        default_data_dir, "Data directory: converted models, voices, the announced name", flag="--data-dir"
    )
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


def leaves() -> Iterator[SettingInfo]:
    """Yield every setting in the order of the tree; ``NAME`` stands for names that the user chooses."""
    return leaves_of(Settings)
