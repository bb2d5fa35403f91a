"""The running service with Pocket TTS, through its socket, against the package pocket-tts as a library.

    python -m benchmarks.pocket_serving                                   # english in int8
    python -m benchmarks.pocket_serving --model english_7m_2026-10 --precision int8 fp32 --rounds 5

In each round the peer's library speaks in a process of its own, then ``serve`` is started with a model that has been
converted, and is asked as Home Assistant asks. Random weights of the real shapes; the same text for both. Machines are
noisy: read the ratios, medians over rounds.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info

from benchmarks.pocket import TEXT, Figures, prepare, run
from benchmarks.serving import free_port, speak, until_ready
from wyoming_pocket_tts.pocket.model_spec import default_voice_of_own_models
from wyoming_pocket_tts.pocket.onnx.bundle import Precision
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.registry import load_config
from wyoming_pocket_tts.pocket.voice_store import encode_voice, encoded_voice_directory

UTTERANCES = 20
POLL_SECONDS = 0.02
PEER_ATTEMPTS = 3
MEBIBYTE = 1 << 20


def provide(config: Path, data_dir: Path, precision: str) -> None:
    """Convert the model, and let it hear its voice."""
    bundle = ensure_converted(None, load_config(config), data_dir=data_dir, precision=Precision(precision))
    target = encoded_voice_directory(data_dir, config.stem, bundle) / f"{default_voice_of_own_models()}.safetensors"
    if not target.exists():
        encode_voice(bundle, str(config.with_name("voice.wav")), target)


async def until_the_model_speaks(port: int, voice: str) -> None:
    while True:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            event = await client.read_event()
        if event is None:
            raise SystemExit("the server closed the connection")
        voices = [voice for program in Info.from_event(event).tts for voice in program.voices]
        if any(listed.name == voice and listed.installed for listed in voices):
            return
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def served(config: Path, data_dir: Path, precision: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    options = ("--precision", precision, "--data-dir", str(data_dir), "--uri", f"tcp://127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wyoming_pocket_tts", "serve", "--no-zeroconf", "--model", str(config), *options),
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def measure(config: Path, data_dir: Path, precision: str) -> Figures:
    port = free_port()
    start = time.perf_counter()
    async with served(config, data_dir, precision, port) as process:
        await until_ready(port, process)
        listening = time.perf_counter() - start
        await until_the_model_speaks(port, f"{config.stem}-{default_voice_of_own_models()}")
        ready = time.perf_counter() - start
        spoken = [await speak(port, TEXT) for _ in range(UTTERANCES)]
        status = psutil.Process(process.pid).memory_info()
        peak = peak_bytes(process.pid)
    return {
        "listening_seconds": listening,
        "ready_seconds": ready,
        "first_audio_ms": 1e3 * statistics.median(one.first_audio_seconds for one in spoken),
        "times_real_time": statistics.median(one.audio_seconds / one.total_seconds for one in spoken),
        "memory_mib": status.rss / MEBIBYTE,
        "peak_mib": peak / MEBIBYTE,
    }


def peak_bytes(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def measured_peer(config: Path) -> Figures:
    """Measure the peer, whose process now and then aborts when it ends."""
    for _ in range(PEER_ATTEMPTS):
        if (figures := run("peer", config, voice_file=False)) is not None:
            return figures
    raise SystemExit("the peer failed")


def compare(name: str, precisions: list[str], rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        config, data_dir = prepare(Path(directory), name), Path(directory) / "data"
        results: dict[str, list[Figures]] = {precision: [] for precision in precisions}
        peers: list[Figures] = []
        for precision in precisions:
            provide(config, data_dir, precision)
        for _ in range(rounds):
            peers.append(measured_peer(config))
            for precision in precisions:
                results[precision].append(asyncio.run(measure(config, data_dir, precision)))
    print(f"\n{name}, {rounds} rounds; the peer speaks at {median(peers, 'times_real_time'):.2f} x real time,", end=" ")
    print(f"its first audio after {median(peers, 'first_audio_ms'):.0f} ms")
    for precision, figures in results.items():
        pairs = list(zip(figures, peers, strict=True))
        speed = statistics.median(ours["times_real_time"] / peer["times_real_time"] for ours, peer in pairs)
        first = statistics.median(ours["first_audio_ms"] / peer["first_audio_ms"] for ours, peer in pairs)
        print(f"  {precision}")
        print(f"    speed, one client           {median(figures, 'times_real_time'):8.1f} x real time ({speed:.2f} x)")
        print(f"    first audio                 {median(figures, 'first_audio_ms'):8.0f} ms ({first:.2f} x)")
        print(f"    memory after {UTTERANCES} utterances   {median(figures, 'memory_mib'):8.0f} MiB", end="")
        print(f" (peak {median(figures, 'peak_mib'):.0f} MiB)")
        print(f"    start to listening          {median(figures, 'listening_seconds'):8.2f} s")
        print(f"    start to the model's voice  {median(figures, 'ready_seconds'):8.2f} s")


def median(figures: list[Figures], name: str) -> float:
    return statistics.median(each[name] for each in figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["english"], metavar="NAME")
    parser.add_argument("--precision", nargs="+", default=["int8"], choices=list(Precision))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.model:
        compare(name, arguments.precision, arguments.rounds)


if __name__ == "__main__":
    main()
