"""Two machines in a network of their own, made of Linux namespaces. Takes root; knows nothing of what runs on them.

Nothing of it outlives the test: a namespace is gone with the process that holds it, and the cable with the namespace.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_TOOLS = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}
_HOLD = "echo held; exec sleep infinity"


@dataclass(frozen=True)
class Machine:
    """A machine with a network of its own; everything else it shares with this one."""

    holder: subprocess.Popen[str]
    """The process that keeps the namespace."""

    @property
    def through(self) -> tuple[str, ...]:
        """What to put before a command, for it to run there. It becomes the command."""
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--")

    def ip(self, command: str) -> None:
        """Run ``ip`` there."""
        _run(*self.through, "ip", *command.split())


@dataclass(frozen=True)
class Lan:
    """A house with two machines: one that speaks, and one where Home Assistant would run."""

    server: Machine
    house: Machine

    def plug_in(self) -> None:
        """Join the two by a cable; the addresses that IPv6 gives itself are there when this returns."""
        cable = f"link add lan0 netns {self.server.holder.pid} type veth peer name lan0 netns {self.house.holder.pid}"
        _run("ip", *cable.split())
        for machine in (self.server, self.house):
            # Nobody else is here who could have the same address: no need to wait until that has been looked for.
            _run(*machine.through, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/lan0/accept_dad")
            machine.ip("link set lan0 up")

    def unplug(self) -> None:
        """Take the network card out of both, with all its addresses."""
        self.server.ip("link delete lan0")


@functools.cache
def why_not() -> str | None:
    """Why this machine cannot do it and what to do then, or None."""
    if os.geteuid() != 0:
        return "only root can make networks: run it with sudo"
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if missing:
        return f"tools are missing: apt install {' '.join(missing)}"
    try:
        with two_machines() as lan:
            lan.plug_in()
            lan.server.ip("address add fd10:5ea:1::1/64 dev lan0 nodad")
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) and error.stderr else str(error)
        return f"this system makes no networks, or none with IPv6 ({said}); in a container, give it --privileged"
    return None


@contextmanager
def two_machines() -> Iterator[Lan]:
    """Give two machines without a network card, and nothing between them."""
    holders: list[subprocess.Popen[str]] = []
    try:
        holders.append(_hold())
        holders.append(_hold())
        server, house = map(Machine, holders)
        for machine in (server, house):
            machine.ip("link set lo up")
        yield Lan(server, house)
    finally:
        for holder in holders:
            holder.kill()
        for holder in holders:
            holder.communicate()


def _hold() -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", _HOLD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    if not holder.stdout.readline():
        _, said = holder.communicate()
        raise OSError(said.strip())
    return holder


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
