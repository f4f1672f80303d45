"""Stopping a running handler from another thread or process: a signal whose exception is raised in the handler only."""

import os
import signal
import threading
from collections.abc import Iterator
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
        self._armed = False
        self._wanted: BaseException | None = None
        self._installed_pid = 0

    def install(self) -> None:
        """Take over the signals of this process; called before every hint because the pool sets its own at start."""
        if self._installed_pid != os.getpid():
            if threading.current_thread() is not threading.main_thread():
                return  # a thread pool: handlers stop at check_cancelled() and at their next progress report
            signal.signal(STOP_SIGNAL, self._on_signal)
            signal.signal(GIVE_BACK_SIGNAL, self._on_signal)
            self._installed_pid = os.getpid()

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

    def stop(self, error: BaseException) -> None:
        """Have `error` raised in the handler that runs now; for other threads of this process."""
        self._wanted = error
        os.kill(os.getpid(), STOP_SIGNAL)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == GIVE_BACK_SIGNAL:
            self.shutting_down = True
            self._wanted = ShuttingDown()
        wanted, self._wanted = self._wanted, None
        if self._armed and wanted is not None:
            raise wanted
