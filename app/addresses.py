"""Addresses of callers: in which networks they lie, what counts as one caller, and who stands behind a proxy."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

SUBNET_BITS = 64
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_within(address: str | None, networks: Sequence[str]) -> bool:
    """Whether an address lies in any of the networks; something that is no address does not."""
    parsed = _parsed(address or "")
    return parsed is not None and any(parsed in network for network in _networks(tuple(networks)))


@lru_cache(maxsize=4096)
def caller_of(address: str | None) -> str:
    """What counts as one caller: an IPv4 address, or the /64 of an IPv6 one, because who has one has all of them."""
    parsed = _parsed(address or "")
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, SUBNET_BITS), strict=False))
    return str(parsed or address or "")


def nearest_client(peer: str, forwarded: str, proxies: Sequence[str]) -> str:
    """The nearest address that is no proxy of ours, of a peer and what it sent as X-Forwarded-For.

    From the right, because what stands further left the client may have written itself.
    """
    if not proxies or not is_within(peer, proxies):
        return peer
    nearest = peer
    for text in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        address = _parsed(text)
        if address is None:
            return nearest
        nearest = str(address)
        if not is_within(nearest, proxies):
            return nearest
    return nearest


@lru_cache(maxsize=64)
def _networks(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip().strip("[]"))
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
