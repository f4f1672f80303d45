"""Submitting what a request asks for, alone or in a batch: quota, group commit or transaction, and the hint."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

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
from app.web.responses.masking import payload_keys
from app.web.transactions import in_transaction, transaction

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MAX_GROUP = 200  # submissions that share one commit


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


class _Waiter(Generic[Asked]):
    """A thread that waits for its answer, or to become the leader."""

    __slots__ = ("answer", "asked", "error", "is_done", "signal")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer: Any = None
        self.error: BaseException | None = None
        self.is_done = False
        self.signal = threading.Lock()  # cheaper than an Event; released by who has the answer, or gives the lead away
        self.signal.acquire()


class GroupCommit(Generic[Asked, Answer]):
    """One thread, the leader, works for all threads that asked while the leader before it worked.

    Nobody waits for others to come: a single caller is served as quickly as without this, and a crowd shares the round
    trip and the commit. `work` answers in the order of what it is given. When it fails for several, each is tried
    alone, because one row that cannot be stored must not take others with it; unless `is_for_all` says that the error
    has nothing to do with what was asked.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Answer]],
        *,
        max_group: int,
        is_for_all: Callable[[Exception], bool],
    ) -> None:
        self._work = work
        self._max_group = max_group
        self._is_for_all = is_for_all
        self._waiting: deque[_Waiter[Asked]] = deque()
        self._is_led = False
        self._lock = threading.Lock()

    def do(self, asked: Asked) -> Answer:
        """Have it done, and return its answer or raise its error."""
        mine = _Waiter(asked)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
        if not leads:
            mine.signal.acquire()
        if not mine.is_done:
            self._lead()
        if mine.error is not None:
            raise mine.error
        answer: Answer = mine.answer
        return answer

    def _lead(self) -> None:
        """Serve those who wait by now, the caller among them; then make the first who came meanwhile the leader."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_group))]
        try:
            self._serve(group)
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._is_led = following is not None
            for waiter in group:
                waiter.is_done = True
                waiter.signal.release()
            if following is not None:
                following.signal.release()

    def _serve(self, group: Sequence[_Waiter[Asked]]) -> None:
        try:
            for waiter, answer in zip(group, self._work([waiter.asked for waiter in group]), strict=True):
                waiter.answer = answer
        except Exception as error:  # noqa: BLE001 (each of them raises it again, in its own thread)
            if len(group) == 1 or self._is_for_all(error):
                for waiter in group:
                    waiter.error = error
            else:
                for waiter in group:
                    self._serve([waiter])
        except BaseException as error:
            for waiter in group:
                waiter.error = error  # a worker that is being ended: those who wait must not wait for ever
            raise


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
