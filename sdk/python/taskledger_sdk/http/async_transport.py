"""As `transport`, for programs of coroutines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

import httpx2

from taskledger_sdk.connection import Connection
from taskledger_sdk.http.calls import (
    JITTER,
    Answer,
    Call,
    Tries,
    client_options,
    read,
    request_of,
    translated,
    unreachable,
)
from taskledger_sdk.http.errors import RequestFailed, failure_of
from taskledger_sdk.http.retrying import PATIENCE, Patience


class AsyncTransport:
    """Calls of the API; all of them raise RequestFailed. It belongs to the event loop in which it is first used.

    `sleep`, `rand` and `http` are for tests.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        patience: Patience = PATIENCE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rand: Callable[[], float] = JITTER.random,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self.connection = connection
        self._patience = patience
        self._sleep = sleep
        self._random = rand
        self._http = http or httpx2.AsyncClient(**client_options(connection))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def answer(self, call: Call) -> Answer:
        """The answer, with its status."""
        tries = Tries(call, self._patience, random=self._random, clock=time.monotonic)
        while True:
            try:
                with translated(self.connection.url):
                    answer = await self._http.send(request_of(self._http, call, self.connection))
                return read(answer, self.connection.url)
            except RequestFailed as error:
                pause = tries.pause_after(error)
                if pause is None:
                    raise
                await self._sleep(pause)

    def stream(self, call: Call) -> "AsyncStream":
        """An answer whose content is read as it comes, in an `async with`; not repeated."""
        return AsyncStream(self._http, call, self.connection)


class AsyncStream:
    """One answer that is read as it comes.

    No generator: whoever leaves a loop over events early has several of them ended at once by the event loop, and one
    that ends another cannot be ended meanwhile.
    """

    def __init__(self, http: httpx2.AsyncClient, call: Call, connection: Connection) -> None:
        self._http = http
        self._call = call
        self._connection = connection
        self._answer: httpx2.Response | None = None

    async def __aenter__(self) -> httpx2.Response:
        url = self._connection.url
        with translated(url):
            request = request_of(self._http, self._call, self._connection)
            answer = self._answer = await self._http.send(request, stream=True)
            if answer.is_success:
                return answer
            try:
                await answer.aread()
            finally:
                await answer.aclose()
        raise failure_of(answer.status_code, answer.headers, answer.content, url=url)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            await self._answer.aclose()
        if isinstance(error, httpx2.HTTPError):
            raise unreachable(error, self._connection.url) from error
