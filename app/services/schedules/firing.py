"""Firing what has come: slots, tasks and the schedules' next moments in one transaction, a few statements a batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.models import ScheduleRecord, SlotState
from app.services.schedules import targets
from app.services.schedules.leave import Leave, leave_of
from app.services.schedules.occurrences import DueOccurrences, what_has_come
from app.services.schedules.policy import Decision, FireContext, Verdict, decide, start_of
from app.services.schedules.targets import Draft, RunDraft

SLOTS_A_BATCH = 2_000  # of all schedules together: bounds a transaction

# SKIP LOCKED: what another dispatcher has in hand is its own. Who dies in between leaves the rows as they were.
_ONE = "(CAST(:only AS uuid) IS NULL OR schedules.id = :only)"
_TAKE_DUE = sa.text(
    f"SELECT * FROM schedules WHERE next_at <= :now AND {_ONE} ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED"
)
_TAKE_RELEASED = sa.text(f"""
    SELECT schedules.*
    FROM schedules
    LEFT JOIN tasks ON tasks.id = last_task_id
    LEFT JOIN workflow_runs ON workflow_runs.id = last_run_id
    WHERE queued_slot_at IS NOT NULL
        AND (tasks.id IS NULL OR tasks.finished_at IS NOT NULL)
        AND (workflow_runs.id IS NULL OR workflow_runs.finished_at IS NOT NULL)
        AND {_ONE}
    LIMIT :limit
    FOR UPDATE OF schedules SKIP LOCKED
""")
_UNFINISHED = sa.text("""
    SELECT id
    FROM tasks
    WHERE id = ANY(CAST(:ids AS uuid[])) AND finished_at IS NULL
    UNION ALL
    SELECT id
    FROM workflow_runs
    WHERE id = ANY(CAST(:ids AS uuid[])) AND finished_at IS NULL
""")
# The key is the last word: whatever was done before, a slot that has its row is not fired again.
_RECORD = sa.text("""
    INSERT INTO schedule_slots (schedule_id, slot_at, state, task_id, run_id, reason, recorded_at)
    SELECT schedule_id, slot_at, state, task_id, run_id, reason, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS slot(
        schedule_id uuid, slot_at timestamptz, state text, task_id uuid, run_id uuid, reason text
    )
    ON CONFLICT DO NOTHING
    RETURNING coalesce(task_id, run_id)
""")
_GO_ON = sa.text("""
    UPDATE schedules
    SET accounted_until = fired.accounted_until, next_at = fired.next_at, queued_slot_at = fired.queued_slot_at,
        problem = fired.problem, last_slot_at = coalesce(fired.last_slot_at, schedules.last_slot_at),
        last_task_id = CASE WHEN fired.last_slot_at IS NULL THEN schedules.last_task_id ELSE fired.last_task_id END,
        last_run_id = CASE WHEN fired.last_slot_at IS NULL THEN schedules.last_run_id ELSE fired.last_run_id END
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS fired(
        id uuid, accounted_until timestamptz, next_at timestamptz, queued_slot_at timestamptz, problem text,
        last_slot_at timestamptz, last_task_id uuid, last_run_id uuid
    )
    WHERE schedules.id = fired.id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class FiredSchedule:
    """One schedule: what was decided, with what the slots start that fire."""

    schedule: ScheduleRecord
    occurrences: DueOccurrences
    verdict: Verdict
    drafts: Mapping[datetime, Draft]


def fire_due(session: Session, *, now: datetime, limit: int, only: UUID | None = None) -> int:
    """Decide the slots that have come of up to `limit` schedules, or of one; returns how many were looked at."""
    return _fire(session, _take(session, _TAKE_DUE, {"now": now, "limit": limit, "only": only}), now)


def fire_released(session: Session, *, now: datetime, limit: int, only: UUID | None = None) -> int:
    """Fire slots that waited for the last task to finish, where it has; returns how many schedules were looked at."""
    return _fire(session, _take(session, _TAKE_RELEASED, {"limit": limit, "only": only}), now)


def with_something_to_fire(session: Session, *, now: datetime, limit: int) -> list[UUID]:
    """The schedules that the other two would look at."""
    due = _take(session, _TAKE_DUE, {"now": now, "limit": limit, "only": None})
    released = _take(session, _TAKE_RELEASED, {"limit": limit, "only": None})
    return list(dict.fromkeys(each.id for each in (*due, *released)))


def _take(session: Session, statement: sa.TextClause, parameters: Mapping[str, Any]) -> list[ScheduleRecord]:
    return [ScheduleRecord.of(row) for row in session.execute(statement, parameters).mappings()]


def _fire(session: Session, schedules: Sequence[ScheduleRecord], now: datetime) -> int:
    if not schedules:
        return 0
    unfinished = set(session.scalars(_UNFINISHED, {"ids": [last for each in schedules if (last := _last(each))]}))
    owners = {owner_id: leave_of(session, owner_id) for owner_id in {each.owner_id for each in schedules}}
    decided = [
        _decided(session, each, occurrences, busy=_last(each) in unfinished, leave=owners[each.owner_id], now=now)
        for each, occurrences in _bounded(schedules, now)
    ]
    for owner in owners.values():
        owner.settle()
    _store(session, decided, now)
    return len(decided)


def _bounded(schedules: Iterable[ScheduleRecord], now: datetime) -> Iterator[tuple[ScheduleRecord, DueOccurrences]]:
    """Schedules with what has come of them, until the batch is full; those left over are still due."""
    slots = 0
    for schedule in schedules:
        occurrences = what_has_come(schedule, now)
        yield schedule, occurrences
        slots += len(occurrences.slots)
        if slots >= SLOTS_A_BATCH:
            return


def _last(schedule: ScheduleRecord) -> UUID | None:
    """What the newest slot started."""
    return schedule.last_task_id or schedule.last_run_id


def _decided(
    session: Session, schedule: ScheduleRecord, occurrences: DueOccurrences, *, busy: bool, leave: Leave, now: datetime
) -> FiredSchedule:
    forbidden = leave.why_not(session, schedule, now=now)
    given = FireContext(slots=occurrences.slots, more=occurrences.more, busy=busy, forbidden=forbidden)
    verdict = leave.within_quota(session, schedule, decide(schedule, given, now=now), now=now)
    fired = [each.slot_at for each in verdict.decisions if each.state == SlotState.FIRED]
    drafts = {
        slot: targets.draft_of(
            schedule, slot_at=slot, starts_at=start_of(schedule.id, slot, schedule.jitter_seconds), now=now
        )
        for slot in fired
    }
    return FiredSchedule(schedule=schedule, occurrences=occurrences, verdict=verdict, drafts=drafts)


def record(session: Session, decided: Iterable[tuple[UUID, Decision, Draft | None]], *, now: datetime) -> set[UUID]:
    """Write slots with what they start, those that have no row yet; returns the ids of what new ones start."""
    rows = [
        {"schedule_id": str(schedule_id), "slot_at": each.slot_at.isoformat(), "state": each.state,
         **_ids(draft), "reason": each.reason}
        for schedule_id, each, draft in decided
    ]  # fmt: skip
    return set(session.scalars(_RECORD, {"rows": to_json(rows), "now": now})) - {None} if rows else set()


def _ids(draft: Draft | None) -> dict[str, str | None]:
    is_run = isinstance(draft, RunDraft)
    return {
        "task_id": str(draft.id) if draft is not None and not is_run else None,
        "run_id": str(draft.id) if draft is not None and is_run else None,
    }


def _store(session: Session, schedules: Sequence[FiredSchedule], now: datetime) -> None:
    decided = (
        (fired.schedule.id, each, fired.drafts.get(each.slot_at))
        for fired in schedules
        for each in fired.verdict.decisions
    )
    new = record(session, decided, now=now)
    started = [(fired.schedule, draft) for fired in schedules for draft in fired.drafts.values() if draft.id in new]
    targets.store(session, started, now=now)
    session.execute(_GO_ON, {"rows": to_json([_where_it_stands(fired, new) for fired in schedules])})


def _where_it_stands(fired: FiredSchedule, new: set[UUID]) -> dict[str, Any]:
    last = max((slot for slot, draft in fired.drafts.items() if draft.id in new), default=None)
    moments = {
        "accounted_until": fired.occurrences.accounted_until,
        "next_at": fired.occurrences.next_at,
        "queued_slot_at": fired.verdict.queued,
        "last_slot_at": last,
    }
    return {
        "id": str(fired.schedule.id),
        **{f"last_{name}": id_ for name, id_ in _ids(fired.drafts[last] if last else None).items()},
        "problem": fired.occurrences.problem,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
    }
