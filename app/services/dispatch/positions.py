"""Queue positions: how far workers have worked off each queue and priority, so that a lost hint is known for one."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from app.database import Session

_ADVANCE = sa.text("""
    INSERT INTO queue_positions (queue, priority, passed_at)
    VALUES (:queue, :priority, :passed_at)
    ON CONFLICT (queue, priority) DO UPDATE SET passed_at = excluded.passed_at
    WHERE queue_positions.passed_at < excluded.passed_at
""")
_ALL = sa.text("SELECT queue, priority, passed_at FROM queue_positions")


def advance(session: Session, passed: Mapping[tuple[str, str], datetime]) -> None:
    """Note the newest `dispatched_at` that was claimed, by queue and priority; a position never moves back."""
    for (queue, priority), passed_at in sorted(passed.items()):
        session.execute(_ADVANCE, {"queue": queue, "priority": priority, "passed_at": passed_at})


def passed_at(session: Session) -> dict[tuple[str, str], datetime]:
    """The newest dispatched_at that a worker has claimed, by queue and priority."""
    return {(queue, priority): passed for queue, priority, passed in session.execute(_ALL)}
