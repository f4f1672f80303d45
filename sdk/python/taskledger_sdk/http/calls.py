"""A request and its answer, what is decided about them, and the settings of the HTTP client. Knows no sockets.

`Transport` and `AsyncTransport` stand on these, so that both decide the same.
"""

import random
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx2

from taskledger_sdk import __version__
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.addresses import API
from taskledger_sdk.http.errors import (
    NotConfigured,
    QuotaReached,
    Refused,
    RequestFailed,
    Unreachable,
    Unsendable,
    as_object,
    failure_of,
)
from taskledger_sdk.http.retrying import PATIENCE, Failure, Patience, is_repeatable, pause_before_next

# The system's: a program that seeds `random` still gets its own numbers, and forked processes draw different ones.
JITTER = random.SystemRandom()
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
LARGEST_PAGE = 200
CONNECTIONS = 100
USER_AGENT = f"taskledger-sdk/{__version__}"
NOTHING: Mapping[str, Any] = {}
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request: the path is below /api/v1; of the query, None is left out and a list is repeated.

    `body` is sent as JSON; or else `content` as it is, of the type that the headers say; or else `files`, which gives
    the parts of a form anew for each try.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    content: bytes | None = None
    files: Callable[[], Mapping[str, Any]] | None = None
    idempotency_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = ANSWER_SECONDS
    """How long the service may take to answer."""
    is_harmless: bool = False
    """Whether a second time changes nothing, although the method alone does not say so."""
    since: float | None = None
    """The moment of time.monotonic() from which its patience counts; None: that of the first try."""

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again after it was perhaps carried out."""
        return self.is_harmless or is_repeatable(self.method, has_idempotency_key=self.idempotency_key is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the service said: a status of 2xx, and a JSON object, which is {} where it has no content."""

    status: int
    data: dict[str, Any]
    etag: str | None = None


def headers_of(call: Call, connection: Connection) -> dict[str, str]:
    """What the headers of a request say."""
    headers = {"Accept": "application/json", **call.headers}
    if connection.api_key:
        headers["Authorization"] = f"Bearer {connection.api_key}"
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = call.idempotency_key
    return headers


def outgoing(call: Call, connection: Connection) -> dict[str, Any]:
    """The arguments of httpx2's `build_request`. Pure, but for `files`."""
    query = {name: value for name, value in call.query.items() if value is not None and value != []}
    options: dict[str, Any] = {}
    if call.body is not None:
        options["json"] = call.body
    elif call.content is not None:
        options["content"] = call.content
    elif call.files is not None:
        options["files"] = call.files()
    url = f"{connection.url}{API}{call.path}"
    if query:
        options["params"] = query
    headers = headers_of(call, connection)
    return {"method": call.method, "url": url, "headers": headers, "timeout": _timeout_of(call), **options}


def request_of(http: httpx2.Client | httpx2.AsyncClient, call: Call, connection: Connection) -> httpx2.Request:
    """The request that is sent for a call. Raises Unsendable, for NaN or half of a surrogate pair for instance."""
    try:
        if call.content is not None and not call.query:
            return _with_content(call.content, call, connection)
        return http.build_request(**outgoing(call, connection))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"This cannot be sent: {error}.") from None


def _with_content(content: bytes, call: Call, connection: Connection) -> httpx2.Request:
    """A request whose parts are known, built without what httpx2 asks of any: submissions are many."""
    url = _url(f"{connection.url}{API}{call.path}")
    headers = {
        "Host": url.netloc.decode(),
        "User-Agent": USER_AGENT,
        "Content-Length": str(len(content)),
        **headers_of(call, connection),
    }
    extensions = {"timeout": _timeout_of(call).as_dict()}
    return httpx2.Request(call.method, url, headers=headers, stream=httpx2.ByteStream(content), extensions=extensions)


def _timeout_of(call: Call) -> httpx2.Timeout:
    # To wait for a connection of one's own is no sign of the service's; how long a call may take bounds it.
    return httpx2.Timeout(call.seconds, connect=CONNECT_SECONDS, pool=None)


@lru_cache(maxsize=64)
def _url(text: str) -> httpx2.URL:
    return httpx2.URL(text)


def read(answer: httpx2.Response, url: str) -> Answer:
    """What an answer says. Raises RequestFailed."""
    etag = answer.headers.get("etag")
    if answer.is_success and not answer.content:
        return Answer(status=answer.status_code, data={}, etag=etag)
    found = as_object(answer.content) if answer.is_success else None
    if found is None:
        raise failure_of(answer.status_code, answer.headers, answer.content, url=url)
    return Answer(status=answer.status_code, data=found, etag=etag)


class Tries:
    """The tries of one call: how many there were, and for how long. `random` gives numbers from 0 to 1."""

    def __init__(
        self, call: Call, patience: Patience, *, random: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._call = call
        self._patience = patience
        self._random = random
        self._clock = clock
        self._since = clock() if call.since is None else call.since
        self._made = 0

    def pause_after(self, error: RequestFailed) -> float | None:
        """Seconds after which the call is sent again; None: the error stands."""
        self._made += 1
        failure = _failure(error, self._patience)
        if failure is None:
            return None
        return pause_before_next(
            failure,
            tries_made=self._made,
            repeatable=self._call.is_repeatable,
            random=self._random,
            patience=self._patience,
            passed=self._clock() - self._since,
        )


def client_options(connection: Connection) -> dict[str, Any]:
    """The arguments of httpx2's Client and AsyncClient. Raises NotConfigured for a file of certificates."""
    is_encrypted = connection.url.startswith("https:")
    return {
        "verify": _trusted(connection) if is_encrypted else False,  # nothing to load for plain HTTP
        "trust_env": is_encrypted,  # proxies of the environment are not asked for this machine's own addresses
        "follow_redirects": False,  # a key goes to the address that it was given for, and nowhere else
        "headers": {"User-Agent": USER_AGENT},
        "limits": httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
    }


@contextmanager
def translated(url: str) -> Iterator[None]:
    """What httpx2 raises, as Unreachable; the original is its cause."""
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise unreachable(error, url) from error


def unreachable(error: httpx2.HTTPError | httpx2.InvalidURL, url: str) -> Unreachable:
    """Why there is no answer, in words that hold nothing of what was sent."""
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return Unreachable(
            f"The certificate of {url} cannot be verified ({said.partition(': ')[2] or said}): set TASKLEDGER_CA_FILE "
            "to the certificate of the authority that signed it.",
            may_pass=False,
        )
    if isinstance(error, httpx2.TimeoutException):
        return Unreachable(f"{url} did not answer in time: is the service running there, and is it overloaded?")
    return Unreachable(f"{url} cannot be reached ({said or type(error).__name__}): is the service running there?")


def _failure(error: RequestFailed, patience: Patience = PATIENCE) -> Failure | None:
    """What is known of it; None for one that stays as it is however often it is tried."""
    if isinstance(error, QuotaReached) and not patience.waits_for_room:
        return None
    if isinstance(error, Refused):
        return Failure(status=error.status, retry_after=error.retry_after)
    if isinstance(error, Unreachable) and error.may_pass:
        return Failure(was_sent=not isinstance(error.__cause__, NEVER_SENT))
    return None


def _trusted(connection: Connection) -> ssl.SSLContext | bool:
    if connection.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=connection.ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if error.errno and error.strerror else "it holds no certificate in PEM"
        raise NotConfigured(f"TASKLEDGER_CA_FILE: {connection.ca_file} cannot be used: {reason}.") from None
