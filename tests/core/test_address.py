"""URIs, the right ones and the wrong ones."""

from pathlib import Path

import pytest

from wyoming_pocket_tts.core.address import Address, StdioAddress, TcpAddress, UnixAddress, parse_uri
from wyoming_pocket_tts.core.errors import ConfigError


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("tcp://0.0.0.0:10201", TcpAddress("0.0.0.0", 10201)),
        ("tcp://[::]:0", TcpAddress("::", 0)),
        ("tcp://:10200", TcpAddress("", 10200)),
        ("unix:///run/tts.sock", UnixAddress(Path("/run/tts.sock"))),
        ("stdio://", StdioAddress()),
    ],
)
def test_a_uri_and_its_address_are_the_same(uri: str, address: Address) -> None:
    assert parse_uri(uri) == address
    assert str(address) == uri


def test_the_port_has_a_default() -> None:
    assert str(parse_uri("tcp://example")) == "tcp://example:10200"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "0.0.0.0:10200",
        "http://x:1",
        "tcp:/x",
        "tcp://x:port",
        "tcp://x:65536",
        "tcp://x:1/path",
        "tcp://me@x:1",
        "tcp://[::",
        "unix://",
        "unix://relative.sock",
        "unix:///" + "x" * 107,
        "stdio://x",
        "stdio:",
    ],
)
def test_other_uris_are_refused_by_name(uri: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_uri(uri)
    assert f"'{uri}'" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("", False), ("tts.local", False)],
)
def test_loopback_is_recognised(host: str, expected: bool) -> None:
    assert TcpAddress(host, 1).is_loopback is expected
