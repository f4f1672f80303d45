"""Submitting what a request asks for, alone or in a batch: quota, group commit or transaction, and the hint."""

from collections.abc import Sequence

import sqlalchemy as sa
from flask import Flask, current_app

from app.clock import utcnow
from app.database import is_away
from app.models import TaskRecord
from app.services.idempotency import Key
from app.services.submission import (
    Accepted,
    Item,
    Refusal,
    Submission,
    accept,
    accept_batch,
    accept_plain,
    draft,
    draft_batch,
    publish,
    repeated,
)
from app.services.submission.storage import Identified, insert_new
from app.web import quotas
from app.web.access import current_owner_id, current_rights
from app.web.group_commit import GroupCommit
from app.web.responses.masking import payload_keys
from app.web.transactions import in_transaction, transaction

MAX_GROUP = 200


def submit(submission: Submission, key: Key | None) -> Accepted:
    """Accept a submission of the caller; when this returns, its task is durable and its hint on its way.

    A plain submission, with neither key nor `unique`, shares an INSERT and its commit with those that other threads
    make at the same time. Raises Refused, PayloadRefused, UnknownTaskType, TypeNotAllowed, QuotaReached, and Gone for a
    key whose task has been deleted.
    """
    quotas.check_size(submission.payload)
    caller, now, rights = current_owner_id(), utcnow(), current_rights()
    if key is None and submission.unique is None and quotas.has_plain_room(1):
        new = draft(submission, owner_id=caller, now=now, payload_keys=payload_keys(), rights=rights)
        chosen = submission.chosen
        task = _group_commit().do(new if chosen is None else Identified(new, chosen.digest))
        if task is None:
            with transaction(autocommit=True) as session:
                return repeated(session, new, chosen)
        if task.dispatched_at is not None:
            publish([task])
        return Accepted(task=task, is_new=True)
    with transaction() as session:
        return accept(
            session,
            submission,
            owner_id=caller,
            now=now,
            key=key,
            payload_keys=payload_keys(),
            make_room=quotas.room_in(session),
            rights=rights,
        )


def submit_batch(items: Sequence[Item]) -> list[Accepted | Refusal]:
    """Accept or refuse each item by itself; one result for each, in their order."""
    now = utcnow()
    drafts = draft_batch(
        items, owner_id=current_owner_id(), now=now, payload_keys=payload_keys(), rights=current_rights()
    )
    # Mostly there is one INSERT to do; a key, and a place that is taken for a unique task, stand or fall with it. Two
    # batches with the same ids in another order may wait for each other: a deadlock, after which one is repeated.
    is_plain = all(item.is_plain for item in items)
    if is_plain and quotas.has_plain_room(sum(isinstance(each, TaskRecord) for each in drafts)):
        return in_transaction(lambda session: accept_plain(session, items, drafts), autocommit=True)
    return in_transaction(
        lambda session: accept_batch(session, items, drafts, now=now, take_room=quotas.some_room_in(session))
    )


def register(app: Flask) -> None:
    """Give an application the group in which its threads commit."""
    engine: sa.Engine = app.extensions["taskledger.autocommit"]

    def store(drafts: Sequence[TaskRecord | Identified]) -> list[TaskRecord | None]:
        with engine.connect() as connection:
            return insert_new(connection, drafts)

    app.extensions["taskledger.group_commit"] = GroupCommit(store, max_group=MAX_GROUP, is_for_all=is_away)


def _group_commit() -> GroupCommit[TaskRecord | Identified, TaskRecord | None]:
    group: GroupCommit[TaskRecord | Identified, TaskRecord | None] = current_app.extensions["taskledger.group_commit"]
    return group
