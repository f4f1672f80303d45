"""Duty: tasks on hold for their payload are looked at again when other workers live, of another release."""

from datetime import datetime

from app.database import in_transaction
from app.services.dispatch import workers
from app.services.lifecycle import schema_holds

BATCH = 1_000


class Schemas:
    """Compares what the live workers take with what they took at the last look; the first look is at all types."""

    def __init__(self) -> None:
        self._known: workers.Releases = {}
        self._changed: set[str] = set()

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many tasks are to be looked at again."""
        live = in_transaction(lambda session: workers.releases(session, now=now))
        self._changed |= {name for name in {*live, *self._known} if live.get(name) != self._known.get(name)}
        self._known = live
        if not self._changed:
            return 0
        types = self._changed
        due = in_transaction(lambda session: schema_holds.look_again(session, types, now=now, limit=BATCH))
        if due < BATCH:
            self._changed = set()
        return due
