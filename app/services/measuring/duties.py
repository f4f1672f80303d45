"""The record of the dispatcher's duties: when each last succeeded, where, and what stopped it since."""

from datetime import datetime

import sqlalchemy as sa

from app.database import Session

_RECORD = sa.text("""
    INSERT INTO duties (name, node, last_success_at, last_error)
    VALUES (:name, :node, :at, :error)
    ON CONFLICT (name) DO UPDATE SET
        node = excluded.node,
        last_error = excluded.last_error,
        last_success_at = coalesce(excluded.last_success_at, duties.last_success_at)
""")


def record(session: Session, name: str, *, node: str, error: str | None, now: datetime) -> None:
    """Note that a duty has succeeded, or with `error` what stopped it; its last success is kept then."""
    session.execute(_RECORD, {"name": name, "node": node, "at": None if error else now, "error": error})
