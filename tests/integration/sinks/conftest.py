"""A sink whose runner a test moves by hand, without a broker."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from kombu import Connection

from app.database import Session
from app.sinks.base import Sink, SinkRunner
from tests.support.factories import NOON
from tests.support.servers.waiting import wait_for

HELD = sa.text(
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database "
    "WHERE datname = current_database()) AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = hashtext(:name)"
)
MakeRunner = Callable[..., SinkRunner]


class Nobody:
    """A publisher whose notifications nobody reads."""

    errors = (OSError,)

    def __init__(self) -> None:
        self.told: list[dict] = []

    def notify(self, _: object, body: dict) -> None:
        self.told.append(body)

    def close(self) -> None:
        pass


class Message:
    """A message of the broker, as far as a sink asks."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.state = "waiting"

    def ack(self) -> None:
        self.state = "acknowledged"

    def reject(self) -> None:
        self.state = "rejected"


@pytest.fixture
def make_runner(engine, session: Session) -> Iterator[MakeRunner]:
    """A runner that has its turn; it takes what a test gives it or what it reads from the ledger."""
    made: list[SinkRunner] = []

    def make(sink: Sink, **options: Any) -> SinkRunner:
        runner = SinkRunner(sink, Connection("memory://"), Nobody(), now=lambda: NOON, **options)
        made.append(runner)
        # The server lets go of the last runner's lock a moment after its connection was closed.
        wait_for(lambda: not session.execute(HELD, {"name": f"taskledger.sink.{sink.name}"}).all())
        session.rollback()
        assert runner._take_turn()
        return runner

    yield make
    for runner in made:
        runner._turn.end()
