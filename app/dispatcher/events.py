"""Duty: pass events on. Numbers first, committed; then the broker; then the outbox forgets what was confirmed."""

from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from app.database import Session
from app.messaging import Publisher, slices
from app.services import events
from app.services.events import Batch, Head
from app.services.leader import LeaderLock

log = structlog.get_logger(__name__)

BATCH = 1_000
SLICE = 1_000  # events in a message, of some 250 bytes each
FULL_LOOK_EVERY = timedelta(seconds=60)


class Events:
    """One dispatcher does this at a time; the others wait for its end."""

    def __init__(self, publisher: Publisher, *, batch: int = BATCH) -> None:
        self._publisher = publisher
        self._batch = batch
        self._head = Head()
        self._turn = LeaderLock("events")
        self._full_look_at: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many events were passed on when there are probably more, else 0.

        Raises one of the publisher's `errors`: the batch stays as it is and goes out at a later run.
        """
        if not self._turn.is_ours:
            if not self._turn.take(now):
                return 0
            self._head = Head()
        try:
            return self._pass_on(now)
        except sa.exc.SQLAlchemyError:
            self.close()
            raise

    def close(self) -> None:
        """Let another dispatcher read."""
        self._turn.end()

    def _pass_on(self, now: datetime) -> int:
        if self._full_look_at is None or now >= self._full_look_at:
            self._full_look_at = now + FULL_LOOK_EVERY
            self._head.look_at_everything()
        with Session(self._turn.connection) as session, session.begin():
            batch = events.next_batch(session, self._head, limit=self._batch)
        if batch is None:
            return 0
        self._publish(batch)
        with Session(self._turn.connection) as session, session.begin():
            events.published(session, batch, now=now)
        # A batch that was not full was all there is: the next one may gather for a moment.
        return len(batch.event_ids) if len(batch.event_ids) >= self._batch else 0

    def _publish(self, batch: Batch) -> None:
        for message in slices(batch.first_position, batch.last_position, batch.events, size=SLICE):
            self._publisher.announce(message)
