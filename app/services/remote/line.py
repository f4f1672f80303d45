"""The lines of hints of remote types: for them the ledger is the broker, and a hint is a row."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa

from app.database import ASYNCHRONOUSLY, Prepared, Session, array, in_transaction
from app.messaging import Hint
from app.services.remote.queues import is_remote, type_of

CHANNEL = "taskledger_work"
RANKS = {"high": 0, "normal": 1, "low": 2}

# In the order of the ids given: numbers are drawn in the order in which the rows come.
_PUBLISH = Prepared(
    "publish_hints",
    """
    INSERT INTO hints (type, rank, task_id, published_at)
    SELECT type, rank, task_id, clock_timestamp()
    FROM unnest(:types, :ranks, :ids) WITH ORDINALITY AS new (type, rank, task_id, n)
    ORDER BY n
    """,
    types="text[]",
    ranks="smallint[]",
    ids="uuid[]",
)
_COUNT = sa.text("SELECT count(*) FROM hints WHERE type = :type")
_STILL_THERE = sa.text("""
    SELECT task_id
    FROM hints
    WHERE type = ANY(CAST(:types AS text[])) AND task_id = ANY(CAST(:ids AS uuid[]))
""")
# What is paused is passed over: its hints stay where they are.
_WAITING = sa.text("""
    SELECT asked.type
    FROM unnest(CAST(:types AS text[])) AS asked (type)
    CROSS JOIN LATERAL (SELECT rank FROM hints WHERE hints.type = asked.type ORDER BY rank, seq LIMIT 1) AS first
    WHERE NOT EXISTS (
        SELECT FROM pauses
        WHERE resumed_at IS NULL
            AND ((kind = 'type' AND name = asked.type) OR (kind = 'queue' AND name = 'remote:' || asked.type))
    )
    ORDER BY first.rank, random()
""")
# By their places in the table, which are found once. Joined by their keys, a planner that believes the table empty, as
# it was when it was last analysed, looks for the first ones once for each hint that there is. Hints are never changed.
_TAKE = sa.text("""
    DELETE FROM hints
    WHERE ctid = ANY(ARRAY(
        SELECT ctid
        FROM hints
        WHERE type = :type
        ORDER BY rank, seq
        LIMIT :limit
        FOR UPDATE SKIP LOCKED
    ))
    RETURNING rank, seq, task_id
""")


class LedgerLine:
    """What app.messaging hands the hints of remote types to."""

    def takes(self, queue: str) -> bool:
        """Whether hints for this queue are rows here."""
        return is_remote(queue)

    def publish(self, hints: Sequence[Hint]) -> None:
        """Store them, all or none. Raises an error of SQLAlchemy."""
        in_transaction(lambda session: publish(session, hints), autocommit=True)

    def ready_count(self, queue: str) -> int:
        """How many hints wait there. Raises an error of SQLAlchemy."""
        return in_transaction(lambda session: session.scalar(_COUNT, {"type": type_of(queue)}) or 0)


def publish(session: Session, hints: Iterable[Hint]) -> None:
    """Put hints at the end of their lines."""
    rows = [(type_of(hint.queue), RANKS[hint.priority], id_) for hint in hints for id_ in hint.ids]
    columns = dict(zip(("types", "ranks", "ids"), map(array, zip(*rows, strict=True)), strict=True))
    # A hint that a crash forgets is lost with the whole table, which has no log either.
    _PUBLISH.execute(session, columns, before=ASYNCHRONOUSLY)


def waiting_types(session: Session, types: Collection[str]) -> list[str]:
    """Those of the types that have hints and are not paused; the most urgent first, those alike in no order."""
    return list(session.scalars(_WAITING, {"types": list(types)}))


def take(session: Session, type_name: str, *, limit: int) -> list[UUID]:
    """Take the first hints of a type out of its line; what others take at this moment is passed over."""
    rows = session.execute(_TAKE, {"type": type_name, "limit": limit}).all()
    return [row.task_id for row in sorted(rows)]


def still_there(session: Session, types: Collection[str], ids: Collection[UUID]) -> set[UUID]:
    """Those of the tasks that have a hint in the line of one of these types."""
    return set(session.scalars(_STILL_THERE, {"types": list(types), "ids": array(ids)}))
