"""The service as a real process, for tests: start it, hear what it tells systemd, stop it. Knows no protocol."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

LIMIT_SECONDS = 30.0
"""Generous: a process imports half a library on a busy machine. Every wait ends with an event long before."""

LONGEST_SOCKET_PATH = 107

_ALONE = {"WYOMING_POCKET_TTS_MODELS_NAMES": "none"}
"""No test waits for a download that it did not ask for."""


class Service:
    """A ``serve`` process that beeps, and the socket on which it reports."""

    def __init__(self, process: asyncio.subprocess.Process, reports: socket.socket) -> None:
        self.process = process
        self._socket = reports
        self._log = asyncio.create_task(self._read_log())
        self._log_lines: list[str] = []
        self._log_grew = asyncio.Condition()

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._log_grew:
                self._log_lines.append(line.decode())
                self._log_grew.notify_all()

    @property
    def log(self) -> str:
        return "".join(self._log_lines)

    async def until_logged(self, text: str, *, times: int = 1, seconds: float = LIMIT_SECONDS) -> None:
        async with asyncio.timeout(seconds), self._log_grew:
            await self._log_grew.wait_for(lambda: self.log.count(text) >= times)

    async def until_reported(self, line: str) -> str:
        """Wait for a message to systemd that holds the line; return the whole message."""
        exited = asyncio.create_task(self.process.wait())
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while True:
                    message = await self._next_report(exited)
                    if line in message.splitlines():
                        return message
        finally:
            exited.cancel()
            await asyncio.gather(exited, return_exceptions=True)

    async def _next_report(self, exited: asyncio.Task[int]) -> str:
        loop = asyncio.get_running_loop()
        receiving = asyncio.create_task(loop.sock_recv(self._socket, 4096))
        await asyncio.wait({receiving, exited}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            # What it sent before it ended is in the socket already.
            await asyncio.wait({receiving}, timeout=0.1)
        if not receiving.done():
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            pytest.fail(f"the service ended with {exited.result()}:\n{self.log}")
        return receiving.result().decode()

    async def uri(self) -> str:
        """Wait until it is ready; return where."""
        message = await self.until_reported("READY=1")
        return message.partition("STATUS=Listening at ")[2].splitlines()[0]

    async def exit_code(self) -> int:
        async with asyncio.timeout(LIMIT_SECONDS):
            code = await self.process.wait()
            await self._log
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return await self.exit_code()


@asynccontextmanager
async def service(
    *options: str,
    tmp_path: Path,
    notify_address: str | None = None,
    through: Sequence[str] = (),
    **environment: str,
) -> AsyncIterator[Service]:
    """Run ``serve`` with a free port on this machine unless told otherwise; kill it at the end if it still runs.

    It speaks with what is embedded alone, unless the environment or options name models. A command to run it through
    must become the service, as ``exec`` does.
    """
    address = notify_address or str(tmp_path / "notify")
    if len(os.fsencode(address)) > LONGEST_SOCKET_PATH:
        address = str(Path(tempfile.mkdtemp(prefix="notify-")) / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reports:
        reports.setblocking(False)
        reports.bind("\0" + address[1:] if address.startswith("@") else address)
        uri = () if "--uri" in options else ("--uri", "tcp://127.0.0.1:0")
        process = await asyncio.create_subprocess_exec(
            *(*through, sys.executable, "-m", "tests.support.tone_app", "serve", *uri, *options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_ALONE, "NOTIFY_SOCKET": address, "XDG_DATA_HOME": str(tmp_path), **environment},
        )
        started = Service(process, reports)
        try:
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            await started.exit_code()
            for pipe in (process.stdin, process.stdout):
                if isinstance(pipe, asyncio.StreamWriter):
                    pipe.close()
