"""The reader of HTTP requests: what is one, what is none, and nothing that hurts."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.server.http import HttpConnection, HttpError, HttpRequest, HttpResponse

GET = b"GET /metrics?name[]=x HTTP/1.1\r\nHost: house:9100\r\nAccept: */*\r\n\r\n"
MOST_KEPT_BYTES = 16 * 1024


def refusal(data: bytes) -> HttpResponse:
    with pytest.raises(HttpError) as caught:
        HttpConnection().receive(data)
    return caught.value.response


def test_a_request_is_asked_for_its_path_alone() -> None:
    assert HttpConnection().receive(GET) == HttpRequest("/metrics")


@given(st.lists(st.integers(1, len(GET) - 1), max_size=8).map(sorted))
def test_a_request_is_the_same_in_any_pieces(cuts: list[int]) -> None:
    exchange = HttpConnection()
    pieces = [GET[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(GET)], strict=True)]
    found = [exchange.receive(piece) for piece in pieces if piece]
    assert found == [None] * (len(found) - 1) + [HttpRequest("/metrics")]


def test_the_answer_says_how_long_it_is_and_that_it_is_the_last() -> None:
    exchange = HttpConnection()
    exchange.receive(GET)
    head, _, body = exchange.encode(HttpResponse("käse\n", headers=(("Retry-After", "5"),))).partition(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == "HTTP/1.1 200 OK"
    assert {"Content-Length: 6", "Connection: close", "Retry-After: 5"} <= set(headers)
    assert body == "käse\n".encode()


def test_head_is_answered_without_the_body() -> None:
    exchange = HttpConnection()
    assert exchange.receive(GET.replace(b"GET", b"HEAD")) == HttpRequest("/metrics")
    sent = exchange.encode(HttpResponse("12345"))
    assert b"Content-Length: 5\r\n" in sent
    assert sent.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"rubbish\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\x16\x03\x01\x02\x00", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9_000, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (b"GET /" + b"a" * 9_000, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_what_is_no_request_for_us_is_refused(data: bytes, status: HTTPStatus) -> None:
    assert refusal(data).status is status


def test_a_refusal_is_an_answer_too_unless_nobody_is_there() -> None:
    exchange = HttpConnection()
    with pytest.raises(HttpError) as caught:
        exchange.receive(b"rubbish\r\n\r\n")
    assert exchange.encode(caught.value.response).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    gone = HttpConnection()
    with pytest.raises(HttpError) as caught:
        gone.receive(b"")
    assert gone.encode(caught.value.response) == b""


PIECES = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"GET ", b"/metrics", b" HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"\n", b": ", b"\0", b"%2e%2e/"]),
    st.builds(lambda size: b"a" * size, st.integers(0, 9_000)),
)


@given(st.lists(PIECES, max_size=30))
def test_whatever_comes_ends_in_a_request_or_a_refusal_within_bounds(pieces: list[bytes]) -> None:
    exchange, kept = HttpConnection(), 0
    try:
        for piece in [*pieces, b""]:
            asked = exchange.receive(piece)
            kept += len(piece)
            if asked is not None:
                assert exchange.encode(HttpResponse("ok")).startswith(b"HTTP/1.1 200 OK\r\n")
                return
            assert kept <= MOST_KEPT_BYTES
    except HttpError as refused:
        sent = exchange.encode(refused.response)
        assert not sent or sent.startswith(b"HTTP/1.1 ")
        return
    pytest.fail("it neither asked nor was refused")
