"""Puts the service under systemd's care, or takes it from there. What is as it should be is left alone.

Knows systemd as its program ``systemctl`` and as files below ``/etc``; what stands in the unit is ``unit_file``'s.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wyoming_pocket_tts.commands.unit_file import NAME, Installation, unit_text, unreadable
from wyoming_pocket_tts.errors import ConfigError, SpeechError
from wyoming_pocket_tts.settings_sources import load_settings

Tell = Callable[[str], None]

UNIT = f"{NAME}.service"
DEFAULT_SETTINGS = Path("/etc") / NAME / "settings.yaml"

_FIRST_SETTINGS = f"""\
# Settings of the service. After a change: sudo systemctl restart {NAME}
# `{NAME} config check {DEFAULT_SETTINGS}` explains mistakes.
# docs/settings.md lists all keys. For example:
#
#models:
#  names: [english]
#voice:
#  default: alba
"""
_KEPT = (
    Path("/etc") / NAME,
    Path("/etc/default") / NAME,
    Path("/etc/systemd/system") / f"{UNIT}.d",
    *(Path(place) / NAME for place in ("/var/lib", "/var/lib/private", "/var/cache", "/var/cache/private")),
)
"""What belongs to the user: settings, a token, changes to the unit, voices and models, and links that lead there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the service is put on.

    Attributes:
        root: where its file system begins.
        systemd_version: whose units it reads.
        is_running: whether systemd runs here, not only lies here as in an image that is being made.
        may_change: whether who runs this may.
        run: runs a command; raises SpeechError with what it complained about.
    """

    root: Path
    systemd_version: int
    is_running: bool
    may_change: bool
    run: Callable[[Sequence[str]], str]

    @staticmethod
    def this_one() -> "Machine":
        """This machine.

        Raises:
            ConfigError: systemd is not here.
        """
        try:
            found = re.match(r"systemd (\d+)", run_command(["systemctl", "--version"]))
        except FileNotFoundError:
            found = None
        if found is None:
            raise ConfigError(f"there is no systemd here (no systemctl); start '{NAME} serve' by other means")
        return Machine(
            root=Path("/"),
            systemd_version=int(found[1]),
            is_running=Path("/run/systemd/system").is_dir(),
            may_change=os.geteuid() == 0,
            run=run_command,
        )

    def at(self, path: Path) -> Path:
        """Where an absolute path lies."""
        return self.root / path.relative_to("/")


@dataclass(frozen=True, slots=True)
class Step:
    """One change: what it is, and what does it."""

    text: str
    do: Callable[[], None]
    detail: str = ""


def run_command(command: Sequence[str]) -> str:
    """Run a command to its end and return what it wrote.

    Raises:
        SpeechError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own words)
    if done.returncode != 0:
        raise SpeechError(f"{shlex.join(command)} failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def install(
    installation: Installation, settings_file: Path, machine: Machine, *, dry_run: bool, again: str, tell: Tell
) -> None:
    """Set the service up, and start it where systemd runs; whatever is so already stays.

    Args:
        installation: what to start.
        settings_file: an absolute path; the default one is made if it is not there.
        machine: where to.
        dry_run: say what would be done, and do nothing.
        again: the command to repeat as root.
        tell: takes lines for people.

    Raises:
        ConfigError: the settings are wrong, or something could not work under systemd's sandbox.
        SpeechError: not allowed, or systemd refuses.
    """
    _check_settings(settings_file, machine)
    text = unit_text(installation, settings_file, systemd_version=machine.systemd_version)
    _take(list(_installation(text, settings_file, machine)), machine, dry_run=dry_run, again=again, tell=tell)
    if not dry_run:
        tell(_what_now(installation, settings_file, is_running=machine.is_running))
    tell(f"When something is wrong: {shlex.join(_examination(installation, settings_file))}")


def uninstall(machine: Machine, *, dry_run: bool, again: str, tell: Tell) -> None:
    """Stop the service and forget it; settings, models and voices stay.

    Raises:
        SpeechError: not allowed, or systemd refuses.
    """
    unit = machine.at(_unit_path())
    if not unit.exists():
        tell("The service is not installed.")
        return
    now = ["--now"] if machine.is_running else []
    steps = [_command("disable", *now, UNIT, machine=machine), Step(f"remove {_unit_path()}", unit.unlink)]
    steps += [_command("daemon-reload", machine=machine)] if machine.is_running else []
    _take(steps, machine, dry_run=dry_run, again=again, tell=tell)
    if kept := [str(path) for path in _KEPT if os.path.lexists(machine.at(path))]:
        tell(f"Kept; to remove that as well: sudo rm -r {shlex.join(kept)}")


def _what_now(installation: Installation, settings_file: Path, *, is_running: bool) -> str:
    """Whether it speaks now."""
    if is_running:
        return f"The service is installed. Settings: {settings_file}. Its log: journalctl -fu {NAME}."
    by_hand = shlex.join([str(installation.program), "serve", "--config", str(settings_file)])
    return (
        f"The service is installed, and not started: systemd does not run here. Settings: {settings_file}. "
        f"It starts with a machine that systemd starts; where systemd never does, such as in a container: {by_hand}"
    )


def _examination(installation: Installation, settings_file: Path) -> list[str]:
    """What has the doctor look at the settings, variables and directories that the service has."""
    as_the_unit = [f"--property=EnvironmentFile=-/etc/default/{NAME}", f"--setenv=HF_HOME=/var/cache/{NAME}/hub"]
    doctor = [str(installation.program), "doctor", "--config", str(settings_file), "--data-dir", f"/var/lib/{NAME}"]
    return ["sudo", "systemd-run", "--quiet", "--pipe", "--wait", *as_the_unit, *doctor]


def _check_settings(settings_file: Path, machine: Machine) -> None:
    if settings_file == DEFAULT_SETTINGS and not machine.at(settings_file).exists():
        return
    file = machine.at(settings_file)
    settings = load_settings(file=file)
    if part := unreadable(file, machine.root):
        shown = Path("/") / part.relative_to(machine.root)
        raise ConfigError(f"{shown}: the service's own user cannot read it: sudo chmod o+rX {shlex.quote(str(shown))}")
    if "data_dir" in settings.model_fields_set:
        raise ConfigError(
            f"{settings_file}: data_dir: under systemd data lies in /var/lib/{NAME}, the only place that the service "
            "may write to; leave data_dir out"
        )


def _installation(text: str, settings_file: Path, machine: Machine) -> Iterator[Step]:
    unit, settings = machine.at(_unit_path()), machine.at(settings_file)
    if not settings.exists():
        yield _write(settings, settings_file, _FIRST_SETTINGS)
    changed = not unit.exists() or unit.read_text(encoding="utf-8") != text
    if changed:
        yield _write(unit, _unit_path(), text)
    if changed and machine.is_running:
        yield _command("daemon-reload", machine=machine)
    yield _command("enable", UNIT, machine=machine)
    if machine.is_running:
        yield _command("restart" if changed else "start", UNIT, machine=machine)


def _take(steps: Sequence[Step], machine: Machine, *, dry_run: bool, again: str, tell: Tell) -> None:
    if not dry_run and not machine.may_change:
        raise SpeechError(f"only root may set a service up: {again}")
    for step in steps:
        if dry_run:
            tell(f"would {step.text}{step.detail}")
        else:
            tell(step.text)
            step.do()


def _write(target: Path, shown: Path, text: str) -> Step:
    def write() -> None:
        try:
            if not target.parent.exists():
                target.parent.mkdir(parents=True)
                target.parent.chmod(0o755)  # whatever root's umask is: the service's user has to get through
            unfinished = target.with_name(f".{target.name}.new")
            unfinished.write_text(text, encoding="utf-8")
            unfinished.chmod(0o644)
            unfinished.replace(target)
        except OSError as error:
            raise SpeechError(f"{target}: cannot be written: {error.strerror or error}") from error

    indented = "".join(f"\n    {line}".rstrip(" ") for line in text.splitlines())
    return Step(f"write {shown}", write, detail=f":{indented}")


def _command(*words: str, machine: Machine) -> Step:
    command = ["systemctl", *words]

    def run() -> None:
        try:
            machine.run(command)
        except SpeechError as error:
            if words[0] not in ("start", "restart"):
                raise
            raise SpeechError(f"{error}\nits log says why: journalctl -eu {NAME}") from error

    return Step(f"run {shlex.join(command)}", run)


def _unit_path() -> Path:
    return Path("/etc/systemd/system") / UNIT
