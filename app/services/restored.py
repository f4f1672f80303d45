"""A ledger that came out of a backup: no hint is out and no worker is at work for what it says is unfinished."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.services.lifecycle import lost

BATCH = 1_000
REASON = "given back: the ledger was restored from a backup"

# Nobody who holds a lease of the old ledger can be told; their outcomes are fenced off by the new claim's lease.
END_WORKERS = sa.text("UPDATE workers SET stopped_at = :now WHERE stopped_at IS NULL")
FORGET_POSITIONS = sa.text("DELETE FROM queue_positions")
HOLD_ALL = sa.text(
    "UPDATE tasks SET dispatched_at = NULL, due_at = :now WHERE status = 'PENDING' AND dispatched_at IS NOT NULL"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Revived:
    """How many tasks start over, and how many are dispatched again."""

    given_back: int
    dispatched_again: int


def revive(session: Session, *, now: datetime) -> Revived:
    """Make every unfinished task due as it was meant; nothing else may use the ledger meanwhile.

    What was PROCESSING is PENDING again, and its attempt not counted: whether it ended is not known here.
    """
    session.execute(END_WORKERS, {"now": now})
    session.execute(FORGET_POSITIONS)
    given_back = 0
    while rows := lost.of_anybody(session, limit=BATCH):
        lost.return_uncounted(session, rows, reason=REASON, now=now)
        given_back += len(rows)
    held = session.connection().execute(HOLD_ALL, {"now": now}).rowcount
    return Revived(given_back=given_back, dispatched_again=held)
