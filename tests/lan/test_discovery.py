"""The service is found from another machine, over IPv4 and over IPv6, as Home Assistant would find it, and is lost."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.lan.house import Browser, Found, browsing
from tests.lan.network import Lan, two_machines, why_not
from tests.support.service import Service, service

pytestmark = pytest.mark.network

IPV4, IPV6 = "10.77.0.2", "fd10:5ea:1::2"
OTHER_IPV4, OTHER_IPV6 = "10.77.1.2", "fd10:5ea:1::3"
HERE = {IPV4, IPV6}
PORT = 10200
PROGRAM = "wyoming-pocket-tts"


@pytest.fixture
def lan() -> Iterator[Lan]:
    """Two machines with a cable; beside each address that the server can have, Home Assistant's machine has one."""
    if reason := why_not():
        pytest.skip(reason)
    with two_machines() as lan:
        connect(lan)
        yield lan


def connect(lan: Lan) -> None:
    lan.plug_in()
    for address in ("10.77.0.1/24", "10.77.1.1/24", "fd10:5ea:1::1/64 nodad"):
        lan.house.ip(f"address add {address} dev lan0")


def give_addresses(lan: Lan) -> None:
    lan.server.ip(f"address add {IPV4}/24 dev lan0")
    lan.server.ip(f"address add {IPV6}/64 dev lan0 nodad")


@asynccontextmanager
async def speaking(lan: Lan, tmp_path: Path, *options: str, uri: str = f"tcp://:{PORT}") -> AsyncIterator[Service]:
    folder = tempfile.mkdtemp(dir=tmp_path)  # its own: a service may follow another
    async with service("--uri", uri, *options, tmp_path=Path(folder), through=lan.server.through) as started:
        await started.until_reported("READY=1")
        yield started


@asynccontextmanager
async def both_families(lan: Lan) -> AsyncIterator[list[Browser]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(browsing(lan.house, version)) for version in (4, 6)]


def study(*addresses: str) -> dict[str, Found]:
    """What a browser should see: the server, with nothing beside, which answers at all of its addresses."""
    return {"Study": Found(port=PORT, txt={}, answers=dict.fromkeys(addresses, PROGRAM))}


async def test_it_is_found_over_each_family_answers_at_every_address_and_is_lost_when_it_stops(
    lan: Lan, tmp_path: Path
) -> None:
    give_addresses(lan)
    async with both_families(lan) as browsers:
        async with speaking(lan, tmp_path, "--zeroconf", "Study") as server:
            for browser in browsers:
                await browser.until(lambda servers: servers == study(*HERE))
            assert await server.stop() == 0
        for browser in browsers:
            await browser.until(lambda servers: not servers)


async def test_who_looks_later_finds_it_as_well(lan: Lan, tmp_path: Path) -> None:
    give_addresses(lan)
    async with speaking(lan, tmp_path, "--zeroconf", "Study") as server:
        await server.until_logged("Announced as 'Study'")
        async with both_families(lan) as browsers:
            for browser in browsers:
                await browser.until(lambda servers: servers == study(*HERE))


async def test_every_satellite_with_a_port_of_its_own_is_found_beside_it(lan: Lan, tmp_path: Path) -> None:
    give_addresses(lan)
    settings = tmp_path / "settings.yaml"
    settings.write_text("satellites:\n  Kitchen: {port: 10201}\n  Attic: {port: 10202, name: Under the roof}\n")
    everybody = {
        "Study": Found(PORT, {}, dict.fromkeys(HERE, PROGRAM)),
        "Study Kitchen": Found(10201, {}, dict.fromkeys(HERE, f"{PROGRAM} Kitchen")),
        "Under the roof": Found(10202, {}, dict.fromkeys(HERE, f"{PROGRAM} Attic")),
    }
    async with both_families(lan) as browsers:
        async with speaking(lan, tmp_path, "--zeroconf", "Study", "--config", str(settings)):
            for browser in browsers:
                await browser.until(lambda servers: servers == everybody)
        # Killed: nobody said farewell. The names are the same when it is there again, and then they can be lost.
        async with speaking(lan, tmp_path, "--zeroconf", "Study", "--config", str(settings)) as again:
            async with both_families(lan) as newcomers:
                for newcomer in newcomers:
                    await newcomer.until(lambda servers: servers == everybody)
            assert await again.stop() == 0
        for browser in browsers:
            await browser.until(lambda servers: not servers)


async def test_the_announcement_follows_addresses_that_come_and_go(lan: Lan, tmp_path: Path) -> None:
    give_addresses(lan)
    async with speaking(lan, tmp_path, "--zeroconf", "Study"), both_families(lan) as browsers:
        for browser in browsers:
            await browser.until(lambda servers: servers == study(*HERE))
        lan.server.ip(f"address add {OTHER_IPV4}/24 dev lan0")
        lan.server.ip(f"address del {IPV4}/24 dev lan0")
        lan.server.ip(f"address add {OTHER_IPV6}/64 dev lan0 nodad")
        for browser in browsers:
            await browser.until(lambda servers: servers == study(OTHER_IPV4, IPV6, OTHER_IPV6))


async def test_what_listens_on_ipv4_alone_is_announced_with_nothing_else(lan: Lan, tmp_path: Path) -> None:
    give_addresses(lan)
    async with (
        browsing(lan.house, 4) as browser,
        speaking(lan, tmp_path, "--zeroconf", "Study", uri="tcp://0.0.0.0:10200"),
    ):
        await browser.until(lambda servers: servers == study(IPV4))


async def test_a_network_that_comes_after_the_service_is_used(lan: Lan, tmp_path: Path) -> None:
    async with both_families(lan) as browsers, speaking(lan, tmp_path, "--zeroconf", "Study") as server:
        await server.until_logged("no address that others can reach")
        give_addresses(lan)
        for browser in browsers:
            await browser.until(lambda servers: servers == study(*HERE))


async def test_a_cable_that_was_pulled_is_no_hindrance(lan: Lan, tmp_path: Path) -> None:
    """The same addresses on another network card: as with a stick for Wi-Fi that resets, faster than anybody looks."""
    give_addresses(lan)
    async with speaking(lan, tmp_path, "--zeroconf", "Study") as server:
        await server.until_logged("Announced as 'Study'")
        lan.unplug()
        connect(lan)
        give_addresses(lan)
        async with both_families(lan) as browsers:
            for browser in browsers:
                await browser.until(lambda servers: servers == study(*HERE))


async def test_an_address_that_was_lost_for_a_moment_is_no_hindrance(lan: Lan, tmp_path: Path) -> None:
    """As when a lease runs out and is renewed."""
    give_addresses(lan)
    async with speaking(lan, tmp_path, "--zeroconf", "Study") as server:
        await server.until_logged("Announced as 'Study'")
        lan.server.ip("address flush dev lan0")
        lan.server.ip("link set lan0 down")
        lan.server.ip("link set lan0 up")
        give_addresses(lan)
        async with both_families(lan) as browsers:
            for browser in browsers:
                await browser.until(lambda servers: servers == study(*HERE))
