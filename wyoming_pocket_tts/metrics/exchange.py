"""One HTTP request and its answer, as bytes in and bytes out. Opens no socket and knows no page.

The bytes are h11's business: a small, well-kept parser that does no input or output itself, where a whole HTTP server
would be a hundred times the code for three short answers. One connection carries one request; its body is not read.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import h11

_HEAD_BYTES: Final = 8 * 1024
"""Most of a request's line and headers, which is what proxies send at most too."""
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send."""

    body: str | bytes
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered: GET or HEAD, between which only ``Exchange.answer`` makes a difference."""

    path: str
    """Without the query, as it came: not decoded."""


class Refused(Exception):  # noqa: N818  (named for what happens)
    """Bytes that are no request, or one that nobody here answers."""

    def __init__(self, answer: Answer) -> None:
        """Take what to answer instead."""
        super().__init__(answer.status.phrase)
        self.answer = answer


class Exchange:
    """One connection's request, then its answer."""

    def __init__(self) -> None:
        """Begin with nothing received."""
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._wants_body = True

    def receive(self, data: bytes) -> Asked | None:
        """Take more bytes, none at the stream's end; return the request once it is whole.

        Raises:
            Refused: it will never be one; the answer says why. If the client left before it said anything, there is
                nobody to send it to, which does no harm.
        """
        try:
            self._connection.receive_data(data)
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            raise Refused(Answer(f"{status.phrase}\n", status)) from None
        if event is h11.NEED_DATA:
            return None
        if not isinstance(event, h11.Request):
            raise Refused(Answer("There was no request\n", HTTPStatus.BAD_REQUEST))
        self._wants_body = event.method != b"HEAD"
        if event.method not in {b"GET", b"HEAD"}:
            allow = (("Allow", "GET, HEAD"),)
            raise Refused(Answer("Only GET and HEAD are answered\n", HTTPStatus.METHOD_NOT_ALLOWED, headers=allow))
        return Asked(path=event.target.partition(b"?")[0].decode("ascii"))

    def answer(self, answer: Answer) -> bytes:
        """The answer as it goes to the client, after which the connection is to be closed. Empty if that is gone."""
        if self._connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return b""
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Connection", "close"),
            *answer.headers,
        ]
        head = h11.Response(status_code=answer.status, headers=headers, reason=answer.status.phrase.encode())
        sent = self._connection.send(head) or b""
        if self._wants_body:
            sent += self._connection.send(h11.Data(data=body)) or b""
        return sent + (self._connection.send(h11.EndOfMessage()) or b"")
