"""What a training leaves behind on the way: its checkpoint and its metrics. Knows no network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def save(checkpoint: Path, state: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Replace ``checkpoint`` at once, so that a run always finds a whole one, and add a row to ``metrics.jsonl``."""
    partial = checkpoint.with_suffix(".part")
    torch.save(dict(state), partial)
    partial.replace(checkpoint)
    with checkpoint.with_name("metrics.jsonl").open("a", encoding="utf-8") as rows:
        rows.write(json.dumps(dict(metrics)) + "\n")
