"""Duty: release tasks that were on hold because their type was paused, once it is resumed."""

from datetime import datetime, timedelta

from app.database import Session, in_transaction
from app.services.dispatch import queues
from app.services.lifecycle import holds

BATCH = 1_000
# A worker may put a task on hold in the moment in which its type is resumed; a look at all of them finds it.
FULL_LOOK_EVERY = timedelta(seconds=30)
SETTLE = timedelta(seconds=10)


class Pauses:
    """Looks only where a pause was lifted: what is still on hold costs nothing."""

    def __init__(self) -> None:
        self._full_at: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many tasks were released."""
        is_full = self._full_at is None or now - self._full_at >= FULL_LOOK_EVERY
        if not is_full and not in_transaction(queues.any_resumed):
            return 0
        released = in_transaction(lambda session: self._release(session, now))
        if not released and is_full:
            self._full_at = now
        return released

    def _release(self, session: Session, now: datetime) -> int:
        released = holds.release_resumed(session, now=now, limit=BATCH)
        if not released:
            queues.forget_resumed(session, before=now - SETTLE)
        return released
