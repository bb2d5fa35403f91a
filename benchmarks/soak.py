"""Hours in a house where everything goes wrong: clients that speak, leave, stall and send rubbish, and what it leaves.

    pip install -e . psutil
    nice python -m benchmarks.soak [--minutes 30] [--engine tone | --model NAME [--random-weights]]

Starts ``serve`` as a process of its own. No good request may be lost or hang, memory is flat once warm, and when
everybody has gone there are as many threads, tasks and open files as before. Ends with 1 where that is not so.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.census import Census, settled
from benchmarks.household import Household, Tally, free_port, until_ready
from benchmarks.pocket import prepare
from benchmarks.pocket_serving import provide, until_the_model_speaks
from wyoming_pocket_tts.pocket.model_spec import default_voice_of_own_models

MOST_GROWTH = 0.05


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def growth(megabytes: Sequence[float]) -> tuple[float, float]:
    """Memory after the warm-up and at the end: medians over a tenth of the time, after the first fifth of it."""
    tenth = max(1, len(megabytes) // 10)
    return statistics.median(megabytes[2 * tenth : 3 * tenth]), statistics.median(megabytes[-tenth:])


def report(tally: Tally, before: Census, after: Census) -> bool:
    """Print what was found; return whether it is well."""
    for what, times in sorted(tally.done.items()):
        print(f"  {what:40} {times:8}")
    warm, last = growth(tally.megabytes)
    flat = last <= warm * (1 + MOST_GROWTH)
    for name, values in (("first audio", tally.first_audio), ("describe", tally.describes)):
        shown = ", ".join(f"{1_000 * percentile(values, share):.0f}" for share in (0.5, 0.95, 1.0))
        print(f"  {name + ', median, 95 %, worst':40} {shown} ms")
    print(f"  {'memory, warm and at the end':40} {warm:.1f} MB, {last:.1f} MB ({100 * (last / warm - 1):+.1f} %)")
    for name in ("threads", "tasks"):
        print(f"  {name + ', before and after':40} {len(getattr(before, name))}, {len(getattr(after, name))}")
    print(f"  {'threads of the kernel':40} {before.kernel_threads}, {after.kernel_threads}")
    print(f"  {'open files':40} {before.files}, {after.files}")
    print(f"  {'lost or hung good requests':40} {len(tally.failures)}")
    for failure in tally.failures[:20]:
        print(f"    {failure}")
    left = (before.threads, before.tasks) != (after.threads, after.tasks)
    left = left or after.files > before.files or after.kernel_threads > before.kernel_threads
    if left:
        print(f"  LEFT BEHIND\n    before: {before}\n    after: {after}")
    return flat and not left and not tally.failures


def made_up(name: str, directory: Path) -> str:
    """Make a model of that shape with random weights, converted and with its voice; return its config's path."""
    config = prepare(directory / "model", name)
    provide(config, directory, "int8")
    return str(config)


async def soak(options: argparse.Namespace, directory: Path) -> bool:
    port, census = free_port(), directory / "census"
    model = await asyncio.to_thread(made_up, options.model, directory) if options.random_weights else options.model
    speaks = ["--model", model, *(["--engine", options.engine] if options.engine else [])]
    serve = ["serve", *speaks, "--no-zeroconf", "--uri", f"tcp://127.0.0.1:{port}", "--data-dir", str(directory)]
    with (directory / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.census", str(census), *serve), stdout=log, stderr=log
        )
    try:
        await until_ready(port)
        if options.random_weights:
            await until_the_model_speaks(port, f"{Path(model).stem}-{default_voice_of_own_models()}")
        process = psutil.Process(server.pid)
        warm_up = Household(port, options.seed)
        for _ in range(3):
            await warm_up.speak()
        before = await settled(process, census, None)
        house = Household(port, options.seed)
        await house.run(60 * options.minutes, process)
        after = await settled(process, census, before)
    finally:
        if server.returncode is None:
            server.terminate()
        code = await server.wait()
    well = report(house.tally, before, after)
    text = await asyncio.to_thread((directory / "log").read_text, encoding="utf-8")
    errors = [line for line in text.splitlines() if " ERROR " in line]
    print(f"  {'errors of its own in the log':40} {len(errors)}")
    print(f"  {'exit code':40} {code}")
    print("\n".join(f"    {line}" for line in errors[:10]))
    return well and code == 0 and not errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--engine", choices=["tone"], help="beeps instead of a voice: the server's own part alone")
    parser.add_argument("--model", default="none", help="as of serve; none for the embedded voice")
    parser.add_argument("--random-weights", action="store_true", help="of that model's shape, in place of its own")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        well = asyncio.run(soak(options, Path(directory)))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
