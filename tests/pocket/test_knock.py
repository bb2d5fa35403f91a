"""Whether a server can be reached, asked on this machine alone."""

import socket

import pytest

from wyoming_pocket_tts.pocket.hub import check_reachable


def test_a_server_that_listens_can_be_reached_by_any_of_its_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_reachable(f"http://localhost:{server.getsockname()[1]}/some/file")


def test_nobody_there_is_told_with_the_system_s_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        check_reachable(f"http://127.0.0.1:{port}")


def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(socket.gaierror):
        check_reachable("https://nowhere.invalid/file")


def test_a_proxy_makes_the_connection_and_the_name_may_be_unknown_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    check_reachable("https://nowhere.invalid/file")
    monkeypatch.setenv("no_proxy", "nowhere.invalid")
    with pytest.raises(socket.gaierror):
        check_reachable("https://nowhere.invalid/file")
