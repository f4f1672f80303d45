"""Every request has an id: the caller's or a new one, in its answer and in each log line of it."""

import random
import re
import time
from functools import cache
from typing import Any

import structlog
from flask import Flask, Response, g, request

from app.observability import metrics, tracing
from app.observability.log import get_logger
from app.web.transactions import db
from tasks import correlation

log = get_logger(__name__)

HEADER = correlation.REQUEST_ID_HEADER
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ACCEPTABLE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")  # anything else could forge log lines or headers


def begin() -> None:
    """Bind the request's id to the log lines of this thread."""
    request_id = request.headers.get(HEADER, "")
    g.request_id = (
        request_id if ACCEPTABLE.fullmatch(request_id) else f"{random.getrandbits(64):016x}"
    )  # no secret: no reason to ask the kernel
    g.started = time.perf_counter()
    correlation.begin(g.request_id, correlation.accepted_traceparent(request.headers.get(correlation.TRACE_HEADER, "")))
    tracing.in_request()
    structlog.contextvars.clear_contextvars()  # the thread has served others before
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def end(response: Response) -> Response:
    """Return the id, and log one line: successes only at level DEBUG, because they are many."""
    response.headers.add(HEADER, g.request_id)  # nobody else sets it; setting would look for it in the whole list
    status = response.status_code
    write = log.debug if status < 400 else log.info if status < 500 else log.warning
    milliseconds = round((time.perf_counter() - g.started) * 1000, 1)
    fields = {"method": request.method, "path": request.path, "status": status, "milliseconds": milliseconds}
    principal = g.get("principal")
    if principal is not None:  # who it was, by an id: addresses of people have no place in a log
        fields["account"] = str(principal.user_id)
    write("request_answered", **fields)
    _timed(request.method, request.url_rule.rule if request.url_rule else "none", status).observe(milliseconds / 1000)
    metrics.sample_pool(db.engine.pool, process="api")
    return response


@cache
def _timed(method: str, route: str, status: int) -> Any:
    """The histogram of one route; prometheus_client would look for it under a lock at every request."""
    known = method if method in METHODS else "other"  # whatever a client invents must not become a time series
    return metrics.HTTP_REQUEST_SECONDS.labels(known, route, status)


def register(app: Flask) -> None:
    """Do so for every request of an application."""
    app.before_request(begin)
    app.after_request(end)
