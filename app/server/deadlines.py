"""How long the server waits for a client: a connection that raises TimeoutError instead of waiting for ever."""

import select
import socket
import time
from typing import Any

HEAD_SECONDS = 10.0  # from the first byte of a request's head to its last
GRACE_SECONDS = 10.0  # for which a client may be slower than MIN_RATE
MIN_RATE = 2_000  # bytes in a second, of a body that arrives or of an answer that is taken
SEND_BYTES = 256 * 1024
LOOK_SECONDS = 0.25  # a wait is told of while it lasts


class Pace:
    """For how long a client may still be waited for. It earns a second with each MIN_RATE bytes, and keeps ten.

    So in any T seconds that somebody waits for it, it moves at least (T - GRACE_SECONDS) * MIN_RATE bytes.
    """

    __slots__ = ("_earned_bytes", "_left", "began_at", "moved_bytes", "waited_seconds")

    def __init__(self, now: float) -> None:
        self.began_at = now  # by time.monotonic()
        self.moved_bytes = 0  # whoever moves some adds them: a call a piece would cost more than it all
        self.waited_seconds = 0.0
        self._left = GRACE_SECONDS
        self._earned_bytes = 0

    def left(self) -> float:
        """Seconds that it may still be waited for."""
        self._left = min(GRACE_SECONDS, self._left + (self.moved_bytes - self._earned_bytes) / MIN_RATE)
        self._earned_bytes = self.moved_bytes
        return self._left

    def waited(self, seconds: float) -> None:
        """It was waited for."""
        self.waited_seconds += seconds
        self._left -= seconds


class DeadlineSocket(socket.socket):
    """A client's connection: never blocks in the kernel, and waits for a client only as long as its pace allows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        super().settimeout(0.0)
        self._most_seconds: float | None = None
        self.renew(time.monotonic())

    @classmethod
    def taken_over(cls, accepted: socket.socket) -> "DeadlineSocket":
        """The same connection as one of these."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        return cls(family, kind, protocol, fileno=accepted.detach())

    def renew(self, now: float) -> None:
        """A new request begins."""
        self.incoming = Pace(now)
        self.outgoing = Pace(now)

    def setblocking(self, flag: bool) -> None:
        """Nothing: gunicorn says this at every request, and this connection blocks in its own way."""

    def settimeout(self, value: float | None) -> None:
        """The longest that one recv() may take, if that is less than the pace allows."""
        self._most_seconds = value

    def gettimeout(self) -> float | None:
        """What settimeout() said."""
        return self._most_seconds

    def recv_now(self, size: int) -> bytes:
        """What is there. Raises BlockingIOError when nothing is, or another OSError."""
        return super().recv(size)

    def send_now(self, data: bytes) -> None:
        """Send something small. Raises OSError when it cannot be sent at once."""
        super().send(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What is there, or comes in time. Raises TimeoutError, or another OSError."""
        while True:
            try:
                received = super().recv(size, flags)
            except BlockingIOError:
                self._wait(select.POLLIN, self.incoming, self._most_seconds)
            else:
                self.incoming.moved_bytes += len(received)
                return received

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some of it. Raises TimeoutError, or another OSError."""
        while True:
            try:
                count = super().send(data, flags)
            except BlockingIOError:
                self._wait(select.POLLOUT, self.outgoing, None)
            else:
                self.outgoing.moved_bytes += count
                return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it. Raises TimeoutError, or another OSError."""
        sent = self.send(data, flags)
        if sent == len(data):
            return
        with memoryview(data) as rest:
            while sent < len(rest):
                sent += self.send(rest[sent : sent + SEND_BYTES], flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file, or so many bytes of it. Raises TimeoutError, or another OSError."""
        file.seek(offset)
        sent = 0
        while count is None or sent < count:
            part = file.read(SEND_BYTES if count is None else min(SEND_BYTES, count - sent))
            if not part:
                break
            self.sendall(part)
            sent += len(part)
        return sent

    def hang_up(self) -> None:
        """End the connection; a thread that waits for it is woken."""
        try:
            self.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended by itself
            return

    def _wait(self, what: int, pace: Pace, most_seconds: float | None) -> None:
        until = time.monotonic() + (pace.left() if most_seconds is None else min(pace.left(), most_seconds))
        poll = select.poll()
        poll.register(self, what)
        while (began := time.monotonic()) < until:
            came = poll.poll(min(until - began, LOOK_SECONDS) * 1000)
            pace.waited(time.monotonic() - began)
            if came:
                return
        raise TimeoutError(f"The client was waited for: it moves less than {MIN_RATE} bytes a second")
