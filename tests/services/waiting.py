"""Waiting for something outside this process to become true, and never longer than said."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def wait_for(predicate: Callable[[], T], *, timeout: float = 10.0, what: str = "") -> T:
    """The first truthy value of `predicate`. Raises AssertionError that names `what` and the last value seen."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            name = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"{name}: not within {timeout} s; last seen: {value!r}")
        time.sleep(POLL_SECONDS)


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
