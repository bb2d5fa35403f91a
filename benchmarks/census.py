"""Counts who is in a serving process: threads, tasks, open files. Knows nothing about what they do."""

import asyncio
import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.tone_app import beeps, use_beeps


@dataclass(frozen=True, slots=True)
class Census:
    """Who is there in the serving process."""

    threads: list[str]
    tasks: list[str]
    files: int
    kernel_threads: int


def serve_with_census(path: str, arguments: Sequence[str]) -> None:
    """Run the service; on SIGUSR1, write down who is there."""
    arguments = list(arguments)
    if "--engine" in arguments and beeps(arguments):
        use_beeps()
    from wyoming_pocket_tts.cli.main import main as serve  # noqa: PLC0415  (only in the process that serves)

    def count(_number: int, _frame: object) -> None:
        gc.collect()
        tasks = sorted(task.get_name() for task in asyncio.all_tasks(asyncio.get_running_loop()))
        found = {"threads": sorted(thread.name for thread in threading.enumerate()), "tasks": tasks}
        aside = Path(f"{path}.part")
        aside.write_text(json.dumps(found), encoding="utf-8")
        aside.rename(path)

    signal.signal(signal.SIGUSR1, count)
    sys.argv = ["wyoming-pocket-tts", *arguments]
    serve()


async def take_census(process: psutil.Process, path: Path) -> Census:
    found = await asyncio.to_thread(_found, process, path)
    return Census(found["threads"], found["tasks"], process.num_fds(), process.num_threads())


def _found(process: psutil.Process, path: Path) -> dict[str, list[str]]:
    path.unlink(missing_ok=True)
    os.kill(process.pid, signal.SIGUSR1)
    while not path.exists():
        time.sleep(0.05)
    found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return found


async def settled(process: psutil.Process, path: Path, before: Census | None) -> Census:
    """The census once everybody has gone; what waits for the slowest time-out may take a while."""
    census = await take_census(process, path)
    for _ in range(60):
        if before is not None and census.tasks == before.tasks and census.files <= before.files:
            break
        await asyncio.sleep(1)
        census = await take_census(process, path)
        if before is None and not any(name.startswith("wyoming 127") for name in census.tasks):
            break
    return census


if __name__ == "__main__":
    serve_with_census(sys.argv[1], sys.argv[2:])
