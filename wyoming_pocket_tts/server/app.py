"""Build everything, signals, start, shutdown."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.config.schema import Limits, LimitSettings, Settings
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.system import configure_malloc
from wyoming_pocket_tts.core.types import Voice
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.components import Components
from wyoming_pocket_tts.server.discovery import ZeroconfAnnouncer, reachable_addresses, stable_name
from wyoming_pocket_tts.server.health import LivenessMonitor, ReadinessProbe
from wyoming_pocket_tts.server.http import MonitoringServer
from wyoming_pocket_tts.server.metrics import ServerSnapshot
from wyoming_pocket_tts.server.protocol import PROGRAM
from wyoming_pocket_tts.server.server import ListenEndpoint, Server
from wyoming_pocket_tts.server.systemd import SystemdNotifier
from wyoming_pocket_tts.voices.catalog import FallbackVoices, Satellite, VoiceCatalog
from wyoming_pocket_tts.voices.matching import VoiceMatch

_PROBE_SECONDS = 20.0
"""For a word, before it counts as not spoken: on a small machine in a crowd it takes a while."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What an operator stops the service with."""

_JSON_BYTES_PER_CHARACTER = 13
"""At most: two escapes like ``\\ud83d``, and some room around the text."""

_LOGGER = logging.getLogger(__name__)


class ShutdownSignals:
    """What the operator's signals ask for: first to stop, then to hurry."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()

    def take(self, received: signal.Signals) -> None:
        """Note one signal."""
        if self.stop.is_set():
            _LOGGER.info("%s again: stopping at once", received.name)
            self.hurry.set()
        else:
            _LOGGER.info("%s: stopping", received.name)
            self.stop.set()


@contextmanager
def _orders_by_signal(*, ends_process: bool) -> Iterator[ShutdownSignals]:
    """Take the signals. Not by the loop's own handlers: where it removes one the system's takes over, which kills."""
    orders = ShutdownSignals()
    loop = asyncio.get_running_loop()

    def take(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(orders.take, signal.Signals(number))

    before = {number: signal.signal(number, take) for number in _SIGNALS}
    try:
        yield orders
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ends_process else handler)


async def run_service(load: Callable[[], Components], settings: Settings, *, ends_process: bool = False) -> None:
    """Serve until SIGTERM or SIGINT comes, or until the client on standard input leaves.

    ``load`` makes what speaks, on a thread of its own. Models that are not there yet are brought while it serves.
    ``ends_process`` says that the process ends with it: then another signal cannot make a failure of that.

    Raises:
        ConfigError: the address cannot be listened on.
        ModelError: the synthesizer cannot be loaded.
    """
    configure_malloc()
    notifier = SystemdNotifier()
    try:
        with _orders_by_signal(ends_process=ends_process) as orders:
            ensemble = await asyncio.to_thread(load)
            if not orders.stop.is_set():
                await _serve(ensemble, settings, notifier, orders)
    finally:
        notifier.close()


async def _serve(ensemble: Components, settings: Settings, notifier: SystemdNotifier, orders: ShutdownSignals) -> None:
    monitor = MonitoringServer(port=settings.metrics.port, host=settings.metrics.host)
    ensemble.observe(monitor.observer)
    limits = _limits(settings.server.limits)
    async with _workers(ensemble, limits, settings, monitor) as workers:
        doors = _doors(ensemble.cast, settings)
        stand_in = FallbackVoices(ensemble.cast, ensemble.embedded).find if _stands_in(settings) else _nobody
        server = Server(workers, doors=doors, limits=limits, stand_in=stand_in, observer=monitor.observer)
        pulse = _pulse(workers, ensemble)

        def is_healthy() -> bool:
            return workers.healthy and bool(server.addresses) and pulse.beats

        await server.start()
        watching = [asyncio.create_task(notifier.keep_alive(is_healthy), name="watchdog")]
        if notifier.watchdog_interval_seconds is not None or settings.metrics.port is not None:  # somebody asks for it
            watching.append(asyncio.create_task(pulse.run(), name="pulse"))
        try:
            await monitor.start(workers, state=lambda: _state(ensemble, workers, server), is_healthy=is_healthy)
            _tell_how_to_reach(server.addresses, announced=doors[0].announcer is not None)
            notifier.ready(f"Speaking at {', '.join(server.addresses)}")
            for helper in ensemble.helpers:
                helper.start()
            await server.serve_until(orders.stop)
        finally:
            notifier.stopping()
            for task in watching:
                task.cancel()
            for helper in ensemble.helpers:
                helper.stop()
            await _close(server, orders, settings.server.shutdown_seconds)
            await monitor.aclose()
            for helper in ensemble.helpers:
                await asyncio.to_thread(helper.close)
            await asyncio.gather(*watching, return_exceptions=True)
    _LOGGER.info("Stopped")


def _workers(ensemble: Components, limits: Limits, settings: Settings, monitor: MonitoringServer) -> Scheduler:
    return Scheduler(
        ensemble.synthesizer,
        max_active=limits.active_streams,
        max_waiting=limits.waiting_streams,
        queue_seconds=limits.queue_seconds,
        real_time=settings.server.limits.real_time,
        observer=monitor.observer,
    )


def _pulse(workers: Scheduler, ensemble: Components) -> LivenessMonitor:
    """Where the default voice does not speak, the embedded one may: then speech is possible."""
    embedded = ensemble.embedded[0] if ensemble.embedded else None
    return LivenessMonitor(
        workers, ReadinessProbe(workers, otherwise=embedded, reserve=True, limit_seconds=_PROBE_SECONDS)
    )


def _stands_in(settings: Settings) -> bool:
    return settings.server.limits.overload == "embedded"


def _nobody(_: VoiceMatch) -> None:
    """Nobody stands in for anybody."""


def _state(ensemble: Components, workers: Scheduler, server: Server) -> ServerSnapshot:
    return ServerSnapshot(
        connections=server.connections,
        active_streams=workers.active,
        waiting_streams=workers.waiting,
        voices=ensemble.synthesizer.voices(),
        models=ensemble.models(),
    )


@dataclass(frozen=True, slots=True)
class _CastAt:
    """The cast as it is seen at one door."""

    cast: VoiceCatalog
    satellite: str | None = None

    def voices(self) -> Sequence[Voice]:
        return self.cast.voices(satellite=self.satellite)

    def choose(self, *, name: str | None, speaker: str | None, language: str | None, address: str) -> VoiceMatch:
        return self.cast.choose(
            name=name, speaker=speaker, language=language, address=address, satellite=self.satellite
        )


def _doors(cast: VoiceCatalog, settings: Settings) -> list[ListenEndpoint]:
    """The main door, and one for each satellite with a port of its own."""
    main = parse_uri(settings.server.uri)
    first = ListenEndpoint(
        uris=(str(main),), reception=_CastAt(cast), announcer=_announcer(settings, settings.discovery.name)
    )
    if not isinstance(main, TcpAddress):
        return [first]
    own = (satellite for satellite in cast.satellites if satellite.port is not None)
    return [first, *(_door_of(satellite, main.host, cast, settings) for satellite in own)]


def _door_of(satellite: Satellite, host: str, cast: VoiceCatalog, settings: Settings) -> ListenEndpoint:
    assert satellite.port is not None, "it has a port of its own"  # noqa: S101  (our own invariant)
    return ListenEndpoint(
        uris=(str(TcpAddress(host, satellite.port)),),
        reception=_CastAt(cast, satellite.name),
        program=f"{PROGRAM} {satellite.name}",  # the title of its entry in Home Assistant
        announcer=_announcer(settings, satellite.announced_as),
        setting=f"satellites.{satellite.name}.port",
    )


async def _close(server: Server, orders: ShutdownSignals, deadline_seconds: float) -> None:
    """Close within the deadline, or at once when a second signal comes."""
    closing = asyncio.create_task(server.aclose(deadline_seconds))
    hurrying = asyncio.create_task(orders.hurry.wait())
    await asyncio.wait({closing, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if closing.done():
        await closing
        return
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await server.aclose(0)


def _limits(settings: LimitSettings) -> Limits:
    limits = Limits(**settings.model_dump(exclude={"real_time", "overload"}))
    # A longer text needs a larger event, also when JSON escapes every character.
    return replace(limits, data_bytes=max(limits.data_bytes, _JSON_BYTES_PER_CHARACTER * limits.text_characters))


def _announcer(settings: Settings, name: str | None) -> ZeroconfAnnouncer | None:
    """Make an announcer, if the settings want one for their address; without a name it makes one for the port."""
    address = parse_uri(settings.server.uri)
    wanted = settings.discovery.announce
    if not isinstance(address, TcpAddress):
        if wanted:
            _LOGGER.warning("%s cannot be announced: zeroconf is for tcp:// addresses", address)
        return None
    if wanted is False or (wanted is None and address.is_loopback):
        return None
    return ZeroconfAnnouncer(lambda port: name or stable_name(settings.data_dir, port))


def _tell_how_to_reach(addresses: tuple[str, ...], *, announced: bool) -> None:
    _LOGGER.info("wyoming-pocket-tts %s is ready at %s", __version__, ", ".join(addresses))
    hosts_by_port: dict[int, list[str]] = {}
    for address in map(parse_uri, addresses):
        if isinstance(address, TcpAddress):
            hosts_by_port.setdefault(address.port, []).append(address.host)
    for port, hosts in hosts_by_port.items():
        reachable = reachable_addresses(hosts)
        _LOGGER.info(
            "%sSettings > Devices & services > Add integration > Wyoming Protocol, host %s%s, port %d",
            "It is announced to Home Assistant; by hand: " if announced else "In Home Assistant: ",
            " or ".join(map(str, reachable)) or "this machine's address",
            " (from this machine only)" if reachable and all(host.is_loopback for host in reachable) else "",
            port,
        )
