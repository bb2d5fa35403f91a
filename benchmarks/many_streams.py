"""Many clients at once: what the streams of one model share, measured in one process.

    python -m benchmarks.many_streams                     # english in int8, 1, 2, 4 and 8 streams
    python -m benchmarks.many_streams --alone --rounds 9  # one stream against the library

Random weights of the real shape. For each number of streams: how fast all are together when they are read as fast as
they come, whether any ran dry when read at the pace of playback, when one more is first heard meanwhile, and how long
it takes until what one of them held is free when its client leaves. ``--alone`` compares one stream with the model used
as a library, in turn. Machines are noisy: medians over rounds, and look at the ratios.
"""

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.pocket import VOICE_FILE, prepare
from wyoming_pocket_tts.engine.observer import Silent
from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.pocket.config import load_config
from wyoming_pocket_tts.pocket.loading import open_for_onnx
from wyoming_pocket_tts.pocket.onnx.bundle import Bundle, open_bundle
from wyoming_pocket_tts.pocket.onnx.install import install
from wyoming_pocket_tts.pocket.onnx.precision import Precision
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer
from wyoming_pocket_tts.pocket.tts_model import TTSModel
from wyoming_pocket_tts.speech import Request

TEXT = (
    "Good evening. The lights in the living room are off, the front door is locked, and it will rain tomorrow morning. "
    "The washing machine has finished, the heating is set to twenty degrees, and nobody is in the garden."
)
NEWCOMER = "The front door is open."
NEWCOMERS = 5


@dataclass
class Counts(Silent):
    """What the engine tells."""

    batches: list[int] = field(default_factory=list)
    freed_seconds: list[float] = field(default_factory=list)

    def batch(self, streams: int, seconds: float) -> None:  # noqa: ARG002  (the observer's signature)
        """Note the size."""
        self.batches.append(streams)

    def cancelled(self, seconds: float) -> None:
        """Note how long it took."""
        self.freed_seconds.append(seconds)


@dataclass
class Heard:
    """One stream as its client heard it."""

    first_seconds: float = 0.0
    audio_seconds: float = 0.0
    dry_seconds: float = 0.0
    """The longest gap of somebody who plays at once."""


class Speaker:
    """Asks the workers for one text after the other."""

    def __init__(self, workers: Workers, request: Request, *, paced: bool) -> None:
        self._workers, self._request, self._paced = workers, request, paced

    async def once(self) -> Heard:
        """Hear one text."""
        heard, start, rate = Heard(), time.perf_counter(), self._request.voice.sample_rate_hz
        played_until = 0.0
        async with self._workers.stream(self._request) as blocks:
            async for block in blocks:
                now = time.perf_counter()
                heard.first_seconds = heard.first_seconds or now - start
                if played_until:
                    heard.dry_seconds = max(heard.dry_seconds, now - played_until)
                played_until = max(played_until, now) + len(block) / rate
                heard.audio_seconds += len(block) / rate
                if self._paced:  # a satellite that buffers half a second
                    await asyncio.sleep(max(0.0, played_until - 0.5 - time.perf_counter()))
        return heard

    async def until(self, stop: asyncio.Event) -> list[Heard]:
        """Hear text after text."""
        heard = []
        while not stop.is_set():
            heard.append(await self.once())
        return heard


@contextmanager
def synthesizer(bundle: Bundle, voice_directory: Path, threads: int, counts: Counts) -> Iterator[PocketSynthesizer]:
    made = PocketSynthesizer(
        TTSModel(open_for_onnx(bundle, flow_threads=threads)),
        name="bench",
        voices=[Path(VOICE_FILE).stem],
        language="en",
        directory=voice_directory,
        listener=counts,
    )
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def speaking(
    workers: Workers, request: Request, streams: int, *, paced: bool
) -> AsyncIterator[list["asyncio.Task[list[Heard]]"]]:
    """So many streams in the background; their tasks are done when the context is left."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(Speaker(workers, request, paced=paced).until(stop)) for _ in range(streams)]
    try:
        yield tasks
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def fast(workers: Workers, request: Request, streams: int) -> float:
    """Speed of all together, x real time."""
    start = time.perf_counter()
    heard = await asyncio.gather(*(Speaker(workers, request, paced=False).once() for _ in range(streams)))
    return sum(each.audio_seconds for each in heard) / (time.perf_counter() - start)


async def at_pace(workers: Workers, request: Request, streams: int, counts: Counts) -> tuple[float, float, float]:
    """The longest gap of any; the median time to first audio of one more; that to free what a leaver held."""
    newcomer = Request(text=NEWCOMER, voice=request.voice)
    counts.freed_seconds.clear()
    first = []
    async with speaking(workers, request, streams, paced=True) as tasks:
        await asyncio.sleep(1)
        for _ in range(NEWCOMERS):
            async with workers.stream(newcomer) as blocks:
                start = time.perf_counter()
                await anext(blocks)
                first.append(time.perf_counter() - start)
            await asyncio.sleep(0.3)
    heard = [each for task in tasks for each in task.result()]
    return max(each.dry_seconds for each in heard), statistics.median(first), max(counts.freed_seconds, default=0.0)


async def measure(bundle: Bundle, directory: Path, threads: int, numbers: list[int], rounds: int) -> None:
    counts = Counts()
    with synthesizer(bundle, directory, threads, counts) as made:
        request = Request(text=TEXT, voice=made.voices()[0])
        async with Workers(made, threads=2, observer=counts) as workers:
            await fast(workers, request, 1)
            print(f"{bundle.precision}, {threads} threads for the language model, medians of {rounds} rounds")
            for streams in numbers:
                counts.batches.clear()
                speeds = [await fast(workers, request, streams) for _ in range(rounds)]
                batch = statistics.mean(counts.batches)
                paced = [await at_pace(workers, request, streams, counts) for _ in range(rounds)]
                gap, first, freed = (1e3 * statistics.median(figures) for figures in zip(*paced, strict=True))
                print(
                    f"  {streams} streams: {statistics.median(speeds):5.1f} x real time ({batch:.1f} rows a step);"
                    f" at pace: longest gap {gap:4.0f} ms, one more is heard after {first:4.0f} ms,"
                    f" free after {freed:4.1f} ms"
                )


def alone(bundle: Bundle, directory: Path, threads: int, rounds: int) -> None:
    """One stream as it is served, against the model as a library, in turn."""
    figures: dict[str, list[tuple[float, float]]] = {"library": [], "served": []}
    counts = Counts()
    with synthesizer(bundle, directory, threads, counts) as made:
        model = TTSModel(open_for_onnx(bundle, flow_threads=threads))
        voice = model.get_state_for_audio_prompt(directory / VOICE_FILE)
        request = Request(text=TEXT, voice=made.voices()[0])
        for index in range(rounds + 1):
            for kind, found in figures.items():
                start = time.perf_counter()
                pieces: Iterator[Any] = (
                    made.synthesize(request) if kind == "served" else model.generate_audio_stream(voice, TEXT)
                )
                samples = [len(next(pieces))]
                first = time.perf_counter() - start
                samples += [len(piece) for piece in pieces]
                if index:
                    found.append((first, sum(samples) / model.sample_rate / (time.perf_counter() - start)))
    for kind, found in figures.items():
        first, speed = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"  {kind}: first audio {1e3 * first:.0f} ms, {speed:.1f} x real time")
    ratios = [served[1] / library[1] for library, served in zip(figures["library"], figures["served"], strict=True)]
    print(f"  served / library: {statistics.median(ratios):.2f} x the speed; {threading.active_count()} threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="english", metavar="NAME")
    parser.add_argument("--precision", default="int8", choices=list(Precision))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="compare one stream with the library instead")
    parser.add_argument("--directory", type=Path, help="keep the model here, for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        data_dir, precision = directory / "data", Precision(arguments.precision)
        kept = sorted(data_dir.glob(f"models/*-{precision}-*/"))
        bundle = (
            open_bundle(kept[0])
            if kept
            else install(None, load_config(prepare(directory, arguments.model)), data_dir=data_dir, precision=precision)
        )
        if arguments.alone:
            alone(bundle, directory, arguments.threads, arguments.rounds)
        else:
            asyncio.run(measure(bundle, directory, arguments.threads, arguments.streams, arguments.rounds))


if __name__ == "__main__":
    main()
