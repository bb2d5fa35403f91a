"""Readiness probe and liveness monitor."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support.simulated_clock import Clock
from tests.support.tone import VOICES, Gate, ToneSynthesizer
from wyoming_pocket_tts.core.errors import ModelError
from wyoming_pocket_tts.core.types import Pcm, SynthesisRequest
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.app import SystemdNotifier
from wyoming_pocket_tts.server.health import DOUBT_SECONDS, MAX_FAILURES, QUIET_SECONDS, LivenessMonitor, ReadinessProbe


class ProbeClock:
    """Stands until it is turned."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def probing(
    tone: ToneSynthesizer,
    *,
    clock: ProbeClock | None = None,
    max_active: int = 4,
    max_waiting: int = 4,
    limit_seconds: float = 20.0,
    fresh_seconds: float = 5.0,
) -> AsyncIterator[tuple[ReadinessProbe, Scheduler]]:
    async with Scheduler(tone, threads=1, max_active=max_active, max_waiting=max_waiting) as workers:
        probe = ReadinessProbe(
            workers, now=clock or ProbeClock(), limit_seconds=limit_seconds, fresh_seconds=fresh_seconds
        )
        try:
            yield probe, workers
        finally:
            await probe.aclose()


async def test_a_word_is_spoken_by_the_first_voice_that_is_installed() -> None:
    tone = ToneSynthesizer(voices=[VOICES[3], VOICES[1]])
    async with probing(tone) as (probe, _):
        found = await probe.run()
    assert found.ok
    assert found.text == "tone-high made 0.06 s of speech in 0.00 s"
    assert [entry.text for entry in tone.journal.entries() if entry.what == "begin"] == ["OK."]


async def test_an_answer_holds_for_some_seconds() -> None:
    tone, clock = ToneSynthesizer(), ProbeClock()
    async with probing(tone, clock=clock, fresh_seconds=5.0) as (probe, _):
        first = await probe.run()
        clock.seconds += 4.9
        assert await probe.run() is first
        clock.seconds += 0.2
        assert await probe.run() is not first
    assert tone.journal.count("begin") == 2


async def test_concurrent_callers_share_a_probe_even_if_the_first_is_cancelled() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    async with probing(tone) as (probe, _):
        askers = [asyncio.create_task(probe.run()) for _ in range(20)]
        assert await asyncio.to_thread(tone.journal.wait_for, "begin")
        askers[0].cancel()
        gate.open()
        found = await asyncio.gather(*askers[1:])
    assert len(set(map(id, found))) == 1
    assert found[0].ok
    assert tone.journal.count("begin") == 1


async def test_failure_is_reported_and_probed_again_later() -> None:
    failures = iter([ModelError("the model is broken"), None])
    clock = ProbeClock()
    tone = ToneSynthesizer(failure=lambda _request, _block: next(failures))
    async with probing(tone, clock=clock) as (probe, _):
        found = await probe.run()
        assert (found.ok, found.text) == (False, "model-error: the model is broken")
        clock.seconds += 6
        assert (await probe.run()).ok


async def test_where_the_default_voice_does_not_speak_another_one_is_asked() -> None:
    broken = {"tone-low"}
    tone = ToneSynthesizer(failure=lambda asked, _: ModelError("broken") if asked.voice.name in broken else None)
    async with Scheduler(tone) as workers:
        probe = ReadinessProbe(workers, fallback="tone-high", fresh_seconds=0.0)
        assert (await probe.run()).text.startswith("tone-high made")
        broken.add("tone-high")
        assert not (await probe.run()).ok
        broken.clear()
        assert (await probe.run()).text.startswith("tone-low made")


async def test_a_model_that_hangs_is_not_waited_for() -> None:
    gate = Gate()
    async with probing(ToneSynthesizer(gate=lambda _: gate), limit_seconds=0.05) as (probe, workers):
        found = await probe.run()
        assert (found.ok, found.text) == (False, "tone-low made no audio within 0.05 s")
        gate.open()
    assert workers.active == 0


async def test_probe_is_refused_under_overload() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda asked: gate if asked.text == "crowd" else None)
    async with probing(tone, max_active=1, max_waiting=0) as (probe, workers):
        async with workers.synthesize(SynthesisRequest(text="crowd", voice=VOICES[0])):
            found = await probe.run()
        gate.open()
    assert not found.ok
    assert found.text.startswith("overloaded: ")
    assert tone.journal.count("begin", "OK.") == 0


class Mute(ToneSynthesizer):
    """Makes audio in which there is nothing to hear."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self._mute_samples = samples

    def stream(self, request: SynthesisRequest, on_ready: object = None) -> Iterator[Pcm]:
        yield np.zeros(self._mute_samples, np.int16)


@pytest.mark.parametrize(
    ("tone", "text"),
    [
        (Mute(8_000), "tone-low made 0.50 s of silence in 0.00 s"),
        (Mute(0), "tone-low made no audio"),
        (ToneSynthesizer(voices=[VOICES[3]]), "no voice is installed"),
    ],
)
async def test_silence_is_no_speech(tone: ToneSynthesizer, text: str) -> None:
    async with probing(tone) as (probe, _):
        found = await probe.run()
    assert (found.ok, found.text) == (False, text)


async def test_closing_ends_what_is_under_way() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    async with probing(tone) as (probe, _):
        asking = asyncio.create_task(probe.run())
        assert await asyncio.to_thread(tone.journal.wait_for, "begin")
        await probe.aclose()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.open()


WORD = "OK."


class House:
    """A scheduler with a liveness monitor."""

    def __init__(self, workers: Scheduler, liveness: LivenessMonitor, clock: Clock, tone: ToneSynthesizer) -> None:
        self.workers, self.liveness, self.clock, self.tone = workers, liveness, clock, tone

    async def after(self, seconds: float) -> int:
        """Let time pass and look; how many words were asked for since."""
        before = self.words
        self.clock.turn(seconds)
        await self.liveness.check()
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
        liveness = LivenessMonitor(workers, probe, now=clock)
        try:
            yield House(workers, liveness, clock, tone)
        finally:
            await probe.aclose()


async def test_word_is_probed_at_intervals_without_requests() -> None:
    async with house(ToneSynthesizer()) as quiet:
        assert await quiet.after(QUIET_SECONDS - 1) == 0
        assert await quiet.after(1) == 1
        assert await quiet.after(QUIET_SECONDS - 1) == 0
        assert await quiet.after(1) == 1
        assert quiet.liveness.is_alive


async def test_no_word_is_probed_while_requests_progress() -> None:
    async with house(ToneSynthesizer()) as busy:
        for _ in range(5):
            await busy.says("Dinner is ready.")
            assert await busy.after(QUIET_SECONDS) == 0
        assert await busy.after(QUIET_SECONDS) == 1


async def test_failed_words_in_a_row_end_liveness_until_one_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = True
    tone = ToneSynthesizer(failure=lambda _request, _block: ModelError("broken") if broken else None)
    async with house(tone) as ill:
        for failure in range(MAX_FAILURES):
            assert ill.liveness.is_alive
            assert await ill.after(DOUBT_SECONDS if failure else QUIET_SECONDS) == 1
        assert not ill.liveness.is_alive
        assert "Speech is not possible" in caplog.text
        assert await ill.after(DOUBT_SECONDS - 1) == 0
        broken = False
        assert await ill.after(1) == 1
        assert ill.liveness.is_alive


async def test_unexpected_error_counts_as_a_failed_word(monkeypatch: pytest.MonkeyPatch) -> None:
    tone = ToneSynthesizer()
    async with house(tone) as ill:
        monkeypatch.setattr(tone, "voices", lambda: 1 / 0)
        for _ in range(MAX_FAILURES):
            await ill.after(QUIET_SECONDS)
        assert not ill.liveness.is_alive


async def test_progress_during_a_failed_word_is_enough() -> None:
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
            assert half.liveness.is_alive
        gate.open()


async def test_progress_between_failed_words_is_enough() -> None:
    tone = ToneSynthesizer(failure=lambda asked, _block: ModelError("broken") if asked.text == WORD else None)
    async with house(tone) as half:
        for _ in range(MAX_FAILURES * 2):
            await half.after(QUIET_SECONDS)
            await half.says("Dinner is ready.")
        assert half.liveness.is_alive


async def test_hung_request_is_noticed_soon() -> None:
    gate = Gate()
    tone = ToneSynthesizer(gate=lambda _: gate)
    async with house(tone, limit_seconds=0.02) as hanging:
        async with hanging.workers.synthesize(SynthesisRequest(text="hang", voice=VOICES[0])):
            assert await asyncio.to_thread(tone.journal.wait_for, "begin", "hang")
            for _ in range(MAX_FAILURES):
                assert hanging.liveness.is_alive
                await hanging.after(DOUBT_SECONDS)
            assert not hanging.liveness.is_alive
        gate.open()


async def test_clients_that_do_not_read_leave_it_alive() -> None:
    """All places are taken and nothing is made, but speech is possible: the probe has a place of its own."""
    async with house(ToneSynthesizer()) as full:
        text = "Nobody reads what is made of this sentence, which is rather long."
        async with full.workers.synthesize(SynthesisRequest(text=text, voice=VOICES[0])):
            assert await asyncio.to_thread(full.tone.journal.wait_for, "block", text, times=8)
            for _ in range(MAX_FAILURES + 1):
                await full.after(DOUBT_SECONDS)
            assert full.liveness.is_alive


async def test_overload_that_makes_progress_leaves_it_alive() -> None:
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
                assert crowded.liveness.is_alive
            for _ in range(MAX_FAILURES):
                await crowded.after(DOUBT_SECONDS)
            assert not crowded.liveness.is_alive, "but a crowd for whom nothing is made is one"
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
                return watched.workers.healthy and watched.liveness.is_alive

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
