"""Requests to one service with one credential: sent, repeated where that is safe, and read.

`Transport` blocks. What it decides is decided by functions that know no sockets (`outgoing`, `read`,
`retrying.pause_before_next`), for one that does not block decides the same.
"""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from taskledger_sdk import __version__
from taskledger_sdk.connection import Connection
from taskledger_sdk.http.addresses import API
from taskledger_sdk.http.errors import NotConfigured, Refused, RequestFailed, Unreachable, as_object, failure_of
from taskledger_sdk.http.retrying import Failure, is_repeatable, pause_before_next

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
LARGEST_PAGE = 200
USER_AGENT = f"taskledger-sdk/{__version__}"
NOTHING: Mapping[str, Any] = {}
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request: the path is below /api/v1; of the query, None is left out and a list is repeated."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    idempotency_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = ANSWER_SECONDS
    """How long the service may take to answer."""

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again after it was perhaps carried out."""
        return is_repeatable(self.method, has_idempotency_key=self.idempotency_key is not None)


def outgoing(call: Call, connection: Connection) -> dict[str, Any]:
    """The arguments of httpx2's `build_request`. Pure."""
    headers = {"Accept": "application/json", **call.headers}
    if connection.api_key:
        headers["Authorization"] = f"Bearer {connection.api_key}"
    if call.idempotency_key is not None:
        headers["Idempotency-Key"] = call.idempotency_key
    query = {name: value for name, value in call.query.items() if value is not None and value != []}
    options = {} if call.body is None else {"json": call.body}
    timeout = httpx2.Timeout(call.seconds, connect=CONNECT_SECONDS)
    url = f"{connection.url}{API}{call.path}"
    return {"method": call.method, "url": url, "params": query, "headers": headers, "timeout": timeout, **options}


def read(answer: httpx2.Response, url: str) -> dict[str, Any]:
    """The JSON object of an answer, {} where it has no content. Raises RequestFailed."""
    if answer.is_success and not answer.content:
        return {}
    found = as_object(answer.content) if answer.is_success else None
    if found is None:
        raise failure_of(answer.status_code, answer.headers, answer.content, url=url)
    return found


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


class Transport:
    """Calls of the API; all of them raise RequestFailed. Close it, or use it in a `with`.

    Threads may share it. `sleep` and `rand` are for tests.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        sleep: Callable[[float], None] = time.sleep,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.connection = connection
        self._sleep = sleep
        self._random = rand
        is_encrypted = connection.url.startswith("https:")
        self._http = httpx2.Client(
            verify=_trusted(connection) if is_encrypted else False,  # nothing to load for plain HTTP
            trust_env=is_encrypted,  # proxies of the environment are not asked for this machine's own addresses
            follow_redirects=False,  # a key goes to the address that it was given for, and nowhere else
            headers={"User-Agent": USER_AGENT},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] = NOTHING, *, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Read something."""
        return self.send(Call(method="GET", path=path, query=query, seconds=seconds))

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Do something; with a key it is done once, however often the connection breaks."""
        return self.send(Call(method="POST", path=path, body=body, idempotency_key=idempotency_key))

    def put(self, path: str, body: Any) -> dict[str, Any]:
        """Store something in the place of what was there."""
        return self.send(Call(method="PUT", path=path, body=body))

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        """Change something."""
        return self.send(Call(method="PATCH", path=path, body=body))

    def delete(self, path: str) -> dict[str, Any]:
        """Delete something."""
        return self.send(Call(method="DELETE", path=path))

    def pages(
        self, path: str, query: Mapping[str, Any] = NOTHING, *, cursor: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """The pages of a list, `{"items", "next"}`, from `cursor` on."""
        while True:
            page = self.get(path, {**query, "cursor": cursor})
            yield page
            cursor = page.get("next")
            if cursor is None:
                return

    def send(self, call: Call) -> dict[str, Any]:
        """The answer's JSON object, {} where it has no content."""
        tries = 0
        while True:
            tries += 1
            try:
                return read(self._sent(call), self.connection.url)
            except RequestFailed as error:
                pause = self._pause(call, error, tries)
                if pause is None:
                    raise
                self._sleep(pause)

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx2.Response]:
        """An answer whose content is read as it comes; not repeated."""
        try:
            request = self._http.build_request(**outgoing(call, self.connection))
            with self._translated():
                answer = self._http.send(request, stream=True)
        except httpx2.InvalidURL as error:
            raise unreachable(error, self.connection.url) from error
        try:
            with self._translated():
                if not answer.is_success:
                    answer.read()
                    raise failure_of(answer.status_code, answer.headers, answer.content, url=self.connection.url)
                yield answer
        finally:
            answer.close()

    def _pause(self, call: Call, error: RequestFailed, tries: int) -> float | None:
        failure = _failure(error)
        if failure is None:
            return None
        return pause_before_next(failure, tries_made=tries, repeatable=call.is_repeatable, random=self._random)

    def _sent(self, call: Call) -> httpx2.Response:
        with self._translated():
            return self._http.send(self._http.build_request(**outgoing(call, self.connection)))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What httpx2 raises, as Unreachable; the original is its cause."""
        try:
            yield
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise unreachable(error, self.connection.url) from error


def _failure(error: RequestFailed) -> Failure | None:
    """What is known of it; None for one that stays as it is however often it is tried."""
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
