"""Advancing a run: what has ended is taken in, what can begin begins, and when nothing is left the run ends.

Called with the run locked, in the transaction that recorded a step's outcome, or by the duty for steps that ended
elsewhere. Calling it once more changes nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session
from app.models import Ending, RunRecord, RunStatus, Status, StepRecord, StepState, TaskRecord
from app.services import lifecycle
from app.services.submission import store
from app.services.workflows import compensations, run_statements, steps, transitions
from app.services.workflows.drafts import draft_fan_out, draft_task
from app.services.workflows.rendering import LOOKED_AT, lookup_of, references
from app.services.workflows.versions import accepted_under, definition_of
from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.workflows import Definition, Step
from taskledger_sdk.workflows.conditions import holds
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.model import COMPENSATE, FINISH
from taskledger_sdk.workflows.templates import bounded, render

ENDED_WELL = (StepState.COMPLETED, StepState.SKIPPED)
_TAKE_WAKE_UPS = sa.text("DELETE FROM workflow_news WHERE run_id = :run_id")
_LOCK_TASKS = sa.text("SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")
_STATES = {Status.COMPLETED: StepState.COMPLETED, Status.FAILED: StepState.FAILED}


def advance(session: Session, run: RunRecord, *, now: datetime, look_at_all: bool = False) -> RunRecord:
    """The run, as far as it can go now. `look_at_all`: also at steps whose predecessors ended earlier."""
    looked_at_all = look_at_all
    while True:
        # First the wake-ups and then what ended: of a wake-up that comes in between, nobody has seen the cause yet.
        session.execute(_TAKE_WAKE_UPS, {"run_id": run.id})
        if run.is_finished:
            return run
        if run.status == RunStatus.COMPENSATING:
            return compensations.advance(session, run, definition_of(session, run.version_id), now=now)
        definition = definition_of(session, run.version_id)
        current = steps.read(session, run.id)
        ended = _take_in(session, run, current, now)
        keys: Iterable[str] = current if looked_at_all else _followers(definition, ended)
        looked_at_all = False
        run, is_settled = _step_forward(session, run, definition, current, keys, now)
        if is_settled:
            return run


def stop_waiting_tasks(session: Session, run: RunRecord, *, reason: str, now: datetime, ask: bool) -> None:
    """Cancel the tasks of the run that wait; with `ask`, those that run are asked to stop as well."""
    under_way = [each.task_id for each in steps.read(session, run.id).values() if each.state == StepState.STARTED]
    ids = [id_ for id_ in under_way if id_ is not None]
    if ids:
        session.execute(_LOCK_TASKS, {"ids": ids})  # from here on none of them is claimed, given back or ended
        lifecycle.cancel(session, ids, reason=reason, now=now)
        if ask:
            lifecycle.ask_to_stop(session, ids, now=now)


def _followers(definition: Definition, ended: Collection[str]) -> list[str]:
    return list(dict.fromkeys(follower for key in ended for follower in definition.dependants[key]))


def _take_in(session: Session, run: RunRecord, current: dict[str, StepRecord], now: datetime) -> list[str]:
    """Note which steps have ended, and how, in the table and in `current`; returns their keys."""
    ended = steps.ended(session, run.id)
    before = max((each.completion_order or 0 for each in current.values()), default=0)
    for number, row in enumerate(ended, before + 1):
        state = StepState.SKIPPED if row["timed_out"] else _STATES.get(row["status"], StepState.CANCELLED)
        error = None if state in ENDED_WELL else _why(row)
        at = row["finished_at"] or now
        steps.end(session, run.id, row["key"], state, number=number, error=error, at=at)
        known = current[row["key"]]
        current[row["key"]] = replace(known, state=state.value, completion_order=number, error=error, ended_at=at)
    return [row["key"] for row in ended]


def _why(row: Mapping[str, Any]) -> dict[str, str]:
    if row["status"] is None:
        return {"type": "TaskDeleted", "message": f"its task {row['task_id']} was deleted"}
    if row["status"] == Status.CANCELLED:
        return {"type": "Cancelled", "message": row["reason"] or "its task was cancelled"}
    return {name: (row["error"] or {}).get(name, "unknown") for name in ("type", "message")}


def _step_forward(
    session: Session,
    run: RunRecord,
    definition: Definition,
    current: dict[str, StepRecord],
    keys: Iterable[str],
    now: datetime,
) -> tuple[RunRecord, bool]:
    """The run after a step, and whether nothing else can be done for now."""
    failed = next((each for each in current.values() if each.state in (StepState.FAILED, StepState.CANCELLED)), None)
    if run.status == RunStatus.PAUSED and run.ending is None:
        return run, True
    if run.ending is None and failed is not None and definition.on_failure != FINISH:
        return _begin_to_fail(session, run, failed, now=now), False
    if run.ending is None:
        moved = _start(session, run, definition, current, keys, now)
        if moved is None:
            return _begin_to_fail(session, run, _failed_to_start(session, run), now=now), False
        if moved:
            return run, False
    if any(each.state == StepState.STARTED for each in current.values()):
        return run, True
    if run.ending is None and failed is not None:
        run = _begin_to_fail(session, run, failed, now=now)
    return _end(session, run, definition, now)


def _begin_to_fail(session: Session, run: RunRecord, failed: StepRecord, *, now: datetime) -> RunRecord:
    message = (failed.error or {}).get("message", "")
    word = "was cancelled" if failed.state == StepState.CANCELLED else "failed"
    reason = f"step {failed.key} {word}: {message}"[:1000]
    run = run_statements.end(session, run, Ending.FAILURE, reason=reason)
    # Tasks that run are left to finish, so that it is known what they did; those that wait need not begin.
    stop_waiting_tasks(session, run, reason=f"run {run.id} ends: {reason}"[:1000], now=now, ask=False)
    return run


def _failed_to_start(session: Session, run: RunRecord) -> StepRecord:
    return next(each for each in steps.read(session, run.id).values() if each.state == StepState.FAILED)


def _end(session: Session, run: RunRecord, definition: Definition, now: datetime) -> tuple[RunRecord, bool]:
    """Nothing is under way, and nothing can begin."""
    if run.ending == Ending.CANCEL:
        arrow = transitions.CANCELLED
    elif run.ending is None:
        arrow = transitions.COMPLETED
    else:
        arrow = transitions.COMPENSATION_BEGUN if definition.on_failure == COMPENSATE else transitions.FAILED
    moved = run_statements.move(session, run, arrow, reason=run.reason, now=now)
    if moved is None:  # paused while a step failed: resuming comes back here
        return run, True
    return moved, moved.is_finished


def _start(
    session: Session,
    run: RunRecord,
    definition: Definition,
    current: dict[str, StepRecord],
    keys: Iterable[str],
    now: datetime,
) -> bool | None:
    """Start (or skip) those of the steps that can begin; whether there were any, None when one failed at it."""
    candidates, drafts, moved = list(keys), list[TaskRecord](), False
    states = {key: StepState(each.state) for key, each in current.items()}
    while ready := [definition.steps[key] for key in dict.fromkeys(candidates) if _is_ready(definition, states, key)]:
        skipped = []
        for step in ready:
            try:
                draft = _drafted(session, run, step, states, current, now)
            except (StepRefused, UnknownTaskType) as error:
                number = max((each.completion_order or 0 for each in current.values()), default=0) + 1
                failure = {"type": type(error).__name__, "message": str(error)[:2000]}
                steps.end(session, run.id, step.key, StepState.FAILED, number=number, error=failure, at=now)
                return None
            states[step.key] = StepState.SKIPPED if draft is None else StepState.STARTED
            if draft is None:
                skipped.append(step.key)
            else:
                drafts.append(draft)
        steps.skip(session, run.id, skipped, now=now)
        moved, candidates = True, _followers(definition, skipped)
    store(session, drafts)
    steps.started(session, run.id, {each.step: each.id for each in drafts if each.step}, now=now)
    return moved


def _is_ready(definition: Definition, states: Mapping[str, StepState], key: str) -> bool:
    after = definition.steps[key].after
    return states[key] == StepState.WAITING and all(states[before] in ENDED_WELL for before in after)


def _drafted(
    session: Session,
    run: RunRecord,
    step: Step,
    states: Mapping[str, StepState],
    current: Mapping[str, StepRecord],
    now: datetime,
) -> TaskRecord | None:
    """The task of a step; None for one that is skipped. Raises StepRefused or UnknownTaskType."""
    if step.after and all(states[before] == StepState.SKIPPED for before in step.after):
        return None
    most = get_settings().max_payload_bytes
    needed = references(None, step.when)
    if step.for_each is None:
        needed += [*references(step.payload), *(each for word in step.sharing for each in references(word))]
    lookup = lookup_of(session, run, current, list(dict.fromkeys(needed)))
    if step.when is not None and not holds(step.when, bounded(lookup, most * LOOKED_AT)):
        return None
    if step.for_each is not None:
        return draft_fan_out(run, step, now=now)
    return draft_task(
        run,
        step.key,
        step.type,
        render(step.payload, bounded(lookup, most)),
        now=now,
        name=f"{run.workflow_name}: {step.key}",
        accepted_under=lambda kind: accepted_under(session, run.version_id, kind),
        step=step,
        lookup=bounded(lookup, most),
    )
