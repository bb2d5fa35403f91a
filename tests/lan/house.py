"""A browser at work on the other machine, and what it has seen. Knows no server."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lan.network import Machine

_PROGRAM = Path(__file__).with_name("browser.py")
_SECONDS = 45.0
"""Three times what a change of addresses may take to be noticed, and more."""


@dataclass(frozen=True)
class Found:
    """A server as it was announced, and who answers at each of its addresses."""

    port: int
    txt: dict[str, str]
    answers: dict[str, str]

    @property
    def addresses(self) -> set[str]:
        return set(self.answers)


@dataclass
class Browser:
    """What is there at the moment, by its name."""

    servers: dict[str, Found] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[[dict[str, Found]], bool]) -> dict[str, Found]:
        """Wait until what is there is as it should be; return it."""
        try:
            async with asyncio.timeout(_SECONDS), self.changed:
                await self.changed.wait_for(lambda: condition(self.servers))
        except TimeoutError:
            raise AssertionError(f"after {_SECONDS:g} s the browser sees {self.servers}") from None
        return dict(self.servers)

    async def listen(self, lines: asyncio.StreamReader) -> None:
        """Take in what the program writes, until it ends."""
        async for line in lines:
            said = json.loads(line)
            async with self.changed:
                name = said.pop("name")
                if said.pop("found"):
                    self.servers[name] = Found(**said)
                else:
                    self.servers.pop(name, None)
                self.changed.notify_all()


@asynccontextmanager
async def browsing(machine: Machine, version: int) -> AsyncIterator[Browser]:
    """Look over one family of addresses for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *machine.through,
        sys.executable,
        str(_PROGRAM),
        str(version),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    browser = Browser()
    listening = asyncio.create_task(browser.listen(process.stdout))
    try:
        yield browser
    finally:
        process.stdin.close()
        await listening
        assert await process.wait() == 0
