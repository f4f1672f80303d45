"""Workflows that the service brings, written in Python: stored as this process knows them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.database import Session
from app.models import new_id
from app.services.owners import lock_owner_count
from app.services.workflows import records, versions
from app.services.workflows.records import WORKFLOWS, WorkflowRecord
from app.services.workflows.versions import VERSIONS
from taskledger_sdk.workflows import Definition, load_workflows


def store_all(session: Session, *, now: datetime) -> None:
    """See that the service's own workflows are stored as this process knows them; mostly one look."""
    known = sa.select(WORKFLOWS.c.name, VERSIONS.c.digest).join(VERSIONS, VERSIONS.c.workflow_id == WORKFLOWS.c.id)
    stored = {tuple(row) for row in session.connection().execute(known.where(WORKFLOWS.c.owner_id.is_(None)))}
    declared = load_workflows()
    if all((name, versions.digest_of(each.definition)) in stored for name, each in declared.items()):
        return
    lock_owner_count(session, "workflows", None)
    stored = {tuple(row) for row in session.connection().execute(known.where(WORKFLOWS.c.owner_id.is_(None)))}
    for name, each in declared.items():
        if (name, versions.digest_of(each.definition)) not in stored:
            _store(session, name, each.description, each.definition, now)


def _store(session: Session, name: str, description: str, definition: Definition, now: datetime) -> None:
    old = records.one(session, WORKFLOWS.c.owner_id.is_(None), WORKFLOWS.c.name == name)
    number = old.version + 1 if old else 1
    workflow_id = old.id if old else new_id()
    row: dict[str, Any] = {"description": description, "version": number, "updated_at": now}
    if old:
        session.connection().execute(sa.update(WORKFLOWS).where(WORKFLOWS.c.id == workflow_id).values(row))
    else:
        row |= {"id": workflow_id, "owner_id": None, "name": name, "active": True, "created_at": now}
        session.connection().execute(sa.insert(WORKFLOWS), row)
    versions.store(session, workflow_id, number, definition, now=now)


def as_declared(session: Session, workflow: WorkflowRecord) -> WorkflowRecord:
    """Of the service's own workflows, what this process knows: during an upgrade, or after one was taken back."""
    declared = load_workflows().get(workflow.name)
    if not workflow.is_the_services_own or declared is None:
        return workflow
    same = sa.select(VERSIONS.c.number).where(
        VERSIONS.c.workflow_id == workflow.id, VERSIONS.c.digest == versions.digest_of(declared.definition)
    )
    number = session.connection().execute(same.order_by(VERSIONS.c.number.desc()).limit(1)).scalar()
    return records.one(session, WORKFLOWS.c.id == workflow.id, number=number) or workflow
