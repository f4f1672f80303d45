"""One client's connection: what of its next request has arrived, and what becomes of it."""

import socket
import time
from typing import Any

from gunicorn.workers.gthread import TConn

from app.server.deadlines import DeadlineSocket
from app.server.request import Incoming, Kind, Unacceptable
from app.shares import Caller

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_IGNORED = 64 * 1024
STOP_SECONDS = 2.0


class Connection(TConn):
    """gunicorn's connection, and the request that arrives on it. Each method runs in the thread that has it."""

    sock: DeadlineSocket
    timeout: float  # of time.monotonic(); set before it is read: by set_timeout(), or by the thread that polls

    def __init__(self, cfg: Any, sock: DeadlineSocket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.address: str = client[0] if isinstance(client, tuple) else ""
        self.caller = Caller(account=None, address=self.address)
        self.incoming: Incoming | None = None
        self.is_watched = False
        self.has_large_place = False
        self._ignored = 0
        self.init()

    def begin(self, now: float) -> Incoming:
        """A request begins, or the client leaves."""
        self.incoming = Incoming(now)
        return self.incoming

    def read(self, incoming: Incoming, size: int, now: float) -> None:
        """Take what is there. Raises BlockingIOError when nothing is, or another OSError when the client has left."""
        data = self.sock.recv_now(size)
        if not data:
            raise ConnectionResetError("The client has left")
        incoming.add(data, now)

    def deadline(self, now: float, *, is_stopping: bool) -> float:
        """Until when the rest of the request is waited for; one of which nothing came ends when the process does."""
        if self.incoming is None or (is_stopping and not self.incoming.arrived):
            return now
        return self.incoming.deadline

    def say_continue(self) -> None:
        """Ask for the body of a client that waits to be asked."""
        if self.incoming is not None and self.incoming.expects:
            self.incoming.was_asked()
            try:
                self.sock.send_now(CONTINUE)
            except OSError:
                return  # it has left: the next read tells

    def hand_on(self) -> None:
        """Give what has arrived to gunicorn's parser, which then need not wait for more."""
        if self.incoming is not None:
            self.parser.unreader.unread(bytes(self.incoming.arrived))
            self.incoming = None
        self.sock.renew(time.monotonic())

    def take_back(self) -> None:
        """What came behind the last request begins the next one."""
        if self.parser.unreader.buf.getbuffer().nbytes:
            behind = self.parser.unreader.take_buffered()
            self.incoming = Incoming(time.monotonic(), begun=behind)

    def is_whole_now(self, size: int) -> bool:
        """Read what is there; whether that is a whole request for the thread that does this, which then has it."""
        now = time.monotonic()
        try:
            incoming = self.incoming
            if incoming is None:
                incoming = self.begin(now)
                self.read(incoming, size, now)
            if incoming.kind(now) is not Kind.SHORT:
                return False
        except (OSError, Unacceptable):  # the thread that polls meets the same, and deals with it
            return False
        self.hand_on()
        return True

    def say_goodbye(self) -> bool:
        """Tell the client that nothing more comes; whether it is still there."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

    def ignore(self, size: int) -> None:
        """Read something for nobody. Raises BlockingIOError, or another OSError when that was all, or enough."""
        data = self.sock.recv_now(size)
        self._ignored += len(data)
        if not data or self._ignored > MAX_IGNORED:
            raise ConnectionResetError("The client has left, or goes on for too long")
