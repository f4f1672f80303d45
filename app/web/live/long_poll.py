"""Long polls: one thread per process looks, in one statement, at all tasks that somebody waits for."""

import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

import psycopg2
import sqlalchemy as sa
from flask import Flask, current_app

from app.models import TaskRecord
from app.observability.log import get_logger
from app.services.tasks import records as task_service
from app.shares import Caller, Share
from app.web.transactions import transaction

log = get_logger(__name__)

MIN_SECONDS, MAX_SECONDS = 0.005, 0.25
SHARE_OF_AGE = 0.1  # looked at each 5 ms at first; somebody who waited 1 s learns of the end 0.1 s late at most
TOGETHER_SECONDS = 0.002  # looks that are due this soon join the one that is due now
PAUSE_AFTER_FAULT_SECONDS = 0.5


@dataclass(eq=False, kw_only=True)
class Waiter:
    """One request that waits for one task. Times are of time.monotonic()."""

    id: UUID
    since: float
    look_at: float
    finished: threading.Event = field(default_factory=threading.Event)
    task: TaskRecord | None = None

    def looked(self, now: float, task: TaskRecord | None) -> None:
        """Take what was found; if nothing, look again later, the later the longer it has waited."""
        self.look_at = now + min(max((now - self.since) * SHARE_OF_AGE, MIN_SECONDS), MAX_SECONDS)
        if task is not None:
            self.task = task
            self.finished.set()


class Hub:
    """The waiters of this process."""

    def __init__(self, engine: sa.Engine, *, most: int) -> None:
        self._engine = engine
        self._share = Share(most)
        self._waiters: set[Waiter] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def wait(self, task: TaskRecord, *, seconds: float, caller: Caller) -> TaskRecord:
        """The task once it has finished, or as it is after so many seconds.

        It comes at once when too many wait already, of all or of this caller's account or address.
        """
        if not self._share.take(caller):
            return task
        now = time.monotonic()
        waiter = Waiter(id=task.id, since=now, look_at=now)
        try:
            with self._changed:
                self._waiters.add(waiter)
                self._start()
                self._changed.notify()
            waiter.finished.wait(seconds)
        finally:
            with self._changed:
                self._waiters.discard(waiter)
            self._share.leave(caller)
        if waiter.task is not None:
            return waiter.task
        with transaction(autocommit=True) as session:
            return task_service.read(session, task.id, owner=None)

    def _start(self) -> None:
        # Not before the first request waits: a server that forks would leave the thread behind.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="long-polls", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            due = self._next()
            try:
                finished = self._look({waiter.id for waiter in due})
            except (sa.exc.SQLAlchemyError, psycopg2.Error) as error:
                # Those who wait are answered at their time; the read that they do then says what is wrong.
                log.warning("long_poll_look_failed", waiters=len(due), error=str(error).strip())
                time.sleep(PAUSE_AFTER_FAULT_SECONDS)
                continue
            now = time.monotonic()
            for waiter in due:
                waiter.looked(now, finished.get(waiter.id))

    def _look(self, ids: set[UUID]) -> dict[UUID, TaskRecord]:
        with self._engine.connect() as connection:
            return {task.id: task for task in task_service.read_finished(connection, ids)}

    def _next(self) -> list[Waiter]:
        """Wait until a look is due; the waiters whose turn it is."""
        with self._changed:
            while True:
                waiting = [each for each in self._waiters if not each.finished.is_set()]
                now = time.monotonic()
                due = [each for each in waiting if each.look_at <= now + TOGETHER_SECONDS]
                if due:
                    return due
                self._changed.wait(min((each.look_at for each in waiting), default=now + 3600) - now)


def hub() -> Hub:
    """The hub of this application."""
    registered: Hub = current_app.extensions["taskledger.hub"]
    return registered


def register(app: Flask, *, most: int) -> None:
    """Give an application its hub, for so many waiters."""
    app.extensions["taskledger.hub"] = Hub(app.extensions["taskledger.autocommit"], most=most)
