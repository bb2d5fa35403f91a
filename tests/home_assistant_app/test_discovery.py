"""Discovery through the Supervisor: requests, retries, refusals."""

import logging
import socket
import threading

import pytest

from tests.home_assistant_app.supervisor import LIMIT_SECONDS, supervisor
from wyoming_pocket_tts.home_assistant.app import SupervisorDiscovery

URI = "tcp://local-wyoming-pocket-tts:10200"
SAID = ("/discovery", "Bearer secret", {"service": "wyoming", "config": {"uri": URI}})


def discovery(url: str) -> SupervisorDiscovery:
    return SupervisorDiscovery(URI, "secret", supervisor=url, first_pause_seconds=0.001)


def test_it_is_said_once_and_only_when_it_is_started(caplog: pytest.LogCaptureFixture) -> None:
    with supervisor() as running, caplog.at_level(logging.INFO):
        announcing = discovery(running.url)
        assert running.is_quiet
        announcing.start()
        assert running.next() == SAID
        announcing.close()
        assert running.is_quiet
    assert "has been told" in caplog.text
    assert "secret" not in caplog.text


def test_a_supervisor_that_is_not_well_is_asked_again() -> None:
    with supervisor(502, 429, 200) as running:
        announcing = discovery(running.url)
        announcing.start()
        assert [running.next() for _ in range(3)] == [SAID] * 3
        announcing.close()
        assert running.is_quiet


def test_a_refusal_is_final_and_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    with supervisor(403) as running:
        announcing = discovery(running.url)
        announcing.start()
        assert running.next() == SAID
        for thread in threading.enumerate():
            if thread.name == "supervisor-discovery":
                thread.join(LIMIT_SECONDS)
                assert not thread.is_alive()
        announcing.close()
        assert running.is_quiet
    assert f"add it by hand: Wyoming Protocol, {URI}" in caplog.text


def test_an_answer_that_is_none_is_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:
        odd.settimeout(LIMIT_SECONDS)
        announcing = discovery(f"http://127.0.0.1:{odd.getsockname()[1]}")
        announcing.start()
        for _ in range(2):
            connection, _ = odd.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"\x00 nonsense\r\n\r\n")
        announcing.stop()
    announcing.close()
    assert "does not answer" in caplog.text


def test_without_a_supervisor_it_ends_when_it_is_told_to(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    announcing = SupervisorDiscovery(URI, "secret", supervisor=url, first_pause_seconds=3600)
    announcing.start()
    announcing.stop()
    announcing.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "supervisor-discovery"]


def test_one_that_never_started_closes() -> None:
    discovery("http://127.0.0.1:1").close()
