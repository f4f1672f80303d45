"""How gunicorn serves the API: `gunicorn -k app.server.Threads`, its own threads with two habits more."""

import gc
import select
from collections import deque
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

STAY_MILLISECONDS = 10


class Threads(ThreadWorker):
    """gunicorn's gthread, whose threads stay for a moment with a connection that has been answered.

    A client that sends one request after the other has its next one read by the same thread. To give the connection
    back to the thread that polls and to get it again costs a fifth of the processor time of a submission
    (decision 0017). No thread stays while a connection waits for one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: deque[TConn] = deque()  # its methods are atomic: no lock

    def load_wsgi(self) -> None:
        """Load the application; what it consists of is never garbage, and not looked at again for 0.2 s at a time."""
        super().load_wsgi()
        gc.collect()
        gc.freeze()

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to the threads."""
        self._waiting.append(conn)
        super().enqueue_req(conn)

    def handle(self, conn: TConn) -> Any:
        """Answer a request, and those that follow it at once. Runs in one of the threads."""
        self._waiting.popleft()  # which one does not matter: they are counted
        answered = super().handle(conn)
        while answered is True and self._goes_on(conn):
            answered = super().handle(conn)
        return answered

    def _goes_on(self, conn: TConn) -> bool:
        if self._waiting or not self.alive:
            return False
        if conn.parser.unreader.buf.getvalue():  # read already, behind the body of the last one
            return True
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(STAY_MILLISECONDS))
