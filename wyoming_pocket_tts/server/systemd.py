"""Sd_notify, watchdog."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

_LOGGER = logging.getLogger(__name__)


class SystemdNotifier:
    """Sends state lines to NOTIFY_SOCKET, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self.watchdog_interval_seconds = _ping_interval_seconds(environment) if self._address else None
        """Half of the watchdog's period; None without a watchdog."""
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # noqa: FBT003  (the standard library's signature)

    def send(self, *lines: str) -> None:
        """``KEY=value`` lines, as one message; a failure is only logged."""
        if self._socket is None:
            return
        # A leading @ stands for the zero byte of Linux's abstract sockets.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _LOGGER.warning("Could not send %s to systemd: %s", lines[0], error)

    def ready(self, status: str) -> None:
        """``status`` is shown by ``systemctl status``."""
        self.send("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        self.send("STOPPING=1", "STATUS=Stopping")

    async def keep_alive(self, is_alive: Callable[[], bool]) -> None:
        """Ping the watchdog while ``is_alive``, until cancelled. Runs on the event loop: if that hangs, pings stop."""
        if self.watchdog_interval_seconds is None:
            return
        was_alive = True
        while True:
            alive = is_alive()
            if alive:
                self.send("WATCHDOG=1")
            elif was_alive:
                _LOGGER.error("The service is not well: systemd's watchdog gets no answer until it is")
            was_alive = alive
            await asyncio.sleep(self.watchdog_interval_seconds)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _ping_interval_seconds(environment: Mapping[str, str]) -> float | None:
    period_microseconds = environment.get("WATCHDOG_USEC", "")
    watched_process = environment.get("WATCHDOG_PID", "")
    if not period_microseconds or (watched_process and watched_process != str(os.getpid())):
        return None
    try:
        seconds = int(period_microseconds) / 1_000_000 / 2
    except ValueError:
        _LOGGER.warning("WATCHDOG_USEC is not a number: %r; no watchdog", period_microseconds)
        return None
    return seconds if seconds > 0 else None
