"""Transactions that made tasks due through SQL: how far the dispatcher must look back for their rows."""

from datetime import datetime

import sqlalchemy as sa

from app.database import Session

# A transaction may have stayed open for long: its rows have been due since before the moment from which on the
# dispatcher looks.
_TAKE = sa.text("""
    WITH taken AS (SELECT transaction_id FROM sql_arrivals LIMIT 1000 FOR UPDATE SKIP LOCKED), gone AS (
        DELETE FROM sql_arrivals
        USING taken
        WHERE sql_arrivals.transaction_id = taken.transaction_id
        RETURNING since
    )
    SELECT min(since)
    FROM gone
""")


def take(session: Session) -> datetime | None:
    """The moment since when rows may have been due that nobody has seen; None when there are none."""
    since: datetime | None = session.scalar(_TAKE)
    return since
