"""Statements of requests end in time, whatever PostgreSQL does: also a commit, which no setting of PostgreSQL bounds.

`statement_timeout` ends before a commit begins, and a commit waits without limit for a synchronous standby that does
not answer. So this process looks itself, and asks PostgreSQL to cancel what takes too long. If it does not even do
that, the connection is cut.
"""

import os
import socket
import threading
import time
from typing import Any

import psycopg2
from psycopg2 import extensions

from app.observability.log import get_logger

log = get_logger(__name__)

MAX_COMMIT_SECONDS = 10.0
CUT_AFTER_SECONDS = 2.0
LOOK_SECONDS = 0.5
SAID = (
    "PostgreSQL did not answer within {seconds:g} s. If something was to be changed, it may have been: read it, or "
    "send the request again with the same Idempotency-Key."
)


class Watch:
    """Looks at the connections of this process that wait for PostgreSQL. Times are of time.monotonic()."""

    def __init__(self) -> None:
        self.statement_seconds = self.commit_seconds = MAX_COMMIT_SECONDS
        self.waiting: dict[Connection, float] = {}  # until when; each operation on it is atomic
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def allow(self, seconds: float) -> None:
        """Let a statement take so long, and a commit at most MAX_COMMIT_SECONDS of it."""
        self.statement_seconds = seconds
        self.commit_seconds = min(seconds, MAX_COMMIT_SECONDS)

    def run(self) -> None:
        """Look from now on. Not before the first connection: a server that forks would leave the thread behind."""
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="database-deadlines", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for connection, until in list(self.waiting.items()):
                if now >= until + CUT_AFTER_SECONDS:
                    connection.cut()
                elif now >= until and not connection.is_overdue:
                    connection.is_overdue = True
                    log.warning("database_overdue", backend=connection.info.backend_pid)
                    # In a thread of its own: a server that is frozen accepts the connection for it, and says nothing.
                    threading.Thread(target=connection.cancel_quietly, name="database-cancel", daemon=True).start()


WATCH = Watch()


class Connection(extensions.connection):
    """A connection of a request."""

    is_overdue = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        WATCH.run()

    def answered(self, seconds: float) -> None:
        """PostgreSQL has answered. Raises psycopg2.OperationalError when that was cancelled, even if it succeeded."""
        WATCH.waiting.pop(self, None)
        if self.is_overdue:
            self.close()  # it may still be told something that belongs to what was cancelled
            raise psycopg2.OperationalError(SAID.format(seconds=seconds))

    def commit(self) -> None:
        """Commit. Raises psycopg2.OperationalError when that takes too long."""
        WATCH.waiting[self] = time.monotonic() + WATCH.commit_seconds
        try:
            super().commit()
        finally:
            self.answered(WATCH.commit_seconds)

    def rollback(self) -> None:
        """Roll back. Raises psycopg2.OperationalError when that takes too long."""
        WATCH.waiting[self] = time.monotonic() + WATCH.commit_seconds
        try:
            super().rollback()
        finally:
            self.answered(WATCH.commit_seconds)

    def cancel_quietly(self) -> None:
        """Ask PostgreSQL to stop what it does."""
        try:
            self.cancel()
        except psycopg2.Error as error:
            log.warning("database_not_cancelled", error=str(error).strip())

    def cut(self) -> None:
        """End the connection below the driver, which wakes the thread that waits for it."""
        try:
            copy = socket.socket(fileno=os.dup(self.fileno()))
        except (OSError, psycopg2.Error):  # it was closed meanwhile
            return
        with copy:
            try:
                copy.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side has ended it
                return


class Cursor(extensions.cursor):
    """A cursor of such a connection."""

    connection: Connection

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 (the driver's name)
        """Run a statement. Raises psycopg2.OperationalError when it takes too long."""
        connection = self.connection
        WATCH.waiting[connection] = time.monotonic() + WATCH.statement_seconds
        try:
            super().execute(query, vars)
        finally:
            connection.answered(WATCH.statement_seconds)


CONNECT_ARGS = {"connection_factory": Connection, "cursor_factory": Cursor}
