"""A duty: one thread, one cadence, a record of its last success, and patience with a database that is away."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
import structlog
from kombu.exceptions import KombuError

from app import clock
from app.connection_uptime import ConnectionUptime
from app.database import Session, commit_asynchronously, engine, in_transaction, is_away
from app.observability.metrics import DUTY_FAILURES, DUTY_SECONDS, sample_pool
from app.services.measuring import duties

log = structlog.get_logger(__name__)

T = TypeVar("T")

RECORD_EVERY_SECONDS = 2.0
PAUSE_AFTER_ERROR_SECONDS = 1.0

# Expected while something that we need is away: said in a line, without a traceback.
AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError, KombuError, OSError)


class ScanCursor:
    """Remembers the moment below which nothing was found, so that dead index entries are not walked again and again.

    Every 30 seconds it looks at everything: a transaction may have committed a row behind our back.
    """

    FULL_EVERY = timedelta(seconds=30)
    OVERLAP = timedelta(seconds=5)
    BEGINNING = datetime.fromisoformat("0001-01-01T00:00:00+00:00")

    def __init__(self) -> None:
        self._since = self.BEGINNING
        self._full_at: datetime | None = None

    def since(self, now: datetime) -> datetime:
        """Where to begin looking."""
        if self._full_at is None or now - self._full_at >= self.FULL_EVERY:
            self._full_at, self._since = now, self.BEGINNING
        return self._since

    def reach_back(self, since: datetime) -> None:
        """Rows may have appeared that have been due since then."""
        self._since = min(self._since, since)

    def found_nothing_more(self, now: datetime) -> None:
        """All that was due before `now` has been seen."""
        self._since = now - self.OVERLAP


def run_isolated(items: Iterable[T], work: Callable[[T], int]) -> int:
    """Do it for each; the sum of what it returned. One that fails keeps none of the others from their turn.

    Raises the first failure after all; at once, when the database is away.
    """
    done, first = 0, None
    for item in items:
        try:
            done += work(item)
        except Exception as error:
            if is_away(error):
                raise
            log.exception("duty_failed_for_one", item=str(item))
            first = first or error
    if first is not None:
        raise first
    return done


class Duty:
    """Runs `run_once` again and again in a thread of its own, until stopped."""

    def __init__(
        self,
        name: str,
        run_once: Callable[[datetime], int],
        *,
        every_seconds: float | Callable[[], float],
        connected: ConnectionUptime,
        rest_seconds: float = 0.0,
    ) -> None:
        """`rest_seconds`: how long it waits after a run that did something, where there is no hurry."""
        self.name = name
        self._rest = rest_seconds
        self._run_once = run_once
        self._every = every_seconds if callable(every_seconds) else lambda: every_seconds
        self._connected = connected
        self._stopping = threading.Event()
        self._recorded = 0.0
        self._last_failure: str | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if not self.is_alive() and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._loop, name=f"duty-{self.name}", daemon=True)
            self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end after what it is doing."""
        self._stopping.set()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _loop(self) -> None:
        while not self._stopping.is_set():
            done, began = 0, time.perf_counter()
            try:
                done = self._run_once(clock.utcnow())
                DUTY_SECONDS.labels(self.name).observe(time.perf_counter() - began)
                sample_pool(engine().pool, process="dispatcher")
                pause = self._every()
                self._connected.answered()
                self._recovered()
                self._record(None)
            except Exception as error:  # noqa: BLE001 (a duty never ends; what went wrong is said and tried again)
                pause = PAUSE_AFTER_ERROR_SECONDS
                self._failed(error)
            wait = self._rest if done else pause  # after work there is probably more
            if wait:
                self._stopping.wait(wait * random.uniform(0.9, 1.1))

    def _recovered(self) -> None:
        if self._last_failure is not None:
            log.info("duty_recovered", duty=self.name)
            self._last_failure = None

    def _failed(self, error: Exception) -> None:
        DUTY_FAILURES.labels(self.name).inc()
        text = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}".strip()
        if text != self._last_failure:
            log.warning("duty_failed", duty=self.name, error=text, exc_info=not isinstance(error, AWAY))
        self._last_failure = text
        if is_away(error):
            self._connected.broke()
            return
        try:
            self._record(text[:500])
        except sa.exc.SQLAlchemyError as unrecorded:
            log.warning("duty_not_recorded", duty=self.name, error=str(unrecorded))
            if is_away(unrecorded):
                self._connected.broke()

    def _record(self, error: str | None) -> None:
        if error is None and time.monotonic() - self._recorded < RECORD_EVERY_SECONDS:
            return
        now = clock.utcnow()

        def write(session: Session) -> None:
            commit_asynchronously(session)
            duties.record(session, self.name, node=socket.gethostname(), error=error, now=now)

        in_transaction(write)
        self._recorded = time.monotonic()
