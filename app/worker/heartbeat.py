"""The heartbeat of a process that runs handlers: holds leases, hears cancellations, ends what overruns its limits.

One long-lived thread with a connection of its own, however many handlers the process runs: it asks for all of them at
once. It is in the child and not in the parent, because a parent's beat would keep the lease of a child that hangs.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from app import database
from app.config import get_settings
from app.database import (
    SESSION_SETTINGS,
    Session,
    engine_options,
    leave_read_only,
    set_up_sessions,
    sqlalchemy_url,
    watch_clock,
)
from app.observability.metrics import sample_pool
from app.services import lifecycle
from app.services.dispatch import positions
from app.services.lifecycle import Claim, leases
from app.services.lifecycle.leases import LeaseState
from app.services.measuring import counters
from app.services.tasks import checkpoints as task_checkpoints
from app.services.tasks import task_log
from app.services.tasks.task_log import LogLine
from app.worker.attempt import LeaseGone
from app.worker.event_loop import LOOP
from app.worker.in_progress import HintInProgress, InProgressRegistry, Running
from app.worker.stopping import ParentStop, Stopper
from taskledger_sdk.errors import ShuttingDown, TaskCancelled, TimeLimitReached

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5
LOOK_SECONDS = 1.0  # how often the rows of a hint are read, once it has run for longer than a tick
SLOW_ROUNDS = 3  # a lease is renewed at a third of its length
STATEMENT_SECONDS = 3
MAX_UNWRITTEN = 10_000  # log lines that wait for a database that is away


class Heartbeat:
    """Watches what is in progress in its process."""

    def __init__(self, in_progress: InProgressRegistry, stopper: Stopper) -> None:
        self._in_progress = in_progress
        self._stopper = stopper
        self._pid = 0
        self._engine: Any = None
        self._passed: dict[tuple[str, str], datetime] = {}
        self._unwritten: list[LogLine] = []
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # of what the threads of handlers hand over

    def note_claims(self, claims: list[Claim]) -> None:
        """Remember how far the queues have been worked off; and see that the thread lives."""
        with self._lock:
            for held in claims:
                if held.dispatched_at is not None:
                    key = (held.queue, held.priority)
                    self._passed[key] = max(held.dispatched_at, self._passed.get(key, held.dispatched_at))
            if self._pid != os.getpid():
                self._pid = os.getpid()
                threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def count(self, name: str, times: int) -> None:
        """Add to one of the ledger's counters, with the next beat."""
        with self._lock:
            self._counts[name] += times

    def keep(self, running: Running) -> None:
        """Take over the lines that an attempt which has ended still had to write."""
        if running.log:
            with self._lock:
                self._unwritten.extend(running.take_log())

    def _beat(self) -> None:
        self._engine = _short_waits()
        while True:
            self._wait()
            self.beat()

    def beat(self) -> None:
        """One tick, after which there is another one whatever came of it: a silent heart would lose every lease."""
        try:
            self.tick()
        except sa.exc.SQLAlchemyError as error:
            # The next beat tries again; a lease that runs out meanwhile is what leases are for.
            log.warning("heartbeat_failed", error=str(error.__cause__ or error).strip())
        except Exception:
            log.exception("heartbeat_broke")

    def _wait(self) -> None:
        wait = TICK_SECONDS
        for run in self._in_progress.runs:
            current = run.current
            if current is not None and current.stop_asked is None:
                wait = min(wait, max(0.01, current.started + current.timeout_seconds - time.monotonic()))
        time.sleep(wait)

    def tick(self) -> None:
        """Enforce limits, hear cancellations, renew leases, write down what was noted."""
        LOOP.watch()
        runs = self._in_progress.runs
        for run in runs:
            self._enforce_limits(run)
        now = time.monotonic()
        due = [run for run in runs if run.seconds() >= TICK_SECONDS and now - run.looked >= LOOK_SECONDS]
        for run in due:
            run.looked = now
        self._look(due)
        self._write_down()
        sample_pool(database.engine().pool, process="worker")

    def _enforce_limits(self, run: HintInProgress) -> None:
        current = run.current
        if current is None:
            return
        now = time.monotonic()
        overdue = now - current.started - current.timeout_seconds
        if current.stop_asked is not None:
            if now - current.stop_asked > current.grace_seconds:
                self._end(current)
        elif overdue >= 0:
            self._ask_to_stop(current, TimeLimitReached(f"its limit of {current.timeout_seconds:g} s was reached"))
        elif self._stopper.shutting_down and current.cancel is not None:
            self._ask_to_stop(current, ShuttingDown())  # the signal for that reaches plain handlers only

    def stop_threads(self) -> None:
        """In a pool of threads, which no signal reaches: handlers give their tasks back when they next ask."""
        self._stopper.shutting_down = True
        for run in self._in_progress.runs:
            if run.current is not None and run.current.stop_asked is None:
                self._ask_to_stop(run.current, ShuttingDown())

    def _ask_to_stop(self, running: Running, error: BaseException) -> None:
        running.stop_asked, running.stop_error = time.monotonic(), error
        cancel = running.cancel
        if cancel is not None:
            cancel()
        else:
            self._stopper.stop(error, still_wanted=lambda: self._in_progress.is_running(running))
        log.info("handler_asked_to_stop", task_id=str(running.claim.id), why=type(error).__name__)

    def _end(self, running: Running) -> None:
        """End what did not stop within its grace period; in a pool of threads as far as that harms nobody else."""
        cancel = running.cancel
        if self._stopper.interrupts:
            self._end_process(running, "the handler did not stop within its grace period")
        elif cancel is not None and LOOP.blocked_seconds > running.grace_seconds:
            self._end_process(running, "a handler keeps the event loop, so that no coroutine of this process goes on")
        elif cancel is not None:
            cancel()  # once more, at each beat: it caught the first one, or takes longer to clean up than it may

    def _end_process(self, running: Running, why: str) -> None:
        # The parent, or a dispatcher, notices within seconds and moves the row on.
        log.error("handler_killed", task_id=str(running.claim.id), attempt=running.claim.attempt, why=why)
        os.kill(os.getpid(), signal.SIGKILL)

    def _look(self, runs: list[HintInProgress]) -> None:
        """Read the rows of these hints, all at once; hold their leases, and stop what was cancelled or is lost."""
        claims = [held for run in runs for held in list(run.claims.values())]
        if not claims:
            return
        with Session(self._engine) as session:
            rows = {each.id: each for each in leases.states(session, [held.id for held in claims])}
            lifecycle.renew(session, [held for held in claims if _is_to_renew(held, rows.get(held.id))])
        for run in runs:
            self._hear(run, rows)

    def _hear(self, run: HintInProgress, rows: Mapping[UUID, LeaseState]) -> None:
        for id_, held in list(run.claims.items()):
            row = rows.get(id_)
            if row is None or row.lease != held.lease:
                run.lost.add(id_)
            if row is not None and row.cancel_requested_at is not None:
                run.cancelled.add(id_)
        current = run.current
        if current is None or current.stop_asked is not None or current.claim.id not in run.claims:
            return
        if current.claim.id in run.lost:
            self._ask_to_stop(current, LeaseGone())
        elif current.claim.id in run.cancelled:
            self._ask_to_stop(current, TaskCancelled())

    def _write_down(self) -> None:
        """Progress, checkpoints, log lines and queue positions, if there are any to write."""
        with ExitStack() as held:
            self._write_what_was_noted(self._due_checkpoints(held))

    def _due_checkpoints(self, held: ExitStack) -> list[tuple[Running, str]]:
        """What attempts have kept and did not write by themselves; nobody else writes it while `held` is open."""
        due = []
        for run in self._in_progress.runs:
            current = run.current
            if (
                current is None
                or not current.checkpoint.is_due()
                or not current.checkpoint.lock.acquire(blocking=False)
            ):
                continue
            held.callback(current.checkpoint.lock.release)
            if (text := current.checkpoint.text) is not None:
                due.append((current, text))
        return due

    def _write_what_was_noted(self, checkpoints: list[tuple[Running, str]]) -> None:
        progress = []
        for current in [run.current for run in self._in_progress.runs]:
            if current is not None:
                self.keep(current)
                reported, current.progress = current.progress, None
                progress += [(current, reported)] if reported else []
        with self._lock:
            passed, self._passed = self._passed, {}
            lines, self._unwritten = self._unwritten, []
            counts, self._counts = self._counts, Counter()
        if not (progress or checkpoints or passed or lines or counts):
            return
        try:
            self._write(progress, checkpoints, passed, lines, counts)
        except sa.exc.SQLAlchemyError:
            # The database is away: what was to be written waits for a beat that succeeds.
            for running, reported in progress:
                running.progress = running.progress or reported
            with self._lock:
                for key, passed_at in passed.items():
                    self._passed[key] = max(passed_at, self._passed.get(key, passed_at))
                self._unwritten = (lines + self._unwritten)[-MAX_UNWRITTEN:]
                self._counts.update(counts)
            raise

    def _write(
        self,
        progress: list[tuple[Running, dict[str, Any]]],
        checkpoints: list[tuple[Running, str]],
        passed: dict[tuple[str, str], datetime],
        lines: list[LogLine],
        counts: Counter[str],
    ) -> None:
        """All of it or nothing, so that what is written again is not written twice."""
        whole = self._engine.execution_options(isolation_level="READ COMMITTED")
        with Session(whole) as session, session.begin():
            told = lifecycle.report_progress(session, [(running.claim, reported) for running, reported in progress])
            kept = [(running.claim, text) for running, text in checkpoints]
            written = task_checkpoints.write(session, kept, waits=False)
            positions.advance(session, passed)
            task_log.write(session, lines)
            counters.add(session, counts)
        for running, text in checkpoints:
            if running.claim.id in written:
                running.checkpoint.note_written(text)
        for running, reported in progress:
            if running.claim.id not in told:  # somebody has its row locked
                running.progress = running.progress or reported


def _is_to_renew(held: Claim, row: LeaseState | None) -> bool:
    """When a third of the lease is over by PostgreSQL's clock: so also in the second after that was set forward."""
    if row is None or row.lease != held.lease:
        return False
    return (row.seconds_left or 0.0) <= held.lease_seconds * (1 - 1 / SLOW_ROUNDS)


def _short_waits() -> sa.Engine:
    """One autocommit connection on which nothing waits longer than three seconds: a late beat is a lost lease."""
    settings = get_settings()
    options: dict[str, Any] = engine_options(settings, application_name="taskledger heartbeat")
    options["connect_args"] |= {"tcp_user_timeout": STATEMENT_SECONDS * 1000}
    options |= {"pool_size": 1, "max_overflow": 0, "isolation_level": "AUTOCOMMIT"}
    engine = sa.create_engine(sqlalchemy_url(settings), **options)
    quick = {"statement_timeout": f"{STATEMENT_SECONDS}s", "synchronous_commit": "off"}
    set_up_sessions(engine, SESSION_SETTINGS | quick)
    watch_clock(engine)
    leave_read_only(engine)
    return engine


IN_PROGRESS = InProgressRegistry()
PARENT_STOP = ParentStop()
STOPPER = Stopper(PARENT_STOP)
HEARTBEAT = Heartbeat(IN_PROGRESS, STOPPER)
