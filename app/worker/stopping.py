"""Stopping a running handler from another thread or process: a signal whose exception is raised in the handler only."""

import mmap
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from taskledger_sdk.errors import ShuttingDown

# SIGUSR1 is what Celery uses to interrupt a handler; SIGUSR2 is the parent's "give back what you have".
STOP_SIGNAL, GIVE_BACK_SIGNAL = signal.SIGUSR1, signal.SIGUSR2


class ParentStop:
    """Whether the parent process stops its children: one byte of memory, which forked children share with it.

    A signal does not tell who sent it. A handler may send SIGTERM to its own process; what the worker itself ends is
    given back uncounted, and everything else counts as an attempt.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def announce(self) -> None:
        """The worker shuts down; called in the parent before it sends its children any signal."""
        self._byte[0] = 1

    def is_announced(self, *, wait_seconds: float = 0.0) -> bool:
        """Whether the worker shuts down. A service manager signals parent and children at once: wait for the parent."""
        end = time.monotonic() + wait_seconds
        while not self._byte[0] and time.monotonic() < end:
            time.sleep(0.02)
        return bool(self._byte[0])


class Stopper:
    """Raises in the handler while one runs, and never while an outcome is being recorded.

    Signals reach the main thread of the process, which is where a prefork child runs its handlers.
    """

    def __init__(self, parent_stop: ParentStop) -> None:
        self._parent_stop = parent_stop
        self.shutting_down = False
        self.interrupts = True
        """Whether a handler can be interrupted: signals reach the main thread only, so not in a pool of threads."""
        self._armed = False
        self._wanted: BaseException | None = None
        self._still_wanted: Callable[[], bool] = _always
        self._is_shielded = False

    def install(self) -> None:
        """Take over the signals of this process; before every hint, because the pool and handlers may set their own."""
        self.interrupts = threading.current_thread() is threading.main_thread()
        if not self.interrupts:
            return  # handlers stop at check_cancelled() and when they report progress
        for number in (STOP_SIGNAL, GIVE_BACK_SIGNAL):
            if signal.getsignal(number) != self._on_signal:
                signal.signal(number, self._on_signal)

    def armed(self) -> Self:
        """For a with statement: the handler runs inside, and only there is anything raised.

        It is no generator, which would take as long as a tiny handler.
        """
        return self

    def __enter__(self) -> None:
        self._armed = True
        if self.shutting_down:
            self.__exit__()
            raise ShuttingDown

    def __exit__(self, *_: object) -> None:
        self._armed = False
        self._wanted = None

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """What happens inside is done to its end: what would be raised in the handler is raised behind it.

        A step that was done and not recorded would be done again.
        """
        if self._is_shielded or not (self._armed and threading.current_thread() is threading.main_thread()):
            yield
            return
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        wanted, self._wanted = self._wanted, None
        if wanted is not None and self._armed and self._still_wanted():
            self._armed = False
            raise wanted

    def stop(self, error: BaseException, *, still_wanted: Callable[[], bool]) -> None:
        """Have `error` raised in the handler that runs now, if it is still the one that was meant by then."""
        self._still_wanted = still_wanted
        self._wanted = error
        if self.interrupts:
            os.kill(os.getpid(), STOP_SIGNAL)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == GIVE_BACK_SIGNAL:
            if not self._parent_stop.is_announced():
                return  # not from the parent: a child that believed it would refuse every hint from now on
            self.shutting_down = True
            self._wanted, self._still_wanted = ShuttingDown(), _always
        if self._is_shielded:
            return
        wanted, self._wanted = self._wanted, None
        if self._armed and wanted is not None and self._still_wanted():
            self._armed = False  # nothing is raised a second time, while the outcome of this is recorded
            raise wanted


def _always() -> bool:
    return True
