"""Contract of a check, runner, subject."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from wyoming_pocket_tts.cli.client import ask, connectable
from wyoming_pocket_tts.cli.model_choice import ModelSize, computed_in
from wyoming_pocket_tts.config.loader import merge_sources
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
from wyoming_pocket_tts.pocket.model_spec import NONE, ModelSpec, model_specs
from wyoming_pocket_tts.pocket.onnx.bundle import Precision, memory_bytes
from wyoming_pocket_tts.pocket.onnx.install import find_converted
from wyoming_pocket_tts.server.protocol import PROGRAM


class Severity(StrEnum):
    """How bad something is."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well as it could."""
    PROBLEM = "problem"
    """Something that was asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        severity: how bad it is.
        found: what was found, for a person.
        advice: what to do about it; empty where there is nothing to do.
    """

    severity: Severity
    found: str
    advice: str = ""


class Check(Protocol):
    """Looks at one thing. Changes nothing that outlives it."""

    @property
    def title(self) -> str:
        """What it looks at, in a word or two."""
        ...

    @property
    def limit_seconds(self) -> float:
        """How long it may take at most; it should end before by itself."""
        ...

    def look(self) -> Iterator[Finding]:
        """Yield what was found, each as soon as it is known.

        Raises:
            SpeechError: something is wrong, and its message says what to do; it becomes a problem.
        """
        ...


def ok(found: str) -> Finding:
    """All is well."""
    return Finding(Severity.OK, found)


def warning(found: str, advice: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(Severity.WARNING, found, advice)


def problem(found: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(Severity.PROBLEM, found, advice)


_HANGING = "look at the machine's log (dmesg), then run doctor again"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found."""

    check: str
    finding: Finding


def examine(checks: Iterable[Check]) -> Iterator[CheckResult]:
    """Yield what the checks find, each as soon as it is known; never raises because of a check."""
    for check in checks:
        for finding in _within_time(check):
            yield CheckResult(check.title, finding)


def _within_time(check: Check) -> Iterator[Finding]:
    """The findings of a check, and a problem if it does not end.

    A check that hangs, on a disk that is gone say, cannot be stopped from outside: its thread is left behind, a daemon
    that ends with the process. One that ends in time is joined.
    """
    findings: SimpleQueue[Finding | None] = SimpleQueue()
    thread = threading.Thread(target=_work, args=(check, findings), name=f"doctor {check.title}", daemon=True)
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


def _work(check: Check, findings: "SimpleQueue[Finding | None]") -> None:
    try:
        for finding in check.look():
            findings.put(finding)
    except TtsError as error:
        cure = cure_of(error, otherwise="do what the message says, then run doctor again")
        findings.put(problem(" ".join(str(error).split()), cure))
    except OSError as error:  # the machine's trouble, or a person's who may not look
        cure = "run doctor as root (sudo) or as the service's user" if isinstance(error, PermissionError) else _HANGING
        findings.put(problem(f"{error.filename or 'this check failed'}: {error.strerror or error}", cure))
    except Exception as error:  # noqa: BLE001  (a doctor who faints at what he sees is of no use)
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        findings.put(problem(f"this check failed: {text}", "this is a mistake in the program: please report it"))
    finally:
        findings.put(None)


_ASKING_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorContext:
    """What somebody wants examined.

    Attributes:
        file: the settings; None for what environment and flags say alone.
        uri: a running service; None for the one of the settings, if it runs.
        flags: lie over file and environment.
        environment: the process's own.
        embedded: the embedded voices.
        load_embedded: loads what speaks with them; takes a second.
    """

    file: Path | None
    uri: str | None
    flags: Mapping[str, object]
    environment: Mapping[str, str]
    embedded: Sequence[Voice]
    load_embedded: Callable[[], Synthesizer]

    def settings(self) -> Settings:
        """The settings; the defaults where they cannot be read, which the check of the settings tells."""
        try:
            return merge_sources(file=self.file, environment=self.environment, flags=self.flags)
        except ConfigError:
            return merge_sources(flags=self.flags)

    def running(self, settings: Settings) -> str | None:
        """Where a service of ours runs: where somebody says, or else where the settings have it, if it answers.

        One that has no room for another client is taken for ours: who else would say so in our words.
        """
        if self.uri is not None:
            return connectable(self.uri)
        try:
            answer = ask(settings.server.uri, seconds=_ASKING_SECONDS)
        except ServerOverloaded:
            return connectable(settings.server.uri)
        except TtsError:
            return None
        return connectable(settings.server.uri) if is_ours(answer.program) else None


@dataclass(frozen=True, slots=True)
class ConfiguredModel:
    """A model of the settings, and whether it is here."""

    wanted: ModelSpec
    size: ModelSize
    is_installed: bool


def models_of(settings: Settings) -> list[ConfiguredModel]:
    """The models of the settings; none if they name what there is not, which the check of the settings tells."""
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
        size = ModelSize.of_wanted(model, computed)
        bundle = find_converted(model.name, model.config, data_dir=settings.data_dir, precision=precision)
        if bundle is not None:
            size = replace(size, budget_bytes=memory_bytes(bundle))  # as the service counts it
        models.append(ConfiguredModel(model, size, bundle is not None))
    return models


def is_ours(program: str) -> bool:
    """Whether a program that answered is this one; at a satellite's port it has the satellite's name behind its own."""
    return program == PROGRAM or program.startswith(f"{PROGRAM} ")


LOG = "'journalctl -eu wyoming-pocket-tts', 'docker compose logs'"
"""Where a service's log is."""
START = "start it ('systemctl start wyoming-pocket-tts', 'docker compose up -d' or 'script/run')"
_PORT = "is it the right address and port? 10200 is this server's unless its settings say otherwise"


def cure_of(error: TtsError, *, otherwise: str) -> str:
    """What to do about a server of which a client found this out."""
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
                "wait until others have left, or raise server.limits.connections and connections_per_address;"
                f" its log says who they are ({LOG})"
            )
        case _:
            return otherwise
