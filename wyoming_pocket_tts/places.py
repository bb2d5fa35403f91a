"""Where things are kept unless somebody says otherwise. Knows no setting and no file."""

import os
from pathlib import Path


def default_data_dir() -> Path:
    """Where data lives unless told otherwise: systemd's state directory, else the user's data directory."""
    if state_directory := os.environ.get("STATE_DIRECTORY"):
        return Path(state_directory.partition(":")[0])
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "wyoming-pocket-tts"
