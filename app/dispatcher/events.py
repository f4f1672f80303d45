"""Duty: pass events on. Numbers first, committed; then the broker; then the outbox forgets what was confirmed."""

from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.database import engine
from app.messaging import Publisher, slices
from app.services import events
from app.services.events import Batch, Head

log = structlog.get_logger(__name__)

BATCH = 1_000
SLICE = 250  # events in a message
FULL_LOOK_EVERY = timedelta(seconds=60)
ASK_AGAIN = timedelta(seconds=1)
LOCK = sa.text("SELECT pg_try_advisory_lock(hashtext('taskledger.events'))")


class Events:
    """One dispatcher does this at a time: who holds the lock. Its connection does all the writing, so that
    whoever lost the lock with the connection can write nothing any more."""

    def __init__(self, publisher: Publisher, *, batch: int = BATCH) -> None:
        self._publisher = publisher
        self._batch = batch
        self._head = Head()
        self._connection: sa.Connection | None = None
        self._ask_at: datetime | None = None
        self._full_look_at: datetime | None = None

    def run_once(self, now: datetime) -> int:
        """One batch; returns how many events were passed on when there are probably more, else 0.

        Raises one of the publisher's `errors`: the batch stays as it is and goes out at a later run.
        """
        if not self._may_read(now):
            return 0
        try:
            return self._pass_on(now)
        except sa.exc.SQLAlchemyError:
            self.close()  # with the connection goes the lock
            raise

    def close(self) -> None:
        """Let another dispatcher read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closed, not returned: in the pool it would keep the lock
            connection.close()

    def _may_read(self, now: datetime) -> bool:
        if self._connection is not None:
            return True
        if self._ask_at is not None and now < self._ask_at:
            return False
        self._ask_at = now + ASK_AGAIN
        connection = engine().connect()
        try:
            got_it = connection.scalar(LOCK)
            connection.commit()
        except sa.exc.SQLAlchemyError:
            connection.close()
            raise
        if not got_it:
            connection.close()
            return False
        self._connection, self._head = connection, Head()
        return True

    def _pass_on(self, now: datetime) -> int:
        if self._full_look_at is None or now >= self._full_look_at:
            self._full_look_at = now + FULL_LOOK_EVERY
            self._head.look_at_everything()
        with Session(self._connection) as session, session.begin():
            batch = events.next_batch(session, self._head, limit=self._batch)
        if batch is None:
            return 0
        self._publish(batch)
        with Session(self._connection) as session, session.begin():
            events.published(session, batch, now=now)
        # A batch that was not full was all there is: the next one may gather for a moment.
        return len(batch.event_ids) if len(batch.event_ids) >= self._batch else 0

    def _publish(self, batch: Batch) -> None:
        for message in slices(batch.first_position, batch.last_position, batch.events, size=SLICE):
            self._publisher.announce(message)
