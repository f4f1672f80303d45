"""The threads that answer: each stays for a moment with its connection, and none waits long for a client."""

import select
import time
from collections import deque
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from app.server import answers
from app.server.connection import Connection
from app.shares import Caller

STAY_MILLISECONDS = 10
# Where connections of a caller wait because it has its share of the threads, its threads change over more rarely, not
# at each request: to change costs a fifth of the processor time of a submission. A client of many connections on a busy
# machine sends its next request within some milliseconds.
SHORT_STAY_MILLISECONDS = 5
MAX_REQUESTS_IN_TURN = 8
READ_BYTES = 64 * 1024
DRAIN_SECONDS, DRAIN_TRIES = 0.05, 2  # for the rest of a large body that the application did not want


class Answering(ThreadWorker):
    """What happens in a thread that has been given a connection with a whole request."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: deque[Connection] = deque()  # for a thread; its methods are atomic: no lock
        self._held_back: dict[Caller, deque[Connection]] = {}  # until their callers have fewer threads
        self._answering: set[Connection] = set()  # those that threads have, or wait for

    def handle(self, conn: Connection) -> bool:
        """Answer a request, and those that follow it at once."""
        self._waiting.popleft()  # which one does not matter: they are counted
        answered, requests = super().handle(conn), 1
        while answered and self._goes_on(conn, requests):
            answered, requests = super().handle(conn), requests + 1
        return bool(answered)

    def _handle_alone(self, conn: Connection) -> bool:
        return bool(super().handle(conn))

    def _goes_on(self, conn: Connection, requests: int) -> bool:
        """Whether the next request of this connection, after so many, is here, whole, in a moment."""
        if not self.alive or self._are_scarce() or (self._held_back and requests >= MAX_REQUESTS_IN_TURN):
            return False
        conn.take_back()
        if conn.incoming is None:
            poll = select.poll()
            poll.register(conn.sock, select.POLLIN)
            if not poll.poll(SHORT_STAY_MILLISECONDS if self._held_back else STAY_MILLISECONDS):
                return False
        return conn.is_whole_now(READ_BYTES)

    def _are_scarce(self) -> bool:
        """Whether a connection waits for a thread that is at work. One that is about to wake up is soon there."""
        return bool(self._waiting) and len(self._answering) > self.cfg.threads

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Whether the connection can be used again: the rest of a body that the application did not want is read.

        Most requests are here, whole, so that nothing is waited for. A deadline would be missed by a thread that does
        not run for a moment, and who sends its next request meanwhile would find the connection closed.
        """
        if not keepalive:
            return False
        if not conn.has_large_place:
            return bool(conn.parser.finish_body())
        return any(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS) for _ in range(DRAIN_TRIES))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what was refused, or failed, outside of the application."""
        status, code, detail = answers.for_error(exc)
        if status >= 500 and code == "internal_error":
            self.log.error("Error handling request %s", getattr(req, "uri", "that could not be read"), exc_info=exc)
        else:
            self.log.warning("Invalid request from ip=%s: %s", (addr or ("",))[0], type(exc).__name__)
        try:
            client.send_now(answers.as_bytes(status, code, detail))
        except OSError:
            self.log.debug("Failed to send error message.")
