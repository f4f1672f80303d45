"""Workflows as rows: one and the version that was asked for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import Workflow
from app.services.workflows.versions import VERSIONS

WORKFLOWS = Workflow.metadata.tables["workflows"]
_RECORD = ("id", "owner_id", "name", "description", "active", "version", "created_at", "updated_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowRecord:
    """A workflow and one of its versions, the newest unless another was asked for."""

    id: UUID
    owner_id: UUID | None
    name: str
    description: str
    active: bool
    version: int
    created_at: datetime
    updated_at: datetime
    version_id: UUID
    definition: dict[str, Any]

    @property
    def is_the_services_own(self) -> bool:
        """Whether it was written in Python."""
        return self.owner_id is None


def select(number: int | None = None) -> sa.Select[Any]:
    """A query for workflows, each with its newest version, or with that of this number."""
    is_wanted = VERSIONS.c.number == (WORKFLOWS.c.version if number is None else number)
    return sa.select(
        *(WORKFLOWS.c[name] for name in _RECORD if name != "version"),
        VERSIONS.c.number.label("version"),
        VERSIONS.c.id.label("version_id"),
        VERSIONS.c.definition,
    ).join(VERSIONS, sa.and_(VERSIONS.c.workflow_id == WORKFLOWS.c.id, is_wanted))


def one(
    session: Session, *where: sa.ColumnElement[bool], order: Any = (), number: int | None = None
) -> WorkflowRecord | None:
    """The first that meets the conditions, in this order; None where there is none."""
    row: Any = session.connection().execute(select(number).where(*where).order_by(*order).limit(1)).mappings().first()
    return None if row is None else WorkflowRecord(**row)
