"""Builds the Dockerfile's image without Docker and checks what is in it: ``script/check-image-root``."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.image.dockerfile import Stage, read_dockerfile
from tests.image.root import build, make_base, why_not

ROOT = Path(__file__).parents[2]
SKIPPED = 77
"""Exit code by custom for what could not be tried."""
LARGEST_MB = 450
_COMPILERS = {"gcc", "cc", "g++", "c++", "clang", "ld", "as", "make", "rustc", "cargo", "go"}
_NEVER = ("torch", "nvidia", "triton", "pocket_tts", "pip", "pytest", "mypy")
"""Packages that serving has no use for."""

SPEAK = r"""
root=$1 data=$2 user=$3 command=$4; shift 4
mount --bind "$root" "$root" && mount --bind "$data" "$root/data" && mount -t proc proc "$root/proc"
mount --bind /dev/null "$root/dev/null" && mount --bind /dev/urandom "$root/dev/urandom"
[ "$user" = 0:0 ] || mount -o remount,bind,ro "$root"
ip link set lo up
inside=(setpriv --no-new-privs chroot --userspec="$user" "$root" /usr/bin/env -i -C /data "$@")
if [ "$user" != 0:0 ]; then
  ! "${inside[@]}" python -c 'open("/opt/new", "w")' 2>/dev/null || { echo "the image can be written to"; exit 1; }
  [ "$("${inside[@]}" id -u)" != 0 ] || { echo "it runs as root"; exit 1; }
fi
"${inside[@]}" $command & service=$!
for _ in $(seq 60); do
  if "${inside[@]}" wyoming-pocket-tts check 2>/dev/null; then well=yes; break; fi
  sleep 1
done
[ -n "${well-}" ] || { echo "the health check never passed"; exit 1; }
"${inside[@]}" wyoming-pocket-tts say "Dinner is ready." -o /data/hello.wav
"${inside[@]}" wyoming-pocket-tts doctor || { echo "the doctor finds problems"; exit 1; }
kill -TERM "$service" && wait "$service"
"""
"""Runs as root in namespaces of its own: the image as docker run --read-only shows it, without any network.

The app of Home Assistant is no user of its own and no read-only system: there AppArmor guards, which is not tried here.
"""


def size_mb(root: Path) -> float:
    """What the files below a directory take, without links to elsewhere."""
    done = subprocess.run(["du", "-sx", "--block-size=1000", root], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1000


def strangers(root: Path) -> Iterator[str]:
    """Name what should not be in the image."""
    for folder in root.glob("opt/*/lib/python3*/site-packages"):
        yield from (str(folder / name) for name in _NEVER if (folder / name).exists())
    for place in ("usr/bin", "usr/local/bin", "bin", "opt/wyoming-pocket-tts/bin"):
        yield from (str(root / place / name) for name in sorted(_COMPILERS) if (root / place / name).exists())
    yield from map(str, root.rglob("libtorch*"))
    if not list(root.glob("opt/wyoming-pocket-tts/lib/python3*/site-packages/onnxruntime")):
        yield "nothing: onnxruntime is not there, so that this check looked in the wrong place"


def speak(image: Stage, root: Path, data: Path) -> str | None:
    """Let the image serve, as its own user; return what went wrong."""
    user = image.last("USER").text if image.has("USER") else "0:0"
    entry = image.last("ENTRYPOINT").words if image.has("ENTRYPOINT") else []
    command = " ".join([*entry, *image.last("CMD").words])
    os.chown(data, *map(int, user.split(":")))
    (root / "data").mkdir(exist_ok=True)
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    namespaces = ["--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"]
    isolated = ["unshare", *namespaces, "/bin/bash", "-euc", SPEAK, "-"]
    done = subprocess.run([*isolated, root, data, user, command, *variables], check=False, stdout=sys.stderr)
    if done.returncode != 0:
        return f"serving as {user} ended with {done.returncode}"
    wav = data / "hello.wav"
    return None if wav.stat().st_size > 20_000 else f"{wav} holds no speech"


def make_app_context(folder: Path) -> Path:
    """Make what the Supervisor builds the app from, with a wheel of this working tree in it."""
    context = folder / "context"
    shutil.copytree(ROOT / "home-assistant" / "wyoming_pocket_tts", context)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(context), str(ROOT)]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    return context


def check(dockerfile: Path, context: Path, base: Path, scratch: Path) -> int:
    """Build, look, let it speak, and say what was found; return the exit code."""
    stages = read_dockerfile(dockerfile)
    root = build(stages, base=base, context=context, scratch=scratch)
    whole, system = size_mb(root), size_mb(base)
    data = scratch / "volume"
    data.mkdir()
    (data / "options.json").write_text("{}", encoding="utf-8")
    problems = [f"should not be there: {name}" for name in strangers(root)]
    problems += [f"{whole:.0f} MB are more than {LARGEST_MB} MB"] if whole > LARGEST_MB else []
    problems += [problem] if (problem := speak(stages[-1], root, data)) else []
    tell(f"{whole:.0f} MB unpacked, {system:.0f} MB of it Debian and Python; at most {LARGEST_MB} MB are allowed")
    for problem in problems:
        tell(f"wrong: {problem}")
    tell("The image is not as it should be." if problems else "The image is as it should be: it speaks.")
    return 1 if problems else 0


def tell(line: str) -> None:
    """Say something to the person."""
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, prog="script/check-image-root")
    parser.add_argument("--base", type=Path, required=True, help="a Debian with Python; made if it is not there")
    parser.add_argument("--mirror", default="", help="where packages of Debian come from")
    parser.add_argument("--app", action="store_true", help="the image of the Home Assistant app instead")
    arguments = parser.parse_args()
    if reason := why_not():
        tell(f"skipped: {reason}")
        return SKIPPED
    if not arguments.base.is_dir():
        make_base(arguments.base, arguments.mirror)
    with tempfile.TemporaryDirectory(dir=arguments.base.parent) as folder:
        scratch = Path(folder)
        context = make_app_context(scratch) if arguments.app else ROOT
        return check(context / "Dockerfile", context, arguments.base, scratch)


if __name__ == "__main__":
    sys.exit(main())
