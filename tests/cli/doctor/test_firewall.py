"""A firewall that lets a machine hear itself alone: a network of its own, with rules of its own."""

import os
import shutil
import subprocess
import sys

import pytest

LAYOUT = """
ip link set lo up
ip link add d0 type veth peer d1
ip addr add 192.0.2.9/24 dev d0
ip link set d0 up
ip link set d1 up
nft add table inet f
nft add chain inet f in "{ type filter hook input priority 0; }"
if [ "$1" = closed ]; then nft add rule inet f in iifname d0 udp dport 5353 drop; fi
shift
exec "$@"
"""

LOOK = """
import sys
from wyoming_pocket_tts.cli.doctor.network import check_discovery
from wyoming_pocket_tts.config.schema import Settings
for found in check_discovery(Settings(), is_running=False, listening_seconds=3.0):
    print(found.severity, found.found)
"""


def can_make_networks() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip", "nft"))):
        return False
    return (
        subprocess.run(["unshare", "--net", "nft", "list", "tables"], check=False, capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_make_networks(), reason="takes root, unshare, ip and nft (apt install nftables)")
@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("open", "ok IPv4: announcements from this machine are heard"),
        ("closed", "problem IPv4: an announcement from this machine is not heard"),
    ],
)
def test_what_a_machine_says_to_itself_alone_is_not_heard(state: str, told: str) -> None:
    command = ["unshare", "--net", "sh", "-euc", LAYOUT, "-", state, sys.executable, "-c", LOOK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.stdout.strip() == told, done.stderr
