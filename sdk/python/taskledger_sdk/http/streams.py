"""Events as they happen, over server-sent events; after a broken connection it goes on where it was."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from httpx2 import EventSource, ServerSentEvent

from taskledger_sdk.http.async_transport import AsyncTransport
from taskledger_sdk.http.calls import Call
from taskledger_sdk.http.errors import RequestFailed, TooManyRequests, Unavailable, Unreachable
from taskledger_sdk.http.transport import Transport

T = TypeVar("T")
PATH = "/events/stream"
SILENT_SECONDS = 45.0
"""A stream says something every 15 seconds; one that is silent for so long is broken."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
PASSING = (Unreachable, Unavailable, TooManyRequests)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamedEvent:
    """One event: a number to go on after, its name such as `task.completed`, and its content."""

    id: str
    event: str
    data: dict[str, Any]


class _Position:
    """Where a stream is, and how long to wait before the next connection. Pure."""

    def __init__(self, filters: Mapping[str, Any], after: str | None) -> None:
        self._filters = filters
        self._after = after
        self._pause = FIRST_PAUSE
        self._has_connected = False

    def call(self) -> Call:
        """The request that goes on here."""
        headers = {"Accept": "text/event-stream"}
        if self._after is not None:
            headers["Last-Event-ID"] = self._after
        return Call(method="GET", path=PATH, query=self._filters, headers=headers, seconds=SILENT_SECONDS)

    def take(self, said: ServerSentEvent) -> StreamedEvent | None:
        """An event; None for what only tells a number, or that the connection lives. Raises Unreachable."""
        event = None
        if said.data:
            try:
                event = StreamedEvent(id=said.id, event=said.event, data=json.loads(said.data))
            except ValueError:
                raise Unreachable("The stream said something that is no event: is a proxy in between?") from None
        self._has_connected, self._pause = True, FIRST_PAUSE
        self._after = said.id or self._after
        return event

    def pause_after(self, failure: RequestFailed | None) -> float:
        """Seconds until the next connection. Raises the failure of the first one."""
        if failure is not None and not self._has_connected:
            raise failure
        pause = max(self._pause, getattr(failure, "retry_after", None) or 0.0)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause


def follow(
    transport: Transport,
    filters: Mapping[str, Any],
    *,
    after: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
    on_break: Callable[[RequestFailed | None], None] = lambda error: None,
) -> Iterator[StreamedEvent]:
    """The caller's events without end, each once, from the number `after` on, or else from now on.

    `filters` are the query parameters of the stream. `on_break` is told of a connection that broke, and why; None: the
    service ended it in order, as it does once an hour. Raises RequestFailed when the first connection fails, and later
    for what does not pass, such as a revoked key.
    """
    position = _Position(filters, after)
    while True:
        failure = None
        try:
            with transport.stream(position.call()) as answer:
                for said in EventSource(answer):
                    event = position.take(said)
                    if event is not None:
                        yield event
        except PASSING as error:
            failure = error
        pause = position.pause_after(failure)
        on_break(failure)
        sleep(pause)


async def follow_async(
    transport: AsyncTransport,
    filters: Mapping[str, Any],
    *,
    after: str | None = None,
    read: Callable[[StreamedEvent], T],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[T, None]:
    """As `follow`, in an event loop; each event as `read` has it."""
    position = _Position(filters, after)
    while True:
        failure = None
        try:
            async with transport.stream(position.call()) as answer:
                async for said in EventSource(answer):
                    event = position.take(said)
                    if event is not None:
                        yield read(event)
        except PASSING as error:
            failure = error
        await sleep(position.pause_after(failure))
