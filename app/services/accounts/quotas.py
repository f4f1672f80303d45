"""Quotas: how many tasks an account may have waiting, and how large a payload may be."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session, to_json
from app.errors import ProblemError, Refused

LOOK_AGAIN_SECONDS = 5.0
# With this many places left, and a hundred times as many as are asked for, a process decides by what it knows. What the
# other processes accept meanwhile cannot fill them: no installation accepts MAX_A_SECOND tasks of one account.
FAR_PLACES, FAR_TIMES = 1_000, 100
MAX_A_SECOND = 40_000
# A refusal is repeated without a look for so long: the look costs more the more tasks there are.
REFUSED_SECONDS, REFUSED_SECONDS_A_TASK = 0.5, 0.000_05
PATIENCE_MS = 1_000  # for another transaction of the same account, which somebody may hold open by hand

_TAKEN = sa.text("SELECT taskledger.places_taken(CAST(:owner_id AS uuid))")
_TAKE = sa.text("""
    SELECT waiting, granted, was_busy
    FROM taskledger.take_room(CAST(:owner_id AS uuid), :needed, :wanted, :most, :patience)
""")
_OWN_QUOTA = sa.text("SELECT max_waiting_tasks FROM users WHERE id = :id")


MakeRoom = Callable[[int], None]
"""Is asked right before so many new tasks are stored, and raises QuotaReached: what is there already needs no room."""
TakeRoom = Callable[[int], "Room"]
"""The same for tasks that are accepted one by one: as many as there are places for."""
RoomOf = Callable[[UUID | None], MakeRoom]
"""The room of an account; None is the service itself, which has any number of places."""
SomeRoomOf = Callable[[UUID | None], TakeRoom]
"""The same for tasks that are accepted one by one."""


def unlimited(_tasks: int) -> None:
    """Room for any number of tasks."""


def room_for_all(tasks: int) -> "Room":
    """Room for any number of tasks that are accepted one by one."""
    return Room(granted=tasks)


def unlimited_of(_owner_id: UUID | None) -> MakeRoom:
    """Room for any number of tasks, whoever they belong to."""
    return unlimited


class QuotaReached(ProblemError):
    """An account has as many waiting tasks as it may; the rest must be submitted later."""

    status, code = 429, "quota_reached"
    retry_after_seconds = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """How many places were taken, and why there were not more; None: there were."""

    granted: int
    refusal: QuotaReached | None = None


@dataclass(slots=True)
class _Count:
    waiting: int
    counted_at: float
    """By this process's monotonic clock."""


class WaitingTasks:
    """How many places of each account's quota are taken, as far as this process knows.

    A place is taken by a task that waits, and by a step of a run under way that has no task yet. Far from its quota an
    account costs nothing: a process counts at times, and adds what it accepts itself. Near it each submission takes its
    places in the database, by a row that is locked until the transaction ends: so the quota is exact over all
    processes.
    """

    def __init__(self) -> None:
        self._counts: dict[UUID, _Count] = {}
        self._lock = threading.Lock()

    def take_known(self, owner_id: UUID, tasks: int, *, most: int) -> bool:
        """Make room without the database, if the quota is far; else nothing was taken."""
        if not most:
            return True
        count = self._counts.get(owner_id)
        if count is None:
            return False
        with self._lock:
            room = most - count.waiting - tasks
            if room < FAR_PLACES + FAR_TIMES * tasks:
                return False
            if time.monotonic() - count.counted_at > min(LOOK_AGAIN_SECONDS, room / MAX_A_SECOND):
                return False
            count.waiting += tasks
        return True

    def needs_look(self, owner_id: UUID, tasks: int, *, most: int) -> bool:
        """Whether a count may tell that the quota is far: what was known is old, or told that it was."""
        count = self._counts.get(owner_id)
        if count is None or time.monotonic() - count.counted_at > LOOK_AGAIN_SECONDS:
            return True
        return most - count.waiting - tasks >= FAR_PLACES + FAR_TIMES * tasks

    def take_far(self, session: Session, owner_id: UUID, tasks: int, *, most: int) -> bool:
        """Make room if the quota is far, after a count where that is needed; else nothing was taken."""
        if self.take_known(owner_id, tasks, most=most):
            return True
        if not self.needs_look(owner_id, tasks, most=most):
            return False
        self._know(owner_id, session.connection().scalar(_TAKEN, {"owner_id": str(owner_id)}) or 0)
        return self.take_known(owner_id, tasks, most=most)

    def take(self, session: Session, owner_id: UUID, tasks: int, *, most: int, patience: int = PATIENCE_MS) -> None:
        """Make room for so many more until the transaction ends, and with what it stores.

        `patience`: milliseconds to wait for another transaction of this account. Raises QuotaReached; then nothing was
        taken.
        """
        room = self.take_some(session, owner_id, tasks, needed=tasks, most=most, patience=patience)
        if room.refusal is not None:
            raise room.refusal

    def take_some(
        self,
        session: Session,
        owner_id: UUID,
        tasks: int,
        *,
        most: int,
        needed: int = 1,
        patience: int = PATIENCE_MS,
    ) -> Room:
        """Make room for as many of them as there are places, or for none where there are fewer than `needed`."""
        if self.take_far(session, owner_id, tasks, most=most):
            return Room(granted=tasks)
        refusal = self._refusal(owner_id, needed, most)
        if refusal is not None:
            return Room(granted=0, refusal=refusal)
        named = {"owner_id": str(owner_id), "needed": needed, "wanted": tasks, "most": most, "patience": patience}
        room = session.connection().execute(_TAKE, named).one()
        self._know(owner_id, room.waiting + room.granted)
        if room.was_busy:
            return Room(granted=0, refusal=_busy(room.waiting, most))
        if room.granted < tasks:
            return Room(granted=room.granted, refusal=_reached(room.waiting + room.granted, needed, most))
        return Room(granted=tasks)

    def forget(self) -> None:
        """Count anew at the next submission."""
        self._counts.clear()

    def _refusal(self, owner_id: UUID, tasks: int, most: int) -> QuotaReached | None:
        """What a look has just found, if that was no room."""
        count = self._counts.get(owner_id)
        if count is None or count.waiting + tasks <= most:
            return None
        trusted = min(REFUSED_SECONDS, count.waiting * REFUSED_SECONDS_A_TASK)
        is_fresh = time.monotonic() - count.counted_at < trusted
        return _reached(count.waiting, tasks, most) if is_fresh else None

    def _know(self, owner_id: UUID, waiting: int) -> None:
        if len(self._counts) > 10_000:
            self._counts.clear()
        self._counts[owner_id] = _Count(waiting, time.monotonic())


def _busy(waiting: int, most: int) -> QuotaReached:
    return QuotaReached(
        "Another transaction of your account submits tasks and is not finished; so near to your quota "
        f"({waiting} of {most} places are taken) it must end first. Try again in a moment."
    )


def _reached(waiting: int, tasks: int, most: int) -> QuotaReached:
    if tasks > most:
        return QuotaReached(
            f"This needs {tasks} places at once, and your account may have {most} tasks waiting: "
            "ask an admin for a larger quota, or submit less at once."
        )
    return QuotaReached(
        f"{waiting} of your tasks are waiting and {most} may: there is room for {max(most - waiting, 0)}, and {tasks} "
        f"{'is' if tasks == 1 else 'are'} needed. Try again when some of them have run, or ask an admin for a larger "
        "quota."
    )


WAITING_TASKS = WaitingTasks()


class LaterRoom:
    """The room of one account for a transaction that decides much first and stores it at its end.

    Whoever works for all accounts waits for none: if another transaction of this one takes longer than `patience`
    milliseconds, what is committed decides.
    """

    def __init__(self, session: Session, owner_id: UUID, *, most: int, patience: int) -> None:
        self._session, self._owner_id = session, owner_id
        self._most, self._patience = most, patience
        self._left: int | None = None
        self._taken = 0
        self._is_locked = False

    def take(self, places: int) -> bool:
        """Whether there was room for so many more; then it is taken."""
        if self._left is None and WAITING_TASKS.take_far(self._session, self._owner_id, places, most=self._most):
            return True
        if self._left is None:
            room = self._ask(needed=self._most + 1, places=0)  # nothing is granted: it locks, and counts
            self._left, self._is_locked = self._most - room.waiting, not room.was_busy
        if places > self._left:
            return False
        self._left -= places
        self._taken += places
        return True

    def settle(self) -> None:
        """Note what was taken; before the transaction ends, and once."""
        if self._taken and self._is_locked:
            self._ask(needed=0, places=self._taken)

    def _ask(self, *, needed: int, places: int) -> Any:
        named = {"owner_id": str(self._owner_id), "needed": needed, "wanted": places}
        return self._session.execute(_TAKE, {**named, "most": self._most, "patience": self._patience}).one()


def quota_of(session: Session, owner_id: UUID | None, *, default: int) -> int:
    """How many tasks of an account may wait; 0: any number. `default` is the service's own quota."""
    if owner_id is None:
        return 0
    own: int | None = session.connection().scalar(_OWN_QUOTA, {"id": owner_id})
    return default if own is None else own


def rooms(session: Session, *, default: int) -> RoomOf:
    """The rooms of accounts in a transaction; `default` is the service's own quota, 0 for none."""

    def room_of(owner_id: UUID | None) -> MakeRoom:
        if owner_id is None:
            return unlimited
        most = quota_of(session, owner_id, default=default)
        return lambda tasks: WAITING_TASKS.take(session, owner_id, tasks, most=most)

    return room_of


def some_rooms(session: Session, *, default: int) -> SomeRoomOf:
    """The same for tasks that are accepted one by one."""

    def room_of(owner_id: UUID | None) -> TakeRoom:
        if owner_id is None:
            return room_for_all
        most = quota_of(session, owner_id, default=default)
        return lambda tasks: WAITING_TASKS.take_some(session, owner_id, tasks, most=most)

    return room_of


def places_taken(session: Session, owner_id: UUID) -> int:
    """How many places of its quota an account has taken now."""
    return session.connection().scalar(_TAKEN, {"owner_id": str(owner_id)}) or 0


def check_payload(payload: Any, *, most_bytes: int) -> None:
    """Raises Refused for a payload of more bytes as JSON."""
    size = len(to_json(payload).encode())
    if size > most_bytes:
        raise Refused(
            {"payload": [f"has {size} bytes as JSON; at most {most_bytes} are accepted"]}, code="quota_reached"
        )
