"""A session: a connection that is taken when it is needed, a transaction, and what waits for that to be committed.

SQLAlchemy's own session is part of its ORM and keeps objects, of which there are none here; this one has its manners.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

import sqlalchemy as sa

Parameters: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Session:
    """Of an engine, or of a connection that is its owner's: a transaction that this one had begun is left alone.

    With `commits_each_statement`, its connections commit by themselves.
    """

    def __init__(self, bind: sa.Engine | sa.Connection, *, commits_each_statement: bool = False) -> None:
        self.commits_each_statement = commits_each_statement
        self._bind = bind
        self._connection: sa.Connection | None = None
        self._is_guest = False
        self._after_commit: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connection(self) -> sa.Connection:
        """The connection of its transaction; the first statement begins one."""
        if self._connection is None:
            if isinstance(self._bind, sa.Connection):
                self._connection, self._is_guest = self._bind, self._bind.in_transaction()
            else:
                self._connection = self._bind.connect()
        return self._connection

    def execute(
        self,
        statement: sa.Executable,
        parameters: Parameters | None = None,
        *,
        execution_options: Mapping[str, Any] | None = None,
    ) -> sa.CursorResult[*tuple[Any, ...]]:
        """Run a statement; with several sets of parameters once for each."""
        return self.connection().execute(statement, parameters, execution_options=execution_options)

    def scalar(self, statement: sa.Executable, parameters: Parameters | None = None) -> Any:
        """The first column of the first row, None where there is no row."""
        return self.execute(statement, parameters).scalar()

    def scalars(self, statement: sa.Executable, parameters: Parameters | None = None) -> sa.ScalarResult[Any]:
        """The first column of all rows."""
        return self.execute(statement, parameters).scalars()

    @contextmanager
    def begin(self) -> Iterator[Self]:
        """Commit at the end of the block, or roll back when it raises."""
        try:
            yield self
            self.commit()
        except BaseException:
            self.rollback()
            raise

    @contextmanager
    def begin_nested(self) -> Iterator[None]:
        """A savepoint: when the block raises, what it did is taken back, and what it asked for after the commit."""
        asked_before = len(self._after_commit)
        try:
            with self.connection().begin_nested():
                yield
        except BaseException:
            del self._after_commit[asked_before:]
            raise

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this once what was done so far is committed, and never if it is not."""
        if self.commits_each_statement:
            call()
        else:
            self._after_commit.append(call)

    def commit(self) -> None:
        """End the transaction; the next statement begins another one."""
        if self._connection is not None and not self._is_guest:
            self._connection.commit()
        self._release()
        calls, self._after_commit = self._after_commit, []
        for call in calls:
            call()

    def rollback(self) -> None:
        """Take back what the transaction did; the next statement begins another one."""
        self._after_commit.clear()
        self._release()

    def close(self) -> None:
        """The same; a session can be used again."""
        self.rollback()

    def _release(self) -> None:
        """Give the connection back, which ends what is not committed."""
        connection, self._connection = self._connection, None
        if connection is None or self._is_guest:
            return
        try:
            connection.rollback()  # raises where the server has gone
        finally:
            if connection is not self._bind:
                connection.close()
