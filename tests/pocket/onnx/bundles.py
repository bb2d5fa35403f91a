"""Small models to convert, and children to interrupt."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.pocket.random_models import reduced
from tests.pocket.tokenizers import tokenizer_files
from wyoming_pocket_tts.pocket import registry as configs
from wyoming_pocket_tts.pocket.random_model import write_random_model
from wyoming_pocket_tts.pocket.schema import ModelConfig
from wyoming_pocket_tts.pocket.worker_client import Progress

LIMIT_SECONDS = 30.0


def write_small_model(directory: Path, name: str = "english_2m_2026-10", *, layers: int = 2) -> ModelConfig:
    """A model of released shape with random weights and fewer layers; the config names its files."""
    config = reduced(configs.released_model(name), layers=layers)
    return configs.load_config(write_random_model(directory, config, seed=1, tokenizer=tokenizer_files().sentencepiece))


def ignored(_: Progress) -> None:
    pass


def children() -> list[psutil.Process]:
    """Our own that convert."""
    alive = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in alive if "pocket.worker" in " ".join(child.cmdline())]


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


INSTALLING = """
import sys
from pathlib import Path
from wyoming_pocket_tts.pocket.registry import load_config
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
{before}
def report(progress):
    print(progress.stage, flush=True)
print(ensure_converted(None, load_config(Path(sys.argv[1])), data_dir=Path(sys.argv[2]), report=report).directory)
"""


def install_elsewhere(config: Path, data_dir: Path, before: str = "") -> "subprocess.Popen[str]":
    """Install in another process, which prints each stage that it is told of and last the directory."""
    program = INSTALLING.format(before=before)
    return subprocess.Popen(
        [sys.executable, "-c", program, str(config), str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
