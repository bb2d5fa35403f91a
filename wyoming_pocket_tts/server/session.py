"""Conversation: request queue, stream state, errors."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from wyoming.event import Event
from wyoming.ping import Pong

from wyoming_pocket_tts.core.errors import Cancelled, ProtocolError, ServerOverloaded, TtsError, quote_untrusted
from wyoming_pocket_tts.core.logging import request_id
from wyoming_pocket_tts.server.protocol import PROGRAM, error_event, request_is_ssml, request_text, request_voice
from wyoming_pocket_tts.server.request_stats import voice_choice_text
from wyoming_pocket_tts.server.response import Output, RequestContext, RequestKind, Response


class Session:
    """Owns the responses of a connection."""

    def __init__(
        self, output: Output, context: RequestContext, *, info: Callable[[], Event], program: str = PROGRAM
    ) -> None:
        """``info`` makes the answer to ``describe``; ``program`` is the name in it."""
        self._output = output
        self._context = context
        self._info = info
        self._program = program
        self._queue: deque[Response] = deque()
        self._stream: Response | None = None
        """Between ``synthesize-start`` and ``synthesize-stop``."""
        self._refusal: TtsError | None = None
        """Answers further requests; then the connection closes."""
        self._has_input_ended = False
        self._is_closed = False
        self._changed = asyncio.Event()

    @property
    def is_active(self) -> bool:
        """Whether audio is being made or sent."""
        return bool(self._queue) and self._queue[0].is_active

    async def run(self) -> None:
        """Answer requests until none is left and no more can come; then the connection is to be closed."""
        while not self._is_closed and (self._queue or not (self._has_input_ended or self._refusal)):
            if not self._queue:
                self._changed.clear()
                await self._changed.wait()
                continue
            response = self._queue[0]
            request_id.set(response.timer.request)
            await response.run(self._output)
            request_id.set("")
            if not self._is_closed:
                self._refusal = self._refusal or response.fatal
                self._queue.popleft().conclude()
        self._is_closed = True

    def receive(self, event: Event) -> None:
        if self._has_input_ended or self._is_closed:
            return
        match event.type:
            case "describe":
                self._output.send([self._info()])
            case "ping":
                text = event.data.get("text")
                self._output.send([Pong(text=text if isinstance(text, str) else None).event()])
            case "select-program":  # there is one; a wrong name must not keep a client from being answered
                if event.data.get("name") != self._program:
                    name = quote_untrusted(event.data.get("name"))
                    self._output.log(logging.WARNING, f"there is no program {name}; {self._program!r} answers")
            case "synthesize":
                self._synthesize(event.data)
            case "synthesize-start":
                self._start_stream(event.data)
            case "synthesize-chunk":
                self._add_to_stream(event.data)
            case "synthesize-stop":
                self._stop_stream()
            case _:
                self._output.log(logging.DEBUG, f"ignored an event of type {quote_untrusted(event.type)}")

    def end_input(self) -> None:
        """The client closed its side; complete requests are still answered."""
        if self._stream is not None:
            self._stream.give_up(ProtocolError("the connection ended before synthesize-stop"))
            self._stream = None
        self._has_input_ended = True
        self._changed.set()

    def refuse(self, error: TtsError) -> None:
        """Answer the requests so far, refuse others, then end ``run``."""
        self._refusal = self._refusal or error
        self._changed.set()

    def abort(self, error: TtsError) -> None:
        """Send the error and the closing events due, and end ``run``."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._queue:
            response = self._queue[0]
            response.give_up(error)
            self._output.send(response.due(), response.timer.request)
            self._conclude_all(error)
        else:
            self._output.send([error_event(error)])
        self._changed.set()

    def abandon(self) -> None:
        """The connection is closed: open requests end unanswered."""
        self._is_closed = True
        self._conclude_all(Cancelled("the client is gone"))

    def _synthesize(self, data: dict[str, Any]) -> None:
        if self._stream is not None:
            return  # the whole text once more, for servers that cannot stream
        response = self._new_response(RequestKind.WHOLE, data)
        try:
            text = request_text(data)
        except ProtocolError as error:
            response.fail(error)
        else:
            if not text.strip():
                response.fail(ProtocolError("there is no text"))
            response.end_text()
            response.add_text(text)
        self._enqueue(response)

    def _start_stream(self, data: dict[str, Any]) -> None:
        if self._stream is not None:
            self._output.log(logging.WARNING, "synthesize-start within a stream: the stream begins anew")
            self._stream.give_up()
        self._stream = self._new_response(RequestKind.STREAM, data)
        self._enqueue(self._stream)

    def _add_to_stream(self, data: dict[str, Any]) -> None:
        if self._stream is None:
            error = ProtocolError("synthesize-chunk without synthesize-start: the text is dropped")
            self._enqueue(self._failed(RequestKind.STRAY_TEXT, error))
            return
        try:
            self._stream.add_text(request_text(data))
        except ProtocolError as error:
            self._stream.fail(error)

    def _stop_stream(self) -> None:
        if self._stream is None:
            error = ProtocolError("synthesize-stop without synthesize-start")
            self._enqueue(self._failed(RequestKind.STRAY_STOP, error))
            return
        self._stream.end_text()
        self._stream = None

    def _new_response(self, kind: RequestKind, data: dict[str, Any]) -> Response:
        """A response with the client's voice, or one that has failed."""
        if self._current_refusal is not None:
            return self._failed(kind, self._current_refusal)
        try:
            ssml = request_is_ssml(data)
            asked = request_voice(data)
            choice = self._context.resolve(**asked)
        except TtsError as error:
            return self._failed(kind, error)
        response = Response(kind, self._context, choice=choice, ssml=ssml)
        if self._output.is_debug:
            self._output.log(logging.DEBUG, voice_choice_text(choice, asked, ssml=ssml), response.timer.request)
        for warning in choice.warnings:
            self._output.log(logging.WARNING, warning, response.timer.request)
        return response

    def _failed(self, kind: RequestKind, error: TtsError) -> Response:
        response = Response(kind, self._context)
        response.fail(self._current_refusal or error)
        return response

    @property
    def _current_refusal(self) -> TtsError | None:
        return self._refusal or (self._queue[0].fatal if self._queue else None)

    def _enqueue(self, response: Response) -> None:
        most = self._context.limits.max_queued_requests
        if len(self._queue) <= most:  # the first of them is not waiting
            self._queue.append(response)
        else:
            error = ServerOverloaded(
                f"more than {most} requests wait on this connection (server.limits.max_queued_requests)"
            )
            response.fail(error)
            response.conclude()
            self._refusal = self._refusal or error
            self._output.send([error_event(error)], response.timer.request)
        self._changed.set()

    def _conclude_all(self, error: TtsError) -> None:
        while self._queue:
            self._queue.popleft().conclude(error)
