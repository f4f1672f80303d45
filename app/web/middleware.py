"""What every request passes, and every answer: proxies, an id and a line in the log, headers that protect, CORS."""

import logging
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import structlog
from flask import Flask, Response, g, request

from app.addresses import is_within, nearest_client
from app.answer_headers import protected
from app.config import Settings, words
from app.observability import metrics, tracing
from app.observability.log import get_logger
from app.web.transactions import db
from tasks import correlation

log = get_logger(__name__)
DETAILS = logging.getLogger(__name__)  # says whether a line would be written, before it is made

HEADER = correlation.REQUEST_ID_HEADER
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")  # anything else could forge log lines or headers
CORS_METHODS = "GET, POST, PATCH, PUT, DELETE"
CORS_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-ID, Last-Event-ID"
)
CORS_ANSWER_HEADERS = (
    "ETag, Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-ID, "
    "Idempotent-Replayed"
)
PREFLIGHT_SECONDS = "600"


def register(app: Flask, settings: Settings) -> None:
    """Put all of it around an application, in this order."""
    proxies = words(settings.trusted_proxies)
    app.extensions["taskledger.proxies"] = proxies  # for app/server, which gives each address its share of the threads
    app.wsgi_app = TrustedProxies(app.wsgi_app, proxies)  # type: ignore[method-assign]  # as Flask documents it
    app.before_request(begin_request)
    app.after_request(end_request)
    app.wsgi_app = SecurityHeaders(app.wsgi_app)  # type: ignore[method-assign]  # as above
    _allow_origins(app, settings)


class TrustedProxies:
    """WSGI middleware: forwarded headers are believed when a configured proxy sent them, and removed otherwise.

    REMOTE_ADDR becomes the nearest address that is no proxy of ours.
    """

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


def begin_request() -> None:
    """Bind the request's id to the log lines of this thread."""
    request_id = request.headers.get(HEADER, "")
    g.request_id = (
        request_id if ACCEPTABLE_ID.fullmatch(request_id) else f"{random.getrandbits(64):016x}"
    )  # no secret: no reason to ask the kernel
    g.started = time.perf_counter()
    correlation.begin(g.request_id, correlation.accepted_traceparent(request.headers.get(correlation.TRACE_HEADER, "")))
    tracing.in_request()
    structlog.contextvars.clear_contextvars()  # the thread has served others before
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def end_request(response: Response) -> Response:
    """Return the id, and log one line: successes only at level DEBUG, because they are many."""
    response.headers.add(HEADER, g.request_id)  # nobody else sets it; setting would look for it in the whole list
    status, seconds = response.status_code, time.perf_counter() - g.started
    if status >= 400 or DETAILS.isEnabledFor(logging.DEBUG):
        _log_answer(status, milliseconds=round(seconds * 1000, 1))
    _timed(request.method, request.url_rule.rule if request.url_rule else "none", status).observe(seconds)
    metrics.sample_pool(db.engine.pool, process="api")
    return response


def _log_answer(status: int, *, milliseconds: float) -> None:
    write = log.debug if status < 400 else log.info if status < 500 else log.warning
    fields = {"method": request.method, "path": request.path, "status": status, "milliseconds": milliseconds}
    principal = g.get("principal")
    if principal is not None:  # who it was, by an id: addresses of people have no place in a log
        fields["account"] = str(principal.user_id)
    write("request_answered", **fields)


@cache
def _timed(method: str, route: str, status: int) -> Any:
    """The histogram of one route; prometheus_client would look for it under a lock at every request."""
    known = method if method in KNOWN_METHODS else "other"  # whatever a client invents must not become a time series
    return metrics.HTTP_REQUEST_SECONDS.labels(known, route, status)


class SecurityHeaders:
    """WSGI middleware: adds what an answer does not say by itself.

    Around Flask and not in a hook of it: werkzeug's headers are a list, which each question and each change walks.
    """

    def __init__(self, inner: Callable[..., Iterable[bytes]]) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request with these headers added."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            is_api = environ.get("PATH_INFO", "").startswith("/api/")
            return start_response(
                status, protected(headers, is_api=is_api, is_secure=environ.get("wsgi.url_scheme") == "https"), *error
            )

        return self._inner(environ, start)


def _allow_origins(app: Flask, settings: Settings) -> None:
    """CORS: pages of other origins may call the API only where CORS_ORIGINS names them. No cookies are involved."""
    origins = frozenset(words(settings.cors_origins))
    if not origins:
        return

    def preflight() -> Response | None:
        is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204) if is_preflight and request.headers.get("Origin") in origins else None

    def allow(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = CORS_METHODS
                response.headers["Access-Control-Allow-Headers"] = CORS_REQUEST_HEADERS
                response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
        return response

    app.before_request(preflight)
    app.after_request(allow)
