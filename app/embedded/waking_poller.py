"""A poller that returns when a signal arrives.

Since Python 3.5 `poll()` goes on waiting after a signal, so that supervisord's loop sees a Ctrl-C or an ended program
only after its timeout of a second: seven programs would take seven seconds to stop. A wake-up pipe mends that.
"""

import os
import signal

from supervisor.poller import BasePoller

IMPATIENT_SECONDS = 0.03


class WakingPoller:
    """Wraps supervisord's poller; also shortens the wait while something is being waited for."""

    def __init__(self, poller: BasePoller) -> None:
        self._poller = poller
        self._wake_end, signal_end = os.pipe()
        for end in (self._wake_end, signal_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(signal_end, warn_on_full_buffer=False)
        self.impatient = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._poller, name)

    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Wait as the wrapped poller does, but no longer than until the next signal."""
        self._poller.register_readable(self._wake_end)
        readable, writable = self._poller.poll(min(timeout, IMPATIENT_SECONDS) if self.impatient else timeout)
        if self._wake_end in readable:
            os.read(self._wake_end, 4096)
            readable = [descriptor for descriptor in readable if descriptor != self._wake_end]
        return readable, writable
