"""Events as they happen, over server-sent events; after a broken connection it goes on where it was."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from httpx2 import EventSource

from taskledger_sdk.http.errors import RequestFailed, TooManyRequests, Unavailable, Unreachable
from taskledger_sdk.http.transport import Call, Transport

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
    position, pause, has_connected = after, FIRST_PAUSE, False
    while True:
        failure = None
        try:
            for is_new, event in _one_connection(transport, filters, position):
                has_connected, pause = True, FIRST_PAUSE
                position = event.id or position
                if is_new:
                    yield event
        except PASSING as error:
            if not has_connected:
                raise
            failure = error
        on_break(failure)
        sleep(max(pause, getattr(failure, "retry_after", None) or 0.0))
        pause = min(2 * pause, LONGEST_PAUSE)


def _one_connection(
    transport: Transport, filters: Mapping[str, Any], position: str | None
) -> Iterator[tuple[bool, StreamedEvent]]:
    """What one connection says until it ends: events, and (False, …) for what only tells a number, or that it lives."""
    headers = {"Accept": "text/event-stream"}
    if position is not None:
        headers["Last-Event-ID"] = position
    call = Call(method="GET", path=PATH, query=filters, headers=headers, seconds=SILENT_SECONDS)
    with transport.stream(call) as answer:
        for said in EventSource(answer):
            if not said.data:
                yield False, StreamedEvent(id=said.id, event="", data={})
                continue
            try:
                data = json.loads(said.data)
            except ValueError:
                raise Unreachable("The stream said something that is no event: is a proxy in between?") from None
            yield True, StreamedEvent(id=said.id, event=said.event, data=data)
