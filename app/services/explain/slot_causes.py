"""Why a schedule does not fire now. Pure."""

from datetime import datetime
from typing import Any

from app.models import Overlap, ScheduleRecord
from app.services.explain.answers import Answer, moment

CAUSES = ("disabled", "problem", "overlap", "no_slot_left", "slot_due", "not_due")


def rank_schedule(schedule: ScheduleRecord, *, last_status: str | None, is_busy: bool, now: datetime) -> Answer:
    """One cause; `last_status` is that of the task or run it made last, None for none or a deleted one."""
    path = f"/api/v1/schedules/{schedule.id}"
    evidence: dict[str, Any] = {
        "next_at": moment(schedule.next_at),
        "last_slot_at": moment(schedule.last_slot_at),
        "last_task_id": schedule.last_task_id and str(schedule.last_task_id),
        "last_run_id": schedule.last_run_id and str(schedule.last_run_id),
        "last_status": last_status,
        "overlap": schedule.overlap,
        "queued_slot_at": moment(schedule.queued_slot_at),
    }
    if schedule.withdrawn:
        return Answer(
            cause="disabled",
            summary="The schedule was written in code and is there no more; setup has switched it off.",
            evidence=evidence,
            fix="Bring its declaration back and run setup, or make a schedule of your own.",
        )
    if not schedule.enabled:
        return Answer(
            cause="disabled",
            summary="The schedule is disabled.",
            evidence=evidence,
            fix=f'Enable it: PATCH {path} with {{"enabled": true}}.',
        )
    if schedule.problem is not None:
        return Answer(
            cause="problem",
            summary=f"Its next slot cannot be computed: {schedule.problem}.",
            evidence=evidence,
            fix=f"Change its cron or time zone: PATCH {path}.",
        )
    if is_busy and (schedule.queued_slot_at is not None or schedule.overlap != Overlap.ALLOW):
        return _blocked(schedule, last_status, evidence)
    if schedule.next_at is None:
        return Answer(
            cause="no_slot_left",
            summary="It has no further slot: it was for one moment, or its end has come.",
            evidence=evidence,
            fix=f"Give it another moment or a later end: PATCH {path}.",
        )
    if schedule.next_at <= now:
        return Answer(
            cause="slot_due",
            summary=f"Its slot of {moment(schedule.next_at)} is due; a dispatcher fires it within a second.",
            evidence=evidence,
            next_at=schedule.next_at,
            fix="Nothing, if a dispatcher runs: celery -A tasks beat.",
        )
    return Answer(
        cause="not_due",
        summary=f"Its next slot is at {moment(schedule.next_at)}.",
        evidence=evidence,
        next_at=schedule.next_at,
    )


def _blocked(schedule: ScheduleRecord, last_status: str | None, evidence: dict[str, Any]) -> Answer:
    kind, last = ("task", schedule.last_task_id) if schedule.last_task_id else ("run", schedule.last_run_id)
    waits = (
        f"its slot of {moment(schedule.queued_slot_at)} waits until that has finished"
        if schedule.queued_slot_at is not None
        else "its next slot is skipped"
        if schedule.overlap == Overlap.SKIP
        else "its next slot waits until that has finished"
    )
    return Answer(
        cause="overlap",
        summary=f"The {kind} of its last slot is {last_status}, so {waits} (overlap {schedule.overlap}).",
        evidence=evidence,
        next_at=schedule.next_at,
        fix=f"See what keeps that {kind}: GET /api/v1/{kind}s/{last}/why; or let them overlap: "
        f'PATCH /api/v1/schedules/{schedule.id} with {{"overlap": "allow"}}.',
    )
