"""Counting over all processes: what the ledger suppressed, dropped and rescued."""

from collections.abc import Mapping

import sqlalchemy as sa

from app.database import Session

DUPLICATES_SUPPRESSED = "duplicates_suppressed"  # hints that found their task taken, finished or not due
OUTCOMES_DROPPED = "outcomes_dropped"  # attempts that lost their lease: what they did is not recorded
ATTEMPTS_LOST = "attempts_lost"  # attempts whose worker was gone
HINTS_REPUBLISHED = "hints_republished"  # hints that were lost on the way
MESSAGES_REFUSED = "sink_messages_refused"  # messages to sinks that no dispatcher of this ledger can have sent

_ADD = sa.text("""
    INSERT INTO counters (name, value)
    VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value
""")


def add(session: Session, counts: Mapping[str, int]) -> None:
    """Add to the counters; in the order of their names, so that two writers never wait for each other crosswise."""
    for name in sorted(counts):
        if counts[name]:
            session.execute(_ADD, {"name": name, "value": counts[name]})


def read(session: Session) -> dict[str, int]:
    """All counters."""
    rows = session.execute(sa.text("SELECT name, value FROM counters"))
    return {row.name: row.value for row in rows}
