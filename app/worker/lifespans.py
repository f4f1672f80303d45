"""The lifespans of packages in this process: started before the first attempt that may need them, ended with it."""

import asyncio
import os
import threading
import time
from contextlib import AsyncExitStack
from typing import Any

import structlog

from app.errors import TaskledgerError
from app.worker.event_loop import LOOP
from taskledger_sdk import lifespans
from taskledger_sdk.lifespans import Lifespan

log = structlog.get_logger(__name__)

START_SECONDS = 10.0  # for an async one; a plain one has the time of the attempt that waits for it
END_SECONDS = 5.0  # for all of them together


class LifespanFailed(TaskledgerError):
    """One that an attempt needs could not be started; the next attempt tries again."""


class _Plain:
    """A plain one that is open: opened in the thread of an attempt."""

    is_open = True

    def __init__(self, lifespan: Lifespan[Any]) -> None:
        self._manager = lifespan.opened()
        self._manager.__enter__()

    def end(self) -> None:
        """Close it; raises what that raises."""
        self._manager.__exit__(None, None, None)


class _Async:
    """An async one that is open. One task of the loop opens and closes it: what it holds may ask for that."""

    def __init__(self, lifespan: Lifespan[Any]) -> None:
        self.is_open = False
        self._settled = threading.Event()  # it is open, or will never be
        self._ending = asyncio.Event()
        self._run = LOOP.run_of(self._live(lifespan), name=f"lifespan {lifespan.place}")
        self._run.start()
        try:
            self._settled.wait()
        except BaseException:  # the attempt is asked to stop, or a signal ends the process
            self._run.cancel()
            raise
        if not self.is_open:
            self._run.wait()
            self._run.result()  # raises what was raised

    def end(self) -> None:
        """Close it; raises what that raises."""
        LOOP.call_soon(self._ending.set)
        self._run.wait()
        self._run.result()

    async def _live(self, lifespan: Lifespan[Any]) -> None:
        limit = asyncio.timeout(START_SECONDS)
        try:
            async with AsyncExitStack() as stack:
                async with limit:
                    await stack.enter_async_context(lifespan.opened_async())
                self.is_open = True
                self._settled.set()
                await self._ending.wait()
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"it was not open after {START_SECONDS:g} s") from error
            raise
        finally:
            self.is_open = False
            self._settled.set()


class Lifespans:
    """Those that are open in this process. A process that is forked off has none."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, _Plain | _Async] = {}
        self._failures: dict[str, tuple[float, str]] = {}  # the last one: its time.monotonic() and text

    def ensure(self, module: str) -> None:
        """Start those which handlers of this module need and which are not open. Raises LifespanFailed."""
        missing = [each for each in lifespans.declared() if each.serves(module) and not self._has(each)]
        if not missing:
            return
        came_at = time.monotonic()
        with self._lock:
            for each in missing:
                if not self._has(each):
                    self._start(each, came_at)

    def end(self) -> None:
        """Close what is open, the last one first; returns after END_SECONDS at the latest."""
        left = list(self._open)
        if not left:
            return
        thread = threading.Thread(target=self._close, args=(left,), name="lifespans", daemon=True)
        thread.start()
        thread.join(END_SECONDS)
        if left:
            log.warning("lifespans_not_ended", lifespans=left[::-1], seconds=END_SECONDS)

    def _has(self, lifespan: Lifespan[Any]) -> bool:
        opened = self._open.get(lifespan.place)
        return opened is not None and opened.is_open

    def _start(self, lifespan: Lifespan[Any], came_at: float) -> None:
        failed_at, text = self._failures.get(lifespan.place, (0.0, ""))
        if failed_at > came_at:  # tried while this attempt waited for its turn: it does not wait as long once more
            raise LifespanFailed(text)
        began_at = time.monotonic()
        try:
            self._open[lifespan.place] = _Async(lifespan) if lifespan.is_async else _Plain(lifespan)
        except (Exception, asyncio.CancelledError) as error:
            why = f"{type(error).__name__}: {error}"
            text = f"{lifespan.place} could not be started ({why}); the next attempt tries it again"
            self._failures[lifespan.place] = (time.monotonic(), text)
            raise LifespanFailed(text) from error
        log.info("lifespan_started", lifespan=lifespan.place, seconds=round(time.monotonic() - began_at, 3))

    def _close(self, left: list[str]) -> None:
        while left:
            place = left[-1]
            try:
                self._open.pop(place).end()
            except BaseException as error:  # noqa: BLE001 (the others are closed all the same)
                log.warning("lifespan_ended_badly", lifespan=place, error=f"{type(error).__name__}: {error}")
            else:
                log.info("lifespan_ended", lifespan=place)
            left.pop()


LIFESPANS = Lifespans()
