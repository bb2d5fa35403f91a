"""What systemd hears, over a real datagram socket."""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wyoming_pocket_tts.server.app import SystemdNotifier


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        receiver.bind(str(tmp_path / "notify"))
        yield receiver


async def heard(systemd: socket.socket) -> str:
    async with asyncio.timeout(10):
        return (await asyncio.get_running_loop().sock_recv(systemd, 4096)).decode()


async def test_states_are_sent_with_a_status(systemd: socket.socket) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(systemd.getsockname())})
    notifier.ready("Speaking")
    notifier.stopping()
    notifier.close()
    assert await heard(systemd) == "READY=1\nSTATUS=Speaking"
    assert await heard(systemd) == "STOPPING=1\nSTATUS=Stopping"


async def test_the_watchdog_is_fed_only_while_all_is_well(
    systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(systemd.getsockname()), "WATCHDOG_USEC": "20000"})
    assert notifier.watchdog_interval_seconds == 0.01
    asked = 0
    asked_often = asyncio.Event()

    def is_alive() -> bool:
        nonlocal asked
        asked += 1
        if asked == 10:
            asked_often.set()
        return asked <= 2

    feeding = asyncio.create_task(notifier.keep_alive(is_alive))
    async with asyncio.timeout(10):
        await asked_often.wait()
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    notifier.close()
    assert [await heard(systemd), await heard(systemd)] == ["WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        systemd.recv(4096)
    assert caplog.text.count("not well") == 1


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ],
)
async def test_no_ping_is_sent_without_a_watchdog(environment: dict[str, str]) -> None:
    notifier = SystemdNotifier(environment)
    assert notifier.watchdog_interval_seconds is None
    async with asyncio.timeout(10):
        await notifier.keep_alive(lambda: True)
    notifier.close()


def test_missing_socket_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = SystemdNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        notifier.ready("Speaking")
    notifier.close()
    notifier.stopping()
    assert caplog.text.count("Could not send") == 1
