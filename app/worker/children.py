"""The tasks that the handler of one attempt submits: at once, or with its outcome."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from app import clock
from app.config import get_settings
from app.database import Session
from app.errors import Refused
from app.services.accounts.quotas import WAITING_TASKS, QuotaReached, check_payload
from app.services.lifecycle import Claim
from app.services.tasks import children
from app.services.tasks.children import MAX_CHILDREN, MAX_KEY, Child, Family, Wish
from app.services.tasks.children.asking import refused
from app.worker.outages import transact
from app.worker.payload_keys import payload_keys
from taskledger_sdk.errors import NoRoom, PermanentError

MAX_BYTES = 8 * 1024 * 1024
"""Payloads that one attempt may keep for its outcome: they stay in memory until then, and go in one statement."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What an attempt has asked for under a key."""

    id: UUID
    type: str
    text: str


class WorkerChildren:
    """What one attempt submits, and what earlier attempts of its task have submitted."""

    takes_back = False
    """Whether it takes back what was done: that is kept up neither by a quota nor by how many tasks stand above it."""

    def __init__(self, claim: Claim, fence: Callable[[Session], None]) -> None:
        self._claim = claim
        self._fence = fence
        self._lock = threading.Lock()  # a handler may submit from threads of its own
        self._asked: dict[str, _Asked] = {}
        self._kept: dict[UUID, Child] = {}
        self._kept_bytes = 0
        self._made = 0  # at once, by this attempt

    @cached_property
    def _family(self) -> Family:
        most, task_id = get_settings().max_task_depth, self._claim.id
        return transact(lambda session: children.read_family(session, task_id, most_generations=most))

    def submit(self, type_name: str, payload: Any, *, key: str | None, now: bool, options: Mapping[str, Any]) -> UUID:
        """The id of the task: a new one, or the one that was submitted under the same key before."""
        wanted = children.wish(type_name, payload, key, options)
        if now and key is None:
            raise PermanentError(
                f"task.submit({type_name!r}, now=True) needs a key (1 to {MAX_KEY} characters): a second attempt "
                "finds by it what the first has submitted; without one it would submit it again"
            )
        with self._lock:
            known = self._known(wanted, key)
            if known is None:
                return self._new(wanted, key, now=now)
            if now and known in self._kept:
                self._store(self._kept[known])
                del self._kept[known]
            return known

    def write(self, session: Session, now: datetime) -> dict[str, Any]:
        """Store, in the outcome's transaction, what was asked for and is not stored yet. Raises NoRoom."""
        if self._kept:
            self._take_room(session, len(self._kept))
            children.store(session, self._claim.id, list(self._kept.values()), now=now)
        return {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store with the outcome."""
        return not self._kept

    def _known(self, wanted: Wish, key: str | None) -> UUID | None:
        """The task that has this key already. Raises PermanentError where the key means two things."""
        if key is None:
            return None
        asked = self._asked.get(key)
        if asked is not None:
            if (asked.type, asked.text) != (wanted.type.name, wanted.text):
                raise PermanentError(
                    f"task.submit({wanted.type.name!r}, key={key!r}): this attempt used the key for another task "
                    f"({asked.type}, or another payload); give each task a key of its own"
                )
            return asked.id
        earlier = self._family.by_key.get(key)
        if earlier is None:
            return None
        child_id, type_name = earlier
        if type_name != wanted.type.name:
            raise PermanentError(
                f"task.submit({wanted.type.name!r}, key={key!r}): an earlier attempt submitted a task of the type "
                f"{type_name} under this key; a key means the same on every attempt"
            )
        return child_id

    def _new(self, wanted: Wish, key: str | None, *, now: bool) -> UUID:
        self._check(wanted)
        keys = payload_keys()
        family, claim = self._family, self._claim
        task = children.draft(
            wanted, parent_id=claim.id, owner_id=family.owner_id, now=clock.utcnow(), payload_keys=keys
        )
        child = Child(task=task, key=key)
        if now:
            self._store(child)
        else:
            size = len(wanted.text.encode())
            if self._kept_bytes + size > MAX_BYTES:
                _refuse(wanted, f"the payloads kept for the outcome have more than {MAX_BYTES} bytes; submit with "
                                "now=True and a key, or refer to artifacts")  # fmt: skip
            self._see_room(len(self._kept) + 1)
            self._kept[task.id] = child
            self._kept_bytes += size
        if key is not None:
            self._asked[key] = _Asked(id=task.id, type=wanted.type.name, text=wanted.text)
        return task.id

    def _check(self, wanted: Wish, *, are_counted: bool = True) -> None:
        family, settings = self._family, get_settings()
        if family.is_closed:
            _refuse(wanted, "the account of the task is closed: nothing new is started for it")
        if not self.takes_back and family.generation > settings.max_task_depth:
            _refuse(wanted, f"{settings.max_task_depth} tasks stand above it, each submitted by the one before, and "
                            "no more may (MAX_TASK_DEPTH); a schedule repeats work without end")  # fmt: skip
        if are_counted and family.children + self._made + len(self._kept) >= MAX_CHILDREN:
            _refuse(wanted, f"the task has {MAX_CHILDREN} children; let them submit the rest")
        try:
            check_payload(wanted.submission.payload, most_bytes=settings.max_payload_bytes)
        except Refused as error:
            raise refused(wanted.type.name, error) from None

    def _see_room(self, tasks: int) -> None:
        """See that the owner's quota has room for so many; the outcome takes it. Raises NoRoom."""
        owner_id, most = self._quota()
        if owner_id is None or not most or WAITING_TASKS.take_known(owner_id, 0, most=most - tasks):
            return
        transact(lambda session: self._take_room(session, tasks))

    def _take_room(self, session: Session, tasks: int) -> None:
        """Take places in the owner's quota until the transaction ends. Raises NoRoom."""
        owner_id, most = self._quota()
        if owner_id is None or self.takes_back:
            return
        try:
            WAITING_TASKS.take(session, owner_id, tasks, most=most)
        except QuotaReached as error:
            raise NoRoom(f"the account has no room for another task: {error}") from None

    def _quota(self) -> tuple[UUID | None, int]:
        own = self._family.max_waiting_tasks
        return self._family.owner_id, get_settings().max_waiting_tasks if own is None else own

    def _store(self, child: Child) -> None:
        """Now, in a transaction of its own. Raises LeaseLost from an attempt that has lost the say; NoRoom."""

        def write(session: Session) -> None:
            self._fence(session)
            self._take_room(session, 1)
            children.store(session, self._claim.id, [child], now=clock.utcnow())

        try:
            transact(write)  # a commit whose answer was lost is repeated, and finds the child under its key
        except BaseException:
            self.__dict__.pop("_family", None)  # it may be there all the same: whoever asks again, looks again
            raise
        self._made += 1


def _refuse(wanted: Wish, why: str) -> NoReturn:
    raise PermanentError(f"task.submit({wanted.type.name!r}): {why}")
