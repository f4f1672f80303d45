"""Forwarded headers: believed when a configured proxy sent them, and removed when anybody else did."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flask import Flask

from app.addresses import is_within, nearest_client
from app.config import Settings, words


class TrustedProxies:
    """WSGI middleware: REMOTE_ADDR becomes the nearest address that is no proxy of ours."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], networks: Sequence[str]) -> None:
        self._inner = inner
        self._networks = networks

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request; its forwarding headers are taken away, and believed where a proxy of ours set them."""
        forwarded = environ.pop("HTTP_X_FORWARDED_FOR", "")
        scheme = environ.pop("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
        for unused in ("HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX", "HTTP_X_FORWARDED_PORT", "HTTP_FORWARDED"):
            environ.pop(unused, None)
        if self._networks and is_within(environ.get("REMOTE_ADDR"), self._networks):
            environ["REMOTE_ADDR"] = nearest_client(environ["REMOTE_ADDR"], forwarded, self._networks)
            if scheme in ("http", "https"):
                environ["wsgi.url_scheme"] = scheme
        return self._inner(environ, start_response)


def register(app: Flask, settings: Settings) -> None:
    """Put the middleware around an application."""
    proxies = words(settings.trusted_proxies)
    app.extensions["taskledger.proxies"] = proxies  # for app/server, which gives each address its share of the threads
    app.wsgi_app = TrustedProxies(app.wsgi_app, proxies)  # type: ignore[method-assign]  # as Flask documents it
