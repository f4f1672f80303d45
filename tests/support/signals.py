"""Sending a signal as the service does it, without what the web asks of its sender."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.services import lifecycle
from app.services.signals import MAX_UNTAKEN

_LOCK = sa.text("SELECT id FROM tasks WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE")


def send_signal(
    session: Session,
    target: UUID,
    name: str,
    data: Any,
    *,
    now: datetime,
    key: str | None = None,
    waiting: Sequence[UUID] | None = None,
) -> int | None:
    """Send it to a task, or to a run whose tasks `waiting` are; the rows are locked first, and looked at afterwards."""
    ids = [target] if waiting is None else list(waiting)
    session.execute(_LOCK, {"ids": ids})
    return lifecycle.send_signal(
        session,
        target,
        name,
        waiting=ids,
        data=to_json(data),
        key=key,
        sent_by=None,
        most=MAX_UNTAKEN,
        now=now,
    )
