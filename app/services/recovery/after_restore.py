"""A ledger that came out of a backup: no hint is out and no worker is at work for what it says is unfinished."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.database import Session
from app.services import events
from app.services.lifecycle import hints, lost

BATCH = 1_000
REASON = "given back: the ledger was restored from a backup"

# Nobody who holds a lease of the old ledger can be told; their outcomes are fenced off by the new claim's lease.
END_WORKERS = sa.text("UPDATE workers SET stopped_at = :now WHERE stopped_at IS NULL")
FORGET_POSITIONS = sa.text("DELETE FROM queue_positions")
# Numbers of events that were given after the backup are in clients' Last-Event-ID and in the queues of sinks. Given to
# other events, those would be taken for repeats and dropped. A year of 300 events a second has fewer than this.
SKIPPED_NUMBERS = 10_000_000_000
UNPUBLISHED = sa.text("SELECT first_position FROM event_batches WHERE published_at IS NULL")
MOVE_UNPUBLISHED = sa.text("""
    UPDATE event_batches
    SET first_position = first_position + :skipped, last_position = last_position + :skipped
    WHERE published_at IS NULL
""")
# One number of no event (there is none with the id 0), far from the last.
LEAVE_A_GAP = sa.text("""
    INSERT INTO event_batches (first_position, last_position, event_ids, oldest_at, newest_at, published_at)
    SELECT max(last_position) + :skipped, max(last_position) + :skipped, '{0}', :now, :now, :now
    FROM event_batches
    HAVING max(last_position) IS NOT NULL
""")
# The audit sink counts entries of the audit log, whose numbers go on from the backup as they are.
MOVE_SINKS = sa.text("UPDATE sinks SET position = position + :skipped WHERE position >= :since AND name <> 'audit'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requeued:
    """How many tasks start over, and how many are dispatched again."""

    given_back: int
    dispatched_again: int


def requeue_all(session: Session, *, now: datetime) -> Requeued:
    """Make every unfinished task due as it was meant; nothing else may use the ledger meanwhile.

    What was PROCESSING is PENDING again, and its attempt not counted: whether it ended is not known here.
    """
    session.execute(END_WORKERS, {"now": now})
    session.execute(FORGET_POSITIONS)
    _skip_numbers(session, now)
    given_back = 0
    while rows := lost.of_anybody(session, limit=BATCH):
        lost.return_uncounted(session, rows, reason=REASON, now=now)
        given_back += len(rows)
    return Requeued(given_back=given_back, dispatched_again=hints.withdraw_all(session, now=now))


def _skip_numbers(session: Session, now: datetime) -> None:
    """Number the events to come far from those that were numbered after the backup."""
    since = session.scalar(UNPUBLISHED)
    if since is None:
        since = events.newest_position(session)
        session.execute(LEAVE_A_GAP, {"skipped": SKIPPED_NUMBERS, "now": now})
    else:  # a batch that was on its way comes again as it was, for whoever had not taken it
        session.execute(MOVE_UNPUBLISHED, {"skipped": SKIPPED_NUMBERS})
    if since > 0:
        session.execute(MOVE_SINKS, {"skipped": SKIPPED_NUMBERS, "since": since})
