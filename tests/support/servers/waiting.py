"""Waiting for something outside this process to become true, and never longer than said."""

import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
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

    Nor do two processes that test side by side get the same one: it may be seconds until a server listens, and one that
    is stopped comes back to it. Below the ports that outgoing connections are given (32768 and up on Linux): nothing
    takes it that was connected meanwhile.
    """
    while True:
        port = random.SystemRandom().choice(PORTS)
        if port not in _given and _reserve(port) and _is_free(port):
            _given.add(port)
            return port


def _reserve(port: int) -> bool:
    """Take the port among the processes of this account that test on this machine, until this one ends."""
    with suppress(OSError):
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        return True
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@cache
def _reservations() -> int:
    """A file whose bytes stand for ports: the system frees what a process has locked of them when it ends."""
    path = os.path.join(tempfile.gettempdir(), f"taskledger-ports-{os.getuid()}")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
