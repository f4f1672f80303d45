"""Quotas: how many tasks an account may have waiting, and how large a payload may be."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import to_json
from app.errors import Refused, TaskledgerError

LOOK_AGAIN_SECONDS = 5.0
LOOK_AT_LEAST_SECONDS = 0.5  # before somebody is refused

_WAITING = sa.text(
    "SELECT count(*) FROM tasks WHERE due_at IS NOT NULL AND owner_id = :owner_id "
    # Deliveries to webhooks wait for their receivers: nobody's submissions are refused for that.
    "AND status IN ('SCHEDULED', 'PENDING', 'RETRYING') AND type <> 'webhook_delivery'"
)


MakeRoom = Callable[[int], None]
"""Is asked right before so many new tasks are stored, and raises QuotaReached: what is there already needs no room."""


def unlimited(_tasks: int) -> None:
    """Room for any number of tasks."""


class QuotaReached(TaskledgerError):
    """An account has as many waiting tasks as it may; the rest must be submitted later."""


@dataclass(slots=True)
class _Count:
    waiting: int
    counted_at: float


class WaitingTasks:
    """How many tasks of each account wait, as far as this process knows.

    Counting rows at each submission would cost more than the submission. They are counted every LOOK_AGAIN_SECONDS,
    and in between this process adds what it accepts itself; so a quota may be passed by what other processes accept
    in these seconds.
    """

    def __init__(self) -> None:
        self._counts: dict[UUID, _Count] = {}
        self._lock = threading.Lock()

    def take_known(self, owner_id: UUID, tasks: int, *, most: int) -> bool:
        """Make room if that is possible without looking; else nothing was taken, and `take` must be asked."""
        if not most:
            return True
        count = self._counts.get(owner_id)
        if count is None or time.monotonic() - count.counted_at > LOOK_AGAIN_SECONDS:
            return False
        with self._lock:
            if count.waiting + tasks > most:
                return False
            count.waiting += tasks
        return True

    def take(self, session: Session, owner_id: UUID, tasks: int, *, most: int) -> None:
        """Make room for so many more. Raises QuotaReached; then nothing was taken."""
        if not most:
            return
        count = self._counts.get(owner_id)
        if count is None or time.monotonic() - count.counted_at > LOOK_AGAIN_SECONDS:
            count = self._look(session, owner_id)
        if count.waiting + tasks > most and time.monotonic() - count.counted_at > LOOK_AT_LEAST_SECONDS:
            count = self._look(session, owner_id)  # some may have run meanwhile
        with self._lock:
            if count.waiting + tasks > most:
                room = max(most - count.waiting, 0)
                raise QuotaReached(
                    f"{count.waiting} of your tasks are waiting and {most} may: there is room for {room}. "
                    "Try again when some of them have run, or ask an admin for a larger quota."
                )
            count.waiting += tasks

    def forget(self) -> None:
        """Count anew at the next submission."""
        self._counts.clear()

    def _look(self, session: Session, owner_id: UUID) -> _Count:
        count = _Count(session.connection().scalar(_WAITING, {"owner_id": owner_id}) or 0, time.monotonic())
        if len(self._counts) > 10_000:
            self._counts.clear()
        self._counts[owner_id] = count
        return count


WAITING_TASKS = WaitingTasks()


def check_payload(payload: Any, *, most_bytes: int, body_bytes: int | None = None) -> None:
    """Raises Refused for a payload of more bytes as JSON; a body that is small enough needs no second look."""
    if body_bytes is not None and body_bytes <= most_bytes:
        return
    size = len(to_json(payload).encode())
    if size > most_bytes:
        raise Refused(
            {"payload": [f"has {size} bytes as JSON; at most {most_bytes} are accepted"]}, code="quota_reached"
        )
