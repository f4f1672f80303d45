"""A file descriptor that is readable while something has arrived: what an event loop waits on instead of polling."""

import select
import socket


class Wake:
    """Set by the loop's thread, waited on and cleared by the thread that drains."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._is_set = False

    def fileno(self) -> int:
        """For event loops."""
        return self._reader.fileno()

    def set(self) -> None:
        """Make it readable."""
        if not self._is_set:
            self._is_set = True
            try:
                self._writer.send(b"!")
            except OSError:  # closed, or full and so readable anyway
                return

    def clear(self) -> None:
        """To be called before looking at what has arrived, so that what comes meanwhile is not overlooked."""
        self._is_set = False
        try:
            self._reader.recv(4096)
        except OSError:
            return

    def wait(self, seconds: float | None) -> bool:
        """Whether it is readable within so long; None waits for ever."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))

    def close(self) -> None:
        """Also done when nobody knows it any more."""
        self._reader.close()
        self._writer.close()

    __del__ = close
