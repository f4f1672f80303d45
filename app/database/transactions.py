"""The one way to the database: a session that commits at the end of its block, or after each of its statements."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from app.database.engines import engines
from app.database.errors import DEADLOCK_DETECTED, SERIALIZATION_FAILURE, sqlstate
from app.database.session import Session

T = TypeVar("T")

MAX_TRIES = 3


class Transactions:
    """Transactions over the sessions of one place: those of a process, or those of a web application.

    `open_session` makes a session. Given `autocommit=True`, it makes one whose every statement is a transaction of its
    own, which saves the round trips of BEGIN and COMMIT.
    """

    def __init__(self, open_session: Callable[[bool], Session]) -> None:
        self._open_session = open_session

    @contextmanager
    def transaction(self, *, autocommit: bool = False) -> Iterator[Session]:
        """A session that is committed at the end of the block, or rolled back when the block raises.

        With `autocommit`, each statement is committed by itself: for a single statement, or for reading for long.
        """
        session = self._open_session(autocommit)
        try:
            yield session
            if not autocommit:
                session.commit()
        except BaseException:
            session.rollback()
            raise
        finally:
            # The connection goes back to the pool here and not at the end of a request, which may wait for long.
            session.close()

    def in_transaction(self, work: Callable[[Session], T], *, autocommit: bool = False) -> T:
        """Do the work in a transaction; a deadlock or serialization error repeats the whole of it, three times in all.

        With `autocommit`, the work is one statement.
        """
        for tries_left in reversed(range(MAX_TRIES)):
            try:
                with self.transaction(autocommit=autocommit) as session:
                    return work(session)
            except DBAPIError as error:
                if not tries_left or sqlstate(error) not in (SERIALIZATION_FAILURE, DEADLOCK_DETECTED):
                    raise
        raise AssertionError("unreachable: the last try returns or raises")


def _session_of_process(autocommit: bool) -> Session:
    both = engines()
    return Session(both.autocommit if autocommit else both.transactional, commits_each_statement=autocommit)


_of_process = Transactions(_session_of_process)
transaction, in_transaction = _of_process.transaction, _of_process.in_transaction
