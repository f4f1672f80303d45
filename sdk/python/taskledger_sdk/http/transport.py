"""Requests to one service with one credential: sent, repeated where that is safe, and read. `Transport` blocks."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx2

from taskledger_sdk.connection import Connection
from taskledger_sdk.http.calls import (
    ANSWER_SECONDS,
    JITTER,
    LARGEST_PAGE,
    NOTHING,
    Answer,
    Call,
    Tries,
    client_options,
    read,
    request_of,
    translated,
)
from taskledger_sdk.http.errors import RequestFailed, failure_of
from taskledger_sdk.http.retrying import PATIENCE, Patience

__all__ = ["ANSWER_SECONDS", "LARGEST_PAGE", "NOTHING", "Answer", "Call", "Transport"]


class Transport:
    """Calls of the API; all of them raise RequestFailed. Close it, or use it in a `with`.

    Threads may share it. `sleep`, `rand` and `http` are for tests.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        patience: Patience = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        rand: Callable[[], float] = JITTER.random,
        http: httpx2.Client | None = None,
    ) -> None:
        self.connection = connection
        self._patience = patience
        self._sleep = sleep
        self._random = rand
        self._http = http or httpx2.Client(**client_options(connection))

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
        return self.answer(call).data

    def answer(self, call: Call) -> Answer:
        """The answer, with its status."""
        tries = Tries(call, self._patience, random=self._random, clock=time.monotonic)
        while True:
            try:
                with translated(self.connection.url):
                    answer = self._http.send(request_of(self._http, call, self.connection))
                return read(answer, self.connection.url)
            except RequestFailed as error:
                pause = tries.pause_after(error)
                if pause is None:
                    raise
                self._sleep(pause)

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx2.Response]:
        """An answer whose content is read as it comes; not repeated."""
        with translated(self.connection.url):
            request = request_of(self._http, call, self.connection)
            answer = self._http.send(request, stream=True)
        try:
            with translated(self.connection.url):
                if not answer.is_success:
                    answer.read()
                    raise failure_of(answer.status_code, answer.headers, answer.content, url=self.connection.url)
                yield answer
        finally:
            answer.close()
