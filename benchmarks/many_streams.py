"""Many clients at once: what the streams of one model share, measured in one process or through its socket.

    python -m benchmarks.many_streams                     # english in int8, 1, 2, 4 and 8 streams
    python -m benchmarks.many_streams --socket            # the running service, through its socket
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
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.tts import Synthesize

from benchmarks.pocket import VOICE_FILE, prepare
from benchmarks.pocket_serving import provide, served, until_the_model_speaks
from benchmarks.serving import free_port, until_ready
from wyoming_pocket_tts.core.events import Observer
from wyoming_pocket_tts.core.types import SynthesisRequest, Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.pocket.loading import open_for_onnx
from wyoming_pocket_tts.pocket.model import TTSModel
from wyoming_pocket_tts.pocket.model_spec import default_voice_of_own_models
from wyoming_pocket_tts.pocket.onnx.bundle import ModelBundle, Precision, open_bundle
from wyoming_pocket_tts.pocket.onnx.install import ensure_converted
from wyoming_pocket_tts.pocket.registry import load_config
from wyoming_pocket_tts.pocket.synthesizer import PocketSynthesizer
from wyoming_pocket_tts.pocket.voice_store import ModelVoices

TEXT = (
    "Good evening. The lights in the living room are off, the front door is locked, and it will rain tomorrow morning. "
    "The washing machine has finished, the heating is set to twenty degrees, and nobody is in the garden."
)
NEWCOMER = "The front door is open."
NEWCOMERS = 5


@dataclass
class Counts(Observer):
    """What the engine tells."""

    batches: list[int] = field(default_factory=list)
    freed_seconds: list[float] = field(default_factory=list)

    def batch_step(self, streams: int, seconds: float) -> None:  # noqa: ARG002  (the observer's signature)
        """Note the size."""
        self.batches.append(streams)

    def stream_cancelled(self, seconds: float) -> None:
        """Note how long it took."""
        self.freed_seconds.append(seconds)


@dataclass
class Heard:
    """One stream as its client heard it."""

    first_seconds: float = 0.0
    audio_seconds: float = 0.0
    dry_seconds: float = 0.0
    """The longest gap of somebody who plays at once."""


Ask = Callable[[str], AbstractAsyncContextManager[AsyncIterator[float]]]
"""Asks for a text to be spoken: seconds of audio, block by block. Leaving the context is leaving."""


def through(workers: Scheduler, voice: Voice) -> Ask:
    """Ask in this process."""

    @asynccontextmanager
    async def ask(text: str) -> AsyncIterator[AsyncIterator[float]]:
        async with workers.synthesize(SynthesisRequest(text=text, voice=voice)) as blocks:
            yield (len(block) / voice.sample_rate_hz async for block in blocks)

    return ask


def through_socket(port: int) -> Ask:
    """Ask a service, as Home Assistant does."""

    async def seconds(client: AsyncTcpClient) -> AsyncIterator[float]:
        while (event := await client.read_event()) is not None and not AudioStop.is_type(event.type):
            if Error.is_type(event.type):
                raise SystemExit(f"the service says: {event.data}")
            if AudioChunk.is_type(event.type):
                yield AudioChunk.from_event(event).seconds

    @asynccontextmanager
    async def ask(text: str) -> AsyncIterator[AsyncIterator[float]]:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Synthesize(text=text).event())
            yield seconds(client)

    return ask


async def hear(ask: Ask, text: str, *, paced: bool) -> Heard:
    """Hear one text, as fast as it comes or like a satellite that buffers half a second."""
    heard, start, played_until = Heard(), time.perf_counter(), 0.0
    async with ask(text) as blocks:
        async for seconds in blocks:
            now = time.perf_counter()
            heard.first_seconds = heard.first_seconds or now - start
            if played_until:
                heard.dry_seconds = max(heard.dry_seconds, now - played_until)
            played_until = max(played_until, now) + seconds
            heard.audio_seconds += seconds
            if paced:
                await asyncio.sleep(max(0.0, played_until - 0.5 - time.perf_counter()))
    return heard


async def keep_hearing(ask: Ask, stop: asyncio.Event) -> list[Heard]:
    """Hear text after text, at the pace of playback."""
    heard = []
    while not stop.is_set():
        heard.append(await hear(ask, TEXT, paced=True))
    return heard


@contextmanager
def synthesizer(
    bundle: ModelBundle, voice_directory: Path, threads: int, counts: Counts
) -> Iterator[PocketSynthesizer]:
    voices = ModelVoices(
        name="bench",
        voices=[Path(VOICE_FILE).stem],
        language="en",
        rate_hz=bundle.config.mimi.sample_rate,
        directory=voice_directory,
    )
    made = PocketSynthesizer(TTSModel(open_for_onnx(bundle, flow_threads=threads)), voices, listener=counts)
    try:
        yield made
    finally:
        made.close()


async def fast(ask: Ask, streams: int) -> float:
    """Speed of all together, x real time."""
    start = time.perf_counter()
    heard = await asyncio.gather(*(hear(ask, TEXT, paced=False) for _ in range(streams)))
    return sum(each.audio_seconds for each in heard) / (time.perf_counter() - start)


async def at_pace(ask: Ask, streams: int) -> tuple[float, float]:
    """The longest gap of any, and the median time to the first audio of one more, who leaves then."""
    first, stop = [], asyncio.Event()
    tasks = [asyncio.create_task(keep_hearing(ask, stop)) for _ in range(streams)]
    await asyncio.sleep(1)
    for _ in range(NEWCOMERS):
        start = time.perf_counter()
        async with ask(NEWCOMER) as blocks:
            await anext(blocks)
            first.append(time.perf_counter() - start)
        await asyncio.sleep(0.3)
    stop.set()
    heard = [each for task in tasks for each in await task]
    return max(each.dry_seconds for each in heard), statistics.median(first)


async def measure(ask: Ask, counts: Counts, numbers: list[int], rounds: int) -> None:
    await fast(ask, 1)
    for streams in numbers:
        counts.batches.clear()
        counts.freed_seconds.clear()
        speed = statistics.median([await fast(ask, streams) for _ in range(rounds)])
        batch = f" ({statistics.mean(counts.batches):.1f} rows a step)" if counts.batches else ""
        paced = [await at_pace(ask, streams) for _ in range(rounds)]
        gap, first = (1e3 * statistics.median(figures) for figures in zip(*paced, strict=True))
        freed = f", {1e3 * statistics.median(counts.freed_seconds):.1f} ms to free" if counts.freed_seconds else ""
        print(
            f"  {streams} streams: {speed:5.1f} x real time{batch}; at pace: longest gap {gap:.0f} ms,"
            f" one more is heard after {first:.0f} ms{freed}",
            flush=True,
        )


async def in_process(bundle: ModelBundle, directory: Path, threads: int, numbers: list[int], rounds: int) -> None:
    counts = Counts()
    with synthesizer(bundle, directory, threads, counts) as made:
        async with Scheduler(made, threads=2, observer=counts) as workers:
            await measure(through(workers, made.voices()[0]), counts, numbers, rounds)


async def in_service(directory: Path, precision: str, numbers: list[int], rounds: int) -> None:
    config, data_dir, port = directory / "model.yaml", directory / "data", free_port()
    provide(config, data_dir, precision)
    async with served(config, data_dir, precision, port) as process:
        await until_ready(port, process)
        await until_the_model_speaks(port, f"{config.stem}-{default_voice_of_own_models()}")
        await measure(through_socket(port), Counts(), numbers, rounds)


def alone(bundle: ModelBundle, directory: Path, threads: int, rounds: int) -> None:
    """One stream as it is served, against the model as a library, in turn."""
    figures: dict[str, list[tuple[float, float]]] = {"library": [], "served": []}
    counts = Counts()
    with synthesizer(bundle, directory, threads, counts) as made:
        model = TTSModel(open_for_onnx(bundle, flow_threads=threads))
        voice = model.get_state_for_audio_prompt(directory / VOICE_FILE)
        request = SynthesisRequest(text=TEXT, voice=made.voices()[0])
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
    parser.add_argument("--socket", action="store_true", help="measure a service, through its socket")
    parser.add_argument("--directory", type=Path, help="keep the model here, for the next time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.directory or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        bundle = provided(directory, arguments.model, Precision(arguments.precision))
        print(f"{arguments.model}, {arguments.precision}, medians of {arguments.rounds} rounds")
        if arguments.alone:
            alone(bundle, directory, arguments.threads, arguments.rounds)
        elif arguments.socket:
            asyncio.run(in_service(directory, arguments.precision, arguments.streams, arguments.rounds))
        else:
            asyncio.run(in_process(bundle, directory, arguments.threads, arguments.streams, arguments.rounds))


def provided(directory: Path, model: str, precision: Precision) -> ModelBundle:
    """The converted model, made unless it is there."""
    kept = sorted((directory / "data").glob(f"models/*-{precision}-*/"))
    if kept:
        return open_bundle(kept[0])
    config = load_config(prepare(directory, model))
    return ensure_converted(None, config, data_dir=directory / "data", precision=precision)


if __name__ == "__main__":
    main()
