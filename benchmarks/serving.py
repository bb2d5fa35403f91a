"""The running service from outside: start, memory, first audio, speed, and whether it answers while it speaks.

    pip install -e . psutil
    python benchmarks/serving.py [--peer 'COMMAND {port}']

Starts ``serve`` as a process of its own and measures through its socket, as Home Assistant would. ``--peer`` measures
another Wyoming server in turn in the same run (a shell command with ``{port}`` in it): only ratios of one run compare.
"""

import argparse
import asyncio
import shlex
import socket
import statistics
import sys
import time
from dataclasses import dataclass

import psutil
from wyoming.audio import AudioChunk, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize

SENTENCE = "The kitchen light is on and the front door has been locked."  # twelve words
LONGER = (
    "Tomorrow will be sunny, with a high of twenty three degrees and a low of eleven, so leave the umbrella at home."
)
SPEAKING_CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Spoken:
    """One request as its client saw it."""

    first_audio_seconds: float
    total_seconds: float
    audio_seconds: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_ready(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until the server answers ``describe`` with an installed voice."""
    while process.returncode is None:
        try:
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                event = await client.read_event()
                if event is not None and Info.is_type(event.type):
                    return
        except OSError:
            await asyncio.sleep(0.01)
    raise SystemExit(f"the server ended with code {process.returncode}")


async def describe_seconds(client: AsyncTcpClient) -> float:
    start = time.perf_counter()
    await client.write_event(Describe().event())
    while (event := await client.read_event()) is not None and not Info.is_type(event.type):
        pass
    return time.perf_counter() - start


async def speak(port: int, text: str) -> Spoken:
    """One request on a connection of its own."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        start = time.perf_counter()
        await client.write_event(Synthesize(text=text).event())
        first, audio = 0.0, 0.0
        while (event := await client.read_event()) is not None and not AudioStop.is_type(event.type):
            if AudioChunk.is_type(event.type):
                chunk = AudioChunk.from_event(event)
                first = first or time.perf_counter() - start
                audio += chunk.seconds
        return Spoken(first, time.perf_counter() - start, audio)


async def keep_speaking(port: int, stop: asyncio.Event) -> float:
    """Speak on and on; seconds of audio made."""
    audio = 0.0
    while not stop.is_set():
        audio += (await speak(port, LONGER)).audio_seconds
    return audio


async def measure(name: str, command: str, rounds: int) -> None:
    port = free_port()
    start = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command.format(port=port)), stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await until_ready(port, process)
        ready = time.perf_counter() - start
        memory = psutil.Process(process.pid)
        idle = memory.memory_info().rss
        first = [(await speak(port, SENTENCE)) for _ in range(rounds)]
        longer = [(await speak(port, LONGER)) for _ in range(rounds)]
        stop = asyncio.Event()
        began = time.perf_counter()
        speakers = [asyncio.create_task(keep_speaking(port, stop)) for _ in range(SPEAKING_CLIENTS)]
        answers = []
        async with AsyncTcpClient("127.0.0.1", port) as client:
            for _ in range(50):
                answers.append(await describe_seconds(client))
                await asyncio.sleep(0.05)  # spread over the speech: a sample rate, not a wait for something
        stop.set()
        made = sum(await asyncio.gather(*speakers))
        took = time.perf_counter() - began
        speaking = memory.memory_info().rss
    finally:
        process.terminate()
        await process.wait()
    latency = statistics.median(s.first_audio_seconds for s in first) * 1000
    speed = statistics.median(s.audio_seconds / s.total_seconds for s in longer)
    print(f"{name}")
    print(f"  start to ready                          {ready:8.2f} s")
    print(f"  resident memory, idle                   {idle / 1e6:8.0f} MB")
    print(f"  resident memory, after {SPEAKING_CLIENTS} at once          {speaking / 1e6:8.0f} MB")
    print(f"  first audio, sentence of 12 words       {latency:8.0f} ms (median of {rounds})")
    print(f"  speed, one client                       {speed:8.1f} x real time (median of {rounds})")
    print(f"  speed, {SPEAKING_CLIENTS} clients at once                {made / took:8.1f} x real time in all")
    median, worst = statistics.median(answers) * 1000, max(answers) * 1000
    print(f"  describe while {SPEAKING_CLIENTS} speak: median, worst     {median:8.1f} ms, {worst:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="shell command of another Wyoming server, with {port}")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    ours = f"{sys.executable} -m wyoming_pocket_tts serve --model none --no-zeroconf --uri tcp://127.0.0.1:{{port}}"
    asyncio.run(measure("wyoming-pocket-tts, embedded voice", ours, options.rounds))
    if options.peer:
        asyncio.run(measure(f"peer: {options.peer}", options.peer, options.rounds))


if __name__ == "__main__":
    main()
