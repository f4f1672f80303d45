"""Workflows as their owners see them: create, change, find, delete."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.errors import Conflict, NotFound, Refused
from app.models import RUN_UNFINISHED, WorkflowRun
from app.models.page import Page, page_of
from app.services import idempotency
from app.services.accounts.allowance import ANYTHING, Allowance
from app.services.idempotency import Key
from app.services.owners import lock_owner_count
from app.services.remote import schemas
from app.services.sql import folding
from app.services.workflows import declared, records, versions
from app.services.workflows.records import WORKFLOWS, WorkflowRecord
from app.services.workflows.versions import VERSIONS
from taskledger_sdk.workflows import Definition, DefinitionRefused, load_workflows, parse
from taskledger_sdk.workflows.declaring import NAME

RUNS = WorkflowRun.metadata.tables["workflow_runs"]
MAX_OF_AN_OWNER = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class NewWorkflow:
    """What a caller asks for."""

    name: str
    definition: Any
    description: str = ""
    active: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks: whose workflows come first, and whether everybody's can be seen."""

    owner_id: UUID | None
    sees_all: bool = False


def checked(definition: Any) -> Definition:
    """A definition that can be run. Raises Refused with the path of every fault."""
    try:
        parsed = parse(definition)
    except DefinitionRefused as error:
        raise Refused(error.errors, code="definition_refused") from None
    _check_waits(parsed)
    return parsed


def _check_waits(definition: Definition) -> None:
    """Raises Refused for waits with a JSON Schema that no signal could be held against."""
    errors = {}
    for key, step in definition.steps.items():
        schema = (step.written or {}).get("schema")
        try:
            if schema is not None:
                schemas.check(schema)
        except Refused as error:
            errors[key] = error.errors
    if errors:
        raise Refused({"definition": {"steps": errors}}, code="definition_refused")


def types_of(definition: Definition) -> list[str]:
    """The task types that a run may submit, those that compensate its steps included.

    Not those that the service brings for steps without a type of their own: of another workflow, its types are asked
    for when it is started.
    """
    compensations = (
        step.compensate_with.type for step in definition.steps.values() if step.compensate_with is not None
    )
    own = (step.type for step in definition.steps.values() if step.written is None)
    return list(dict.fromkeys([*own, *compensations]))


def create_once(
    session: Session,
    new: NewWorkflow,
    *,
    key: Key | None,
    owner_id: UUID | None,
    now: datetime,
    allowance: Allowance = ANYTHING,
) -> tuple[WorkflowRecord, bool]:
    """Store a workflow, or return the one that an earlier request with the same key made; and whether it is new.

    Raises Refused, TypeNotAllowed, Conflict for a name that is taken, Gone for one that was deleted since.
    """
    definition = checked(new.definition)
    allowance.check_types(types_of(definition))
    return idempotency.once(
        session,
        key,
        create=lambda workflow_id: _create(session, new, definition, workflow_id, owner_id=owner_id, now=now),
        find=lambda workflow_id: records.one(session, WORKFLOWS.c.id == workflow_id),
        what="workflow",
        now=now,
    )


def _create(
    session: Session,
    new: NewWorkflow,
    definition: Definition,
    workflow_id: UUID,
    *,
    owner_id: UUID | None,
    now: datetime,
) -> WorkflowRecord:
    if new.name in load_workflows():
        raise Conflict(f"The service itself has a workflow called {new.name!r}; take another name.")
    lock_owner_count(session, "workflows", owner_id)
    theirs = sa.select(sa.func.count()).select_from(WORKFLOWS).where(WORKFLOWS.c.owner_id == owner_id)
    if session.execute(theirs).scalar_one() >= MAX_OF_AN_OWNER:
        raise Refused({"_schema": [f"there are {MAX_OF_AN_OWNER} workflows already; delete one first"]})
    if records.one(session, WORKFLOWS.c.owner_id == owner_id, WORKFLOWS.c.name == new.name):
        raise Conflict(f"There is a workflow called {new.name!r} already; PATCH it, or take another name.")
    row: dict[str, Any] = {"id": workflow_id, "owner_id": owner_id, "name": new.name, "version": 1}
    row |= {"description": new.description, "active": new.active, "created_at": now, "updated_at": now}
    session.connection().execute(sa.insert(WORKFLOWS), row)
    versions.store(session, workflow_id, 1, definition, now=now)
    workflow = records.one(session, WORKFLOWS.c.id == workflow_id)
    assert workflow is not None  # noqa: S101 (just inserted)
    return workflow


def read(session: Session, name: str, *, caller: Caller, now: datetime, number: int | None = None) -> WorkflowRecord:
    """A workflow by name: the caller's own, else the service's, else (for who sees all) the newest. Raises NotFound."""
    if not NAME.fullmatch(name):  # it may hold what PostgreSQL cannot even compare with
        raise NotFound("There is no such workflow: its name is none that a workflow can have.")
    declared.store_all(session, now=now)
    mine = WORKFLOWS.c.owner_id.is_not_distinct_from(caller.owner_id)
    services = WORKFLOWS.c.owner_id.is_(None)
    visible = sa.true() if caller.sees_all else sa.or_(mine, services)
    order = (mine.desc(), services.desc(), WORKFLOWS.c.id.desc())
    workflow = records.one(session, WORKFLOWS.c.name == name, visible, order=order, number=number)
    if workflow is None:
        which = f"version {number} of workflow {name!r}" if number else f"workflow {name!r}"
        raise NotFound(f"There is no {which}, or it is not yours.")
    return workflow if number is not None else declared.as_declared(session, workflow)


def find(
    session: Session,
    *,
    caller: Caller,
    active: bool | None,
    text: str | None,
    before: UUID | None,
    limit: int,
    now: datetime,
) -> Page[WorkflowRecord]:
    """A page of those older than `before`, newest first."""
    declared.store_all(session, now=now)
    query = records.select().order_by(WORKFLOWS.c.id.desc()).limit(limit + 1)
    if not caller.sees_all:
        query = query.where(sa.or_(WORKFLOWS.c.owner_id == caller.owner_id, WORKFLOWS.c.owner_id.is_(None)))
    if active is not None:
        query = query.where(WORKFLOWS.c.active == active)
    if text:
        places = (WORKFLOWS.c.name, WORKFLOWS.c.description)
        query = query.where(folding.holds(session, text, places))
    if before is not None:
        query = query.where(WORKFLOWS.c.id < before)
    page = [WorkflowRecord(**row) for row in session.connection().execute(query).mappings()]
    return page_of(page, limit)


def version_list(session: Session, workflow: WorkflowRecord) -> list[dict[str, Any]]:
    """Its versions, newest first: number and created_at."""
    chosen = sa.select(VERSIONS.c.number, VERSIONS.c.created_at).where(VERSIONS.c.workflow_id == workflow.id)
    rows = session.connection().execute(chosen.order_by(VERSIONS.c.number.desc()).limit(200)).mappings()
    return [dict(row) for row in rows]


def change(
    session: Session,
    name: str,
    *,
    caller: Caller,
    now: datetime,
    definition: Any = None,
    description: str | None = None,
    allowance: Allowance = ANYTHING,
) -> WorkflowRecord:
    """Change a workflow; another definition becomes its next version, and runs under way keep theirs.

    Raises NotFound, Refused, TypeNotAllowed, or Conflict for one of the service's own.
    """
    old = _own(session, name, caller=caller, now=now)
    values: dict[str, Any] = {"updated_at": now}
    if definition is not None:
        new = checked(definition)
        allowance.check_types(types_of(new))
        if versions.digest_of(new) != versions.digest_of(Definition.stored(old.definition)):
            values["version"] = old.version + 1
            versions.store(session, old.id, old.version + 1, new, now=now)
    if description is not None:
        values["description"] = description
    session.connection().execute(sa.update(WORKFLOWS).where(WORKFLOWS.c.id == old.id).values(values))
    changed = records.one(session, WORKFLOWS.c.id == old.id)
    assert changed is not None  # noqa: S101 (locked above)
    return changed


def set_active(session: Session, name: str, active: bool, *, caller: Caller, now: datetime) -> WorkflowRecord:
    """Allow or forbid new runs; those under way go on. Raises NotFound, or Conflict for one of the service's own."""
    workflow = read(session, name, caller=caller, now=now)
    if workflow.is_the_services_own and not caller.sees_all:
        raise Conflict(f"Workflow {name!r} belongs to the service: only an admin can do this.")
    if workflow.active != active:
        values = {"active": active, "updated_at": now}
        session.connection().execute(sa.update(WORKFLOWS).where(WORKFLOWS.c.id == workflow.id).values(values))
    return replace(workflow, active=active)


def stay(session: Session, workflow: WorkflowRecord) -> None:
    """Let nobody delete a workflow until the transaction ends. Raises NotFound for one that was deleted meanwhile."""
    chosen = sa.select(WORKFLOWS.c.id).where(WORKFLOWS.c.id == workflow.id)
    if session.connection().execute(chosen.with_for_update(read=True, key_share=True)).first() is None:
        raise NotFound(f"There is no workflow {workflow.name!r} any more.")


def delete(session: Session, name: str, *, caller: Caller, now: datetime) -> None:
    """Forget a workflow; its finished runs stay. Raises NotFound, or Conflict while runs are under way."""
    workflow = _own(session, name, caller=caller, now=now)
    theirs = sa.select(VERSIONS.c.id).where(VERSIONS.c.workflow_id == workflow.id)
    unfinished = (
        sa.select(sa.func.count())
        .select_from(RUNS)
        .where(RUNS.c.version_id.in_(theirs), RUNS.c.status.in_(sorted(RUN_UNFINISHED)))
    )
    if count := session.execute(unfinished).scalar_one():
        raise Conflict(f"{count} runs of workflow {name!r} are under way: wait for their end, or cancel them.")
    unused = sa.delete(VERSIONS).where(
        VERSIONS.c.workflow_id == workflow.id, ~sa.exists().where(RUNS.c.version_id == VERSIONS.c.id)
    )
    session.connection().execute(unused)
    session.connection().execute(sa.delete(WORKFLOWS).where(WORKFLOWS.c.id == workflow.id))


def _own(session: Session, name: str, *, caller: Caller, now: datetime) -> WorkflowRecord:
    """One that the caller may change, locked. Raises NotFound or Conflict."""
    workflow = read(session, name, caller=caller, now=now)
    if workflow.is_the_services_own:
        raise Conflict(f"Workflow {name!r} belongs to the service: it is written in tasks/workflows/.")
    session.connection().execute(sa.select(WORKFLOWS.c.id).where(WORKFLOWS.c.id == workflow.id).with_for_update())
    locked = records.one(session, WORKFLOWS.c.id == workflow.id)
    if locked is None:
        raise NotFound(f"There is no workflow {name!r} any more.")
    return locked
