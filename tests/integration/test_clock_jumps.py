"""The clock on the wall may jump, as it does on machines without a battery: nothing waits or ends by it."""

import re
import time

import pytest

from tests.server.client import audio_seconds, service, shape
from tests.test_imports import modules

WALL_CLOCKS = re.compile(
    r"(?m)\btime\.(?:time|time_ns|localtime|gmtime)\(|\bdatetime\b|\bCLOCK_REALTIME\b|\bfrom time import (?!monotonic$)"
)
KNOWN = {
    "core.logging": "when a line was written",
    "cli.doctor.machine": "what time it is on this machine",
    "kokoro.training.acoustic": "a line of a training's report",
    "pocket.voice_store": "how old a file is that a killed download left",
}
"""Who asks the clock on the wall, and for what."""


def test_nothing_but_the_age_of_files_is_told_by_the_clock_on_the_wall() -> None:
    found = {name for name, path in modules() if WALL_CLOCKS.search(path.read_text(encoding="utf-8"))}
    assert found == KNOWN.keys()


@pytest.mark.parametrize("jump_seconds", [365 * 86_400.0, -365 * 86_400.0])
async def test_a_jump_of_a_year_is_not_heard(jump_seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    wall, nanoseconds = time.time, time.time_ns
    async with service() as house, await house.connect() as client:
        await client.send("synthesize-start")
        await client.send("synthesize-chunk", text="Before the jump. And ")
        before = await client.until("audio-chunk")
        monkeypatch.setattr(time, "time", lambda: wall() + jump_seconds)
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + round(jump_seconds * 1e9))
        await client.send("synthesize-chunk", text="after it.")
        await client.send("synthesize-stop")
        events = [*before, *await client.until("synthesize-stopped")]
        assert shape(events) == ["audio-start", "audio-chunk", "audio-stop", "synthesize-stopped"]
        assert audio_seconds(events) > 0.5
        await house.speaks()
