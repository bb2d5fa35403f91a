"""Runs a Dockerfile's steps in directories instead of in Docker. Takes root; knows nothing of what is installed.

A small Debian with Python stands in for the official image of Python, whose system is the same.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.image.dockerfile import Instruction, Stage

SUITE = "trixie"
"""The Debian below python:3.13-slim; its own Python is 3.13 as well."""
_NETWORK = ("PIP_", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
"""Variables of this machine that building may need to reach packages; the finished image sees none of them."""
_LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)
"""What the official slim images leave out of Debian as well."""


def why_not() -> str | None:
    """Why this machine cannot do it, or None."""
    if os.geteuid() != 0:
        return "only root can make a root directory and change to it"
    missing = [tool for tool in ("debootstrap", "unshare", "chroot", "setpriv", "ip") if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def make_base(target: Path, mirror: str) -> None:
    """Make the Debian in one go or not at all."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    script = "/usr/share/debootstrap/scripts/sid"  # an older debootstrap does not know the newer names
    packages = "--include=ca-certificates,python3,python3-venv"
    _run(["debootstrap", "--variant=minbase", packages, SUITE, str(unfinished), *([mirror, script] if mirror else [])])
    for name in _LEFT_OUT:
        shutil.rmtree(unfinished / name, ignore_errors=True)
    (unfinished / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    unfinished.rename(target)


def build(stages: Sequence[Stage], *, base: Path, context: Path, scratch: Path) -> Path:
    """Run all stages below ``scratch``; return the directory of the last one."""
    roots: dict[str, Path] = {}
    root = base
    for number, stage in enumerate(stages):
        root = scratch / f"{number}-{stage.name or 'image'}"
        _copy(roots.get(stage.base, base), root)
        _run_stage(stage, root, context, roots)
        roots[stage.name] = root
    return root


def _run_stage(stage: Stage, root: Path, context: Path, roots: Mapping[str, Path]) -> None:
    folder = "/"
    for instruction in stage.instructions:
        match instruction.keyword:
            case "WORKDIR":
                folder = instruction.text
                _inside(root, folder).mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy_in(instruction, root, folder, context, roots)
            case "RUN":
                _run_in(instruction, root, folder)


def _copy_in(instruction: Instruction, root: Path, folder: str, context: Path, roots: Mapping[str, Path]) -> None:
    options = {word.partition("=")[0]: word.partition("=")[2] for word in instruction.words if word.startswith("--")}
    *sources, target = (word for word in instruction.words if not word.startswith("--"))
    origin = roots[options["--from"]] if "--from" in options else context
    place = _inside(root, str(Path(folder) / target))
    for found in (path for source in sources for path in _meant(origin, source)):
        into = place / found.name if target.endswith("/") else place
        into.parent.mkdir(parents=True, exist_ok=True)
        _copy(found, into)
        if owner := options.get("--chown"):
            _run(["chown", "-R", owner, str(into)])


def _meant(origin: Path, source: str) -> list[Path]:
    """What a source of COPY means; a pattern may mean nothing."""
    return sorted(origin.glob(source.lstrip("/"))) if "*" in source else [_inside(origin, source)]


def _run_in(instruction: Instruction, root: Path, folder: str) -> None:
    """Run a shell's command in the root, with the network and what it takes to use it."""
    for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
        shutil.copy(Path("/") / name, root / name)
    network = {name: value for name, value in os.environ.items() if name.startswith(_NETWORK)}
    script = (
        'mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" && '
        'exec chroot "$1" /bin/sh -euc \'cd "$1" && eval "$2"\' - "$2" "$3"'
    )
    isolated = [
        shutil.which("unshare") or "unshare",
        "--mount",
        "--propagation",
        "private",
        "/bin/sh",
        "-euc",
        script,
        "-",
    ]
    _run([*isolated, str(root), folder, instruction.text], env={**network, **instruction.variables})


def _copy(source: Path, target: Path) -> None:
    """Copy a file or the content of a directory, as it is."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        _run(["cp", "--archive", "--reflink=auto", f"{source}/.", str(target)])
    else:
        _run(["cp", "--archive", str(source), str(target)])


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _run(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
    """Run to the end; what it says goes to standard error."""
    subprocess.run(command, check=True, stdout=sys.stderr, env=env)
