"""The integrity report: whether the ledger keeps its promises, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.database import Session
from app.models import FINISHED, NOT_PARKED, Status
from app.services.dispatch.workers import NOT_SEEN, seen_since
from app.services.measuring import counters, stats

OVERDUE_AFTER = timedelta(seconds=60)

_BY_STATUS = sa.text("SELECT status, count(*) AS tasks FROM tasks GROUP BY status")
_OVERDUE = sa.text(
    "SELECT count(*) AS tasks, min(due_at) AS oldest FROM tasks WHERE due_at < :before AND due_at IS NOT NULL"
)
_ORPHANED = sa.text(f"""
    SELECT count(*)
    FROM tasks
    WHERE {NOT_PARKED}
        AND status = 'PROCESSING'
        AND NOT EXISTS (SELECT FROM workers WHERE id = tasks.leased_by AND stopped_at IS NULL AND NOT {NOT_SEEN})
""")
_PENDING = sa.text(f"""
    SELECT queue, count(*) AS tasks
    FROM tasks
    WHERE {NOT_PARKED} AND status = 'PENDING' AND dispatched_at IS NOT NULL
    GROUP BY queue
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueBalance:
    """Hints that wait in a broker queue beside the tasks that wait for one; None where the broker did not answer."""

    queue: str
    dispatched_pending_tasks: int
    waiting_hints: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found at a moment; `findings` is empty when all is well."""

    at: datetime
    tasks_by_status: Mapping[str, int]
    overdue_tasks: int
    overdue_since: datetime | None
    leases_without_live_worker: int
    outcomes_recorded_twice: int
    counters: Mapping[str, int]
    queues: list[QueueBalance] = field(default_factory=list)

    @property
    def findings(self) -> list[str]:
        """What should not be, in sentences."""
        sentences = []
        if self.overdue_tasks:
            sentences.append(
                f"{self.overdue_tasks} tasks are past due by more than {OVERDUE_AFTER.seconds} s, the first since "
                f"{self.overdue_since:%Y-%m-%dT%H:%M:%SZ}: is a dispatcher running, and the broker reachable?"
            )
        if self.leases_without_live_worker:
            sentences.append(
                f"{self.leases_without_live_worker} tasks are leased to workers that are not alive: "
                "the dispatcher moves them on within 20 s"
            )
        if self.outcomes_recorded_twice:
            sentences.append(
                f"{self.outcomes_recorded_twice} outcomes were recorded on top of another: please report this"
            )
        return sentences

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def report(session: Session, waiting_hints: Mapping[str, int | None], *, now: datetime) -> Report:
    """Look at the whole ledger. `waiting_hints`: messages ready in each broker queue, None where it is not known."""
    overdue = session.execute(_OVERDUE, {"before": now - OVERDUE_AFTER}).one()
    pending = {row.queue: row.tasks for row in session.execute(_PENDING)}
    counted = {row.status: row.tasks for row in session.execute(_BY_STATUS)}
    return Report(
        at=now,
        tasks_by_status={status.value: counted.get(status.value, 0) for status in Status},
        overdue_tasks=overdue.tasks,
        overdue_since=overdue.oldest,
        leases_without_live_worker=session.scalar(_ORPHANED, seen_since(now)) or 0,
        outcomes_recorded_twice=_recorded_twice(session),
        counters=_all_counters(session),
        queues=[
            QueueBalance(
                queue=name, dispatched_pending_tasks=pending.get(name, 0), waiting_hints=waiting_hints.get(name)
            )
            for name in sorted(set(pending) | set(waiting_hints))
        ],
    )


def _recorded_twice(session: Session) -> int:
    """Two endings in a row, with nothing that reopened the task between them; counted, not read off the history."""
    changes = stats.changes(session)
    return sum(each.n for each in changes if each.status in FINISHED and each.previous_status in FINISHED)


def _all_counters(session: Session) -> dict[str, int]:
    known = (
        counters.ATTEMPTS_LOST,
        counters.DUPLICATES_SUPPRESSED,
        counters.HINTS_REPUBLISHED,
        counters.OUTCOMES_DROPPED,
    )
    return {**dict.fromkeys(known, 0), **counters.read(session)}
