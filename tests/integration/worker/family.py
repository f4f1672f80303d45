"""What tests of children look at, and settings for them."""

import dataclasses
from typing import Any

import sqlalchemy as sa

from app.config import Settings, get_settings
from app.database import Session
from app.models import Task, TaskRecord
from app.models.task import RECORD_COLUMNS

TABLE = Task.metadata.tables["tasks"]


def replace_settings(**values: Any) -> Settings:
    return dataclasses.replace(get_settings(), **values)


def children_of(session: Session, parent: TaskRecord) -> list[TaskRecord]:
    rows = session.execute(
        sa.select(*RECORD_COLUMNS).where(TABLE.c.parent_id == parent.id).order_by(TABLE.c.id)
    ).mappings()
    return [TaskRecord.of(row) for row in rows]
