"""Whether somebody waits for a lock: what a test of two transactions waits for before it goes on."""

import sqlalchemy as sa

from app.database import in_transaction

_SOMEBODY_WAITS = sa.text(
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
)


def somebody_waits() -> bool:
    """Asked in a transaction of its own: within one, PostgreSQL shows the same activity again and again."""
    return bool(in_transaction(lambda session: session.scalar(_SOMEBODY_WAITS)))
