"""One request: segments -> normalised text -> synthesis -> audio events, pauses."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from wyoming.audio import AudioStop
from wyoming.event import Event
from wyoming.tts import SynthesizeStopped

from wyoming_pocket_tts.config.schema import LimitSettings
from wyoming_pocket_tts.core.errors import Cancelled, ProtocolError, ServerOverloaded, TtsError
from wyoming_pocket_tts.core.events import SPOKEN
from wyoming_pocket_tts.core.types import (
    Pcm,
    SynthesisOptions,
    SynthesisRequest,
    TextOptions,
)
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.protocol import SAMPLE_BYTES, AudioEventEncoder, error_event
from wyoming_pocket_tts.server.request_stats import RequestTimer, segment_text
from wyoming_pocket_tts.server.segments import (
    FindFallback,
    PauseTracker,
    RequestBuilder,
    ResolveVoice,
    SegmentQueue,
    primary_language,
)
from wyoming_pocket_tts.text.reader import segment_reader_for
from wyoming_pocket_tts.text.segments import Segment, SegmentReaderFactory
from wyoming_pocket_tts.voices.matching import VoiceMatch

CHUNK_SECONDS: Final = 0.1
"""Longest audio in one ``audio-chunk``."""

_SILENCE_CHUNKS: Final = 5
"""Silence is written so many chunks at a time, and then the client may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """What the requests of a connection are answered with."""

    resolve: ResolveVoice
    workers: Scheduler
    limits: LimitSettings
    pieces: SegmentReaderFactory = segment_reader_for
    find_fallback: FindFallback = lambda _: None
    new_timer: Callable[[], RequestTimer] = RequestTimer


class Output(Protocol):
    """A connection as responses use it."""

    def send(self, events: Sequence[Event], request: str = "") -> None:
        """Write events that answer a request; does not wait."""
        ...

    async def drain(self) -> None:
        """Wait until a slow client has made room."""
        ...

    def log(self, level: int, text: str, request: str = "") -> None: ...


class RequestKind(Enum):
    """What the client asked with, which decides what it waits for."""

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
        self.builder = RequestBuilder(choice, context.resolve)
        self.segments = SegmentQueue(context.pieces(primary_language(choice.voice.languages[0]), ssml=ssml))
        self.pauses = PauseTracker(choice.manner.pauses, rate_hz=self.builder.rate_hz)
        self.audio = AudioEventEncoder(rate_hz=self.builder.rate_hz, chunk_seconds=CHUNK_SECONDS)
        self.segments_begun = 0
        self.uses_fallback = False
        self.has_words = False
        self.failed_wishes: dict[str, None] = {}  # kinds of what the text asked for in vain, in their order

    def use_fallback(self, builder: RequestBuilder) -> None:
        self.uses_fallback, self.builder = True, builder
        self.pauses.change_rate(builder.rate_hz)
        self.audio = AudioEventEncoder(rate_hz=builder.rate_hz, chunk_seconds=CHUNK_SECONDS)


class Response:
    """Answers one request: ``run`` in the connection's response task, the other methods from its reader task."""

    def __init__(
        self, kind: RequestKind, context: RequestContext, *, choice: VoiceMatch | None = None, ssml: bool | None = None
    ) -> None:
        """Without a voice the response can only fail. ``ssml`` says whether the text is marked up, None: unknown."""
        self.kind = kind
        self.timer = context.new_timer()
        self.state = ResponseState.SILENT
        self.error: TtsError | None = None
        self.fatal: TtsError | None = None
        """The error, if the connection must end with it: the engine failed, or a part of the audio was sent."""
        self.is_active = False
        """Whether audio is being made or sent."""
        self._context = context
        self._synthesis = None if choice is None else _Synthesis(choice, context, ssml=ssml)
        self._characters = 0
        self._is_text_complete = kind is not RequestKind.STREAM
        self._is_given_up = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None  # while it synthesises

    @property
    def is_over(self) -> bool:
        """Nothing more is to be synthesised."""
        return self._is_given_up or self.error is not None

    def add_text(self, text: str) -> None:
        """Take text; text beyond the limit makes the response fail."""
        self._characters += len(text)
        if self._characters > self._context.limits.text_characters:
            most = f"{self._context.limits.text_characters} characters (server.limits.text_characters)"
            self.fail(ProtocolError(f"the text is longer than {most}"))
        elif self._synthesis is not None and not self.is_over:
            self._synthesis.segments.add(text)
            self._changed.set()

    def end_text(self) -> None:
        """No more text will come."""
        self._is_text_complete = True
        if self._synthesis is not None:
            self._synthesis.segments.end()
        self._changed.set()

    def fail(self, error: TtsError) -> None:
        """Stop synthesising: the error is due, then what is owed. The first error counts."""
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
        """Events that can be sent now that nothing is synthesised any more. Moves the state."""
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
        self._log_problems(synthesis, output)
        try:
            await self._send_audio(synthesis, request, output, continues=not is_first)
        except ServerOverloaded:
            fallback = synthesis.builder.with_fallback(self._context.find_fallback) if is_first else None
            if fallback is None or self.state is not ResponseState.SILENT:
                raise
            synthesis.use_fallback(fallback)
            request = fallback.build(segment)
            text = f"too much is asked for at once: {request.voice.name!r} speaks instead"
            output.log(logging.WARNING, text, self.timer.request)
            await self._send_audio(synthesis, request, output, continues=False)

    async def _send_audio(
        self, synthesis: _Synthesis, request: SynthesisRequest, output: Output, *, continues: bool
    ) -> None:
        """Synthesise one segment and send its blocks as they come: the one place that uses the engine."""
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
            output.log(logging.DEBUG, f"{request.text!r} was not spoken", timer.request)
            raise
        finally:
            timer.stop_waiting()
        text = segment_text(timer.audio_seconds - audio_seconds, timer.waited_seconds - waited_seconds)
        output.log(logging.DEBUG, text, timer.request)

    async def _send_silence(self, synthesis: _Synthesis, output: Output) -> None:
        """Send the silence that is owed, as fast as the client reads."""
        while samples := synthesis.pauses.take(_SILENCE_CHUNKS * synthesis.audio.chunk_samples):
            self.timer.add_silence(samples / synthesis.audio.rate_hz)
            self._send_pcm(synthesis, bytes(SAMPLE_BYTES * samples), output)
            await output.drain()

    def _send_pcm(self, synthesis: _Synthesis, pcm: bytes, output: Output) -> None:
        output.send([*self._start(synthesis), *synthesis.audio.chunks(pcm)], self.timer.request)

    def _start(self, synthesis: _Synthesis) -> list[Event]:
        if self.state is not ResponseState.SILENT:
            return []
        self.state = ResponseState.SOUNDING
        if synthesis.uses_fallback:
            self.timer.fallback_used()  # not before: the fallback may be overloaded as well
        return [synthesis.audio.start()]

    def _stop(self) -> list[Event]:
        if self.kind not in {RequestKind.WHOLE, RequestKind.STREAM}:
            return []
        return [AudioStop(timestamp=0).event() if self._synthesis is None else self._synthesis.audio.stop()]

    def _stop_synthesis(self) -> None:
        if self._synthesis is not None:
            self._synthesis.segments.drop()
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._changed.set()

    def _log_problems(self, synthesis: _Synthesis, output: Output) -> None:
        """Log in the text's own words, which are for the debug log alone; the summary is for everything else."""
        for problem in (*synthesis.segments.problems(), *synthesis.builder.warnings()):
            synthesis.failed_wishes[problem.kind] = None
            output.log(logging.DEBUG, problem.what, self.timer.request)

    def _log_summary(self, synthesis: _Synthesis, output: Output) -> None:
        self._log_problems(synthesis, output)
        if synthesis.failed_wishes:
            kinds = ", ".join(synthesis.failed_wishes)
            text = f"not everything that the text asks for can be done ({kinds}); log.level debug says what"
            output.log(logging.WARNING, text, self.timer.request)
        if self.state is ResponseState.SILENT and synthesis.has_words and not self.is_over:
            name = synthesis.builder.choice.voice.name
            text = f"the voice {name!r} can say nothing of this text: it has no word in its letters"
            output.log(logging.WARNING, text, self.timer.request)


_LOGGER = logging.getLogger(__name__)

Read = Callable[[str, str, TextOptions], str]
Shape = Callable[[Iterator[Pcm], int, SynthesisOptions], Iterator[Pcm]]
