"""Check, install-service: unit, sandbox."""

import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import wyoming_pocket_tts
from wyoming_pocket_tts.config.loader import load_settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError

Tell = Callable[[str], None]


NAME = "wyoming-pocket-tts"
"""Of the unit, its user, its directories and the program."""


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
class SystemdHost:
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
    def this_one() -> "SystemdHost":
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
        return SystemdHost(
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
class InstallStep:
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
        raise TtsError(f"{shlex.join(command)} failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledProgram:
    """Where the program lies.

    Attributes:
        program: what to start.
        directories: what it needs of the file system beside the system itself, none of them inside another.
    """

    program: Path
    directories: Sequence[Path]

    @staticmethod
    def running() -> "InstalledProgram":
        """The one that runs now."""
        package = Path(wyoming_pocket_tts.__file__).resolve().parent
        places = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package.parent}
        outermost = [place for place in places if not any(place.is_relative_to(other) for other in places - {place})]
        return InstalledProgram(program=Path(sys.prefix) / "bin" / NAME, directories=sorted(outermost))


def install(
    installation: InstalledProgram, settings_file: Path, machine: SystemdHost, *, dry_run: bool, again: str, tell: Tell
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


def uninstall(machine: SystemdHost, *, dry_run: bool, again: str, tell: Tell) -> None:
    """Stop the service and forget it; settings, models and voices stay.

    Raises:
        SpeechError: not allowed, or systemd refuses.
    """
    unit = machine.at(_unit_path())
    if not unit.exists():
        tell("The service is not installed.")
        return
    now = ["--now"] if machine.is_running else []
    steps = [_command("disable", *now, UNIT, machine=machine), InstallStep(f"remove {_unit_path()}", unit.unlink)]
    steps += [_command("daemon-reload", machine=machine)] if machine.is_running else []
    _take(steps, machine, dry_run=dry_run, again=again, tell=tell)
    if kept := [str(path) for path in _KEPT if os.path.lexists(machine.at(path))]:
        tell(f"Kept; to remove that as well: sudo rm -r {shlex.join(kept)}")


def _what_now(installation: InstalledProgram, settings_file: Path, *, is_running: bool) -> str:
    """Whether it speaks now."""
    if is_running:
        return f"The service is installed. Settings: {settings_file}. Its log: journalctl -fu {NAME}."
    by_hand = shlex.join([str(installation.program), "serve", "--config", str(settings_file)])
    return (
        f"The service is installed, and not started: systemd does not run here. Settings: {settings_file}. "
        f"It starts with a machine that systemd starts; where systemd never does, such as in a container: {by_hand}"
    )


def _examination(installation: InstalledProgram, settings_file: Path) -> list[str]:
    """What has the doctor look at the settings, variables and directories that the service has."""
    as_the_unit = [f"--property=EnvironmentFile=-/etc/default/{NAME}", f"--setenv=HF_HOME=/var/cache/{NAME}/hub"]
    doctor = [str(installation.program), "doctor", "--config", str(settings_file), "--data-dir", f"/var/lib/{NAME}"]
    return ["sudo", "systemd-run", "--quiet", "--pipe", "--wait", *as_the_unit, *doctor]


def _check_settings(settings_file: Path, machine: SystemdHost) -> None:
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


def _installation(text: str, settings_file: Path, machine: SystemdHost) -> Iterator[InstallStep]:
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


def _take(steps: Sequence[InstallStep], machine: SystemdHost, *, dry_run: bool, again: str, tell: Tell) -> None:
    if not dry_run and not machine.may_change:
        raise TtsError(f"only root may set a service up: {again}")
    for step in steps:
        if dry_run:
            tell(f"would {step.text}{step.detail}")
        else:
            tell(step.text)
            step.do()


def _write(target: Path, shown: Path, text: str) -> InstallStep:
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
            raise TtsError(f"{target}: cannot be written: {error.strerror or error}") from error

    indented = "".join(f"\n    {line}".rstrip(" ") for line in text.splitlines())
    return InstallStep(f"write {shown}", write, detail=f":{indented}")


def _command(*words: str, machine: SystemdHost) -> InstallStep:
    command = ["systemctl", *words]

    def run() -> None:
        try:
            machine.run(command)
        except TtsError as error:
            if words[0] not in ("start", "restart"):
                raise
            raise TtsError(f"{error}\nits log says why: journalctl -eu {NAME}") from error

    return InstallStep(f"run {shlex.join(command)}", run)


def _unit_path() -> Path:
    return Path("/etc/systemd/system") / UNIT


TEMPLATE = Path(__file__).parent / f"{NAME}.service"

_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What ``ProtectHome`` hides."""
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))  # noqa: S108  (what PrivateTmp hides)
_WHY_NOT_TEMPORARY = "what lies there is removed at times, and hidden from services"
_SLOWER_RESTARTS = 254
"""The first systemd that knows how to wait longer each time."""
_STEADY_RESTART_SECONDS = 10
"""What an older one waits instead, each time."""


def unit_text(installation: InstalledProgram, settings_file: Path, *, systemd_version: int) -> str:
    """Fill the template in.

    Args:
        installation: what to start.
        settings_file: what to start it with.
        systemd_version: whose unit it is to be.

    Raises:
        ConfigError: the service's user could not read the program or the settings; says how to change that.
    """
    if not installation.program.is_file():
        raise ConfigError(f"{installation.program} is not there: install the package with pip first")
    hidden = [directory for directory in installation.directories if _lies_in(directory, _HOMES)]
    _check_readable([*installation.directories, installation.program], hidden)
    _check_place(settings_file)
    command = " ".join(map(_quoted, [str(installation.program), "serve", "--config", str(settings_file)]))
    lines = []
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0]
        if key == "ExecStart":
            lines.append(f"ExecStart={command}")
        elif key == "ProtectHome" and hidden:
            lines += ["ProtectHome=tmpfs", f"BindReadOnlyPaths={' '.join(map(_bound, hidden))}"]
        elif key == "RestartSec" and systemd_version < _SLOWER_RESTARTS:
            lines.append(f"RestartSec={_STEADY_RESTART_SECONDS}s")
        elif key not in ("RestartSteps", "RestartMaxDelaySec") or systemd_version >= _SLOWER_RESTARTS:
            lines.append(line)
    return "\n".join(lines) + "\n"


def unreadable(path: Path, root: Path = Path("/")) -> Path | None:
    """What keeps a user that owns nothing from a file: itself, or a directory on the way from the root to it."""
    for part in (path, *(parent for parent in path.parents if parent != root and parent.is_relative_to(root))):
        if not _opens(part):
            return part
    return None


def _check_readable(paths: Sequence[Path], hidden: Sequence[Path]) -> None:
    for path in paths:
        if _lies_in(path, _TEMPORARY):
            raise ConfigError(f"{path}: {_WHY_NOT_TEMPORARY}: install the program elsewhere, such as in /opt/{NAME}")
        for part in _way_to(path, hidden):
            if not _opens(part):
                raise ConfigError(
                    f"{part}: the service's own user cannot read it: sudo chmod -R o+rX {part}, or install it in /opt"
                )


def _opens(part: Path) -> bool:
    """Whether everybody may go through a directory, or read a file."""
    mode = part.stat().st_mode
    return bool(mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH))


def _check_place(settings_file: Path) -> None:
    if _lies_in(settings_file, (*_HOMES, *_TEMPORARY)):
        why = _WHY_NOT_TEMPORARY if _lies_in(settings_file, _TEMPORARY) else "the service cannot see files there"
        raise ConfigError(
            f"{settings_file}: {why}; put it elsewhere, for example: "
            f"sudo install -D -m 644 {settings_file} /etc/{NAME}/settings.yaml"
        )


def _way_to(path: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    """The path and what leads to it; what is let into the sandbox by itself needs no way."""
    entrance = next((place for place in hidden if path.is_relative_to(place)), None)
    yield path
    for parent in path.parents:
        if entrance is None or parent.is_relative_to(entrance):
            yield parent


def _lies_in(path: Path, places: Sequence[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _quoted(word: str) -> str:
    """A word of a command line, whatever stands in it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word


def _bound(path: Path) -> str:
    """A path to let in: behind a colon would stand where it is to appear, and a dollar sign is no variable here."""
    return re.sub(r"""([\\\s:"'])""", r"\\\1", str(path)).replace("%", "%%")
