"""Forwarded headers: believed when a configured proxy sent them, and removed when anybody else did."""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from flask import Flask

from app.config import Settings, words

SUBNET_BITS = 64
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_within(address: str | None, networks: Sequence[str]) -> bool:
    """Whether an address lies in any of the networks; something that is no address does not."""
    parsed = _parsed(address or "")
    return parsed is not None and any(parsed in network for network in _networks(tuple(networks)))


def caller_of(address: str | None) -> str:
    """What counts as one caller: an IPv4 address, or the /64 of an IPv6 one, because who has one has all of them."""
    parsed = _parsed(address or "")
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, SUBNET_BITS), strict=False))
    return str(parsed or address or "")


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


class TrustedProxies:
    """WSGI middleware: REMOTE_ADDR becomes the nearest address that is no proxy of ours."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], networks: Sequence[str]) -> None:
        self._inner = inner
        self._networks = networks

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        forwarded = environ.pop("HTTP_X_FORWARDED_FOR", "")
        scheme = environ.pop("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
        for unused in ("HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_PORT", "HTTP_FORWARDED"):
            environ.pop(unused, None)
        if self._networks and is_within(environ.get("REMOTE_ADDR"), self._networks):
            environ["REMOTE_ADDR"] = self._client(forwarded, environ["REMOTE_ADDR"])
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        return self._inner(environ, start_response)

    def _client(self, forwarded: str, proxy: str) -> str:
        """From the right, because what stands further left the client may have written itself."""
        nearest = proxy
        for text in reversed(words(forwarded)):
            address = _parsed(text)
            if address is None:
                return nearest
            nearest = str(address)
            if not is_within(nearest, self._networks):
                return nearest
        return nearest


def register(app: Flask, settings: Settings) -> None:
    """Put the middleware around an application."""
    app.wsgi_app = TrustedProxies(app.wsgi_app, words(settings.trusted_proxies))  # type: ignore[method-assign]
