"""The commands serve and install-service: unit, sandbox."""

import asyncio
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from wyoming_pocket_tts.cli import options
from wyoming_pocket_tts.cli.console import Tell
from wyoming_pocket_tts.config.loader import load_settings, read_settings
from wyoming_pocket_tts.core.errors import ConfigError, TtsError
from wyoming_pocket_tts.core.system import atomic_path
from wyoming_pocket_tts.server.app import run_service
from wyoming_pocket_tts.server.components import Components, build_components

NAME = "wyoming-pocket-tts"
"""Of the unit, its user, its directories and the program."""
UNIT = f"{NAME}.service"
TEMPLATE = Path(__file__).with_name(UNIT)
DEFAULT_SETTINGS = Path("/etc") / NAME / "settings.yaml"

_UNIT_PATH = Path("/etc/systemd/system") / UNIT
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
    Path(f"{_UNIT_PATH}.d"),
    *(Path(place) / NAME for place in ("/var/lib", "/var/lib/private", "/var/cache", "/var/cache/private")),
)
"""Property of the user: settings, a token, changes to the unit, voices and models, and links to these."""
_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What ``ProtectHome`` hides."""
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))  # noqa: S108  (what PrivateTmp hides)
_WHY_NOT_TEMPORARY = "what lies there is removed at times, and hidden from services"
_RESTART_STEPS_VERSION = 254
"""The first systemd with ``RestartSteps``."""
_STEADY_RESTART_SECONDS = 10
"""Delay between restarts with an older systemd."""

app = typer.Typer(rich_markup_mode=None)


@app.command("install-service")
def install_service(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file with settings. Default: /etc/wyoming-pocket-tts/settings.yaml, made if it is not there.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop the service and remove it instead.")] = False,
) -> None:
    """Set up and start the service under systemd.

    It runs as a user of its own. Run this again to bring the service up to date.
    """
    read_settings(None, {}, log_level="warning")
    program = InstalledProgram.running()
    host = SystemdHost.local()
    again = shlex.join(["sudo", str(program.path), *sys.argv[1:]])
    if uninstall:
        uninstall_unit(host, dry_run=dry_run, again=again, tell=typer.echo)
    else:
        file = config.absolute() if config is not None else DEFAULT_SETTINGS
        install_unit(program, file, host, dry_run=dry_run, again=again, tell=typer.echo)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemdHost:
    """The file system and systemd of a machine or image."""

    root: Path
    systemd_version: int
    is_running: bool
    """Whether systemd runs, or is only installed, as in an image."""
    may_change: bool
    run: Callable[[Sequence[str]], str]
    """Runs a command and returns its output; raises TtsError with its error output."""

    @staticmethod
    def local() -> "SystemdHost":
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
        return self.root / path.relative_to("/")


@dataclass(frozen=True, slots=True)
class InstallStep:
    """One change and its description."""

    text: str
    do: Callable[[], object]
    detail: str = ""


def run_command(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own words)
    if done.returncode != 0:
        raise TtsError(f"{shlex.join(command)} failed: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledProgram:
    """Location of the program on this machine."""

    path: Path
    directories: Sequence[Path]
    """What it needs beside the system's own directories, none of them inside another."""

    @staticmethod
    def running() -> "InstalledProgram":
        package = Path(__file__).resolve().parents[1]
        places = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package.parent}
        outermost = [place for place in places if not any(place.is_relative_to(other) for other in places - {place})]
        return InstalledProgram(path=Path(sys.prefix) / "bin" / NAME, directories=sorted(outermost))


def install_unit(
    program: InstalledProgram, settings_file: Path, host: SystemdHost, *, dry_run: bool, again: str, tell: Tell
) -> None:
    """Install and start the service; what is up to date stays as it is.

    ``settings_file`` is an absolute path; the default one is made if it does not exist. ``again`` is the command to
    repeat as root.
    """
    _check_settings(settings_file, host)
    text = unit_text(program, settings_file, systemd_version=host.systemd_version)
    _take(list(_installation(text, settings_file, host)), host, dry_run=dry_run, again=again, tell=tell)
    if not dry_run and host.is_running:
        tell(f"The service is installed. Settings: {settings_file}. Its log: journalctl -fu {NAME}.")
    elif not dry_run:
        by_hand = shlex.join([str(program.path), "serve", "--config", str(settings_file)])
        tell(
            f"The service is installed, and not started: systemd does not run here. Settings: {settings_file}. "
            f"It starts with a machine that systemd starts; where systemd never does, such as in a container: {by_hand}"
        )
    # the doctor has to see the settings, variables and directories of the service
    as_the_unit = [f"--property=EnvironmentFile=-/etc/default/{NAME}", f"--setenv=HF_HOME=/var/cache/{NAME}/hub"]
    doctor = [str(program.path), "doctor", "--config", str(settings_file), "--data-dir", f"/var/lib/{NAME}"]
    diagnosis = ["sudo", "systemd-run", "--quiet", "--pipe", "--wait", *as_the_unit, *doctor]
    tell(f"When something is wrong: {shlex.join(diagnosis)}")


def uninstall_unit(host: SystemdHost, *, dry_run: bool, again: str, tell: Tell) -> None:
    """Stop and remove the service; settings, models and voices stay."""
    unit = host.at(_UNIT_PATH)
    if not unit.exists():
        tell("The service is not installed.")
        return
    now = ["--now"] if host.is_running else []
    steps = [_systemctl("disable", *now, UNIT, host=host), InstallStep(f"remove {_UNIT_PATH}", unit.unlink)]
    steps += [_systemctl("daemon-reload", host=host)] if host.is_running else []
    _take(steps, host, dry_run=dry_run, again=again, tell=tell)
    if kept := [str(path) for path in _KEPT if os.path.lexists(host.at(path))]:
        tell(f"Kept; to remove that as well: sudo rm -r {shlex.join(kept)}")


def _check_settings(settings_file: Path, host: SystemdHost) -> None:
    file = host.at(settings_file)
    if settings_file == DEFAULT_SETTINGS and not file.exists():
        return
    settings = load_settings(file=file)
    for part in (file, *(each for each in file.parents if each != host.root and each.is_relative_to(host.root))):
        if not _is_readable(part):
            shown = Path("/") / part.relative_to(host.root)
            remedy = f"sudo chmod o+rX {shlex.quote(str(shown))}"
            raise ConfigError(f"{shown}: the service's own user cannot read it: {remedy}")
    if "data_dir" in settings.model_fields_set:
        raise ConfigError(
            f"{settings_file}: data_dir: under systemd data lies in /var/lib/{NAME}, the only place that the service "
            "may write to; leave data_dir out"
        )


def _installation(text: str, settings_file: Path, host: SystemdHost) -> Iterator[InstallStep]:
    unit, settings = host.at(_UNIT_PATH), host.at(settings_file)
    if not settings.exists():
        yield _write(settings, settings_file, _FIRST_SETTINGS)
    changed = not unit.exists() or unit.read_text(encoding="utf-8") != text
    if changed:
        yield _write(unit, _UNIT_PATH, text)
    if changed and host.is_running:
        yield _systemctl("daemon-reload", host=host)
    yield _systemctl("enable", UNIT, host=host)
    if host.is_running:
        yield _systemctl("restart" if changed else "start", UNIT, host=host)


def _take(steps: Sequence[InstallStep], host: SystemdHost, *, dry_run: bool, again: str, tell: Tell) -> None:
    if not dry_run and not host.may_change:
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
                target.parent.chmod(0o755)  # whatever root's umask is: the service's user needs access
            with atomic_path(target) as aside:
                aside.write_text(text, encoding="utf-8")
                aside.chmod(0o644)
        except OSError as error:
            raise TtsError(f"{target}: cannot be written: {error.strerror or error}") from error

    indented = "".join(f"\n    {line}".rstrip(" ") for line in text.splitlines())
    return InstallStep(f"write {shown}", write, detail=f":{indented}")


def _systemctl(*words: str, host: SystemdHost) -> InstallStep:
    command = ["systemctl", *words]

    def run() -> None:
        try:
            host.run(command)
        except TtsError as error:
            if words[0] not in ("start", "restart"):
                raise
            raise TtsError(f"{error}\nits log says why: journalctl -eu {NAME}") from error

    return InstallStep(f"run {shlex.join(command)}", run)


def unit_text(program: InstalledProgram, settings_file: Path, *, systemd_version: int) -> str:
    """Fill in the unit template. The sandbox hides homes and /tmp; a program in a home is bound into it read-only."""
    if not program.path.is_file():
        raise ConfigError(f"{program.path} is not there: install the package with pip first")
    hidden = [directory for directory in program.directories if _lies_in(directory, _HOMES)]
    for path in (*program.directories, program.path):
        _check_program(path, hidden)
    if _lies_in(settings_file, (*_HOMES, *_TEMPORARY)):
        why = _WHY_NOT_TEMPORARY if _lies_in(settings_file, _TEMPORARY) else "the service cannot see files there"
        raise ConfigError(
            f"{settings_file}: {why}; put it elsewhere, for example: "
            f"sudo install -D -m 644 {settings_file} /etc/{NAME}/settings.yaml"
        )
    command = " ".join(map(_quoted, [str(program.path), "serve", "--config", str(settings_file)]))
    lines = []
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0]
        if key == "ExecStart":
            lines.append(f"ExecStart={command}")
        elif key == "ProtectHome" and hidden:
            lines += ["ProtectHome=tmpfs", f"BindReadOnlyPaths={' '.join(map(_bound, hidden))}"]
        elif key == "RestartSec" and systemd_version < _RESTART_STEPS_VERSION:
            lines.append(f"RestartSec={_STEADY_RESTART_SECONDS}s")
        elif key not in ("RestartSteps", "RestartMaxDelaySec") or systemd_version >= _RESTART_STEPS_VERSION:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _check_program(path: Path, hidden: Sequence[Path]) -> None:
    if _lies_in(path, _TEMPORARY):
        raise ConfigError(f"{path}: {_WHY_NOT_TEMPORARY}: install the program elsewhere, such as in /opt/{NAME}")
    # Directories above one that is bound into the sandbox need no permission.
    entrance = next((place for place in hidden if path.is_relative_to(place)), None)
    for part in (path, *path.parents):
        if part != path and entrance is not None and not part.is_relative_to(entrance):
            continue
        if not _is_readable(part):
            raise ConfigError(
                f"{part}: the service's own user cannot read it: sudo chmod -R o+rX {part}, or install it in /opt"
            )


def _is_readable(part: Path) -> bool:
    """Whether every user may read a file or enter a directory."""
    mode = part.stat().st_mode
    return bool(mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH))


def _lies_in(path: Path, places: Sequence[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word


def _bound(path: Path) -> str:
    """A path of ``BindReadOnlyPaths``: a colon separates source and target there, and a dollar sign is no variable."""
    return re.sub(r"""([\\\s:"'])""", r"\\\1", str(path)).replace("%", "%%")


class _ServeCommand(TyperCommand):
    """Accepts ``--zeroconf`` without a value as an empty one, which typer's options cannot express."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (typer's class or click's, by version)
        pairs = zip(args, [*args, "-"][1:], strict=True)
        args = ["--zeroconf=" if arg == "--zeroconf" and after.startswith("-") else arg for arg, after in pairs]
        return super().parse_args(ctx, args)


@app.command(cls=_ServeCommand)
def serve(
    *,
    uri: Annotated[
        str | None,
        typer.Option("--uri", metavar="URI", help=r"Where to listen: tcp://HOST:PORT, unix:///PATH or stdio://."),
    ] = None,
    zeroconf: Annotated[
        str | None,
        typer.Option("--zeroconf", metavar="[NAME]", help="Announce the server, under this name if one is given."),
    ] = None,
    no_zeroconf: Annotated[bool, typer.Option("--no-zeroconf", help="Do not announce the server.")] = False,
    config: options.ConfigOption = None,
    data_dir: options.DataDirOption = None,
    voice: options.VoiceOption = None,
    model: options.ModelsOption = None,
    precision: options.PrecisionOption = None,
    threads: options.ThreadsOption = None,
    local_files_only: options.LocalFilesOnlyFlag = False,
    normalize: options.NormalizeFlag = None,
    emoji: options.EmojiOption = None,
    metrics_port: options.MetricsPortOption = None,
    debug: options.DebugFlag = False,
    log_format: options.LogFormatOption = None,
    version: options.VersionFlag = False,  # noqa: ARG001  (its callback does everything)
) -> None:
    """Serve Home Assistant and other Wyoming clients."""
    if zeroconf is not None and no_zeroconf:
        raise typer.BadParameter("--zeroconf and --no-zeroconf exclude each other")
    flags = {
        "server.uri": uri,
        "discovery.announce": True if zeroconf is not None else False if no_zeroconf else None,
        "discovery.name": zeroconf or None,
        "data_dir": data_dir,
        "voice.default": voice,
        "models.names": model or None,
        "models.precision": precision,
        "models.threads": threads,
        "models.local_files_only": local_files_only or None,
        "text.normalize": normalize,
        "text.emoji": emoji,
        "metrics.port": metrics_port,
        "log.level": "debug" if debug else None,
        "log.format": log_format,
    }
    settings = read_settings(config, flags)

    def load() -> Components:
        return build_components(settings, file=config, flags=flags)

    asyncio.run(run_service(load, settings, ends_process=True))
