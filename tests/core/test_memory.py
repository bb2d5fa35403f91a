"""Freed memory goes back to the system."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from pathlib import Path
from wyoming_pocket_tts.core.system import configure_malloc

if sys.argv[1] == "yes":
    configure_malloc()

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def churn():
    for size in (1 << 20, 8 << 20, 16 << 20, 24 << 20):
        blocks = [bytearray(size) for _ in range(3)]
        del blocks

before = resident()
threads = [threading.Thread(target=churn) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
keep = [bytearray(200_000) for _ in range(100)]
del keep[::2]
print(resident() - before)
"""


def grown(wanted: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, wanted], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no mallopt")
def test_what_is_freed_goes_back() -> None:
    assert grown("yes") < 15 << 20
    assert grown("no") > grown("yes") + (2 << 20), "without it the test shows nothing"
