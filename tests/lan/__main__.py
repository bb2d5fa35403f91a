"""Runs what finds the server from another machine, or says why that cannot be tried: ``script/check-discovery``."""

import sys
from pathlib import Path

import pytest

from tests.lan.network import why_not

SKIPPED = 77
"""Exit code by custom for what could not be tried."""

if __name__ == "__main__":
    if reason := why_not():
        sys.stdout.write(f"skipped: {reason}\n")
        sys.exit(SKIPPED)
    sys.exit(pytest.main([str(Path(__file__).parent), "--verbose", *sys.argv[1:]]))
