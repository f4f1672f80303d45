"""Hints of remote types that are lost: their lines are tables, so that one look tells which hints are there."""

from collections.abc import Sequence
from datetime import datetime

from app.database import Session
from app.services.dispatch.hints import SLACK, Unclaimed
from app.services.remote import line
from app.services.remote.queues import type_of


def lost(session: Session, rows: Sequence[Unclaimed], *, now: datetime) -> list[Unclaimed]:
    """Those of the rows, which the caller has locked, that were published a while ago and have no hint in their line.

    A claim takes a hint and its task in one transaction, so that nothing is between the two.
    """
    old = [row for row in rows if row.dispatched_at + SLACK < now]
    if not old:
        return []
    there = line.still_there(session, {type_of(row.hint.queue) for row in old}, {row.hint.id for row in old})
    return [row for row in old if row.hint.id not in there]
