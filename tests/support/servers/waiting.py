"""Waiting for something outside this process to become true, and never longer than said."""

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02
PORTS = range(22_768, 32_768)

_given: set[int] = set()


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
    """A port of the loopback address that nothing listens on now; no process of the tests gets one of them twice.

    Below the ports that outgoing connections are given (32768 and up on Linux): a server that is stopped and started
    again finds its own port free, whatever was connected meanwhile.
    """
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
