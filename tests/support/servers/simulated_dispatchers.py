"""Dispatcher processes that live in simulated time, and can be killed: each does the schedules duty over and over."""

import multiprocessing
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

_context = multiprocessing.get_context("forkserver")  # a fresh process in milliseconds, and none of our connections
_context.set_forkserver_preload(["app.dispatcher.schedules"])
IDLE_SECONDS = 0.003


def _dispatch(clock: Any) -> None:
    from app.dispatcher.schedules import Schedules

    duty = Schedules()
    while True:
        if not duty.run_once(datetime.fromtimestamp(clock.value, UTC)):
            time.sleep(IDLE_SECONDS)


class SimulatedDispatchers:
    """`count` processes on the tests' database; the clock is a number in shared memory, without a lock to die with."""

    def __init__(self, *, count: int, now: datetime) -> None:
        self._clock = _context.RawValue("d", now.timestamp())
        self._processes = [self._new() for _ in range(count)]
        self.killed = 0

    def set_time(self, now: datetime) -> None:
        self._clock.value = now.timestamp()

    def kill(self, index: int) -> None:
        """kill -9."""
        self._processes[index].kill()
        self._processes[index].join()
        self.killed += 1

    def restart(self, index: int) -> None:
        self._processes[index] = self._new()

    def _new(self) -> Any:
        process = _context.Process(target=_dispatch, args=(self._clock,), daemon=True)
        process.start()
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.join()
