"""What holds for the rest of a transaction: short waits for locks, plans by index, a commit that waits for no disk."""

from datetime import datetime

import sqlalchemy as sa

from app.database.session import Session

_BY_INDEX = sa.text("SET LOCAL enable_seqscan = off")
_IN_ORDER = sa.text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")

# Before a statement, in its round trip: PostgreSQL makes one transaction of statements that arrive together.
ASYNCHRONOUSLY = "SET LOCAL synchronous_commit = off; "


def only_short_locks(session: Session) -> None:
    """For the rest of the transaction, give up after a second of waiting for a lock (55P03).

    For whoever judges others: a statement that waited would act on what was true before.
    """
    session.execute(sa.text("SET LOCAL lock_timeout = '1s'"))


def commit_asynchronously(session: Session) -> None:
    """For the rest of the transaction, wait for no disk: a crash of the database may forget it, and breaks nothing."""
    session.execute(sa.text(ASYNCHRONOUSLY))


def use_indexes(session: Session, *, in_order: bool = False) -> None:
    """For the rest of the transaction, read no table from end to end where there is an index.

    A backlog, or a day's partition, grows faster than it is analysed: a planner that believes the table still small
    reads all of it, batch after batch, for what it could look up. `in_order`: batches are the first rows by an index,
    so that the planner shall not read all that are left and sort them either.
    """
    session.execute(_IN_ORDER if in_order else _BY_INDEX)


def server_time(session: Session) -> datetime:
    """What PostgreSQL's clock shows, whenever the transaction began."""
    shown: datetime = session.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return shown
