"""Outbound HTTP for handlers: no private address, no proxy, no surprise; and one deadline over everything.

Handlers import this, and tasks/connections.py is imported when the first of them sends something: workers that send
nothing load no requests, no urllib3 and no AntiSSRF, which are 5 MB of each.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from taskledger_sdk.errors import PermanentError, TaskError
from tasks import correlation
from tasks.deadline import Deadline, DeadlinePassed
from tasks.redirects import STATUSES, Hop, Step, loses_the_request, next_step
from tasks.unpacking import PIECE_BYTES, BadlyPacked, encodings_of, unpacked

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

    from tasks.connections import AllowList

MAX_REDIRECTS = 5
MAX_HEADER_CHARACTERS = 32_768
PLAIN = "".join(chr(code) for code in range(0x21, 0x7F))  # what a request line may hold as it is
DEFAULT_HEADERS = {"User-Agent": "Taskledger", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}


class AddressRefused(PermanentError):
    """The URL leads to an address that tasks may not reach."""


class NoAnswer(TaskError):
    """No whole answer came: the host was not found, refused, broke off or took too long. Trying again may help."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back; `truncated` says that the body went on past the caller's limit.

    `method` and `url` are those of the request that was answered, `redirects` what was followed on the way there.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    method: str
    url: str
    redirects: tuple[Hop, ...]
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
        redirects: int = MAX_REDIRECTS,
        accepts: Collection[int] = (),
        may_become_get: bool = True,
    ) -> Answer:
        """Send one request and follow its redirects; it all ends within `seconds`, name resolution included.

        A redirect that is not followed, because `redirects` is 0 or `accepts` has its status, is the answer. With
        `may_become_get` a POST goes on as a GET after 301 and 302, as browsers do it; without it that is refused.

        Raises AddressRefused, NoAnswer, and PermanentError for a URL that cannot be requested, for too many redirects
        and for one that would drop the request.
        """
        from tasks import connections  # see above

        started = time.monotonic()
        allowed = connections.AllowList.parse(self.allow).with_origins(self.peers)
        given = {**DEFAULT_HEADERS, **_correlating(headers or {}), **(headers or {})}
        step, hops = Step(method=method, url=url, headers=given, body=body), list[Hop]()
        with Deadline(seconds) as deadline:
            while True:
                request = _prepared(step)
                response = _answered(request, step, allowed, deadline)
                status = response.status_code
                target = response.headers.get("Location") if status in STATUSES and status not in accepts else None
                if not target or redirects == 0:
                    content, truncated = _content(response, request, deadline, most_bytes)
                    return Answer(
                        status=status,
                        headers=_headers(response),
                        body=content,
                        truncated=truncated,
                        method=step.method,
                        url=step.url,
                        redirects=tuple(hops),
                        elapsed_ms=round((time.monotonic() - started) * 1000),
                    )
                response.close()
                if len(hops) == redirects:
                    raise PermanentError(f"{_place(url)} redirected more than {redirects} times")
                if not may_become_get:
                    _check_keeps_request(step, status)
                before, step = step, _redirected(step, status, target)
                hops.append(Hop(method=before.method, url=before.url, status=status, location=step.url))


def _correlating(given: Mapping[str, str]) -> dict[str, str]:
    """Which request of ours this is about, unless the caller says so in its own words."""
    said = {name.lower() for name in given}
    return {name: value for name, value in correlation.outgoing().items() if name.lower() not in said}


def _check_keeps_request(step: Step, status: int) -> None:
    if loses_the_request(step.method, status):
        raise PermanentError(
            f"{_place(step.url)} answered the {step.method} with {status} and another address; followed as browsers do "
            "it, the request would become a GET without its body. Send it to that address, or take "
            f"{status} as the answer"
        )


def _answered(request: PreparedRequest, step: Step, allowed: AllowList, deadline: Deadline) -> Response:
    """The response with its headers read and its body still to come."""
    from tasks.connections import BROKEN, CONNECT_SECONDS, UNUSABLE, AntiSSRFError, InvalidHeader, adapter_for

    try:
        adapter = adapter_for(str(request.url), _request_target(step.url), allowed, deadline)
        left = deadline.remaining()
        # Without a Session there are no proxy variables, no .netrc and no cookies kept from one host for another.
        answer: Response = adapter.send(request, stream=True, timeout=(min(left, CONNECT_SECONDS), left))
    except AntiSSRFError:
        raise AddressRefused(
            f"{_place(request.url)} is a private or reserved address, or a name that leads to one; "
            "if tasks may reach it, list it in OUTBOUND_ALLOW"
        ) from None
    except InvalidHeader as error:  # of the answer: those of the request were looked at before
        raise _no_answer(request, deadline, error) from error
    except UNUSABLE as error:
        raise PermanentError(f"{_place(request.url)} cannot be requested: {error}") from None
    except BROKEN as error:
        raise _no_answer(request, deadline, error) from error
    return answer


def _content(response: Response, request: PreparedRequest, deadline: Deadline, most_bytes: int) -> tuple[bytes, bool]:
    """The body, unpacked, up to the limit; and whether there was more."""
    from tasks.connections import BROKEN

    pieces, size = [], 0
    try:
        for piece in _unpacked(response, request):
            pieces.append(piece)
            size += len(piece)
            if size > most_bytes:
                break
        if deadline.passed:  # a body without a length ends where its socket is shut down
            deadline.remaining()
    except (*BROKEN, BadlyPacked) as error:
        raise _no_answer(request, deadline, error) from error
    finally:
        response.close()
    return b"".join(pieces)[:most_bytes], size > most_bytes


def _unpacked(response: Response, request: PreparedRequest) -> Iterator[bytes]:
    """The body in pieces, without its Content-Encoding. Raises BadlyPacked, and HTTPException for an unclear length."""
    length = response.headers.get("Content-Length", "")
    coding = response.headers.get("Transfer-Encoding", "").strip().lower()
    if coding not in ("", "identity", "chunked"):
        raise HTTPException(f"its body is transferred as {coding[:50]!r}, which was not asked for")
    if not coding and length and not all(part.strip().isdecimal() for part in length.split(",")):
        raise HTTPException(f"its Content-Length is {length[:50]!r}, which is no number")
    has_end = bool(length or coding) or request.method == "HEAD" or response.status_code in (204, 304)
    packed = response.raw.stream(PIECE_BYTES, decode_content=False)
    return unpacked(packed, encodings_of(response.headers.get("Content-Encoding", "")), may_be_empty=has_end)


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


def _prepared(step: Step) -> PreparedRequest:
    """The request as the library wants it; its URL says where to connect, `_request_target` what is asked for."""
    from tasks.connections import UNUSABLE, prepared

    try:
        return prepared(step.method, step.url, step.headers, step.body)
    except UNUSABLE as error:
        raise PermanentError(f"{_place(step.url)} cannot be requested: {error}") from None


def _request_target(url: str) -> str:
    """What stands behind the host of a URL, byte for byte: signed URLs must arrive as they were signed.

    Only what no request line can hold is written differently: space, control and non-ASCII characters become
    percent-encoded UTF-8. A fragment is not sent. Raises ValueError for a URL without a host.
    """
    _, found, rest = url.strip().partition("://")
    if not found:
        raise ValueError("it has no host")
    begin = next((place for place, char in enumerate(rest) if char in "/?#"), len(rest))
    if "\\" in rest[:begin]:  # some take it for a slash, so that two readers see two hosts
        raise ValueError("there is a backslash in its host")
    target = rest[begin:].partition("#")[0]
    return quote(target if target.startswith("/") else f"/{target}", safe=PLAIN)


def _redirected(step: Step, status: int, target: str) -> Step:
    try:
        return next_step(step, status, target)
    except ValueError as error:
        raise PermanentError(f"{_place(step.url)} redirected to what is no URL: {error}") from None


def _headers(response: Response) -> dict[str, str]:
    """The headers as text that can be stored; those past a total size are left out."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in response.headers.items():
        size += len(name) + len(value)
        if size > MAX_HEADER_CHARACTERS:
            break
        kept[name.replace("\x00", "")] = value.replace("\x00", "")
    return kept


def _place(url: str | None) -> str:
    """The host and port of a URL, for messages: paths and queries may hold secrets."""
    try:
        return urlsplit(url or "").netloc.rpartition("@")[2][:200] or "the URL"
    except ValueError:
        return "the URL"
