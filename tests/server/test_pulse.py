"""Whether speech is possible, on a simulated clock, and what systemd's watchdog hears of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.simulated_clock import Clock
from tests.support.tone import VOICES, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.health import DOUBT_SECONDS, MAX_FAILURES, QUIET_SECONDS, LivenessMonitor, ReadinessProbe
from wyoming_pocket_tts.server.systemd import SystemdNotifier

WORD = "OK."


class House:
    """Workers, and somebody who feels their pulse."""

    def __init__(self, workers: Scheduler, pulse: LivenessMonitor, clock: Clock, tone: ToneSynthesizer) -> None:
        self.workers, self.pulse, self.clock, self.tone = workers, pulse, clock, tone

    async def after(self, seconds: float) -> int:
        """Let time pass and look; how many words were asked for since."""
        before = self.words
        self.clock.turn(seconds)
        await self.pulse.check()
        return self.words - before

    async def says(self, text: str) -> None:
        async with self.workers.synthesize(SynthesisRequest(text=text, voice=VOICES[0])) as blocks:
            assert [block async for block in blocks]

    @property
    def words(self) -> int:
        return self.tone.journal.count("begin", WORD)


@asynccontextmanager
async def house(tone: ToneSynthesizer, *, threads: int = 1, limit_seconds: float = 10.0) -> AsyncIterator[House]:
    clock = Clock()
    async with Scheduler(tone, threads=threads, max_active=1, max_waiting=0, reserve=1) as workers:
        probe = ReadinessProbe(workers, reserve=True, limit_seconds=limit_seconds, now=clock)
        pulse = LivenessMonitor(workers, probe, now=clock)
        try:
            yield House(workers, pulse, clock, tone)
        finally:
            await probe.aclose()


async def test_in_a_quiet_house_a_word_is_spoken_now_and_then() -> None:
    async with house(ToneSynthesizer()) as quiet:
        assert await quiet.after(QUIET_SECONDS - 1) == 0
        assert await quiet.after(1) == 1
        assert await quiet.after(QUIET_SECONDS - 1) == 0
        assert await quiet.after(1) == 1
        assert quiet.pulse.is_alive


async def test_where_something_is_spoken_nobody_asks() -> None:
    async with house(ToneSynthesizer()) as busy:
        for _ in range(5):
            await busy.says("Dinner is ready.")
            assert await busy.after(QUIET_SECONDS) == 0
        assert await busy.after(QUIET_SECONDS) == 1


async def test_words_in_a_row_that_are_not_spoken_are_an_illness_and_the_first_that_is_ends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = True
    tone = ToneSynthesizer(failure=lambda _request, _block: ModelError("broken") if broken else None)
    async with house(tone) as ill:
        for failure in range(MAX_FAILURES):
            assert ill.pulse.is_alive
            assert await ill.after(DOUBT_SECONDS if failure else QUIET_SECONDS) == 1
        assert not ill.pulse.is_alive
        assert "Speech is not possible" in caplog.text
        assert await ill.after(DOUBT_SECONDS - 1) == 0
        broken = False
        assert await ill.after(1) == 1
        assert ill.pulse.is_alive


async def test_what_nobody_expected_counts_as_a_word_that_was_not_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    tone = ToneSynthesizer()
    async with house(tone) as ill:
        monkeypatch.setattr(tone, "voices", lambda: 1 / 0)
        for _ in range(MAX_FAILURES):
            await ill.after(QUIET_SECONDS)
        assert not ill.pulse.is_alive


async def test_whoever_is_spoken_to_while_the_word_fails_is_enough() -> None:
    gate = Gate()

    def fail(asked: SynthesisRequest, _block: int) -> ModelError | None:
        if asked.text != WORD:
            return None
        made = tone.journal.count("block")
        gate.let(1)
        assert tone.journal.wait_for("block", times=made + 1)
        return ModelError("broken")

    tone = ToneSynthesizer(gate=lambda asked: None if asked.text == WORD else gate, failure=fail)
    async with house(tone, threads=2) as half:
        async with half.workers.synthesize(SynthesisRequest(text="A sentence that takes its time.", voice=VOICES[0])):
            for _ in range(MAX_FAILURES):
                assert await half.after(DOUBT_SECONDS) == 1
            assert half.pulse.is_alive
        gate.open()


async def test_one_who_speaks_among_words_that_fail_is_enough() -> None:
    tone = ToneSynthesizer(failure=lambda asked, _block: ModelError("broken") if asked.text == WORD else None)
    async with house(tone) as half:
        for _ in range(MAX_FAILURES * 2):
            await half.after(QUIET_SECONDS)
            await half.says("Dinner is ready.")
        assert half.pulse.is_alive


async def test_whoever_waits_in_vain_is_noticed_soon() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    async with house(tone, limit_seconds=0.02) as hanging:
        async with hanging.workers.synthesize(SynthesisRequest(text="hang", voice=VOICES[0])):
            assert await asyncio.to_thread(tone.journal.wait_for, "begin", "hang")
            for _ in range(MAX_FAILURES):
                assert hanging.pulse.is_alive
                await hanging.after(DOUBT_SECONDS)
            assert not hanging.pulse.is_alive
        gate.open()


async def test_clients_that_do_not_read_are_no_illness() -> None:
    """All places are taken and nothing is made, but speech is possible: the probe has a place of its own."""
    async with house(ToneSynthesizer()) as full:
        text = "Nobody reads what is made of this sentence, which is rather long."
        async with full.workers.synthesize(SynthesisRequest(text=text, voice=VOICES[0])):
            assert await asyncio.to_thread(full.tone.journal.wait_for, "block", text, times=8)
            for _ in range(MAX_FAILURES + 1):
                await full.after(DOUBT_SECONDS)
            assert full.pulse.is_alive


async def test_a_crowd_that_keeps_the_word_from_being_spoken_is_no_illness() -> None:
    """All places are taken, those of the reserve too: what is made for others counts."""
    gate, shut = Gate(), Gate()
    tone = ToneSynthesizer(gate=lambda asked: shut if asked.text == "hold" else gate)
    async with house(tone, threads=2) as crowded:
        request = SynthesisRequest(text="A sentence of a crowd, which takes its time.", voice=VOICES[0])
        held = crowded.workers.synthesize(SynthesisRequest(text="hold", voice=VOICES[0]), reserve=True)
        async with crowded.workers.synthesize(request) as blocks, held:
            for _ in range(MAX_FAILURES + 1):
                gate.let(1)
                await anext(blocks)
                assert await crowded.after(DOUBT_SECONDS) == 0
                assert crowded.pulse.is_alive
            for _ in range(MAX_FAILURES):
                await crowded.after(DOUBT_SECONDS)
            assert not crowded.pulse.is_alive, "but a crowd for whom nothing is made is one"
        gate.open()
        shut.open()


async def test_the_watchdog_is_fed_while_speech_is_possible_and_not_any_more_when_it_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.setblocking(False)
        systemd.bind(str(tmp_path / "notify"))
        notifier = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "20000"})
        broken = True
        tone = ToneSynthesizer(failure=lambda _request, _block: ModelError("broken") if broken else None)
        looked = asyncio.Condition()
        looks = 0

        async with house(tone) as watched:

            def is_alive() -> bool:
                nonlocal looks
                looks += 1
                asyncio.get_running_loop().create_task(tell())
                return watched.workers.healthy and watched.pulse.is_alive

            async def tell() -> None:
                async with looked:
                    looked.notify_all()

            async def pings() -> int:
                """Those of the next five looks."""
                until = looks + 5
                while _received(systemd):
                    pass
                async with looked, asyncio.timeout(15):
                    await looked.wait_for(lambda: looks >= until)
                return sum(iter(lambda: _received(systemd), 0))

            feeding = asyncio.create_task(notifier.keep_alive(is_alive))
            assert await pings() > 0
            for _ in range(MAX_FAILURES):
                await watched.after(QUIET_SECONDS)
            assert await pings() == 0
            broken = False
            await watched.after(QUIET_SECONDS)
            assert await pings() > 0
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        notifier.close()


def _received(systemd: socket.socket) -> int:
    """One, if a ping was there."""
    try:
        return int(systemd.recv(4096) == b"WATCHDOG=1")
    except BlockingIOError:
        return 0
