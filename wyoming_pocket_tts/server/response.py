"""One request: segments -> normalised text -> synthesis -> audio events, pauses."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from wyoming.audio import AudioStart, AudioStop
from wyoming.event import Event
from wyoming.tts import SynthesizeStopped

from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import Cancelled, ProtocolError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.events import SPOKEN
from wyoming_pocket_tts.core.types import SynthesisRequest
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.protocol import SAMPLE_BYTES, error_event
from wyoming_pocket_tts.server.request_stats import RequestTimer, segment_text
from wyoming_pocket_tts.server.segments import (
    FindFallback,
    PauseTracker,
    RequestBuilder,
    ResolveVoice,
    SegmentQueue,
)
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import Segment, SegmentReaderFactory
from wyoming_pocket_tts.voices.matching import VoiceMatch

CHUNK_SECONDS: Final = 0.1
"""Longest audio in one ``audio-chunk``."""

_SILENCE_CHUNKS: Final = 5
"""Written at a time; then the client may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What all responses of a connection share."""

    resolve: ResolveVoice
    workers: Scheduler
    limits: LimitSettings
    pieces: SegmentReaderFactory = segment_reader_for
    find_fallback: FindFallback = lambda _: None
    new_timer: Callable[[], RequestTimer] = RequestTimer


class Output(Protocol):
    """A connection as responses use it."""

    is_debug: bool
    """Whether debug lines are written."""

    def send(self, events: Sequence[Event], request: str = "") -> None:
        """Write events that answer a request; does not wait."""

    async def drain(self) -> None:
        """Wait until a slow client has made room."""

    def log(self, level: int, text: str, request: str = "") -> None: ...


class RequestKind(Enum):
    """The event of the request, which decides the closing events."""

    WHOLE = auto()
    """``synthesize``: ends with ``audio-stop``."""
    STREAM = auto()
    """``synthesize-start``: ends with ``audio-stop`` and, once ``synthesize-stop`` came, ``synthesize-stopped``."""
    STRAY_TEXT = auto()
    """``synthesize-chunk`` outside a stream: the client waits for nothing."""
    STRAY_STOP = auto()
    """``synthesize-stop`` outside a stream: ends with ``synthesize-stopped``."""


class ResponseState(Enum):
    """What has been sent."""

    SILENT = auto()
    SOUNDING = auto()
    """``audio-start``."""
    SETTLED = auto()
    """``audio-stop``; a stream may still wait for its ``synthesize-stop``."""
    DONE = auto()


class _Synthesis:
    """The parts of a response that has a voice."""

    def __init__(self, choice: VoiceMatch, context: RequestContext, *, ssml: bool | None) -> None:
        reader = context.pieces(choice.voice.languages[0], ssml=ssml)
        self.segments = SegmentQueue(reader)
        self.builder = RequestBuilder(choice, context.resolve)
        self.pauses = PauseTracker(choice.options.pauses, rate_hz=self.builder.rate_hz)
        self.samples_sent = 0
        self.segments_begun = 0
        self.uses_fallback = False
        self.has_words = False
        self.problem_kinds: dict[str, None] = {}  # problems of the text, in their order

    @property
    def chunk_samples(self) -> int:
        """At most, of one ``audio-chunk``."""
        return max(1, round(CHUNK_SECONDS * self.builder.rate_hz))

    def use_fallback(self, builder: RequestBuilder) -> None:
        self.uses_fallback, self.builder = True, builder
        self.pauses.change_rate(builder.rate_hz)

    def audio_chunks(self, pcm: bytes) -> Iterator[Event]:
        chunk_bytes = SAMPLE_BYTES * self.chunk_samples
        for start in range(0, len(pcm), chunk_bytes):
            audio = pcm[start : start + chunk_bytes]
            format_ = {"rate": self.builder.rate_hz, "width": SAMPLE_BYTES, "channels": 1}
            yield Event("audio-chunk", {**format_, "timestamp": self.milliseconds_sent}, audio)
            self.samples_sent += len(audio) // SAMPLE_BYTES

    @property
    def milliseconds_sent(self) -> int:
        return self.samples_sent * 1_000 // self.builder.rate_hz


class Response:
    """Answers one request: ``run`` in the connection's response task, the other methods from its reader task."""

    def __init__(
        self, kind: RequestKind, context: RequestContext, *, choice: VoiceMatch | None = None, ssml: bool | None = None
    ) -> None:
        """Without a voice the response can only fail. ``ssml``: whether the text is marked up, None: unknown."""
        self.kind = kind
        self.state = ResponseState.SILENT
        self.error: TtsError | None = None
        self.fatal: TtsError | None = None
        """The error that the connection must end with: the engine failed, or a part of the audio was sent."""
        self.is_active = False
        """Whether audio is being made or sent."""
        self._context = context
        self._synthesis = None if choice is None else _Synthesis(choice, context, ssml=ssml)
        self.timer = context.new_timer()
        self._characters = 0
        self._is_text_complete = kind is not RequestKind.STREAM
        self._is_given_up = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None  # while it synthesises

    @property
    def is_over(self) -> bool:
        return self._is_given_up or self.error is not None

    def add_text(self, text: str) -> None:
        """Take text; text beyond the limit makes the response fail."""
        self._characters += len(text)
        if self._characters > self._context.limits.max_text_length:
            most = f"{self._context.limits.max_text_length} characters (server.limits.max_text_length)"
            self.fail(ProtocolError(f"the text is longer than {most}"))
        elif self._synthesis is not None and not self.is_over:
            self._synthesis.segments.add(text)
            self._changed.set()

    def end_text(self) -> None:
        self._is_text_complete = True
        if self._synthesis is not None:
            self._synthesis.segments.is_complete = True
        self._changed.set()

    def fail(self, error: TtsError) -> None:
        """Stop synthesising; the error is sent, then the closing events. The first error counts."""
        if self.error is None:
            self.error = error
            if self.state is ResponseState.SOUNDING:
                self.fatal = error
        self._stop_synthesis()

    def give_up(self, error: TtsError | None = None) -> None:
        """End without waiting for ``synthesize-stop``, which will not come."""
        self._is_given_up = True
        if error is not None:
            self.fail(error)
        self._stop_synthesis()

    async def run(self, output: Output) -> None:
        """Send the answer, up to its last event."""
        if self._synthesis is not None and not self.is_over:
            task = self._task = asyncio.current_task()
            try:
                await self._synthesize(self._synthesis, output)
            except TtsError as error:
                self._task = None
                self.fatal = error
                self.fail(error)
            except asyncio.CancelledError:
                # ``fail`` and ``give_up`` cancel the synthesis alone and forget the task; any other cancellation ends
                # the connection.
                if self._task is not None or task is None or task.uncancel():
                    raise
            finally:
                self._task = None
                self.is_active = False
            self._log_summary(self._synthesis, output)
        output.send(self.due(), self.timer.request)
        while self.state is not ResponseState.DONE:
            self._changed.clear()
            await self._changed.wait()
            output.send(self.due(), self.timer.request)

    def due(self) -> list[Event]:
        """Closing events that can be sent now that nothing is synthesised. Changes the state."""
        events: list[Event] = []
        if self.state in {ResponseState.SILENT, ResponseState.SOUNDING}:
            is_sounding = self.state is ResponseState.SOUNDING
            if self.error is not None:
                events += [error_event(self.error), *self._stop()]
            elif not self._is_given_up:
                assert self._synthesis is not None, "without a voice there is an error"  # noqa: S101  (invariant)
                events += [*self._start(self._synthesis), *self._stop()]
            elif is_sounding:
                events += self._stop()
            self.state = ResponseState.SETTLED
        if self.state is ResponseState.SETTLED and (self._is_text_complete or self._is_given_up):
            self.state = ResponseState.DONE
            if self._is_text_complete and self.kind in {RequestKind.STREAM, RequestKind.STRAY_STOP}:
                events.append(SynthesizeStopped().event())
        return events

    def conclude(self, error: TtsError | None = None) -> None:
        """Report the request as finished. An error that came before the given one counts."""
        error = self.error or error or (Cancelled() if self._is_given_up else None)
        self.timer.finish(
            outcome=SPOKEN if error is None else error.code,
            voice=None if self._synthesis is None else self._synthesis.builder.choice.voice.name,
            characters=self._characters,
        )

    async def _synthesize(self, synthesis: _Synthesis, output: Output) -> None:
        while (segment := await self._next_segment(synthesis.segments)) is not None:
            self.is_active = True
            synthesis.pauses.begin_segment(segment)
            if segment.text.strip():
                await self._synthesize_segment(synthesis, segment, output)
            self.is_active = False
        if self.state is ResponseState.SOUNDING:
            self.is_active = True
            synthesis.pauses.end()
            await self._send_silence(synthesis, output)

    async def _next_segment(self, segments: SegmentQueue) -> Segment | None:
        """The next segment, as soon as its text is there; None at the end of the text."""
        while True:
            if not segments.read_on():
                await asyncio.sleep(0)
            elif segments.has_segment:
                return segments.take()
            elif self._is_text_complete:
                return None
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _synthesize_segment(self, synthesis: _Synthesis, segment: Segment, output: Output) -> None:
        is_first = synthesis.segments_begun == 0
        synthesis.segments_begun += 1
        synthesis.has_words = synthesis.has_words or any(map(str.isalnum, segment.text))
        request = synthesis.builder.build(segment)
        if output.is_debug:  # else at the end, for the summary
            self._log_problems(synthesis, output)
        try:
            await self._send_audio(synthesis, request, output, continues=not is_first)
        except ServerOverloaded:
            fallback = synthesis.builder.with_fallback(self._context.find_fallback) if is_first else None
            if fallback is None or self.state is not ResponseState.SILENT:
                raise
            synthesis.use_fallback(fallback)
            request = fallback.build(segment)
            output.log(logging.WARNING, f"overload: {request.voice.name!r} is used instead", self.timer.request)
            await self._send_audio(synthesis, request, output, continues=False)

    async def _send_audio(
        self, synthesis: _Synthesis, request: SynthesisRequest, output: Output, *, continues: bool
    ) -> None:
        """Synthesise one segment and send its blocks as they come."""
        timer = self.timer
        audio_seconds, waited_seconds = timer.audio_seconds, timer.waited_seconds
        stream = self._context.workers.synthesize(request, continuation=continues, reserve=synthesis.uses_fallback)
        timer.start_waiting()
        try:
            async with stream as blocks:
                async for block in blocks:
                    timer.add_audio(block.size / synthesis.builder.rate_hz)
                    if block.size:
                        synthesis.pauses.begin_sound()
                        if synthesis.pauses.owed_samples:
                            await self._send_silence(synthesis, output)
                        self._send_pcm(synthesis, block.astype("<i2", copy=False).tobytes(), output)
                    await output.drain()
                    timer.start_waiting()
        except TtsError:
            output.log(logging.DEBUG, f"not synthesised: {request.text!r}", timer.request)
            raise
        finally:
            timer.stop_waiting()
        if output.is_debug:
            text = segment_text(timer.audio_seconds - audio_seconds, timer.waited_seconds - waited_seconds)
            output.log(logging.DEBUG, text, timer.request)

    async def _send_silence(self, synthesis: _Synthesis, output: Output) -> None:
        """Send the silence owed, as fast as the client reads."""
        while samples := synthesis.pauses.take(_SILENCE_CHUNKS * synthesis.chunk_samples):
            self.timer.add_silence(samples / synthesis.builder.rate_hz)
            self._send_pcm(synthesis, bytes(SAMPLE_BYTES * samples), output)
            await output.drain()

    def _send_pcm(self, synthesis: _Synthesis, pcm: bytes, output: Output) -> None:
        output.send([*self._start(synthesis), *synthesis.audio_chunks(pcm)], self.timer.request)

    def _start(self, synthesis: _Synthesis) -> list[Event]:
        if self.state is not ResponseState.SILENT:
            return []
        self.state = ResponseState.SOUNDING
        if synthesis.uses_fallback:
            self.timer.fallback_used()  # not before: the fallback may be overloaded as well
        return [AudioStart(rate=synthesis.builder.rate_hz, width=SAMPLE_BYTES, channels=1, timestamp=0).event()]

    def _stop(self) -> list[Event]:
        if self.kind not in {RequestKind.WHOLE, RequestKind.STREAM}:
            return []
        return [AudioStop(timestamp=0 if self._synthesis is None else self._synthesis.milliseconds_sent).event()]

    def _stop_synthesis(self) -> None:
        if self._synthesis is not None:
            self._synthesis.segments.drop()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._changed.set()

    def _log_problems(self, synthesis: _Synthesis, output: Output) -> None:
        """Quotes the text: debug level only; the summary has none of it."""
        for problem in (*synthesis.segments.problems(), *synthesis.builder.warnings()):
            synthesis.problem_kinds[problem.kind] = None
            output.log(logging.DEBUG, problem.what, self.timer.request)

    def _log_summary(self, synthesis: _Synthesis, output: Output) -> None:
        self._log_problems(synthesis, output)
        if synthesis.problem_kinds:
            kinds = ", ".join(synthesis.problem_kinds)
            text = f"not everything that the text asks for can be done ({kinds}); see the log with log.level debug"
            output.log(logging.WARNING, text, self.timer.request)
        if self.state is ResponseState.SILENT and synthesis.has_words and not self.is_over:
            name = synthesis.builder.choice.voice.name
            text = f"the voice {name!r} cannot read this text: no word of it is in its letters"
            output.log(logging.WARNING, text, self.timer.request)
