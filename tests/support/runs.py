"""Runs for tests: definitions, starting them, and ending their tasks as a worker would."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import RunRecord, TaskRecord
from app.services import lifecycle, workflows
from app.services.lifecycle import Claim
from app.services.recovery.failures import Failure
from app.services.tasks import outcomes
from app.services.tasks.outcomes import Completed, Failed, Outcome
from app.services.workflows import NewRun, NewWorkflow
from tests.support.factories import HOLDER, NOON, read_task

BROKEN = Failed(failure=Failure(type="Broken", message="it broke"), reason="its error is permanent")


def step(*after: str, type_: str = "reverse_string", payload: Any = "abc", **said: Any) -> dict[str, Any]:
    return {"type": type_, "payload": payload, "after": list(after), **said}


def pdf(title: str = "Report") -> dict[str, Any]:
    """The payload of a step that can be undone."""
    return {"template": "report", "data": {"title": title, "sections": [{"heading": "One"}]}}


def create_workflow(session: Session, steps: dict[str, Any], *, name: str = "flow", owner_id: Any = None, **said: Any):
    wanted = NewWorkflow(name=name, definition={"steps": steps, **said})
    return workflows.create_once(session, wanted, key=None, owner_id=owner_id, now=NOON)[0]


def start(
    session: Session, steps: dict[str, Any], *, input_: Any = None, now: datetime = NOON, **said: Any
) -> RunRecord:
    """A run of a new workflow with these steps."""
    workflow = create_workflow(session, steps, **said)
    run = workflows.start(session, workflow, NewRun(input=input_ or {}), owner_id=None, now=now)
    session.commit()
    return run


def run_of(session: Session, run_id: UUID) -> RunRecord:
    return workflows.read(session, run_id, visible_to=None)


def states(session: Session, run_id: UUID) -> dict[str, str]:
    return {each.key: each.state for each in workflows.view(session, run_of(session, run_id)).steps}


def undone(session: Session, run_id: UUID) -> dict[str, str | None]:
    return {each.key: each.compensation_status for each in workflows.view(session, run_of(session, run_id)).steps}


def task_of(session: Session, run_id: UUID, key: str) -> TaskRecord:
    """The newest task of a step: the one that runs it, or the one that undoes it."""
    newest = sa.text("SELECT id FROM tasks WHERE run_id = :run AND step = :key ORDER BY id DESC LIMIT 1")
    return read_task(session, session.scalar(newest, {"run": run_id, "key": key}))


def end(session: Session, run_id: UUID, key: str, outcome: Any = None, *, now: datetime = NOON) -> None:
    """Claim the task of a step and record its outcome, committed: a result, or an Outcome."""
    task = task_of(session, run_id, key)
    [held] = lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=now)
    is_outcome = isinstance(outcome, Outcome.__args__)
    outcomes.record(session, [(held, outcome if is_outcome else Completed(result=outcome))], now=now)
    session.commit()


def cancelled_in_its_pause(session: Session, steps: dict[str, Any]) -> tuple[RunRecord, Claim]:
    """A run that was paused and then cancelled while its step `a` runs, with the claim on that step's task."""
    run = start(session, steps)
    task = task_of(session, run.id, "a")
    [held] = lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=NOON)
    workflows.pause(session, run.id, visible_to=None, now=NOON)
    workflows.cancel(session, run.id, visible_to=None, now=NOON)
    session.commit()
    return run, held
