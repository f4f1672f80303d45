"""Two writers want the same task at the same moment: one wins, the other is told, and the history is a path.

Repeated less often than CHAOS_FULL=1 does, see tests/chaos/repetitions.py.
"""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.database import Session, transaction
from app.errors import Conflict
from app.services import lifecycle
from app.services.lifecycle import Claim, Holder
from app.services.recovery import rescue
from app.services.recovery.failures import Failure
from app.services.tasks import cancellation, outcomes, records, replay
from app.services.tasks.outcomes import Completed
from tests.chaos.evidence import ARROWS
from tests.chaos.repetitions import repetitions
from tests.support.factories import make_task, read_task

pytestmark = pytest.mark.chaos

ROUNDS = repetitions(500, 200)
ROUNDS_BESIDE = repetitions(100, 60)  # of pairs that nobody has asked for
LEASE_SECONDS = 60
HOLDER = Holder(worker="racer/00000001", pid=4711)
AGO = timedelta(minutes=5)

Side = Callable[[Session], Any]


def test_cancel_against_completion(racing):
    def round_():
        claim = racing.claimed()
        cancelled, recorded = racing.race(
            lambda session: _conflict_or(
                lambda: cancellation.cancel(session, claim.id, owner=None, by=None, now=utcnow())
            ),
            lambda session: outcomes.record(session, [(claim, Completed(result=1))], now=utcnow()),
            is_an_outcome=True,
        )
        row = racing.read(claim.id)
        assert (row.status, set(recorded)) == ("COMPLETED", {claim.id})
        told_too_late = cancelled == "conflict"
        assert row.cancel_receipt == (None if told_too_late else "finished_first")
        return "completion first" if told_too_late else "cancel first, told finished_first"

    racing.run(round_)


def test_cancel_against_claim(racing):
    def round_():
        task_id = racing.waiting()
        answer, claims = racing.race(
            lambda session: cancellation.cancel(session, task_id, owner=None, by=None, now=utcnow()),
            lambda session: _claim(session, task_id),
        )
        row = racing.read(task_id)
        if claims:
            assert answer.is_stopping
            assert (row.status, row.cancel_requested_at is not None) == ("PROCESSING", True)
            return "claim first"
        assert (row.status, row.cancel_receipt, answer.is_stopping) == ("CANCELLED", "never_started", False)
        return "cancel first"

    racing.run(round_, rounds=ROUNDS_BESIDE)


def test_rescue_against_completion(racing):
    def round_():
        claim = racing.claimed(now=utcnow() - AGO)
        moved, recorded = racing.race(
            lambda session: rescue.expired_leases(
                session, [claim.id], before=utcnow(), now=utcnow(), random=lambda: 1.0
            ),
            lambda session: outcomes.record(session, [(claim, Completed(result=1))], now=utcnow()),
            is_an_outcome=True,
        )
        row = racing.read(claim.id)
        if moved.count:
            assert (row.status, row.error["type"], recorded) == ("RETRYING", "WorkerLost", {})
            return "rescue first, outcome dropped"
        assert (row.status, set(recorded)) == ("COMPLETED", {claim.id})
        return "completion first"

    racing.run(round_)


def test_replay_against_rescue(racing):
    """The rescue is about to record the last attempt as lost; the replay wants a dead letter to start over."""

    def round_():
        claim = racing.claimed(now=utcnow() - AGO, max_retries=0)
        moved, replayed = racing.race(
            lambda session: rescue.expired_leases(
                session, [claim.id], before=utcnow(), now=utcnow(), random=lambda: 1.0
            ),
            lambda session: _conflict_or(lambda: replay.replay(session, claim.id, owner=None, now=utcnow())),
        )
        row = racing.read(claim.id)
        assert moved.count == 1
        if replayed == "conflict":
            assert (row.status, row.error["type"]) == ("FAILED", "WorkerLost")
            return "replay came too early"
        assert (row.status, row.attempt_base, row.lease) == ("PENDING", 1, None)
        return "replay after the rescue"

    racing.run(round_)


def test_replay_against_replay(racing):
    """Two people press the button at once: the task starts over once."""

    def round_():
        task_id = racing.failed()
        both = racing.race(
            lambda session: _conflict_or(lambda: replay.replay(session, task_id, owner=None, now=utcnow())),
            lambda session: _conflict_or(lambda: replay.replay(session, task_id, owner=None, now=utcnow())),
        )
        assert [answer == "conflict" for answer in both].count(True) == 1
        assert racing.read(task_id).status == "PENDING"
        return "one replayed, one was told"

    racing.run(round_, rounds=ROUNDS_BESIDE, both_ways=False)


def test_patch_against_claim(racing):
    def round_():
        task_id = racing.waiting()
        changed, claims = racing.race(
            lambda session: _conflict_or(
                lambda: records.change(session, task_id, {"payload": "new"}, owner=None, states=None, now=utcnow())
            ),
            lambda session: _claim(session, task_id),
        )
        [claim] = claims
        row = racing.read(task_id)
        assert row.status == "PROCESSING"
        assert claim.payload == row.payload == ("hello" if changed == "conflict" else "new")
        return "claim first, PATCH refused" if changed == "conflict" else "PATCH first, claimed with the new payload"

    racing.run(round_)


def test_patch_to_a_later_start_against_claim(racing):
    def round_():
        task_id = racing.waiting()
        later = utcnow() + timedelta(hours=1)
        changed, claims = racing.race(
            lambda session: _conflict_or(
                lambda: records.change(session, task_id, {"scheduled_at": later}, owner=None, states=None, now=utcnow())
            ),
            lambda session: _claim(session, task_id),
        )
        assert (changed == "conflict") == bool(claims)
        assert racing.read(task_id).status == ("PROCESSING" if claims else "SCHEDULED")
        return "claim first" if claims else "PATCH first"

    racing.run(round_, rounds=ROUNDS_BESIDE)


def test_claim_against_claim(racing):
    """A hint and its copy reach two workers at once."""

    def round_():
        task_id = racing.waiting()
        one, other = racing.race(lambda session: _claim(session, task_id), lambda session: _claim(session, task_id))
        assert len(one) + len(other) == 1
        assert racing.read(task_id).attempt == 1
        return "one of two"

    racing.run(round_, rounds=ROUNDS_BESIDE, both_ways=False)


class Racing:
    """Two threads with a connection each, which begin a round together."""

    def __init__(self, engine: sa.Engine, ledger) -> None:
        self._engine, self._ledger = engine, ledger
        self._gate = threading.Barrier(2)
        self._pool = ThreadPoolExecutor(max_workers=2)
        self._seen: Counter[str] = Counter()
        self._head_start = 0
        self.due = utcnow()

    def run(self, round_: Callable[[], str], *, rounds: int = ROUNDS, both_ways: bool = True) -> None:
        """Race so many times; `both_ways`: each side must have won sometimes, or it was no race."""
        for number in range(rounds):
            self._head_start = number
            self._seen[round_()] += 1
        self._pool.shutdown()
        self._ledger.note(", ".join(f"{count} x {name}" for name, count in sorted(self._seen.items())))
        assert self._seen.total() == rounds
        if both_ways:
            assert len(self._seen) == 2, self._seen
        self._check_histories()

    def race(self, one: Side, other: Side, *, is_an_outcome: bool = False) -> tuple[Any, Any]:
        """Both at once, each in a transaction of its own.

        `is_an_outcome`: the other side records one, as workers do: in every second round by a statement alone, which
        is how they record what a plain handler returned.
        """
        first = self._pool.submit(self._side, one, False, self._head_start % 3 == 1)
        alone = is_an_outcome and bool(self._head_start % 2)
        second = self._pool.submit(self._side, other, alone, self._head_start % 3 == 2)
        return first.result(10), second.result(10)

    def _side(self, work: Side, autocommit: bool, waits: bool) -> Any:
        with transaction(autocommit=autocommit) as session:
            session.execute(sa.text("SELECT 1"))
            self._gate.wait(10)
            if waits:  # for thousandths of a second, so that each side is first in some rounds
                session.execute(sa.text("SELECT pg_sleep(:s)"), {"s": 0.001 * (1 + self._head_start % 5)})
            return work(session)

    def waiting(self) -> UUID:
        with Session(self._engine) as session, session.begin():
            return make_task(session, now=utcnow()).id

    def claimed(self, *, now=None, **columns: Any) -> Claim:
        now = now or utcnow()
        self.due = now + timedelta(seconds=LEASE_SECONDS)
        with Session(self._engine) as session, session.begin():
            task = make_task(session, now=now, unchunked=True, **columns)  # known to run alone, so that it is charged
            [claim] = _claim(session, task.id, now=now)
            return claim

    def failed(self) -> UUID:
        claim = self.claimed(max_retries=0)
        with Session(self._engine) as session, session.begin():
            lifecycle.fail(session, claim, Failure(type="Broken", message="on purpose"), now=utcnow())
        return claim.id

    def read(self, task_id: UUID) -> Any:
        with Session(self._engine) as session:
            return read_task(session, task_id)

    def _check_histories(self) -> None:
        steps = sa.text(
            "SELECT previous_status, status, lag(status) OVER (PARTITION BY task_id ORDER BY id) AS before "
            "FROM task_events"
        )
        with Session(self._engine) as session:
            for previous, status, before in session.execute(steps):
                assert previous == before
                assert previous is None or (previous, status) in ARROWS


@pytest.fixture
def racing(engine, ledger) -> Racing:
    return Racing(engine, ledger)


def _claim(session: Session, task_id: UUID, *, now=None) -> list[Claim]:
    return lifecycle.claim(
        session, "reverse_string", [task_id], holder=HOLDER, lease_seconds=LEASE_SECONDS, now=now or utcnow()
    )


def _conflict_or(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Conflict:
        return "conflict"
