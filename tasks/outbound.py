"""Outbound HTTP for handlers: no private address, no proxy, no surprise; and one deadline over everything."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit, urlunsplit

from requests import PreparedRequest, Request, Response
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema, RequestException
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, LocationParseError

from tasks import correlation
from tasks.addresses import AllowList, AntiSSRFError, Origin, adapter_for, origin_of
from tasks.deadline import Deadline, DeadlinePassed
from tasks.errors import PermanentError, TaskError

MOST_REDIRECTS = 5
MOST_HEADER_CHARACTERS = 32_768
CONNECT_SECONDS = 10.0
PIECE_BYTES = 65_536
REDIRECTS = (301, 302, 303, 307, 308)
DEFAULT_HEADERS = {"User-Agent": "Taskledger", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
# Another host gets these of the caller's headers and no others: any other may be a credential under some name.
KEPT_ELSEWHERE = ("Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Idempotency-Key", "User-Agent")


class AddressRefused(PermanentError):
    """The URL leads to an address that tasks may not reach."""


class NoAnswer(TaskError):
    """No whole answer came: the host was not found, refused, broke off or took too long. Trying again may help."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; `truncated` says that the body went on past the caller's limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    url: str
    elapsed_ms: int


@dataclass(frozen=True)
class Outbound:
    """Sends requests; `allow` is the setting OUTBOUND_ALLOW, `peers` are URLs from settings, allowed as they stand."""

    allow: str = ""
    peers: Sequence[str] = ()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        seconds: float = 30.0,
        most_bytes: int = 1_048_576,
        redirects: int = MOST_REDIRECTS,
    ) -> Answer:
        """Send one request and follow its redirects; it all ends within `seconds`, name resolution included.

        A redirect that is not followed, because `redirects` is 0, is the answer. Raises AddressRefused, NoAnswer, and
        PermanentError for a URL that cannot be requested or for too many redirects.
        """
        started = time.monotonic()
        allowed = AllowList.parse(self.allow).with_origins(self.peers)
        request = _prepared(method, url, {**DEFAULT_HEADERS, **_correlating(headers or {}), **(headers or {})}, body)
        with Deadline(seconds) as deadline:
            for left in range(redirects, -1, -1):
                response = _answered(request, allowed, deadline)
                target = response.headers.get("Location") if response.status_code in REDIRECTS else None
                if not target or redirects == 0:
                    content, truncated = _content(response, request, deadline, most_bytes)
                    return Answer(
                        status=response.status_code,
                        headers=_headers(response),
                        body=content,
                        truncated=truncated,
                        url=str(request.url),
                        elapsed_ms=round((time.monotonic() - started) * 1000),
                    )
                response.close()
                if left:
                    request = _redirected(request, response.status_code, target)
        raise PermanentError(f"{_place(url)} redirected more than {redirects} times")


def _correlating(given: Mapping[str, str]) -> dict[str, str]:
    """Which request of ours this is about, unless the caller says so in its own words."""
    said = {name.lower() for name in given}
    return {name: value for name, value in correlation.outgoing().items() if name.lower() not in said}


def _answered(request: PreparedRequest, allowed: AllowList, deadline: Deadline) -> Response:
    """The response with its headers read and its body still to come."""
    try:
        adapter = adapter_for(str(request.url), allowed, deadline)
        left = deadline.remaining()
        # Without a Session there are no proxy variables, no .netrc and no cookies kept from one host for another.
        return adapter.send(request, stream=True, timeout=(min(left, CONNECT_SECONDS), left))  # type: ignore[no-any-return]
    except AntiSSRFError:
        raise AddressRefused(
            f"{_place(request.url)} is a private or reserved address, or a name that leads to one; "
            "if tasks may reach it, list it in OUTBOUND_ALLOW"
        ) from None
    except (InvalidURL, InvalidSchema, MissingSchema, InvalidHeader, LocationParseError, ValueError) as error:
        raise PermanentError(f"{_place(request.url)} cannot be requested: {error}") from None
    except (RequestException, HTTPError, HTTPException, OSError) as error:
        raise _no_answer(request, deadline, error) from error


def _content(response: Response, request: PreparedRequest, deadline: Deadline, most_bytes: int) -> tuple[bytes, bool]:
    """The body, unpacked, up to the limit; and whether there was more."""
    pieces, size = [], 0
    try:
        for piece in response.raw.stream(PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                break
        if deadline.passed:  # a body without a length ends where its socket is shut down
            deadline.remaining()
    except (RequestException, HTTPError, HTTPException, OSError) as error:
        raise _no_answer(request, deadline, error) from error
    finally:
        response.close()
    return b"".join(pieces)[:most_bytes], size > most_bytes


def _no_answer(request: PreparedRequest, deadline: Deadline, error: Exception) -> NoAnswer:
    if deadline.passed or isinstance(error, DeadlinePassed):
        return NoAnswer(f"{_place(request.url)} did not answer in full within {deadline.seconds:g} s")
    reason = _root(error)
    said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return NoAnswer(f"{_place(request.url)} gave no answer: {said}"[:500])


def _root(error: BaseException) -> BaseException:
    """The error that requests and urllib3 have wrapped in several of their own."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else None
    found = inner or getattr(error, "reason", None) or error.__cause__
    return _root(found) if isinstance(found, Exception) else error


def _prepared(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> PreparedRequest:
    try:
        parts = urlsplit(url)
        if parts.scheme.lower() not in ("http", "https"):
            raise InvalidSchema("only http:// and https:// are spoken here")
        if parts.username is not None or parts.password is not None:
            raise InvalidURL("a name and a password do not belong into a URL; send an Authorization header")
        return Request(method, url, headers={**headers, "Connection": "close"}, data=body).prepare()
    except (RequestException, LocationParseError, ValueError) as error:
        raise PermanentError(f"{_place(url)} cannot be requested: {error}") from None


def _redirected(request: PreparedRequest, status: int, target: str) -> PreparedRequest:
    """The next request, with the method and body that browsers would use, and no credential for another origin."""
    old = str(request.url)
    try:
        # Servers send UTF-8 where http.client reads Latin-1.
        url = urljoin(old, target.encode("latin-1", "replace").decode("utf-8", "replace"))
        parts, came_from = urlsplit(url), urlsplit(old)
        same_origin = _may_have_credentials(origin_of(came_from), origin_of(parts))
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError as error:
        raise PermanentError(f"{_place(old)} redirected to what is no URL: {error}") from None
    headers = CaseInsensitiveDict(request.headers)
    for name in ("Host", "Content-Length"):
        headers.pop(name, None)
    method, body = str(request.method), request.body
    if (status == HTTPStatus.SEE_OTHER and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers.pop("Content-Type", None)
    if not same_origin:
        headers = CaseInsensitiveDict({name: headers[name] for name in KEPT_ELSEWHERE if name in headers})
    return _prepared(method, url, dict(headers), body if isinstance(body, bytes) else None)


def _may_have_credentials(came_from: Origin, goes_to: Origin) -> bool:
    """Whether both are one server: the same origin, or the step from http:// to https:// on the usual ports."""
    upgraded = came_from[0] == "http" and came_from[2] == 80 and goes_to == ("https", came_from[1], 443)
    return came_from == goes_to or upgraded


def _headers(response: Response) -> dict[str, str]:
    """The headers as text that can be stored; those past a total size are left out."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in response.headers.items():
        size += len(name) + len(value)
        if size > MOST_HEADER_CHARACTERS:
            break
        kept[name.replace("\x00", "")] = value.replace("\x00", "")
    return kept


def _place(url: str | None) -> str:
    """The host and port of a URL, for messages: paths and queries may hold secrets."""
    try:
        return urlsplit(url or "").netloc.rpartition("@")[2][:200] or "the URL"
    except ValueError:
        return "the URL"
