"""Contract of a check, runner, subject."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue

from wyoming_pocket_tts.cli.client import ask, is_ours, local_address
from wyoming_pocket_tts.cli.model_choice import ModelSize, computed_in, is_none
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.errors import (
    ConfigError,
    NotAWyomingServer,
    ServerNotFound,
    ServerOverloaded,
    ServerTimeout,
    TtsError,
)
from wyoming_pocket_tts.core.system import cpu_flags
from wyoming_pocket_tts.core.types import Synthesizer, Voice
from wyoming_pocket_tts.pocket.model_spec import ModelSpec, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, memory_bytes
from wyoming_pocket_tts.pocket.onnx.install import find_converted

LOG = "'journalctl -eu wyoming-pocket-tts', 'docker compose logs'"
START = "start it ('systemctl start wyoming-pocket-tts', 'docker compose up -d' or 'script/run')"
_PORT = "is it the right address and port? 10200 is this server's unless its settings say otherwise"
_HANGING = "look at the machine's log (dmesg), then run doctor again"
_RUNNING_SECONDS = 2.0


class FindingSeverity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as well as it could."""
    PROBLEM = "problem"
    """Something that was asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry of the report."""

    severity: FindingSeverity
    found: str
    advice: str = ""
    """Empty if nothing has to be done."""


def ok(found: str) -> Finding:
    return Finding(FindingSeverity.OK, found)


def warning(found: str, advice: str) -> Finding:
    return Finding(FindingSeverity.WARNING, found, advice)


def problem(found: str, advice: str) -> Finding:
    return Finding(FindingSeverity.PROBLEM, found, advice)


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``run`` yields each finding as soon as it is known; a ``TtsError`` becomes a problem."""

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
        as_user = "run doctor as root (sudo) or as the service's user"
        advice = as_user if isinstance(error, PermissionError) else _HANGING
        findings.put(problem(f"{error.filename or 'this check failed'}: {error.strerror or error}", advice))
    except Exception as error:  # noqa: BLE001  (the other checks still run)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        findings.put(problem(f"this check failed: {text}", "this is a mistake in the program: please report it"))
    finally:
        findings.put(None)


def advice_on(error: TtsError, *, otherwise: str) -> str:
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
                "wait until other clients have left, or raise server.limits.max_connections and "
                f"max_connections_per_client; its log names them ({LOG})"
            )
        case _:
            return otherwise


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
    if is_none(settings.models.names):
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
