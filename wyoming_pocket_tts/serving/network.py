"""Which of this machine's addresses other machines can use to reach a socket. Sends nothing and keeps nothing."""

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import ifaddr

IpAddress = IPv4Address | IPv6Address

_LOCAL_LINKS = re.compile(r"(docker|veth|virbr|lxcbr|lxdbr|cni|flannel|podman|tun|wg|tailscale)|br-[0-9a-f]{12}$")
"""Bridges to containers and tunnels. Home Assistant tries one address only, and from elsewhere these lead nowhere."""

_IPV6_TABLE = Path("/proc/net/if_inet6")
_IPV6_UNSTABLE_FLAGS = 0x01 | 0x08 | 0x20 | 0x40
"""Linux: temporary (privacy), failed duplicate check, deprecated, tentative."""


def reachable_addresses(
    bound_hosts: Collection[str], adapters: Iterable[ifaddr.Adapter] | None = None
) -> tuple[IpAddress, ...]:
    """List where others reach sockets that are bound to ``bound_hosts``, IPv4 first, in a stable order.

    ``0.0.0.0`` stands for every routable IPv4 address, ``::`` for every IPv6 one; an address of its own stands for
    itself. ``adapters`` are the machine's, looked up now unless given.
    """
    bound = {ip_address(host.partition("%")[0]) for host in bound_hosts}
    found = {address for address in bound if not address.is_unspecified and not address.is_link_local}
    open_versions = {address.version for address in bound if address.is_unspecified}
    if open_versions:
        local = _routable(ifaddr.get_adapters() if adapters is None else adapters)
        found |= {address for address in local if address.version in open_versions}
    return tuple(sorted(found, key=lambda address: (address.version, int(address))))


def multicast_interfaces(
    addresses: Iterable[IpAddress], adapters: Iterable[ifaddr.Adapter] | None = None
) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """Name the interfaces on which to speak of ``addresses``, as ``zeroconf`` wants them.

    Every IPv4 one, this machine's own included, and the IPv6 ones among ``addresses``: other IPv6 interfaces are those
    that lead nowhere.
    """
    found = ifaddr.get_adapters() if adapters is None else adapters
    ipv4 = {ip.ip for adapter in found for ip in adapter.ips if isinstance(ip.ip, str)}
    ipv6 = {str(address) for address in addresses if isinstance(address, IPv6Address)}
    return [*sorted(ipv4), *sorted(ipv6)]


def cards_of(addresses: Collection[IpAddress], adapters: Iterable[ifaddr.Adapter] | None = None) -> frozenset[int]:
    """Find the network cards that have these addresses, by the system's numbers.

    A card that went and came back, as a stick for Wi-Fi does that resets, has another number: sockets that listened on
    the old one hear nothing on the new one, though its name and addresses are the same.
    """
    found = ifaddr.get_adapters() if adapters is None else adapters
    wanted = set(map(str, addresses))
    return frozenset(
        adapter.index
        for adapter in found
        if adapter.index is not None
        and not wanted.isdisjoint(ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips)
    )


def _routable(adapters: Iterable[ifaddr.Adapter]) -> set[IpAddress]:
    """Collect the addresses of the real links, or of the local ones when there are no others (in a container, say)."""
    unstable = _unstable_ipv6()
    real: set[IpAddress] = set()
    local: set[IpAddress] = set()
    for adapter in adapters:
        here = local if _LOCAL_LINKS.match(adapter.name) else real
        for ip in adapter.ips:
            address = ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            useless = address.is_loopback or address.is_link_local or address.is_unspecified or address in unstable
            if not useless:
                here.add(address)
    return real or local


def _unstable_ipv6() -> set[IPv6Address]:
    """Find the IPv6 addresses that change by themselves or do not work; none where the system does not say."""
    try:
        lines = _IPV6_TABLE.read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {IPv6Address(int(row[0], 16)) for row in rows if int(row[4], 16) & _IPV6_UNSTABLE_FLAGS}
