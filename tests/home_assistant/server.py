"""Runs our server as a process of its own, in an environment of its own. Knows nothing about Home Assistant.

``WYOMING_POCKET_TTS_PYTHON`` names the interpreter that has our package (default: this one);
``WYOMING_POCKET_TTS_SERVE`` holds further arguments for ``serve``, split like a shell would.
"""

import asyncio
import os
import shlex
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info, TtsProgram

_PYTHON = "WYOMING_POCKET_TTS_PYTHON"
_SERVE = "WYOMING_POCKET_TTS_SERVE"
_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0
_REPOSITORY = Path(__file__).parents[2]


async def describe(port: int) -> TtsProgram:
    """Ask the server what it offers.

    Raises:
        OSError: nobody listens, or the connection ended without an answer.
    """
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        while (event := await client.read_event()) is not None:
            if Info.is_type(event.type):
                return Info.from_event(event).tts[0]
    raise ConnectionError("the server closed without an answer")


@dataclass
class SpeechServer:
    """One server on one port, which can be stopped and started again. ``stop`` before letting go."""

    port: int
    data_dir: Path
    host: str = "127.0.0.1"
    arguments: tuple[str, ...] = ()
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def log(self) -> str:
        """Everything that it has written so far, over all starts."""
        return self._log_file.read_text(encoding="utf-8") if self._log_file.exists() else ""

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the running process and its threads have used."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def start(self) -> None:
        """Return once it answers ``describe``."""
        environment = dict(os.environ)
        python = environment.pop(_PYTHON, sys.executable)  # popped: the server looks for its settings in there
        further = shlex.split(environment.pop(_SERVE, ""))
        uri = f"tcp://{self.host}:{self.port}"
        command = ["-m", "wyoming_pocket_tts", "serve", "--uri", uri, "--data-dir", str(self.data_dir), "--debug"]
        environment.setdefault("WYOMING_POCKET_TTS_MODELS_NAMES", "none")  # no test waits for a download
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                python, *command, *further, *self.arguments, stdout=log, stderr=log, cwd=_REPOSITORY, env=environment
            )
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._answering()
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"the server did not get ready:\n{self.log[-4000:]}") from None

    async def stop(self) -> int:
        """Ask it to end, as systemd or Docker would, and return its exit status."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"the server did not end when asked to:\n{self.log[-4000:]}") from None

    async def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def _log_file(self) -> Path:
        return self.data_dir / "server.log"

    async def _answering(self) -> None:
        assert self._process is not None
        while True:
            if self._process.returncode is not None:
                raise AssertionError(f"the server ended with status {self._process.returncode}:\n{self.log[-4000:]}")
            try:
                await describe(self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return
