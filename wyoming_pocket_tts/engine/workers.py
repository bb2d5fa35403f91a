"""Runs synthesis on worker threads for asyncio callers. Knows nothing about sockets or protocols."""

from types import TracebackType
from typing import Self

from wyoming_pocket_tts.speech import Synthesizer


class Workers:
    """Worker threads that speak many streams at once (interface only, for now)."""

    def __init__(
        self,
        synthesizer: Synthesizer,
        *,
        threads: int = 2,
        backlog_blocks: int = 8,
        max_active: int = 32,
        max_waiting: int = 32,
    ) -> None:
        self.synthesizer = synthesizer

    async def start(self) -> None:
        """Start the threads."""
        raise NotImplementedError

    async def aclose(self, deadline_seconds: float = 5.0) -> None:
        """Cancel what runs and join the threads."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
