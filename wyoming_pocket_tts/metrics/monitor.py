"""All that watches a service, as one thing to open and close: the request log and, if wanted, the endpoint.

Without a port nothing of Prometheus's library is loaded, and nothing listens.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from wyoming_pocket_tts.engine.observer import Observer, Several
from wyoming_pocket_tts.engine.workers import Workers
from wyoming_pocket_tts.metrics.state import WatchState
from wyoming_pocket_tts.serving.request_log import RequestLog

if TYPE_CHECKING:
    from wyoming_pocket_tts.metrics.endpoint import Endpoint
    from wyoming_pocket_tts.metrics.instruments import Instruments
    from wyoming_pocket_tts.metrics.probe import Probe

_LOGGER = logging.getLogger(__name__)


class Monitor:
    """Hears what happens from the beginning, and answers about it once it is started."""

    def __init__(self, *, port: int | None, host: str = "127.0.0.1") -> None:
        """Take where to answer: port None for nowhere, 0 for any that is free."""
        self._host = host
        self._port = port
        self._instruments = _instruments() if port is not None else None
        self._endpoint: Endpoint | None = None
        self._probe: Probe | None = None
        self.observer: Observer = RequestLog()
        """For workers and servers."""
        if self._instruments is not None:
            self.observer = Several([self.observer, self._instruments])

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it answers, as ``http://host:port``; empty unless it does."""
        return () if self._endpoint is None else self._endpoint.addresses

    async def start(self, workers: Workers, *, state: WatchState, is_healthy: Callable[[], bool]) -> None:
        """Answer from now on.

        Args:
            workers: speak for ``/ready``.
            state: tells what is at the moment, for ``/metrics``.
            is_healthy: whether the service can do its work, for ``/health``.

        Raises:
            ConfigError: the port cannot be listened on.
        """
        if self._instruments is None or self._port is None:
            return
        from wyoming_pocket_tts.metrics.endpoint import Endpoint  # noqa: PLC0415  (h11, for those who want it)
        from wyoming_pocket_tts.metrics.pages import pages  # noqa: PLC0415  (prometheus_client)
        from wyoming_pocket_tts.metrics.probe import Probe  # noqa: PLC0415

        self._instruments.watch(state)
        self._probe = Probe(workers)
        self._endpoint = Endpoint(pages(self._instruments, self._probe, is_healthy), host=self._host, port=self._port)
        await self._endpoint.start()
        _LOGGER.info("Metrics at %s/metrics", self._endpoint.addresses[0])

    async def aclose(self) -> None:
        """Answer no more. May be called more than once, and without a start."""
        if self._endpoint is not None:
            await self._endpoint.aclose()
        if self._probe is not None:
            await self._probe.aclose()


def _instruments() -> "Instruments":
    from wyoming_pocket_tts.metrics.instruments import Instruments  # noqa: PLC0415  (prometheus_client: three megabytes)

    return Instruments()
