"""A sink whose runner a test moves by hand, without a broker."""

from collections.abc import Callable, Iterator

import pytest
from kombu import Connection
from sqlalchemy.orm import Session

from app.sinks.base import Sink, SinkRunner
from tests.factories import NOON

MakeRunner = Callable[[Sink], SinkRunner]


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

    def __init__(self) -> None:
        self.state = "waiting"

    def ack(self) -> None:
        self.state = "acknowledged"

    def reject(self) -> None:
        self.state = "rejected"


@pytest.fixture
def make_runner(engine, session: Session) -> Iterator[MakeRunner]:
    """A runner that has its turn; it takes what a test gives it or what it reads from the ledger."""
    made: list[SinkRunner] = []

    def make(sink: Sink) -> SinkRunner:
        runner = SinkRunner(sink, Connection("memory://"), Nobody(), now=lambda: NOON)
        made.append(runner)
        assert runner._take_turn()
        return runner

    yield make
    for runner in made:
        runner._turn.end()
