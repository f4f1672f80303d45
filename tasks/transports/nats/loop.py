"""The asyncio thread of this process: every NATS connection lives on it, and a fork begins with a new one."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tasks.transports.nats.errors import NatsUnavailable

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_inherited: list[asyncio.AbstractEventLoop] = []
"""Loops of the process that we were forked from: never closed here, because their epoll is still that process's."""
_on_fork: list[Callable[[], None]] = []


def event_loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, started at its first use."""
    global _loop
    if _loop is None:
        with _lock:
            if _loop is None:
                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="nats", daemon=True).start()
                _loop = loop
    return _loop


def run(coroutine: Coroutine[Any, Any, T], *, seconds: float) -> T:
    """Run on the loop's thread and wait for the result. Raises NatsUnavailable when the time is over."""
    future = asyncio.run_coroutine_threadsafe(coroutine, event_loop())
    try:
        return future.result(seconds)
    except TimeoutError as error:
        future.cancel()
        raise NatsUnavailable(f"NATS gave no answer within {seconds:g} s") from error


def soon(function: Callable[..., None], *arguments: Any) -> None:
    """Call it on the loop's thread, and do not wait."""
    event_loop().call_soon_threadsafe(function, *arguments)


def after_fork(function: Callable[[], None]) -> None:
    """Have a function called in each child process, before anything else happens there."""
    _on_fork.append(function)


def _begin_anew() -> None:
    global _loop, _lock
    _lock = threading.Lock()  # the inherited one may have been held when the process forked
    if _loop is not None:
        _inherited.append(_loop)
        _loop = None
        for function in _on_fork:
            function()


os.register_at_fork(after_in_child=_begin_anew)
