"""Whether the parts that a submitted task needs are there."""

from datetime import datetime, timedelta

import sqlalchemy as sa

# Duties record a success every two seconds; after this long without one the dispatcher is gone or cannot work.
LATEST_LOOK = timedelta(seconds=15)

_LAST_LOOK = sa.text("SELECT last_success_at, last_error FROM duties WHERE name = 'dispatch'")


def database_fault(connection: sa.Connection) -> str | None:
    """What is wrong with a database that answers, or None."""
    if connection.scalar(sa.text("SELECT current_setting('transaction_read_only')")) == "on":
        return "it takes no changes (read-only): it is a stand-by, or an operator has set it so"
    return None


def dispatcher_fault(connection: sa.Connection, *, now: datetime) -> str | None:
    """What is wrong with the dispatcher, or None; it looks for due tasks and fires retries and schedules."""
    row = connection.execute(_LAST_LOOK).first()
    if row is None or row.last_success_at is None:
        return "no dispatcher has looked for due tasks yet: start `celery -A tasks beat`"
    if now - row.last_success_at <= LATEST_LOOK:
        return None
    seconds = int((now - row.last_success_at).total_seconds())
    because = f" ({row.last_error})" if row.last_error else ""
    return f"no dispatcher has looked for due tasks for {seconds} s{because}: start `celery -A tasks beat`"
