"""Which request a piece of work belongs to: its id and its trace context, told to whoever we call."""

import re
from collections.abc import Mapping
from contextvars import ContextVar

REQUEST_ID_HEADER = "X-Request-ID"
TRACE_HEADER = "traceparent"
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00, and ids that are not all zero
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)


def request_id() -> str | None:
    """The request that this thread works for, if any."""
    return _request_id.get()


def traceparent() -> str | None:
    """The trace context (W3C) that this thread works in, if any."""
    return _traceparent.get()


def begin(request_id: str | None, traceparent: str | None) -> None:
    """What this thread does from here on belongs to that request."""
    _request_id.set(request_id)
    _traceparent.set(traceparent)


class belonging_to:  # noqa: N801 (for a with statement, like those of contextlib; a generator takes three times as long)
    """What happens in the block belongs to that request."""

    __slots__ = ("_said", "_tokens")

    def __init__(self, request_id: str | None, traceparent: str | None) -> None:
        self._said = request_id, traceparent

    def __enter__(self) -> None:
        self._tokens = _request_id.set(self._said[0]), _traceparent.set(self._said[1])

    def __exit__(self, *_: object) -> None:
        _request_id.reset(self._tokens[0])
        _traceparent.reset(self._tokens[1])


def accepted_traceparent(header: str) -> str | None:
    """The header's value where it is one; None for anything else."""
    return header if TRACEPARENT.fullmatch(header) else None


def below(given: str | None) -> str | None:
    """The trace context that this thread works in where it is of the same trace as a given one; else the given one."""
    current = traceparent()
    return current if current is not None and given is not None and _trace_id(current) == _trace_id(given) else given


def _trace_id(traceparent: str) -> str:
    return traceparent.split("-")[1]


def outgoing() -> Mapping[str, str]:
    """The headers by which another service can tell which request of ours it is serving."""
    said = {REQUEST_ID_HEADER: request_id(), TRACE_HEADER: traceparent()}
    return {name: value for name, value in said.items() if value is not None}
