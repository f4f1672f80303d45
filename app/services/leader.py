"""Taking turns: work that one process of the installation does at a time, whoever has the lock."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.database import engine

ASK_AGAIN = timedelta(seconds=1)
LOCK = sa.text("SELECT pg_try_advisory_lock(hashtext(:name))")


class LeaderLock:
    """An advisory lock, and the connection that holds it.

    The work writes through this connection and no other: who has lost it, and with it the lock, can write nothing.
    """

    def __init__(self, name: str) -> None:
        self._name = f"taskledger.{name}"
        self._connection: sa.Connection | None = None
        self._ask_at: datetime | None = None

    @property
    def connection(self) -> sa.Connection:
        """The connection that holds the lock; only while it is our turn."""
        if self._connection is None:
            raise RuntimeError(f"it is not our turn: {self._name}")
        return self._connection

    @property
    def is_ours(self) -> bool:
        """Whether we had the lock when we last looked."""
        return self._connection is not None

    def take(self, now: datetime) -> bool:
        """Whether it is our turn from now on; asked for once a second at most. Raises SQLAlchemyError."""
        if self._ask_at is not None and now < self._ask_at:
            return False
        self._ask_at = now + ASK_AGAIN
        connection = engine().connect()
        try:
            got_it = bool(connection.scalar(LOCK, {"name": self._name}))
            connection.commit()
        except sa.exc.SQLAlchemyError:
            connection.close()
            raise
        if got_it:
            self._connection = connection
        else:
            connection.close()
        return got_it

    def end(self) -> None:
        """Let another process have it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()  # closed, not returned: in the pool it would keep the lock
            connection.close()
