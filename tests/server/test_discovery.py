"""The announcement as a real zeroconf browser sees it, over this machine's own multicast."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import ifaddr
import pytest
from zeroconf import ServiceListener, Zeroconf
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.server.discovery import (
    SERVICE_TYPE,
    IpAddress,
    ZeroconfAnnouncer,
    interfaces_of,
    multicast_interfaces,
    reachable_addresses,
    stable_name,
)

LOOPBACK = "tcp://127.0.0.1:10207"


def named(name: str, **options: Any) -> ZeroconfAnnouncer:  # noqa: ANN401  (as ZeroconfAnnouncer takes them)
    return ZeroconfAnnouncer(lambda _: name, **options)


class Browser(ServiceListener):
    """Collects the names that come and go, as Home Assistant's browser does."""

    def __init__(self) -> None:
        self.zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
        self.names: set[str] = set()
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self.names.add(name.removesuffix(f".{type_}"))
        self._tell()

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self.names.discard(name.removesuffix(f".{type_}"))
        self._tell()

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self._tell()

    def _tell(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until(self, *, present: str = "", absent: str = "") -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(
                lambda: (not present or present in self.names) and (not absent or absent not in self.names)
            )

    async def look_up(self, name: str) -> AsyncServiceInfo:
        info = AsyncServiceInfo(SERVICE_TYPE, f"{name}.{SERVICE_TYPE}")
        assert await info.async_request(self.zeroconf.zeroconf, 5000)
        return info


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    browser = Browser()
    await browser.zeroconf.async_add_service_listener(SERVICE_TYPE, browser)
    yield browser
    await browser.zeroconf.async_close()


async def test_a_browser_sees_the_server_come_and_go(browser: Browser) -> None:
    announcer = named("come-and-go")
    await announcer.announce([LOOPBACK])
    await browser.until(present="come-and-go")
    info = await browser.look_up("come-and-go")
    assert info.port == 10207
    assert info.parsed_addresses() == ["127.0.0.1"]
    await announcer.withdraw()
    await browser.until(absent="come-and-go")


async def test_a_taken_name_gets_a_number_and_a_warning(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    first = named("twin")
    second = named("twin")
    await first.announce([LOOPBACK])
    await browser.until(present="twin")
    await second.announce(["tcp://127.0.0.1:10208"])
    await browser.until(present="twin-2")
    assert (await browser.look_up("twin-2")).port == 10208
    assert "'twin'" in caplog.text
    await second.withdraw()
    await browser.until(absent="twin-2")
    assert "twin" in browser.names
    assert (await browser.look_up("twin")).parsed_addresses() == ["127.0.0.1"]
    await first.withdraw()


@pytest.mark.slow
async def test_the_longest_name_that_dns_holds_is_numbered_too(browser: Browser) -> None:
    name = "é" * 40
    first, second = named(name), named(name)
    await first.announce([LOOPBACK])
    await browser.until(present="é" * 31)
    await second.announce(["tcp://127.0.0.1:10208"])
    await browser.until(present="é" * 30 + "-2")
    await second.withdraw()
    await first.withdraw()


@pytest.mark.slow
async def test_the_announcement_follows_changed_addresses(browser: Browser) -> None:
    current: tuple[IpAddress, ...] = ()
    asked = asyncio.Event()

    def find(_: Collection[str]) -> tuple[IpAddress, ...]:
        asked.set()
        return current

    announcer = named("mover", find_addresses=find, poll_seconds=0.05)
    await announcer.announce([LOOPBACK])
    await asked.wait()
    assert "mover" not in browser.names
    current = (IPv4Address("127.0.0.2"),)
    await browser.until(present="mover")
    assert (await browser.look_up("mover")).parsed_addresses() == ["127.0.0.2"]
    current = ()
    await browser.until(absent="mover")
    current = (IPv4Address("127.0.0.3"),)
    await browser.until(present="mover")
    assert (await browser.look_up("mover")).parsed_addresses() == ["127.0.0.3"]
    current = (IPv4Address("127.0.0.4"),)
    await browser.until(absent="mover")
    await browser.until(present="mover")
    assert (await browser.look_up("mover")).parsed_addresses() == ["127.0.0.4"]
    await announcer.withdraw()


@pytest.mark.slow
async def test_another_network_card_with_the_same_addresses_is_announced_on_afresh(browser: Browser) -> None:
    cards = frozenset({2})
    announcer = named("replugged", find_interfaces=lambda _: cards, poll_seconds=0.05)
    await announcer.announce([LOOPBACK])
    await browser.until(present="replugged")
    cards = frozenset({3})
    await browser.until(absent="replugged")
    await browser.until(present="replugged")
    await announcer.withdraw()


async def test_a_network_that_fails_is_logged_once_and_tried_again(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 3

    def find(_: Collection[str]) -> tuple[IpAddress, ...]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OSError(101, "Network is unreachable")
        return (IPv4Address("127.0.0.1"),)

    announcer = named("patient", find_addresses=find, poll_seconds=0.01)
    with caplog.at_level(logging.WARNING):
        await announcer.announce([LOOPBACK])
        await browser.until(present="patient")
    await announcer.withdraw()
    assert caplog.text.count("Network is unreachable") == 1


async def test_every_port_has_a_name_and_other_kinds_of_sockets_have_none(browser: Browser) -> None:
    announcer = ZeroconfAnnouncer(lambda port: f"room-{port}")
    await announcer.announce(["unix:///run/tts.sock", LOOPBACK, "tcp://127.0.0.2:10208", "stdio://"])
    await browser.until(present="room-10207")
    await browser.until(present="room-10208")
    assert {name for name in browser.names if name.startswith("room-")} == {"room-10207", "room-10208"}
    await announcer.withdraw()


async def test_stopping_before_anything_was_announced_is_quiet() -> None:
    announcer = named("early")
    await announcer.withdraw()
    await announcer.announce([LOOPBACK])
    await announcer.withdraw()


def _adapter(name: str, *addresses: str) -> ifaddr.Adapter:
    ips = [
        ifaddr.IP(address if "." in address else (address, 0, 0), 24, name)  # the two forms that ifaddr gives
        for address in addresses
    ]
    return ifaddr.Adapter(name, name, ips)


ADAPTERS = [
    _adapter("lo", "127.0.0.1", "::1"),
    _adapter("eth0", "192.168.1.7", "fe80::7", "2001:db8::7"),
    _adapter("wlan0", "192.168.2.7", "169.254.3.4"),
    _adapter("docker0", "172.17.0.1"),
    _adapter("br-0123456789ab", "172.18.0.1"),
    _adapter("br-lan", "10.0.0.1"),
    _adapter("tailscale0", "100.64.0.9"),
]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (["0.0.0.0"], ["10.0.0.1", "192.168.1.7", "192.168.2.7"]),
        (["::"], ["2001:db8::7"]),
        (["0.0.0.0", "::"], ["10.0.0.1", "192.168.1.7", "192.168.2.7", "2001:db8::7"]),
        (["192.168.2.7"], ["192.168.2.7"]),
        (["127.0.0.1", "::1"], ["127.0.0.1", "::1"]),
        (["fe80::7%eth0"], []),
    ],
)
def test_only_addresses_that_others_reach_are_found(bound: list[str], expected: list[str]) -> None:
    assert reachable_addresses(bound, ADAPTERS) == tuple(ip_address(text) for text in expected)


def test_multicast_avoids_ipv6_that_leads_nowhere() -> None:
    found = multicast_interfaces([IPv4Address("192.168.1.7"), IPv6Address("2001:db8::7")], ADAPTERS[:3])
    assert found == ["127.0.0.1", "169.254.3.4", "192.168.1.7", "192.168.2.7", "2001:db8::7"]


def test_the_cards_are_those_that_have_the_addresses() -> None:
    adapters = [_adapter("eth0", "192.168.1.7", "2001:db8::7"), _adapter("eth1", "192.168.2.7"), _adapter("lo", "::1")]
    for index, adapter in enumerate(adapters, start=2):
        adapter.index = index
    assert interfaces_of([IPv4Address("192.168.1.7")], adapters) == {2}
    assert interfaces_of([IPv6Address("2001:db8::7"), IPv4Address("192.168.2.7")], adapters) == {2, 3}
    assert interfaces_of([IPv4Address("192.168.9.9")], adapters) == frozenset()


def test_a_container_with_nothing_but_a_bridge_uses_it() -> None:
    assert reachable_addresses(["0.0.0.0"], [_adapter("docker0", "172.17.0.2")]) == (IPv4Address("172.17.0.2"),)


def test_ipv6_addresses_that_change_by_themselves_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(
        "20010db8000000000000000000000007 02 40 00 01     eth0\n20010db8000000000000000000000008 02 40 00 80     eth0\n"
    )
    monkeypatch.setattr("wyoming_pocket_tts.server.discovery._IPV6_TABLE", table)
    adapters = [_adapter("eth0", "2001:db8::7", "2001:db8::8")]
    assert reachable_addresses(["::"], adapters) == (IPv6Address("2001:db8::8"),)


def test_the_default_name_stays_and_differs_by_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = stable_name(tmp_path, 10200)
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    assert stable_name(tmp_path, 10200) == name
    assert stable_name(tmp_path, 10201) != name
    assert stable_name(tmp_path / "other", 10200) != name


def test_the_default_name_stays_without_a_place_to_keep_it(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert stable_name(in_the_way, 10200) == stable_name(in_the_way, 10200)
