"""Verifying the chain of the audit log, going through it, and removing what is old."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.clock import rfc_3339
from app.database import Session
from app.services.accounts.audit import LOG
from app.services.events.sinks import AUDIT

PAGE = 1_000

# One statement, so that it sees one state of the log while others add to it; nothing but counts leaves the database.
LOOK = sa.text("""
WITH looked AS (
    SELECT a.id, lag(a.id) OVER entries AS before_id,
        a.hash IS NULL OR a.hash IS DISTINCT FROM taskledger.audit_hash(a.previous_hash, a) AS is_changed,
        a.previous_hash IS DISTINCT FROM lag(a.hash) OVER entries AS follows_another
    FROM audit_log a
    WHERE a.id >= coalesce((SELECT id FROM audit_log ORDER BY id DESC OFFSET :skipped LIMIT 1), 0)
    WINDOW entries AS (ORDER BY a.id)
), found AS (
    SELECT count(*) AS entries, min(id) FILTER (WHERE is_changed) AS changed,
        min(id) FILTER (WHERE before_id IS NOT NULL AND follows_another) AS unlinked
    FROM looked
)
SELECT found.entries, found.changed, found.unlinked,
    (SELECT max(id) FROM audit_log WHERE id < found.unlinked) AS before_unlinked,
    first.id AS first_id, first.previous_hash AS first_previous, last.id AS last_id, last.hash AS last_hash,
    chain.pruned_id, chain.pruned_hash, chain.last_id AS end_id, chain.last_hash AS end_hash
FROM found
LEFT JOIN audit_chain AS chain ON true
LEFT JOIN (SELECT id, previous_hash FROM audit_log ORDER BY id LIMIT 1) AS first ON true
LEFT JOIN (SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1) AS last ON true
""")
ENDS = sa.text("SELECT last_id, pruned_id FROM audit_chain")
UNSENT = sa.text(
    "SELECT count(*) FROM audit_log WHERE at < :older_than AND id > (SELECT position FROM sinks WHERE name = :sink)"
)
PRUNE = sa.text("SELECT taskledger.prune_audit_log(:older_than)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """How many entries were looked at, and what is wrong with the first that is (None: nothing)."""

    entries: int
    fault: str | None


def verify(session: Session, *, newest: int | None) -> Verified:
    """Look at the newest entries, or at all of them (None), and at both ends of the chain."""
    skipped = 2**62 if newest is None else newest
    row: Any = session.execute(LOOK, {"skipped": skipped}).one()
    return Verified(entries=row.entries, fault=_fault(row))


def _fault(row: Any) -> str | None:
    """In words. Pure."""
    if row.end_id is None:
        return "the row of audit_chain is gone, so that nothing can be verified"
    if row.first_id is None:
        removed = f"entries {row.pruned_id + 1} to {row.end_id} were removed"
        return removed if row.end_id > row.pruned_id else None
    if bytes(row.first_previous or b"") != bytes(row.pruned_hash):
        return f"entry {row.first_id} is the first that is broken: what came before it was removed, and not by pruning"
    broken = [id_ for id_ in (row.changed, row.unlinked) if id_ is not None]
    if broken and min(broken) == row.changed:
        return f"entry {row.changed} is the first that is broken: its content was changed"
    if broken:
        return (
            f"entry {row.unlinked} is the first that is broken: it does not follow from entry "
            f"{row.before_unlinked}; what was between them was removed, or one of them was put there by hand"
        )
    if row.last_id != row.end_id:
        return f"entry {row.last_id} is not the newest: entries up to {row.end_id} were removed after it"
    if bytes(row.last_hash) != bytes(row.end_hash):
        return f"entry {row.last_id} is broken: it is not the one that was added last"
    return None


def entries(session: Session, since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    """The entries of some time in the order in which they were added, as rows; in pages, so that memory is bounded."""
    after = 0
    query = sa.select(LOG).where(LOG.c.id > sa.bindparam("after")).order_by(LOG.c.id).limit(PAGE)
    while True:
        rows = session.execute(query, {"after": after}).mappings().all()
        for row in rows:
            if since <= row["at"] < until:
                yield dict(row)
        if len(rows) < PAGE:
            return
        after = rows[-1]["id"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """The id of the newest entry, and of the last that was pruned; 0: none."""

    last_id: int
    pruned_id: int


def ends(session: Session) -> Ends:
    """Both ends of the chain. Raises LookupError where the row that holds them is gone."""
    row = session.execute(ENDS).first()
    if row is None:
        raise LookupError("the row of audit_chain is gone: bring it back from a backup")
    return Ends(last_id=row.last_id, pruned_id=row.pruned_id)


def after(session: Session, position: int, *, limit: int, most_bytes: int) -> list[dict[str, Any]]:
    """The entries that follow an id, in their order, as rows: one at least if there is one, and about so many bytes."""
    query = sa.select(LOG).where(LOG.c.id > position).order_by(LOG.c.id).limit(limit)
    page, size = [], 0
    with session.execute(query.execution_options(yield_per=50)) as found:
        for row in found.mappings():
            page.append(dict(row))
            size += len(str(row["detail"])) + 500
            if size >= most_bytes:
                break
    return page


def unsent(session: Session, older_than: datetime) -> int:
    """How many older entries the audit sink has still to send; 0 where it never ran."""
    return int(session.scalar(UNSENT, {"older_than": older_than, "sink": AUDIT}) or 0)


def plain(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as it is exported and sent: values of JSON, hashes in hex. Pure."""
    shown = {name: value if isinstance(value, dict | int | None) else str(value) for name, value in entry.items()}
    hashes = {name: entry[name] and bytes(entry[name]).hex() for name in ("previous_hash", "hash")}
    return {**shown, "at": rfc_3339(entry["at"]), **{name: value or None for name, value in hashes.items()}}


def prune(session: Session, older_than: datetime) -> int:
    """Remove the oldest entries until one that is not older than this; returns how many. The rest still verifies.

    Entries of the last 30 days stay whatever is asked: PostgreSQL refuses.
    """
    return int(session.scalar(PRUNE, {"older_than": older_than}) or 0)
