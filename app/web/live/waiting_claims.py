"""Claims that wait for work: one thread a process listens for hints, and wakes one waiting claim for each.

Without a word it looks once a second, in one statement for all that is waited for: a notification may be lost (behind a
pooler it always is), and a hint may come while others are just being taken.
"""

import select
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg2
import sqlalchemy as sa
from flask import Flask, current_app, request

from app.database import Session
from app.observability.log import get_logger
from app.services.remote import line
from app.shares import Caller, Share

log = get_logger(__name__)
T = TypeVar("T")

LOOK_SECONDS = 1.0
IDLE_SECONDS = 60.0  # so long the connection is kept after the last claim has gone
PAUSE_AFTER_FAULT_SECONDS = 1.0


@dataclass(eq=False, kw_only=True)
class Waiter:
    """One claim that waits for hints of some types."""

    types: frozenset[str]
    woken: threading.Event = field(default_factory=threading.Event)


class WaitingClaims:
    """The claims that wait in this process."""

    def __init__(self, engine: sa.Engine, *, most: int) -> None:
        self._engine = engine
        self._share = Share(most)
        self._waiters: dict[Waiter, None] = {}  # in the order in which they came
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def wait(
        self, types: Collection[str], look: Callable[[], T | None], *, seconds: float, caller: Caller
    ) -> tuple[T | None, bool]:
        """What `look` finds, once it finds anything; None after so many seconds, or when the client has gone.

        The second value says whether it waited: False when too many wait already, of all or of this caller.
        """
        if not self._share.take(caller):
            return None, False
        waiter = Waiter(types=frozenset(types))
        try:
            with self._changed:
                self._waiters[waiter] = None
                self._start()
                self._changed.notify()
            return self._wait(waiter, look, time.monotonic() + seconds), True
        finally:
            with self._changed:
                self._waiters.pop(waiter, None)
                if waiter.woken.is_set():  # for nothing: what it was woken for is the next one's
                    self._wake(waiter.types)
            self._share.leave(caller)

    def _wait(self, waiter: Waiter, look: Callable[[], T | None], ends_at: float) -> T | None:
        connection: socket.socket | None = request.environ.get("gunicorn.socket")
        while True:
            found = look()  # also at first: a hint may have come before anybody heard of this claim
            if found is not None:
                with self._changed:
                    self._wake(waiter.types)  # where one hint was, others may be
                return found
            if not waiter.woken.wait(max(0.0, ends_at - time.monotonic())):
                return None
            if _has_gone(connection):
                return None  # what it took, nobody would run
            waiter.woken.clear()

    def _wake(self, types: Collection[str]) -> None:
        """Wake the first of those that wait for one of these types. The caller has the lock."""
        for waiter in self._waiters:
            if not waiter.woken.is_set() and not waiter.types.isdisjoint(types):
                del self._waiters[waiter]
                self._waiters[waiter] = None  # the next hint is for another one
                waiter.woken.set()
                return

    def _start(self) -> None:
        # Not before the first claim waits: a server that forks would leave the thread behind.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="waiting-claims", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while self._is_anybody_there():
            try:
                self._listen()
            except (sa.exc.SQLAlchemyError, psycopg2.Error, OSError) as error:
                # Those who wait are answered at their time; the look that they do then says what is wrong.
                log.warning("work_not_heard_of", error=str(error).strip())
                time.sleep(PAUSE_AFTER_FAULT_SECONDS)

    def _is_anybody_there(self) -> bool:
        """Whether a claim waits, or does so within a minute; if not, this thread ends, and is not it any more."""
        with self._changed:
            if self._thread is not threading.current_thread():
                return False
            if self._waiters or self._changed.wait(IDLE_SECONDS) or self._waiters:
                return True
            self._thread = None
            return False

    def _listen(self) -> None:
        """Hear of hints for as long as claims wait."""
        connection = self._engine.connect()
        try:
            listener: Any = connection.connection.driver_connection
            connection.detach()  # it is this thread's; no pool misses it
            connection.exec_driver_sql(f"LISTEN {line.CHANNEL}")
            while self._is_anybody_there():
                if not select.select([listener], [], [], LOOK_SECONDS)[0]:
                    self._look(connection)
                    continue
                listener.poll()
                with self._changed:
                    for notification in listener.notifies:
                        self._wake((notification.payload,))
                listener.notifies.clear()
        finally:
            connection.close()

    def _look(self, connection: sa.Connection) -> None:
        """See for all that is waited for whether there is anything, and wake one claim for each type of which is."""
        with self._changed:
            types = frozenset().union(*(waiter.types for waiter in self._waiters))
        if not types:
            return
        with Session(connection) as session:
            found = line.waiting_types(session, types)
        with self._changed:
            for name in found:
                self._wake((name,))


def _has_gone(connection: socket.socket | None) -> bool:
    """Whether the client has closed its connection."""
    if connection is None:
        return False
    try:
        return socket.socket.recv(connection, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False  # it is there, and says nothing
    except OSError:
        return True


def waiting_claims() -> WaitingClaims:
    """Those of this application."""
    registered: WaitingClaims = current_app.extensions["taskledger.waiting_claims"]
    return registered


def register(app: Flask, *, most: int) -> None:
    """Give an application a place for so many claims that wait."""
    app.extensions["taskledger.waiting_claims"] = WaitingClaims(app.extensions["taskledger.autocommit"], most=most)
