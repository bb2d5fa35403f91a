"""Writes systemd's unit for this installation: the template's sandbox, this machine's paths. Changes nothing anywhere.

The unit's user may see neither homes nor what others keep in /tmp. An installation that lies in a home is let into the
sandbox, read-only, and nothing else of that home.
"""

import re
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import wyoming_pocket_tts
from wyoming_pocket_tts.errors import ConfigError

NAME = "wyoming-pocket-tts"
"""Of the unit, its user, its directories and the program."""
TEMPLATE = Path(__file__).parent / f"{NAME}.service"

_HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
"""What ``ProtectHome`` hides."""
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))  # noqa: S108  (what PrivateTmp hides)
_WHY_NOT_TEMPORARY = "what lies there is removed at times, and hidden from services"
_SLOWER_RESTARTS = 254
"""The first systemd that knows how to wait longer each time."""
_STEADY_RESTART_SECONDS = 10
"""What an older one waits instead, each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Where the program lies.

    Attributes:
        program: what to start.
        directories: what it needs of the file system beside the system itself, none of them inside another.
    """

    program: Path
    directories: Sequence[Path]

    @staticmethod
    def running() -> "Installation":
        """The one that runs now."""
        package = Path(wyoming_pocket_tts.__file__).resolve().parent
        places = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), package.parent}
        outermost = [place for place in places if not any(place.is_relative_to(other) for other in places - {place})]
        return Installation(program=Path(sys.prefix) / "bin" / NAME, directories=sorted(outermost))


def unit_text(installation: Installation, settings_file: Path, *, systemd_version: int) -> str:
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
