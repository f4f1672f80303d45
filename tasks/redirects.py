"""Where a redirect leads, and what becomes of the request on the way: its method, its body, its headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

Origin = tuple[str, str, int]
"""Scheme, host and port."""

DEFAULT_PORTS = {"http": 80, "https": 443}
STATUSES = (301, 302, 303, 307, 308)
# Another host gets these of the caller's headers and no others: any other may be a credential under some name.
KEPT_ELSEWHERE = ("accept", "accept-encoding", "accept-language", "content-type", "idempotency-key", "user-agent")
ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request of an exchange, which begins with the caller's and goes on with each redirect."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Hop:
    """A redirect that was followed: what was asked for, what it was answered with, and where that led."""

    method: str
    url: str
    status: int
    location: str


def next_step(step: Step, status: int, location: str) -> Step:
    """The request that follows a redirect, as browsers make it; no credential goes to another origin.

    Raises ValueError for a location that is no URL.
    """
    url = _target(step.url, location)
    headers = dict(step.headers)
    method, body = method_after(step.method, status), step.body
    if method != step.method:
        body = None
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    if not _may_have_credentials(origin_of(urlsplit(step.url)), origin_of(urlsplit(url))):
        headers = {name: value for name, value in headers.items() if name.lower() in KEPT_ELSEWHERE}
    return Step(method=method, url=url, headers=headers, body=body)


def method_after(method: str, status: int) -> str:
    """The method that follows this redirect: 303 asks for GET, and 301 and 302 make one of POST (RFC 9110, 15.4)."""
    if status == HTTPStatus.SEE_OTHER:
        return method if method == "HEAD" else "GET"
    return "GET" if method == "POST" and status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FOUND) else method


def loses_the_request(method: str, status: int) -> bool:
    """Whether following this redirect would drop the request: only 303 says that it was carried out."""
    return status != HTTPStatus.SEE_OTHER and method_after(method, status) != method


def origin_of(url: SplitResult) -> Origin:
    """Scheme, host and port of a URL, all lower case and said in full. Raises ValueError for a port that is none."""
    scheme = url.scheme.lower()
    port = url.port if url.port is not None else DEFAULT_PORTS.get(scheme, 0)
    return scheme, (url.hostname or "").rstrip("."), port


def _target(base: str, location: str) -> str:
    # Servers send UTF-8 where http.client reads Latin-1. Tabs and line ends count as nothing, as in browsers.
    said = location.encode("latin-1", "replace").decode("utf-8", "replace")
    said = re.sub(r"[\t\r\n]", "", said).strip()
    url = said if ABSOLUTE.match(said) else urljoin(base, said)
    parts = urlsplit(url)
    if "@" in parts.netloc:
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url


def _may_have_credentials(came_from: Origin, goes_to: Origin) -> bool:
    """Whether both are one server: the same origin, or the step from http:// to https:// on the usual ports."""
    upgraded = came_from[0] == "http" and came_from[2] == 80 and goes_to == ("https", came_from[1], 443)
    return came_from == goes_to or upgraded
