"""What people do with runs: start, pause, resume, cancel, retry and compensate them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session
from app.errors import Conflict, NotFound, Refused
from app.models import CompensationStatus, Ending, Priority, RunRecord, RunStatus, StepState, new_id
from app.services import idempotency, lifecycle
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.idempotency import Key
from app.services.submission import chosen_ids
from app.services.workflows import advancing, run_statements, steps, transitions, versions
from app.services.workflows.definitions import Caller, read, stay, types_of
from app.services.workflows.records import WorkflowRecord
from app.services.workflows.transitions import Transition
from app.services.workflows.versions import definition_of
from taskledger_sdk.workflows import Definition, InputRefused
from taskledger_sdk.workflows.errors import Faults, StepRefused
from taskledger_sdk.workflows.inputs import loaded
from taskledger_sdk.workflows.payloads import check_payload, of_input
from taskledger_sdk.workflows.templates import bounded, render

MAX_LABEL = 256
# Of tasks, and of their items.
_RUNS_OF = sa.text("""
    SELECT id
    FROM workflow_runs
    WHERE parent_id = ANY(CAST(:ids AS uuid[])) OR parent_id IN (
        SELECT child_id FROM task_steps WHERE task_id = ANY(CAST(:ids AS uuid[])) AND child_id IS NOT NULL
    )
""")
_FORGET_RUN = sa.text("DELETE FROM task_steps WHERE task_id = (SELECT parent_id FROM workflow_runs WHERE id = :id)")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """What a caller asks for. `starts_at`: no step begins before. `id`: chosen by the caller, or None."""

    input: dict[str, Any] = field(default_factory=dict)
    priority: str = Priority.NORMAL.value
    labels: Mapping[str, str] = field(default_factory=dict)
    starts_at: datetime | None = None
    id: UUID | None = None

    def fingerprinted(self) -> dict[str, Any]:
        """What an Idempotency-Key is compared by: as it was before callers could choose ids, where they do not."""
        said = asdict(self)
        if self.id is None:
            del said["id"]
        return said


def check_input(definition: Definition, given: Any) -> dict[str, Any]:
    """The input with its defaults. Raises Refused, also for what a first step's type would refuse."""
    try:
        values = loaded(definition.inputs, given)
    except InputRefused as error:
        raise Refused(error.errors, code="input_refused") from None
    faults, most = Faults(), get_settings().max_payload_bytes
    for step in definition.steps.values():
        if not step.after and step.when is None:  # of others it is not known whether they will run
            known = bounded(of_input(values), most)
            check_payload(step.type, step.payload, ("steps", step.key, "payload"), faults, known)
    if faults:
        raise Refused({"input": faults.tree}, code="input_refused")
    return values


def start_once(
    session: Session,
    name: str,
    new: NewRun,
    *,
    key: Key | None,
    caller: Caller,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[RunRecord, bool]:
    """Start a run, or return the one that an earlier request with the same id or key started; and whether it is new.

    Raises NotFound, Conflict (not active), Refused, TypeNotAllowed, QuotaReached, or Gone for a run that was deleted
    since.
    """

    def start_new(run_id: UUID) -> RunRecord:
        workflow = read(session, name, caller=caller, now=now)
        _check_allowed(definition_of(session, workflow.version_id), allowance, caller)
        return start(session, workflow, new, owner_id=caller.owner_id, now=now, run_id=run_id)

    return _once(session, new, start_new, name=name, definition=None, key=key, owner_id=caller.owner_id, now=now)


def start_inline_once(
    session: Session,
    definition: Definition,
    new: NewRun,
    *,
    name: str,
    key: Key | None,
    owner_id: UUID | None,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[RunRecord, bool]:
    """The same of a definition that comes with the request: it is stored with the run, and is no workflow.

    Raises Refused, TypeNotAllowed, QuotaReached, or Gone for a run that was deleted since.
    """

    def start_new(run_id: UUID) -> RunRecord:
        _check_allowed(definition, allowance, Caller(owner_id=owner_id))
        version_id = versions.store(session, None, 1, definition, now=now)
        run = _new_run(definition, new, name=name, version_id=version_id, number=1, owner_id=owner_id, now=now)
        return _begin(session, replace(run, id=run_id), definition, now=now)

    return _once(session, new, start_new, name=name, definition=definition, key=key, owner_id=owner_id, now=now)


def _check_allowed(definition: Definition, allowance: Allowance, caller: Caller) -> None:
    allowance.check_types(types_of(definition))
    allowance.room_of(caller.owner_id)(len(definition.steps))


def _once(
    session: Session,
    new: NewRun,
    start_new: Callable[[UUID], RunRecord],
    *,
    name: str,
    definition: Definition | None,
    key: Key | None,
    owner_id: UUID | None,
    now: datetime,
) -> tuple[RunRecord, bool]:
    def find(run_id: UUID) -> RunRecord | None:
        return next(iter(run_statements.lock(session, [run_id])), None)

    def first_with_id() -> RunRecord | None:
        run = None if new.id is None else find(new.id)
        if run is not None and not _is_same(session, run, new, name=name, definition=definition, owner_id=owner_id):
            raise chosen_ids.taken("run")
        return run

    if new.id is not None:
        chosen_ids.check(new.id, now=now)
    first = first_with_id()
    if first is not None:
        return first, False
    try:
        return idempotency.once(session, key, create=start_new, find=find, what="run", now=now, id_=new.id)
    except run_statements.IdInUse:  # the same request, at the same moment
        first = first_with_id()
        if first is None:
            raise chosen_ids.taken("run") from None
        return first, False


def _is_same(
    session: Session, run: RunRecord, new: NewRun, *, name: str, definition: Definition | None, owner_id: UUID | None
) -> bool:
    """Whether a run is what was asked for; nobody changes what a run was started with."""
    own = definition_of(session, run.version_id)
    if run.owner_id != owner_id or run.workflow_name != name:
        return False
    if definition is not None and versions.digest_of(definition) != versions.digest_of(own):
        return False
    try:
        like = _new_run(
            own, new, name=name, version_id=run.version_id, number=run.version, owner_id=owner_id, now=run.created_at
        )
    except Refused:
        return False
    return (like.input, like.labels, like.priority, like.starts_at) == (
        run.input, run.labels, run.priority, run.starts_at
    )  # fmt: skip


def places_of(session: Session, workflow: WorkflowRecord) -> int:
    """How many places of its owner's quota a run takes: all of its steps have theirs from the start.

    So a run that was started is never held up by the quota, and no number of runs leads past it.
    """
    return len(definition_of(session, workflow.version_id).steps)


def start(
    session: Session,
    workflow: WorkflowRecord,
    new: NewRun,
    *,
    owner_id: UUID | None,
    now: datetime,
    run_id: UUID | None = None,
) -> RunRecord:
    """Start a run of a workflow's newest version. Raises NotFound (deleted meanwhile), Conflict or Refused."""
    stay(session, workflow)
    if not workflow.active:
        raise Conflict(f"Workflow {workflow.name!r} is not active: activate it first.")
    definition = definition_of(session, workflow.version_id)
    run = _new_run(
        definition,
        new,
        name=workflow.name,
        version_id=workflow.version_id,
        number=workflow.version,
        owner_id=owner_id,
        now=now,
    )
    return _begin(session, run if run_id is None else replace(run, id=run_id), definition, now=now)


def _new_run(
    definition: Definition,
    new: NewRun,
    *,
    name: str,
    version_id: UUID,
    number: int,
    owner_id: UUID | None,
    now: datetime,
) -> RunRecord:
    """The run to be, not stored yet. Raises Refused for its input."""
    values = check_input(definition, new.input)
    return RunRecord(
        id=new_id(),
        workflow_name=name,
        version_id=version_id,
        version=number,
        owner_id=owner_id,
        status=RunStatus.RUNNING.value,
        ending=None,
        reason=None,
        input=values,
        labels=dict(new.labels) | _labels(definition, values),
        priority=new.priority,
        created_at=now,
        starts_at=new.starts_at,
        finished_at=None,
        updated_at=now,
    )


def _begin(session: Session, run: RunRecord, definition: Definition, *, now: datetime) -> RunRecord:
    run_statements.insert(session, run)
    steps.insert(session, run.id, definition)
    return advancing.advance(session, run, now=now, look_at_all=True)


def pause(session: Session, run_id: UUID, *, visible_to: UUID | None, now: datetime) -> RunRecord:
    """Start no further step; those that were handed out run on. Raises NotFound or Conflict."""
    run = _going_on(session, run_id, visible_to)
    if run.status == RunStatus.PAUSED:
        return run
    return _moved(session, run, transitions.PAUSED, "paused", now=now)


def resume(session: Session, run_id: UUID, *, visible_to: UUID | None, now: datetime) -> RunRecord:
    """Go on where it was paused. Raises NotFound or Conflict."""
    run = _going_on(session, run_id, visible_to)
    if run.status == RunStatus.RUNNING:
        return run
    moved = _moved(session, run, transitions.RESUMED, None, now=now)
    return advancing.advance(session, moved, now=now, look_at_all=True)


def cancel(session: Session, run_id: UUID, *, visible_to: UUID | None, now: datetime) -> RunRecord:
    """Cancel what waits and ask what runs to stop; CANCELLED once nothing is under way. Raises NotFound or Conflict.

    What is completed stays as it is, until somebody asks to compensate it.
    """
    run = lock_run(session, run_id, visible_to=visible_to)
    if run.status == RunStatus.CANCELLED or run.ending == Ending.CANCEL:
        return run
    if run.status not in (RunStatus.RUNNING, RunStatus.PAUSED):
        raise Conflict(f"The run is {run.status}; only one that is RUNNING or PAUSED can be cancelled.")
    run = run_statements.end(session, run, Ending.CANCEL, reason="cancelled")
    advancing.stop_waiting_tasks(session, run, reason=f"cancelled with run {run.id}", now=now, ask=True)
    return advancing.advance(session, run, now=now)


def retry(
    session: Session, run_id: UUID, *, visible_to: UUID | None, now: datetime, allowance: Allowance = ANYTHING
) -> RunRecord:
    """Go on from the steps that failed or were cancelled, with fresh retries.

    Raises NotFound, Conflict, TypeNotAllowed, or QuotaReached where there is no room for the steps that are left.
    """
    run = lock_run(session, run_id, visible_to=visible_to)
    current = steps.read(session, run.id)
    bad = {key: each for key, each in current.items() if each.state in (StepState.FAILED, StepState.CANCELLED)}
    if run.status in transitions.RETRIED.sources:
        left = [*bad, *(key for key, each in current.items() if each.state == StepState.WAITING)]
        allowance.check_types(current[key].type for key in left)
        allowance.room_of(run.owner_id)(len(left))
    moved = _moved(session, run, transitions.RETRIED, "retried", now=now)
    ids = sorted(each.task_id for each in bad.values() if each.task_id is not None)
    replayed = lifecycle.replay(session, ids, now=now, run_id=run.id) if ids else set()
    again = {key for key, each in bad.items() if each.task_id in replayed}
    _retry_runs_of(session, [each.task_id for each in bad.values() if each.task_id in replayed], now=now)
    steps.start_over(session, run.id, again, with_task=True)
    steps.start_over(session, run.id, bad.keys() - again, with_task=False)
    return advancing.advance(session, moved, now=now, look_at_all=True)


def _retry_runs_of(session: Session, task_ids: Collection[UUID | None], *, now: datetime) -> None:
    """Retry the runs that these tasks wait for, where they can be; of one that is undone, a new one is started."""
    if not task_ids:
        return
    for run in run_statements.lock(session, session.scalars(_RUNS_OF, {"ids": list(task_ids)}).all()):
        if run.status in transitions.RETRIED.sources:
            retry(session, run.id, visible_to=None, now=now)
        elif run.status == RunStatus.COMPENSATED:
            session.execute(_FORGET_RUN, {"id": run.id})


def compensate(
    session: Session,
    run_id: UUID,
    *,
    visible_to: UUID | None,
    reason: str,
    now: datetime,
    done_by_hand: Collection[str] = (),
    allowance: Allowance = ANYTHING,
) -> RunRecord:
    """Take back what a finished run has done, or go on with that where it failed.

    No quota is asked. Raises NotFound, Conflict, Refused or TypeNotAllowed.

    `done_by_hand`: keys of steps that a person has compensated, and no task shall.
    """
    run = lock_run(session, run_id, visible_to=visible_to)
    if run.status in (RunStatus.COMPENSATING, RunStatus.COMPENSATED):
        return run
    allowance.check_types(types_of(definition_of(session, run.version_id)))
    current = steps.read(session, run.id)
    for key in done_by_hand:
        if key not in current or current[key].state != StepState.COMPLETED:
            raise Refused({"done_by_hand": [f"{key[:80]!r} is no completed step of this run"]})
    moved = _moved(session, run, transitions.COMPENSATION_REQUESTED, reason or run.reason, now=now)
    failed = [key for key, each in current.items() if each.compensation_status == CompensationStatus.FAILED]
    steps.note_compensation(session, run.id, failed, None)
    steps.note_compensation(session, run.id, list(done_by_hand), CompensationStatus.BY_HAND)
    return advancing.advance(session, moved, now=now)


def lock_run(session: Session, run_id: UUID, *, visible_to: UUID | None) -> RunRecord:
    """One run, which nobody else moves on until the transaction ends. Raises NotFound, for somebody else's as well."""
    runs = run_statements.lock(session, [run_id])
    if not runs or (visible_to is not None and runs[0].owner_id != visible_to):
        raise NotFound(f"There is no run {run_id}: check the id; it may also have been deleted.")
    return runs[0]


def _going_on(session: Session, run_id: UUID, visible_to: UUID | None) -> RunRecord:
    """Locked. Raises Conflict for one that is ending: another status would forget that, and start steps again."""
    run = lock_run(session, run_id, visible_to=visible_to)
    if run.ending is not None:
        raise Conflict(f"The run is ending ({run.reason}): there is nothing to pause or to resume.")
    return run


def _moved(session: Session, run: RunRecord, arrow: Transition, reason: str | None, *, now: datetime) -> RunRecord:
    moved = run_statements.move(session, run, arrow, reason=reason, now=now)
    if moved is None:
        statuses = " or ".join(source.value for source in arrow.sources)
        raise Conflict(f"The run is {run.status}; for this it must be {statuses}.")
    return moved


def _labels(definition: Definition, values: Mapping[str, Any]) -> dict[str, str]:
    labels = {}
    for name, template in definition.labels.items():
        try:
            value = render(template, bounded(of_input(values), MAX_LABEL * 4), ("labels", name))
        except StepRefused as error:
            raise Refused({"input": [str(error)]}, code="input_refused") from None
        if not isinstance(value, str) or len(value) > MAX_LABEL:
            raise Refused({"input": [f"label {name}: must be a text of at most {MAX_LABEL} characters"]})
        labels[name] = value
    return labels
