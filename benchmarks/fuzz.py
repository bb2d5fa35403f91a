"""Mutated conversations, many of them, through the reader and the state machine: nothing crashes, hangs or grows.

    nice python -m benchmarks.fuzz [--streams 200000] [--first 0] [--processes 2]

Each stream is a real conversation with something wrong (``tests/server/mutation.py``), held without sockets against
every rule of the protocol (``tests/server/random_conversation.py``). Its time is bounded in processor seconds, memory
by what the process has at its most. A number that fails is printed: it alone makes its stream again.
"""

import argparse
import asyncio
import gc
import multiprocessing
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.server.mutation import mutant
from tests.server.random_conversation import converse_at_random

CPU_SECONDS = 1.0
"""For one stream; the largest that a client may send takes a tenth of it."""
GROWTH_MB = 40
WARM_UP_STREAMS = 2_000
BATCH = 10_000
_ELSEWHERE = 10**12
"""Where the numbers of the streams to warm up with begin."""


@dataclass(slots=True)
class Result:
    """Of a range of streams."""

    streams: int = 0
    bytes_read: int = 0
    failures: list[str] = field(default_factory=list)
    worst_seconds: float = 0.0
    worst_seed: int = 0
    growth_mb: float = 0.0
    sent: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Result") -> None:
        self.streams += other.streams
        self.bytes_read += other.bytes_read
        self.failures += other.failures
        if other.worst_seconds > self.worst_seconds:
            self.worst_seconds, self.worst_seed = other.worst_seconds, other.worst_seed
        self.growth_mb = max(self.growth_mb, other.growth_mb)
        self.sent += other.sent


class TooLong(BaseException):
    """Not to be caught by what is under test."""


@contextmanager
def cpu_deadline(seconds: float) -> Iterator[None]:
    """Break off what computes for longer, loops without end included."""

    def stop(_number: int, _frame: object) -> None:
        raise TooLong(f"more than {seconds:g} s of the processor")

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def most_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000


async def hold(seeds: range) -> Result:
    result = Result()
    for seed in seeds:
        stream = mutant(seed)
        start = time.process_time()
        try:
            with cpu_deadline(CPU_SECONDS):
                async with asyncio.timeout(30 * CPU_SECONDS):  # waits for what never comes
                    result.sent += await converse_at_random(stream, seed=seed)
        except (Exception, TooLong) as error:  # noqa: BLE001  (what is looked for)
            result.failures.append(f"seed {seed}: {type(error).__name__}: {error}")
        took = time.process_time() - start
        if took > result.worst_seconds:
            result.worst_seconds, result.worst_seed = took, seed
        result.streams += 1
        result.bytes_read += len(stream)
    return result


def batch(seeds: range) -> Result:
    """In a process of its own, warmed up with streams of other numbers."""
    asyncio.run(hold(range(_ELSEWHERE, _ELSEWHERE + WARM_UP_STREAMS)))
    gc.collect()
    before = most_megabytes()
    result = asyncio.run(hold(seeds))
    result.growth_mb = most_megabytes() - before
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first stream")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    last = options.first + options.streams
    batches = [range(start, min(start + BATCH, last)) for start in range(options.first, last, BATCH)]
    total = Result()
    start = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=1) as pool:
        for result in pool.imap(batch, batches):
            total.add(result)
            print(f"\r{total.streams} streams, {len(total.failures)} failures", end="", flush=True)
    print(f"\n  {total.bytes_read / 1e6:.0f} MB in {time.monotonic() - start:.0f} s")
    print(f"  longest: {1_000 * total.worst_seconds:.0f} ms of the processor (seed {total.worst_seed})")
    print(f"  most memory more than after the warm-up: {total.growth_mb:.1f} MB")
    print("  sent: " + ", ".join(f"{count} {kind}" for kind, count in total.sent.most_common()))
    for failure in total.failures[:20]:
        print(f"  FAILED {failure}")
    if total.failures or total.growth_mb > GROWTH_MB:
        sys.exit(1)


if __name__ == "__main__":
    main()
