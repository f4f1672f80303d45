"""Stopping a running handler from another thread or process: a signal whose exception is raised in the handler only."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tasks.errors import ShuttingDown

# SIGUSR1 is what Celery uses to interrupt a handler; SIGUSR2 is the parent's "give back what you have".
STOP_SIGNAL, GIVE_BACK_SIGNAL = signal.SIGUSR1, signal.SIGUSR2


class Stopper:
    """Raises in the handler while one runs, and never while an outcome is being recorded.

    Signals reach the main thread of the process, which is where a prefork child runs its handlers.
    """

    def __init__(self) -> None:
        self.shutting_down = False
        self.interrupts = True
        """Whether a handler can be interrupted: signals reach the main thread only, so not in a pool of threads."""
        self._armed = False
        self._wanted: BaseException | None = None
        self._still_wanted: Callable[[], bool] = _always

    def install(self) -> None:
        """Take over the signals of this process; before every hint, because the pool and handlers may set their own."""
        self.interrupts = threading.current_thread() is threading.main_thread()
        if not self.interrupts:
            return  # handlers stop at check_cancelled() and when they report progress
        for number in (STOP_SIGNAL, GIVE_BACK_SIGNAL):
            if signal.getsignal(number) != self._on_signal:
                signal.signal(number, self._on_signal)

    @contextmanager
    def armed(self) -> Iterator[None]:
        """The handler runs inside: only here is anything raised."""
        self._armed = True
        try:
            if self.shutting_down:
                raise ShuttingDown
            yield
        finally:
            self._armed = False
            self._wanted = None

    def stop(self, error: BaseException, *, still_wanted: Callable[[], bool]) -> None:
        """Have `error` raised in the handler that runs now, if it is still the one that was meant by then."""
        self._still_wanted = still_wanted
        self._wanted = error
        if self.interrupts:
            os.kill(os.getpid(), STOP_SIGNAL)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == GIVE_BACK_SIGNAL:
            self.shutting_down = True
            self._wanted, self._still_wanted = ShuttingDown(), _always
        wanted, self._wanted = self._wanted, None
        if self._armed and wanted is not None and self._still_wanted():
            self._armed = False  # nothing is raised a second time, while the outcome of this is recorded
            raise wanted


def _always() -> bool:
    return True
