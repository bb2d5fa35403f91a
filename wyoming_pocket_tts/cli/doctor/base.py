"""Contract of a check, runner, subject."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from wyoming_pocket_tts.cli.model_sizes import ModelSize, computed_in
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.address import Address, StdioAddress, TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import (
    ConfigError,
    NotAWyomingServer,
    ProtocolError,
    ServerNotFound,
    ServerOverloaded,
    ServerTimeout,
    TtsError,
    quote_untrusted,
)
from wyoming_pocket_tts.core.system import cpu_flags
from wyoming_pocket_tts.core.types import Synthesizer, Voice
from wyoming_pocket_tts.pocket.model_spec import NONE, ModelSpec, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, memory_bytes
from wyoming_pocket_tts.pocket.onnx.install import find_converted
from wyoming_pocket_tts.server.protocol import PROGRAM, EventLimits, EventReader

LOG = "'journalctl -eu wyoming-pocket-tts', 'docker compose logs'"
START = "start it ('systemctl start wyoming-pocket-tts', 'docker compose up -d' or 'script/run')"
_PORT = "is it the right address and port? 10200 is this server's unless its settings say otherwise"
_HANGING = "look at the machine's log (dmesg), then run doctor again"
_RUNNING_SECONDS = 2.0
_QUESTION = b'{"type": "describe"}\n'
_LARGEST_BYTES = 16 << 20
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (to connect to, not to listen on)


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as well as it could."""
    PROBLEM = "problem"
    """Something that was asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry of the report; ``advice`` is empty if nothing has to be done."""

    severity: Severity
    found: str
    advice: str = ""


def ok(found: str) -> Finding:
    return Finding(Severity.OK, found)


def warning(found: str, advice: str) -> Finding:
    return Finding(Severity.WARNING, found, advice)


def problem(found: str, advice: str) -> Finding:
    return Finding(Severity.PROBLEM, found, advice)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``run`` yields each finding as soon as it is known; a ``SpeechError`` becomes a problem."""

    title: str
    limit_seconds: float
    """The check is abandoned after this time; it should end earlier by itself."""
    run: Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A finding and the title of its check."""

    check: str
    finding: Finding


def examine(checks: Iterable[Check]) -> Iterator[CheckResult]:
    """Run the checks in their order; never raises because of a check."""
    for check in checks:
        for finding in _within_time(check):
            yield CheckResult(check.title, finding)


def _within_time(check: Check) -> Iterator[Finding]:
    """The findings of a check, and a problem if it does not end in time.

    A check that hangs, perhaps on a lost disk, cannot be stopped: its daemon thread ends with the process.
    """
    findings: SimpleQueue[Finding | None] = SimpleQueue()
    thread = threading.Thread(target=_run, args=(check, findings), name=f"doctor {check.title}", daemon=True)
    thread.start()
    deadline = time.monotonic() + check.limit_seconds
    while True:
        try:
            finding = findings.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            yield problem(
                f"this check did not end within {check.limit_seconds:g} s",
                f"a disk, a network or the machine itself hangs: {_HANGING}",
            )
            return
        if finding is None:
            break
        yield finding
    thread.join()


def _run(check: Check, findings: "SimpleQueue[Finding | None]") -> None:
    try:
        for finding in check.run():
            findings.put(finding)
    except TtsError as error:
        advice = advice_on(error, otherwise="do what the message says, then run doctor again")
        findings.put(problem(" ".join(str(error).split()), advice))
    except OSError as error:  # a fault of the machine, or missing rights
        advice = (
            "run doctor as root (sudo) or as the service's user" if isinstance(error, PermissionError) else _HANGING
        )
        findings.put(problem(f"{error.filename or 'this check failed'}: {error.strerror or error}", advice))
    except Exception as error:  # noqa: BLE001  (the other checks still run)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        findings.put(problem(f"this check failed: {text}", "this is a mistake in the program: please report it"))
    finally:
        findings.put(None)


def advice_on(error: TtsError, *, otherwise: str) -> str:
    """What to do about a server that gives no good answer."""
    match error:
        case ServerNotFound():
            return (
                f"{_PORT}; if it is, {START}. From another machine: does it listen on more than 127.0.0.1, and does a"
                " firewall let the port through?"
            )
        case NotAWyomingServer():
            return f"another program is there: {_PORT}"
        case ServerTimeout():
            return f"{_PORT}; if it is, look what keeps that machine busy, and at the service's log ({LOG}); restart it"
        case ServerOverloaded():
            return (
                "wait until other clients have left, or raise server.limits.connections and connections_per_address;"
                f" its log names them ({LOG})"
            )
        case _:
            return otherwise


@dataclass(frozen=True, slots=True)
class DescribeResponse:
    """What a server describes: unchecked data, the length of its header line, and how long it took."""

    info: dict[str, Any]
    header_bytes: int
    seconds: float

    @property
    def program(self) -> str:
        """The name of its first text-to-speech program; empty if it has none."""
        programs = self.info.get("tts")
        first = programs[0] if isinstance(programs, list) and programs else None
        return str(first.get("name", "")) if isinstance(first, dict) else ""


def ask(uri: str, *, seconds: float) -> DescribeResponse:
    """Ask a server to describe itself, within ``seconds`` altogether. Not to be called on an event loop.

    Raises:
        ConfigError: a client cannot connect to such an address.
        NobodyThere: nothing listens there.
        NoAnswer: the answer did not come in time.
        NotWyoming: the answer is none.
        Overloaded: the server accepts no further client.
        SpeechError: the server refuses for another reason.
    """
    address = parse_uri(local_address(uri))
    if isinstance(address, StdioAddress):
        raise ConfigError("a client cannot connect to stdio://; give tcp://HOST:PORT or unix:///PATH")
    return asyncio.run(_ask(address, uri, seconds))


async def _ask(address: Address, uri: str, seconds: float) -> DescribeResponse:
    loop = asyncio.get_running_loop()
    began = loop.time()
    stream = _MeasuredStream(limit=_LARGEST_BYTES)
    try:
        async with asyncio.timeout_at(began + seconds):
            transport = await _connect(address, stream)
    except OSError as error:  # a timeout here is a firewall that drops packets
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        raise ServerNotFound(f"no server answers at {address} ({reason or str(error) or 'timed out'})") from error
    limits = EventLimits(header_bytes=_LARGEST_BYTES, data_bytes=_LARGEST_BYTES, event_seconds=2 * seconds)
    try:
        transport.write(_QUESTION)
        async with asyncio.timeout_at(began + seconds):
            event = await EventReader(stream, limits).read()
    except TimeoutError as error:
        raise ServerTimeout(f"{uri} does not answer 'describe' within {seconds:g} s") from error
    except ConnectionError as error:
        raise NotAWyomingServer(f"{uri} closes the connection instead of answering 'describe'") from error
    except ProtocolError as error:
        raise NotAWyomingServer(f"{uri} answers, but not in the Wyoming protocol") from error
    finally:
        transport.abort()
    if event is None:
        raise NotAWyomingServer(f"{uri} closes the connection instead of answering 'describe'")
    if event.type == "error":
        refusal = ServerOverloaded if event.data.get("code") == ServerOverloaded.code else TtsError
        raise refusal(f"the server at {uri} refuses to answer: {quote_untrusted(event.data.get('text', ''))}")
    if event.type != "info":
        raise NotAWyomingServer(f"{uri} answers 'describe' with something else than 'info'")
    return DescribeResponse(event.data, stream.line_bytes, loop.time() - began)


class _MeasuredStream(asyncio.StreamReader):
    """Remembers the length of the last line, for an ``EventReader``, which reads its first byte separately."""

    line_bytes = 0

    async def readuntil(self, separator: Any = b"\n") -> bytes:  # noqa: ANN401  (as its base by version)
        line = await super().readuntil(separator)
        self.line_bytes = len(line)
        return line


async def _connect(address: Address, stream: asyncio.StreamReader) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(stream)
    if isinstance(address, TcpAddress):
        transport, _ = await loop.create_connection(lambda: protocol, address.host, address.port)
    else:
        transport, _ = await loop.create_unix_connection(lambda: protocol, str(address).removeprefix("unix://"))
    return transport


def local_address(uri: str) -> str:
    """The address for a client on the same machine as a server that listens on ``uri``.

    Raises:
        ConfigError: it is no address.
    """
    address = parse_uri(uri)
    if isinstance(address, TcpAddress):
        return str(TcpAddress(_EVERYWHERE.get(address.host, address.host), address.port))
    return uri


def is_ours(program: str) -> bool:
    """Whether this program answered; at the port of a satellite its name is followed by the satellite's."""
    return program == PROGRAM or program.startswith(f"{PROGRAM} ")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorContext:
    """What is to be examined."""

    file: Path | None
    """The settings file."""
    uri: str | None
    """A running service; None for the one of the settings, if it runs."""
    flags: Mapping[str, object]
    """Override file and environment."""
    environment: Mapping[str, str]
    embedded: Sequence[Voice]
    load_embedded: Callable[[], Synthesizer]
    """Takes a second."""

    def settings(self) -> Settings:
        """The settings; the defaults if they cannot be read, which the check of the settings reports."""
        try:
            return load_settings(file=self.file, environment=self.environment, flags=self.flags, check_conflicts=False)
        except ConfigError:
            return load_settings(flags=self.flags, check_conflicts=False)

    def running(self, settings: Settings) -> str | None:
        """Address of the running service: ``uri``, or that of the settings if this program answers there."""
        if self.uri is not None:
            return local_address(self.uri)
        try:
            answers = is_ours(ask(settings.server.uri, seconds=_RUNNING_SECONDS).program)
        except ServerOverloaded:  # only this program refuses in these words
            answers = True
        except TtsError:
            answers = False
        return local_address(settings.server.uri) if answers else None


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """A model of the settings."""

    wanted: ModelSpec
    size: ModelSize
    is_installed: bool


def configured_models(settings: Settings) -> list[ConfiguredModel]:
    """The models of the settings; empty if a name is wrong, which the check of the settings reports."""
    if [name.lower() for name in settings.models.names] == [NONE]:
        return []
    precision = Precision(settings.models.precision)
    computed = computed_in(precision, cpu_flags())
    try:
        wanted = model_specs(settings.models.names, languages=settings.models.languages)
    except ConfigError:
        return []
    models = []
    for model in wanted:
        size = ModelSize.of(model.label, model.config, computed)
        bundle = find_converted(model.name, model.config, data_dir=settings.data_dir, precision=precision)
        if bundle is not None:
            size = replace(size, budget_bytes=memory_bytes(bundle))  # as the service counts it
        models.append(ConfiguredModel(model, size, bundle is not None))
    return models
