"""The service of this checkout against that of another one, in turns, through the socket.

    git worktree add ../before COMMIT && (cd ../before && script/setup --dev)
    python -m benchmarks.regression ../before                     # the embedded voice and english in int8
    python -m benchmarks.regression ../before --rounds 9 --model english_7m_2026-10

Random weights of the real shape. In each round both services are started, the other one
first in every second round. Prints the medians of both and the median of the ratios, round by round: the only figures
that another machine's may be compared with.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.pocket import TEXT, prepare
from benchmarks.pocket_serving import peak_bytes, provide, until_the_model_speaks
from benchmarks.serving import free_port, speak, until_ready
from wyoming_pocket_tts.pocket.model_spec import default_voice_of_own_models

ROOT = Path(__file__).parents[1]
UTTERANCES = 7
CLIENTS = 8
Figures = dict[str, float]


async def measure(checkout: Path, options: Sequence[str], voice: str | None) -> Figures:
    """Start a service, wait for the voice (None: the embedded one), and measure."""
    port, began = free_port(), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(str(checkout / ".venv" / "bin" / "python"), "-m", "wyoming_pocket_tts", "serve", "--no-zeroconf"),
        *("--uri", f"tcp://127.0.0.1:{port}", *options),
        cwd=checkout,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        await until_ready(port, process)
        figures = {"start to listening, s": time.perf_counter() - began}
        if voice is not None:
            await until_the_model_speaks(port, voice)
            figures["start to the model's voice, s"] = time.perf_counter() - began
        alone = [await speak(port, TEXT) for _ in range(UTTERANCES)]
        figures["first audio, ms"] = 1e3 * statistics.median(one.first_audio_seconds for one in alone)
        figures["seconds of work a second of speech"] = statistics.median(
            one.total_seconds / one.audio_seconds for one in alone
        )
        figures["memory, MiB"] = psutil.Process(process.pid).memory_info().rss / 2**20
        start = time.perf_counter()
        together = await asyncio.gather(*(speak(port, TEXT) for _ in range(CLIENTS)))
        took = time.perf_counter() - start
        figures[f"the same, {CLIENTS} clients"] = took / sum(one.audio_seconds for one in together)
        figures[f"first audio, {CLIENTS} clients, ms"] = 1e3 * statistics.median(
            one.first_audio_seconds for one in together
        )
        figures["peak memory, MiB"] = peak_bytes(process.pid) / 2**20
    finally:
        process.terminate()
        await process.wait()
    return figures


def compare(title: str, other: Path, options: dict[Path, list[str]], voice: str | None, rounds: int) -> None:
    results: dict[Path, list[Figures]] = {ROOT: [], other: []}
    for number in range(rounds):
        for checkout in (ROOT, other) if number % 2 else (other, ROOT):
            results[checkout].append(asyncio.run(measure(checkout, options[checkout], voice)))
    print(f"\n{title}, {rounds} rounds; less is better\n  {'':36}{'other':>10}{'this':>10}{'ratio':>8}")
    for name in results[ROOT][0]:
        before, now = ([each[name] for each in results[checkout]] for checkout in (other, ROOT))
        ratio = statistics.median(new / old for new, old in zip(now, before, strict=True))
        print(f"  {name:36}{statistics.median(before):10.3f}{statistics.median(now):10.3f}{ratio:8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout, with its .venv")
    parser.add_argument("--model", default="english", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    other = arguments.other.resolve()
    compare("embedded voice", other, {ROOT: ["--model", "none"], other: ["--model", "none"]}, None, arguments.rounds)
    with tempfile.TemporaryDirectory() as directory:
        config = prepare(Path(directory), arguments.model)
        options: dict[Path, list[str]] = {}
        for checkout in (ROOT, other):
            data_dir = Path(directory) / f"data-{len(options)}"
            provide(config, data_dir, "int8")
            options[checkout] = ["--model", str(config), "--precision", "int8", "--data-dir", str(data_dir)]
        voice = f"{config.stem}-{default_voice_of_own_models()}"
        compare(f"{arguments.model}, int8", other, options, voice, arguments.rounds)


if __name__ == "__main__":
    main()
