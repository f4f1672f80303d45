"""Why a workflow's run has not ended: which steps wait, and for which others. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from app.models import RunStatus, Status, StepState
from app.services.explain.answers import Answer, moment
from app.services.workflows import RunView, StepView

CAUSES = ("finished", "paused", "undoing", "blocked_by_step", "not_due", "steps_under_way")
MAX_STEPS = 50  # of up to 1,000: what is told first is enough to go on
_OPEN = (StepState.WAITING, StepState.STARTED)


def rank_run(view: RunView, *, now: datetime) -> Answer:
    """One cause. Steps that wait have no task yet, so that it is asked of their run."""
    run, path = view.run, f"/api/v1/runs/{view.run.id}"
    blocked = _blocked(view)
    evidence: dict[str, Any] = {
        "status": run.status,
        "reason": run.reason,
        "under_way": _under_way(view),
        "blocked": dict(list(blocked.items())[:MAX_STEPS]),
        "blocked_steps": len(blocked),
    }
    because = f": {run.reason}" if run.reason else ""
    if run.is_finished:
        return Answer(cause="finished", summary=f"It has ended: {run.status}{because}.", evidence=evidence,
                      fix=f"See what its steps did: GET {path}.")  # fmt: skip
    if run.status == RunStatus.PAUSED and run.ending is None:
        return Answer(cause="paused", summary=f"It is paused{because}; no further step starts.", evidence=evidence,
                      fix=f"Resume it: POST {path}/resume.")  # fmt: skip
    if run.status == RunStatus.COMPENSATING:
        return Answer(cause="undoing", summary=f"What it has done is being undone{because}.", evidence=evidence,
                      fix=f"Nothing; how far it is: GET {path}.")  # fmt: skip
    if run.starts_at is not None and run.starts_at > now:
        return Answer(cause="not_due", summary=f"Its first steps start at {moment(run.starts_at)}.", evidence=evidence,
                      next_at=run.starts_at)  # fmt: skip
    return _running(evidence, blocked)


def _running(evidence: dict[str, Any], blocked: dict[str, list[str]]) -> Answer:
    under_way = evidence["under_way"]
    first = next(iter(under_way.values()), None)
    fix = f"See what keeps that task: GET /api/v1/tasks/{first['task_id']}/why." if first else "Nothing: it goes on."
    if blocked:
        key, waits_for = next(iter(blocked.items()))
        others = len(blocked) - 1
        more = f", and {others:,} more step{' waits' if others == 1 else 's wait'}" if others else ""
        summary = f"The step {key} waits for {_named(waits_for, under_way)} to end{more}."
        return Answer(cause="blocked_by_step", summary=summary, evidence=evidence, fix=fix)
    summary = f"No step waits for another; under way: {_named(under_way, under_way) or 'none yet'}."
    return Answer(cause="steps_under_way", summary=summary, evidence=evidence, fix=fix)


def _named(keys: Iterable[str], under_way: Mapping[str, Any]) -> str:
    """Steps by their keys, with what those wait for that wait themselves."""
    waits = {key: under_way.get(key, {}).get("waits_for") for key in keys}
    return ", ".join(f"{key} (waits for {what})" if what else key for key, what in waits.items())


def _blocked(view: RunView) -> dict[str, list[str]]:
    """The steps that wait, with those of their predecessors that have not ended."""
    unended = {each.key for each in view.steps if each.state in _OPEN}
    blockers = {each.key: [key for key in each.after if key in unended] for each in view.steps
             if each.state == StepState.WAITING}  # fmt: skip
    return {key: waits_for[:MAX_STEPS] for key, waits_for in blockers.items() if waits_for}


def _under_way(view: RunView) -> dict[str, dict[str, Any]]:
    started = [each for each in view.steps if each.state == StepState.STARTED][:MAX_STEPS]
    return {each.key: _told(each) for each in started}


def _told(step: StepView) -> dict[str, Any]:
    said: dict[str, Any] = {"task_id": step.task_id and str(step.task_id), "status": step.task_status}
    said["attempt"] = step.attempt
    if step.task_status == Status.WAITING:
        said["waits_for"] = (step.task_reason or "").removeprefix("waits for ")
    if step.items is not None:
        said["items"] = {name: getattr(step.items, name) for name in step.items.__slots__}
    return said
