"""Who asks: the fast look-up against an obvious slow one."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wyoming_pocket_tts.voices.catalog import Address, Network, Satellite, SatelliteIndex


def networks(version: int, bits: int) -> st.SearchStrategy[Network]:
    """Few different high bits, so that networks nest and clients hit them."""
    make = IPv4Network if version == 4 else IPv6Network
    shift = bits - 4
    return st.builds(
        lambda high, length: make((high << shift >> (bits - length) << (bits - length), length)),
        st.integers(0, 15),
        st.integers(0, bits),
    )


CLIENTS = st.one_of(
    st.builds(lambda high, low: ip_address(high << 28 | low), st.integers(0, 15), st.integers(0, 3)),
    st.builds(lambda high, low: IPv6Address(high << 124 | low), st.integers(0, 15), st.integers(0, 3)),
)


@st.composite
def houses(draw: st.DrawFn) -> list[Satellite]:
    """Satellites with networks that no two of them share, some with a port."""
    every = draw(st.lists(st.one_of(networks(4, 32), networks(6, 128)), unique=True, max_size=12))
    owners = draw(st.lists(st.integers(0, 3), min_size=len(every), max_size=len(every)))
    return [
        Satellite(
            name=f"room {number}",
            networks=tuple(network for network, owner in zip(every, owners, strict=True) if owner == number),
            port=draw(st.none() | st.just(10_300 + number)),
        )
        for number in range(4)
    ]


def slowly(house: list[Satellite], client: Address, of_port: str | None) -> Satellite | None:
    """The port first; then the narrowest network that holds the client."""
    for satellite in house:
        if satellite.name == of_port:
            return satellite
    holding = [(network.prefixlen, each) for each in house for network in each.networks if client in network]
    return max(holding, key=lambda pair: pair[0])[1] if holding else None


@given(house=houses(), client=CLIENTS, of_port=st.sampled_from([None, None, "room 1", "nobody"]))
def test_the_look_up_is_the_obvious_one(house: list[Satellite], client: Address, of_port: str | None) -> None:
    found = SatelliteIndex(house).asking(address=str(client), satellite=of_port)
    assert found == slowly(house, client, of_port)


KITCHEN = Satellite(name="Kitchen", networks=(IPv4Network("192.168.1.20"), IPv6Network("fe80::7")))
OFFICE = Satellite(name="Office", networks=(IPv4Network("192.168.1.0/24"),), listed=False)
EVERYBODY = Satellite(name="Everybody", networks=(IPv4Network("0.0.0.0/0"),))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.1.20", KITCHEN),
        ("192.168.1.21", OFFICE),
        ("::ffff:192.168.1.20", KITCHEN),
        ("::ffff:c0a8:115", OFFICE),
        ("fe80::7%eth0", KITCHEN),
        ("fe80::7%3", KITCHEN),
        ("fe80::8", None),
        ("8.8.8.8", EVERYBODY),
        ("", None),
        ("/run/tts.sock", None),
        ("localhost", None),
    ],
)
def test_addresses_as_sockets_give_them(address: str, expected: Satellite | None) -> None:
    assert SatelliteIndex([OFFICE, KITCHEN, EVERYBODY]).asking(address=address, satellite=None) is expected


def test_a_port_counts_more_than_an_address_and_a_satellite_that_went_counts_nothing() -> None:
    satellites = SatelliteIndex([KITCHEN, OFFICE])
    assert satellites.asking(address="192.168.1.20", satellite="Office") is OFFICE
    assert satellites.asking(address="192.168.1.20", satellite="Garage") is KITCHEN


def test_only_listed_satellites_are_asked_for_by_name_and_case_does_not_count() -> None:
    satellites = SatelliteIndex([KITCHEN, OFFICE])
    assert satellites.named("kitchen") is KITCHEN
    assert satellites.named("Office") is None
    assert satellites.named("Office", of_port="Kitchen") is None
    assert satellites.named("office", of_port="Office") is OFFICE
    assert [satellite.name for satellite in satellites] == ["Kitchen", "Office"]
