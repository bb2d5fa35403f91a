"""Build everything, signals, start, shutdown."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from wyoming_pocket_tts import __version__
from wyoming_pocket_tts.config.schema import Settings
from wyoming_pocket_tts.core.address import TcpAddress, parse_uri
from wyoming_pocket_tts.core.errors import ConfigError
from wyoming_pocket_tts.core.system import configure_malloc
from wyoming_pocket_tts.engine.scheduler import Scheduler
from wyoming_pocket_tts.server.components import Components
from wyoming_pocket_tts.server.discovery import ZeroconfAnnouncer, reachable_addresses, stable_name
from wyoming_pocket_tts.server.health import LivenessMonitor, ReadinessProbe
from wyoming_pocket_tts.server.protocol import PROGRAM
from wyoming_pocket_tts.server.server import ListenEndpoint, Server
from wyoming_pocket_tts.voices.catalog import FallbackVoices, VoiceCatalog

if TYPE_CHECKING:
    from wyoming_pocket_tts.server.http import HttpServer
    from wyoming_pocket_tts.server.metrics import PrometheusObserver

_LOGGER = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 20.0
"""For a test word, before it counts as failed: on a small machine under load it takes a while."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


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


class ShutdownSignals:
    """The first signal asks to stop, the second to stop at once."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.force = asyncio.Event()

    def receive(self, number: signal.Signals) -> None:
        if self.stop.is_set():
            _LOGGER.info("%s again: stopping at once", number.name)
            self.force.set()
        else:
            _LOGGER.info("%s: stopping", number.name)
            self.stop.set()


@contextmanager
def _shutdown_signals(*, ends_process: bool) -> Iterator[ShutdownSignals]:
    """Not by the loop's handlers: where it removes one, the system's default takes over, and kills."""
    signals = ShutdownSignals()
    loop = asyncio.get_running_loop()

    def handle(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(signals.receive, signal.Signals(number))

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if ends_process else handler)


async def run_service(
    load: Callable[[], Components],
    settings: Settings,
    *,
    ends_process: bool = False,
    make_page: "Callable[[Components], HttpServer] | None" = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until the client on standard input leaves.

    ``load`` builds the engine, on a thread; missing models are installed while it serves. ``ends_process``: the process
    ends with it, and a further signal then cannot make a failure of that. ``make_page`` makes an HTTP server to run
    beside it; if its port is taken, the service runs without it.

    Raises ``ConfigError`` if the address cannot be listened on, ``ModelError`` if the engine cannot be loaded.
    """
    configure_malloc()
    notifier = SystemdNotifier()
    try:
        with _shutdown_signals(ends_process=ends_process) as signals:
            components = await asyncio.to_thread(load)
            if not signals.stop.is_set():
                page = make_page(components) if make_page is not None else None
                await _serve(components, settings, notifier, signals, page)
    finally:
        notifier.close()


async def _serve(
    components: Components,
    settings: Settings,
    notifier: SystemdNotifier,
    signals: ShutdownSignals,
    page: "HttpServer | None",
) -> None:
    metrics = None
    if settings.metrics.port is not None:
        from wyoming_pocket_tts.server.metrics import PrometheusObserver  # noqa: PLC0415  (prometheus_client: 3 MB)

        metrics = PrometheusObserver()
        components.observe(metrics)
    limits = settings.server.limits
    async with Scheduler(
        components.synthesizer,
        max_active=limits.max_running,
        max_waiting=limits.max_waiting,
        queue_seconds=limits.queue_timeout,
        real_time=limits.limit_to_realtime,
        observer=metrics,
    ) as workers:
        endpoints = _endpoints(components.cast, settings)
        fallbacks = FallbackVoices(components.cast, components.embedded if limits.on_overload == "fallback" else ())
        server = Server(workers, endpoints=endpoints, limits=limits, find_fallback=fallbacks.find, observer=metrics)
        # Where the default voice fails, the embedded one may not: then speech is possible.
        embedded = components.embedded[0] if components.embedded else None
        probe = ReadinessProbe(workers, fallback=embedded, reserve=True, limit_seconds=_PROBE_SECONDS)
        liveness = LivenessMonitor(workers, probe)

        def is_healthy() -> bool:
            return workers.healthy and bool(server.addresses) and liveness.is_alive

        monitoring = None
        if metrics is not None:
            monitoring = _monitoring(metrics, settings, components, workers, server, is_healthy=is_healthy)
        await server.start()
        tasks = [asyncio.create_task(notifier.keep_alive(is_healthy), name="watchdog")]
        if notifier.watchdog_interval_seconds is not None or monitoring is not None:  # is_healthy is used
            tasks.append(asyncio.create_task(liveness.run(), name="liveness"))
        try:
            if monitoring is not None:
                await monitoring.start()
            if page is not None:
                await _start_page(page)
            _log_how_to_connect(server.addresses, announced=endpoints[0].announcer is not None)
            notifier.ready(f"Listening at {', '.join(server.addresses)}")
            for service in components.helpers:
                service.start()
            await server.serve_until(signals.stop)
        finally:
            notifier.stopping()
            for task in tasks:
                task.cancel()
            for service in components.helpers:
                service.stop()
            await _close(server, signals, settings.server.shutdown_timeout)
            for http_server in (monitoring, page):
                if http_server is not None:
                    await http_server.aclose()
            for service in components.helpers:
                await asyncio.to_thread(service.close)
            await asyncio.gather(*tasks, return_exceptions=True)
    _LOGGER.info("Stopped")


async def _start_page(page: "HttpServer") -> None:
    try:
        await page.start()
    except ConfigError as error:
        _LOGGER.warning("There is no page: %s", error)


async def _close(server: Server, signals: ShutdownSignals, deadline_seconds: float) -> None:
    """Close within the deadline, or at once when a second signal comes."""
    closing = asyncio.create_task(server.aclose(deadline_seconds))
    forced = asyncio.create_task(signals.force.wait())
    await asyncio.wait({closing, forced}, return_when=asyncio.FIRST_COMPLETED)
    forced.cancel()
    if closing.done():
        await closing
        return
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await server.aclose(0)


def _monitoring(
    metrics: "PrometheusObserver",
    settings: Settings,
    components: Components,
    workers: Scheduler,
    server: Server,
    *,
    is_healthy: Callable[[], bool],
) -> "HttpServer":
    from wyoming_pocket_tts.server.http import MonitoringServer  # noqa: PLC0415  (h11, only with metrics.port)
    from wyoming_pocket_tts.server.metrics import ServerSnapshot  # noqa: PLC0415

    metrics.watch(
        lambda: ServerSnapshot(
            connections=server.connections,
            active_streams=workers.active,
            waiting_streams=workers.waiting,
            voices=components.synthesizer.voices(),
            models=components.models(),
        )
    )
    return MonitoringServer(metrics, workers, is_healthy, host=settings.metrics.host, port=settings.metrics.port or 0)


def _endpoints(catalog: VoiceCatalog, settings: Settings) -> list[ListenEndpoint]:
    """The main endpoint, and one for each satellite with a port of its own."""
    main = parse_uri(settings.server.uri)
    announcer = _announcer(settings, settings.discovery.name)
    endpoints = [ListenEndpoint(uris=(str(main),), catalog=catalog, announcer=announcer)]
    for satellite in catalog.satellites:
        if isinstance(main, TcpAddress) and satellite.port is not None:
            endpoint = ListenEndpoint(
                uris=(str(TcpAddress(main.host, satellite.port)),),
                catalog=catalog,
                satellite=satellite.name,
                program=f"{PROGRAM} {satellite.name}",  # the title of its entry in Home Assistant
                announcer=_announcer(settings, satellite.announced_as),
                setting=f"satellites.{satellite.name}.port",
            )
            endpoints.append(endpoint)
    return endpoints


def _announcer(settings: Settings, name: str | None) -> ZeroconfAnnouncer | None:
    """An announcer, if wanted; without a name it makes one for the port."""
    address = parse_uri(settings.server.uri)
    wanted = settings.discovery.announce
    if not isinstance(address, TcpAddress):
        if wanted:
            _LOGGER.warning("%s cannot be announced: zeroconf is for tcp:// addresses", address)
        return None
    if wanted is False or (wanted is None and address.is_loopback):
        return None
    return ZeroconfAnnouncer(lambda port: name or stable_name(settings.data_dir, port))


def _log_how_to_connect(addresses: tuple[str, ...], *, announced: bool) -> None:
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
