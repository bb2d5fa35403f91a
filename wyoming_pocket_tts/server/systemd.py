"""Sd_notify, watchdog."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping

_LOGGER = logging.getLogger(__name__)


class SystemdNotifier:
    """Sends state lines to the socket that NOTIFY_SOCKET names. The caller closes it."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Read where to send and how often the watchdog wants a ping; a wrong value is logged and ignored."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        self.watchdog_interval_seconds = _ping_interval_seconds(environment) if self._address else None
        """Half of what systemd allows between two pings, or None when it does not watch this process."""
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # noqa: FBT003  (the standard library's signature)

    def send(self, *lines: str) -> None:
        """Send ``KEY=value`` lines as one message; a failure is only logged."""
        if self._socket is None:
            return
        # A leading @ stands for the zero byte of Linux's abstract sockets.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _LOGGER.warning("Could not tell systemd %s: %s", lines[0], error)

    def ready(self, status: str) -> None:
        """The service is up; ``status`` is for ``systemctl status``."""
        self.send("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        self.send("STOPPING=1", "STATUS=Stopping")

    async def keep_alive(self, is_alive: Callable[[], bool]) -> None:
        """Ping the watchdog for ever while ``is_alive``; cancel it to end. Returns at once without a watchdog.

        It runs on the event loop on purpose: a loop that hangs misses its pings, and systemd restarts the service.
        """
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
        """Close the socket; later messages go nowhere."""
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
