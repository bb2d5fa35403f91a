"""The pages of the endpoint: metrics, health, readiness. Knows no bytes and no sockets."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from wyoming_pocket_tts.metrics.endpoint import Page
from wyoming_pocket_tts.metrics.exchange import Answer
from wyoming_pocket_tts.metrics.instruments import Instruments
from wyoming_pocket_tts.metrics.probe import Probe

_RETRY: Final = (("Retry-After", "5"),)
_UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE


def pages(instruments: Instruments, probe: Probe, is_healthy: Callable[[], bool]) -> dict[str, Page]:
    """Make the pages, by path.

    Args:
        instruments: what ``/metrics`` shows.
        probe: what ``/ready`` asks.
        is_healthy: whether speech is possible, as far as is known. That the event loop runs is proved by the answer.
    """

    async def metrics() -> Answer:
        return Answer(instruments.exposition(), content_type=instruments.content_type)

    async def health() -> Answer:
        if is_healthy():
            return Answer("ok\n")
        return Answer("Speech is not possible, or nothing listens: the log says more\n", _UNAVAILABLE, headers=_RETRY)

    async def ready() -> Answer:
        found = await probe.ask()
        if found.speaks:
            return Answer(f"{found.text}\n")
        return Answer(f"{found.text}\n", _UNAVAILABLE, headers=_RETRY)

    return {"/metrics": metrics, "/health": health, "/ready": ready}
