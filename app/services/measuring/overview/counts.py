"""How many tasks are where: what is unfinished is counted up to a bound, and never the whole table."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.models import FINISHED, NOT_PARKED, Status
from app.services.circuits import DELIVERY_TYPE

MAX_COUNTED = 20_000
UNFINISHED = tuple(status.value for status in Status if status not in FINISHED)

# Through the partial index on due_at: finished rows are not touched.
_UNFINISHED = sa.text(f"""
    SELECT status, count(*) AS tasks, min(created_at) AS oldest
    FROM (
        SELECT status, created_at
        FROM tasks
        WHERE {NOT_PARKED} AND (CAST(:owner AS uuid) IS NULL OR (owner_id = :owner AND type <> :delivery))
        LIMIT :most
    ) AS unfinished
    GROUP BY status
""")
# For those that wait for no worker, of whom there may be many.
_SUSPENDED = sa.text("""
    SELECT count(*)
    FROM (
        SELECT
        FROM tasks
        WHERE due_at IS NOT NULL AND status = 'WAITING' AND (CAST(:owner AS uuid) IS NULL OR owner_id = :owner)
        LIMIT :most
    ) AS suspended
""")
# Through the index on what ended badly, without its rows unless an owner is asked for.
_FAILED = sa.text("SELECT count(*) FROM (SELECT FROM tasks WHERE status = 'FAILED' LIMIT :most) AS failed")
_FAILED_OF = sa.text("""
    SELECT count(*)
    FROM (SELECT FROM tasks WHERE status = 'FAILED' AND owner_id = :owner AND type <> :delivery LIMIT :most) AS failed
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How many tasks are in which status; `is_bounded`: there were more unfinished ones than are counted."""

    unfinished: Mapping[str, int]
    dead_letters: int
    oldest_pending_at: datetime | None
    is_bounded: bool

    @property
    def waiting(self) -> int:
        """Due, or failed and to be tried again."""
        return self.unfinished[Status.PENDING] + self.unfinished[Status.RETRYING]


def standing(session: Session, *, owner: UUID | None) -> Standing:
    """How things stand."""
    rows: Any = session.execute(_UNFINISHED, {"owner": owner, "most": MAX_COUNTED, "delivery": DELIVERY_TYPE}).all()
    counted = {row.status: row for row in rows}
    if owner is None:
        failed = session.scalar(_FAILED, {"most": MAX_COUNTED})
    else:
        failed = session.scalar(_FAILED_OF, {"most": MAX_COUNTED, "owner": owner, "delivery": DELIVERY_TYPE})
    pending = counted.get(Status.PENDING)
    suspended = session.scalar(_SUSPENDED, {"most": MAX_COUNTED, "owner": owner}) or 0
    unfinished = {name: counted[name].tasks if name in counted else 0 for name in UNFINISHED}
    return Standing(
        unfinished=unfinished | {Status.WAITING.value: suspended},
        dead_letters=failed or 0,
        oldest_pending_at=pending.oldest if pending else None,
        is_bounded=sum(row.tasks for row in rows if row.status != Status.WAITING) >= MAX_COUNTED,
    )
