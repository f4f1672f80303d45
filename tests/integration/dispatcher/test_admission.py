"""The admission duty: limits, order and rates in the ledger, one round at a time."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from app.dispatcher.admission import Admission
from app.dispatcher.dispatch import Dispatch
from app.models import Status, new_id
from app.services import admission, explain, lifecycle
from app.services.admission import Limit, Rate
from app.services.dispatch import queues
from app.services.recovery.failures import Failure
from app.services.tasks import cancellation
from tests.integration.dispatcher.publisher import ScriptedPublisher
from tests.support.factories import HOLDER, NOON, make_task, read_task, seconds

ADA, BEN = UUID(int=1), UUID(int=2)
LONG_AGO = NOON - seconds(3600)
NO = Failure(type="LookupError", message="no such city")


@pytest.fixture
def publisher():
    return ScriptedPublisher()


@pytest.fixture
def duty(publisher):
    return Admission(publisher)


def limit(session, kind, name, *, changed_at=LONG_AGO, **what):
    admission.set_limit(session, Limit(kind=kind, name=name, changed_at=changed_at, **what))
    session.commit()


def submit(session, count=1, **columns):
    tasks = [make_task(session, **columns) for _ in range(count)]
    session.commit()
    return [task.id for task in tasks]


def claim(session, *ids, now=NOON):
    held = lifecycle.claim(session, "reverse_string", ids, holder=HOLDER, lease_seconds=60, now=now)
    session.commit()
    return held


def complete(session, held):
    lifecycle.complete(session, [(each, "olleh") for each in held], now=NOON)
    session.commit()


def states(session):
    return {row.task_id: row.state for row in session.execute(sa.text("SELECT task_id, state FROM admissions"))}


def test_without_a_limit_nothing_is_held_and_nothing_is_kept(session, duty, publisher):
    [task] = submit(session)

    assert duty.run_once(NOON) == 0
    assert not read_task(session, task).admission_required
    assert states(session) == {}
    assert duty.pause_seconds() == 0.25


def test_a_limit_lets_so_many_go_and_the_next_when_one_has_ended(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=2)
    first, second, third = submit(session, 3)

    assert (duty.run_once(NOON), publisher.ids) == (2, [first, second])
    assert duty.run_once(NOON) == 0

    complete(session, claim(session, first))

    assert (duty.run_once(NOON), publisher.ids[2:]) == (1, [third])


def test_a_hint_of_a_task_that_is_held_is_a_no_op(session):
    limit(session, "type", "reverse_string", max_running=0)
    [task] = submit(session)

    assert claim(session, task) == []
    assert read_task(session, task).status == Status.PENDING


def test_the_dispatcher_leaves_held_tasks_to_their_admission(session, publisher):
    limit(session, "type", "reverse_string", max_running=0)
    [due] = submit(session, status="SCHEDULED", dispatched_at=None, due_at=NOON)

    assert Dispatch(publisher).run_once(NOON) == 1

    assert publisher.ids == []
    assert states(session) == {due: "held"}
    assert Dispatch(publisher).run_once(NOON + seconds(3600)) == 0


def test_below_its_share_a_task_goes_at_once_and_beyond_it_waits(session, duty, publisher):
    limit(session, "all", "all", max_hints=2)
    ids = submit(session, 4, owner_id=ADA)
    [other] = submit(session, owner_id=BEN)

    held = [task for task in (*ids, other) if read_task(session, task).dispatched_at is None]

    assert held == ids[2:]
    complete(session, claim(session, ids[0]))
    duty.run_once(NOON)
    assert publisher.ids == [ids[2]]


def test_tasks_with_an_ordering_key_go_one_at_a_time(session, duty, publisher):
    first, second, third = submit(session, 3, ordering_key="order-7")
    [other] = submit(session, ordering_key="order-8")

    duty.run_once(NOON)
    assert set(publisher.ids) == {first, other}

    held = claim(session, first)
    assert duty.run_once(NOON) == 0
    lifecycle.retry_later(session, held[0], NO, due_at=NOON + seconds(60), now=NOON)
    session.commit()
    assert duty.run_once(NOON) == 0  # its retry comes before its successor

    Dispatch(publisher).run_once(NOON + seconds(60))
    duty.run_once(NOON + seconds(60))
    complete(session, claim(session, first, now=NOON + seconds(60)))
    duty.run_once(NOON + seconds(60))
    assert publisher.ids[-1] == second
    assert states(session)[third] == "queued"


@pytest.mark.parametrize(("after_failure", "goes_on"), [(None, False), ("block", False), ("release", True)])
def test_a_failure_blocks_or_releases_those_behind_it(session, duty, publisher, after_failure, goes_on):
    [first] = submit(session, ordering_key="order-7", after_failure=after_failure)
    [second] = submit(session, ordering_key="order-7")
    duty.run_once(NOON)

    lifecycle.fail(session, claim(session, first)[0], NO, now=NOON, reason="no retry is left")
    session.commit()
    duty.run_once(NOON)

    assert (publisher.ids == [first, second]) is goes_on


def test_a_blocked_key_goes_on_where_it_stood_after_a_replay(session, duty, publisher):
    first, second = submit(session, 2, ordering_key="order-7")
    duty.run_once(NOON)
    lifecycle.fail(session, claim(session, first)[0], NO, now=NOON, reason="no retry is left")

    lifecycle.replay(session, [first], now=NOON)
    session.commit()
    duty.run_once(NOON)
    assert publisher.ids == [first, first]

    complete(session, claim(session, first))
    duty.run_once(NOON)
    assert publisher.ids[-1] == second


def test_deleting_the_failed_one_releases_the_key(session, duty, publisher):
    first, second = submit(session, 2, ordering_key="order-7")
    duty.run_once(NOON)
    lifecycle.fail(session, claim(session, first)[0], NO, now=NOON, reason="no retry is left")
    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": first})
    session.commit()

    duty.run_once(NOON)

    assert publisher.ids[-1] == second


def test_cancelling_the_first_lets_the_second_go(session, duty, publisher):
    first, second = submit(session, 2, ordering_key="order-7")
    cancellation.cancel(session, first, owner=None, by="ada", now=NOON)
    session.commit()

    duty.run_once(NOON)

    assert publisher.ids == [second]


def test_an_ordering_key_is_its_owners(session, duty, publisher):
    ids = submit(session, owner_id=ADA, ordering_key="order-7") + submit(session, owner_id=BEN, ordering_key="order-7")

    duty.run_once(NOON)

    assert set(publisher.ids) == set(ids)


def test_the_first_of_a_key_is_found_though_two_transactions_did_not_see_each_other(session, duty, publisher):
    first, _ = submit(session, 2, ordering_key="order-7")
    session.execute(sa.text("UPDATE admissions SET state = 'queued'"))
    session.commit()

    duty.run_once(NOON)

    assert publisher.ids == [first]


def test_a_rate_is_shared_out_over_time(session, duty, publisher):
    limit(session, "type", "reverse_string", rate=Rate(count=10, seconds=1))
    submit(session, 20)

    for tenth in range(10):
        duty.run_once(NOON + seconds(tenth / 10 + 0.0001))

    assert len(publisher.ids) == 10


def test_each_key_of_a_pattern_has_places_of_its_own(session, duty, publisher):
    limit(session, "key", "host:*", max_running=1)
    one = submit(session, 2, concurrency_key="host:one")
    two = submit(session, 2, concurrency_key="host:two")
    free = submit(session, 2, concurrency_key="none")

    duty.run_once(NOON)

    assert set(publisher.ids) == {one[0], two[0]}
    assert not read_task(session, free[0]).admission_required


def test_a_new_limit_holds_what_is_on_its_way_and_counts_what_runs(session, duty, publisher):
    running, first, second = submit(session, 3)
    claim(session, running)
    limit(session, "type", "reverse_string", max_running=2, changed_at=NOON)

    duty.run_once(NOON)
    duty.run_once(NOON)

    assert publisher.ids == [first]
    assert states(session) == {running: "running", first: "out", second: "held"}


def test_what_a_removed_limit_held_goes(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=0)
    ids = submit(session, 3)
    admission.remove(session, "type", "reverse_string")
    session.commit()

    duty.run_once(NOON)

    assert publisher.ids == ids


def test_a_paused_type_is_not_admitted(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=2)
    submit(session)
    queues.pause(session, "type", "reverse_string", by=None, reason=None, now=NOON)
    session.commit()

    assert duty.run_once(NOON) == 0

    queues.resume(session, "type", "reverse_string", now=NOON)
    session.commit()
    assert duty.run_once(NOON) == 1


def test_hints_that_were_not_confirmed_go_back_and_are_admitted_again(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=1)
    [task] = submit(session)
    publisher.confirms = 0

    with pytest.raises(TimeoutError):
        duty.run_once(NOON)
    assert states(session) == {task: "held"}

    publisher.confirms = None
    assert duty.run_once(NOON + seconds(1)) == 1


def test_with_the_broker_down_nothing_is_admitted(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=1)
    [task] = submit(session)
    publisher.is_down = True

    with pytest.raises(ConnectionRefusedError):
        duty.run_once(NOON)

    assert states(session) == {task: "held"}


def test_a_held_task_still_expires(session, publisher):
    limit(session, "type", "reverse_string", max_running=0)
    [task] = submit(session, expires_at=NOON + seconds(30))

    Dispatch(publisher).run_once(NOON + seconds(31))

    assert read_task(session, task).status == Status.CANCELLED
    assert states(session) == {}


def test_only_one_dispatcher_admits_at_a_time(session, engine, duty, publisher):
    limit(session, "type", "reverse_string", max_running=1)
    submit(session)
    with engine.connect() as other:
        other.execute(sa.text("SELECT pg_advisory_xact_lock(7461736002)"))
        assert duty.run_once(NOON) == 0

    assert duty.run_once(NOON) == 1


def test_why_a_task_is_held(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=1, reason="a fragile partner")
    running, waiting = submit(session, 2)
    [behind] = submit(session, ordering_key="order-7")
    [last] = submit(session, ordering_key="order-7")
    duty.run_once(NOON)

    full = admission.obstacle(session, waiting, viewer=None, now=NOON)
    in_order = admission.obstacle(session, last, viewer=None, now=NOON)

    assert (full.cause, full.holders, full.limit.reason) == ("limit", (running,), "a fragile partner")
    assert (in_order.cause, in_order.holders) == ("order", (behind,))
    assert admission.obstacle(session, running, viewer=None, now=NOON) is None
    assert admission.obstacle(session, new_id(), viewer=None, now=NOON) is None


def test_a_key_has_places_of_its_own_for_each_account(session, duty, publisher):
    limit(session, "key", "host:*", max_running=1)
    adas = submit(session, 2, owner_id=ADA, concurrency_key="host:a")
    bens = submit(session, 2, owner_id=BEN, concurrency_key="host:a")

    assert duty.run_once(NOON) == 2

    held = {task for task, state in states(session).items() if state == "held"}
    assert held == {adas[1], bens[1]}
    found = admission.obstacle(session, adas[1], viewer=ADA, now=NOON)
    assert (found.holders, found.others) == ((adas[0],), 0)


def test_a_rate_of_a_key_is_kept_for_each_account(session, duty, publisher):
    limit(session, "key", "host:a", rate=Rate(count=1, seconds=10))
    for owner in (ADA, BEN):
        submit(session, owner_id=owner, concurrency_key="host:a")

    assert duty.run_once(NOON) == 2
    [again] = submit(session, owner_id=ADA, concurrency_key="host:a")
    assert duty.run_once(NOON) == 0
    assert admission.obstacle(session, again, viewer=ADA, now=NOON).frees_at == NOON + seconds(10)


def test_a_shared_key_has_its_places_for_all_accounts_together_and_names_no_task_of_others(session, duty, publisher):
    limit(session, "key", "host:*", max_running=1, shared=True)
    [first] = submit(session, owner_id=ADA, concurrency_key="host:a")
    [second] = submit(session, owner_id=BEN, concurrency_key="host:a")

    assert duty.run_once(NOON) == 1

    assert states(session)[second] == "held"
    found = admission.obstacle(session, second, viewer=BEN, now=NOON)
    assert (found.holders, found.others) == ((), 1)
    told = explain.why(session, second, owner=BEN, now=NOON)
    assert told.cause == "limit_reached" or "limit_reached" in told.evidence["also"]
    assert str(first) not in f"{told.summary} {told.evidence}"
    assert admission.obstacle(session, second, viewer=None, now=NOON).holders == (first,)


def test_a_limit_of_a_type_names_no_task_of_others_either(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=2)
    submit(session, owner_id=ADA)
    [own, waiting] = submit(session, 2, owner_id=BEN)
    duty.run_once(NOON)

    found = admission.obstacle(session, waiting, viewer=BEN, now=NOON)

    assert (found.holders, found.others) == ((own,), 1)


def test_why_a_rate_holds_a_task_and_until_when(session, duty, publisher):
    limit(session, "type", "reverse_string", rate=Rate(count=1, seconds=10))
    _, waiting = submit(session, 2)
    duty.run_once(NOON)

    found = admission.obstacle(session, waiting, viewer=None, now=NOON)

    assert (found.cause, found.frees_at) == ("rate", NOON + seconds(10))


def test_who_was_held_for_long_goes_before_those_that_are_more_urgent(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=1)
    [low] = submit(session, priority="low", owner_id=ADA)
    submit(session, 3, priority="high", owner_id=BEN)
    session.execute(
        sa.text("UPDATE admissions SET since = :then WHERE task_id = :id"), {"then": NOON - seconds(901), "id": low}
    )
    session.execute(sa.text("UPDATE admissions SET since = :then WHERE rank = 0"), {"then": NOON})
    session.commit()

    duty.run_once(NOON)

    assert publisher.ids == [low]


def test_a_round_looks_at_the_first_of_each_lane_only(session, duty, publisher):
    limit(session, "type", "reverse_string", max_running=3)
    session.execute(
        sa.text(
            "INSERT INTO tasks (id, type, status, payload, priority, queue, max_retries, created_at, due_at, owner_id) "
            "SELECT gen_random_uuid(), 'reverse_string', 'PENDING', '\"x\"', 'normal', 'tasks', 3, now(), now(), :ada "
            "FROM generate_series(1, 5000)"
        ),
        {"ada": ADA},
    )
    [other] = submit(session, owner_id=BEN)

    assert duty.run_once(NOON) == 3
    assert other in publisher.ids
