"""Durable handlers in a worker: run again from their top after each wait, with what they have behind them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app import clock
from app.database import in_transaction
from app.errors import Conflict, Refused
from app.models import Status
from app.services import lifecycle
from app.services.retention import Ages, Pruner
from app.services.tasks import cancellation, records
from app.services.tasks import replay as replay_service
from taskledger_sdk import ChildFailed, DurableTask, PermanentError, TaskContext, child, registry, task_type
from tests.integration.worker.durable import dispatch, run_children, run_next, signal, steps_of
from tests.integration.worker.family import children_of, replace_settings
from tests.support.factories import make_task, read_task, statuses_of
from tests.support.locks import somebody_waits
from tests.support.servers.waiting import wait_for


@pytest.fixture
def start(run, declared):
    """Run the first attempt of a durable handler; its row afterwards."""

    def go(handler, **options):
        declared(handler, durable=True, **options)
        task = run()
        dispatch()
        return task

    return go


def test_what_was_done_once_is_remembered_across_waits(session, start):
    done = []

    def charge(amount):
        done.append(amount)
        return {"charge": amount, "pair": (1, 2)}

    def handler(task):
        first = task.once("charge", charge, 5)
        task.sleep(timedelta(hours=1))
        second = task.once("charge", charge, amount=7)
        decision = task.wait_for("approved")
        return [first, second, decision]

    task = start(handler)
    assert (task.status, task.waits_for["step"]) == (Status.WAITING, "sleep")
    dispatch(after=timedelta(hours=2))
    task = run_next(session, task)
    assert (task.status, task.waits_for["signal"], task.attempt_base) == (Status.WAITING, "approved", 2)
    signal(task.id, "approved", {"by": "ann"})
    task = run_next(session, task)

    assert task.status == Status.COMPLETED
    assert task.result == [{"charge": 5, "pair": [1, 2]}, {"charge": 7, "pair": [1, 2]}, {"by": "ann"}]
    assert done == [5, 7]
    assert statuses_of(session, task.id) == [
        "PENDING", "PROCESSING", "WAITING", "PENDING", "PROCESSING", "WAITING", "PENDING", "PROCESSING", "COMPLETED",
    ]  # fmt: skip


def test_what_is_remembered_is_read_the_same_in_each_run(session, start):
    """PostgreSQL keeps JSON in an order of its own, and 1e20 as a whole number."""

    def handler(task):
        prices = task.once("prices", lambda: {"apples": "1", "pears": "2", "tons": 1e20})
        for name, price in prices.items():
            task.call("reverse_string", f"{name} {price}")
        task.wait_for("approved")
        return list(prices)

    task = start(handler)
    signal(task.id, "approved")
    task = run_next(session, task)

    assert (task.status, task.error) == (Status.COMPLETED, None)
    assert len(children_of(session, task)) == 3


def test_a_failed_attempt_is_retried_with_what_was_done_before(session, start):
    done = []

    def handler(task):
        task.once("charge", done.append, 1)
        if task.attempt < 3:
            raise ValueError("not yet")
        return len(done)

    task = start(handler)
    assert task.status == Status.RETRYING
    for _ in range(2):
        dispatch(after=timedelta(seconds=5))
        task = run_next(session, task)

    assert (task.status, task.result, task.attempt_base) == (Status.COMPLETED, 1, 0)


def test_a_suspension_gives_a_fresh_budget_of_retries(session, start):
    def handler(task):
        if task.attempt in (1, 3, 4):
            raise ValueError("not yet")
        task.wait_for("approved")

    task = start(handler)
    session.execute(sa.text("UPDATE tasks SET max_retries = 2 WHERE id = :id"), {"id": task.id})
    session.commit()
    dispatch(after=timedelta(seconds=5))
    task = run_next(session, task)
    assert (task.status, task.error) == (Status.WAITING, None)
    signal(task.id, "approved")
    for _ in range(3):
        task = run_next(session, task)
        dispatch(after=timedelta(seconds=5))

    assert (task.status, task.attempt, task.attempt_base) == (Status.COMPLETED, 5, 2)


@pytest.mark.parametrize(("default", "status"), [("later", Status.COMPLETED), (None, Status.FAILED)])
def test_a_signal_that_does_not_come_in_time(session, start, default, status):
    def handler(task):
        if default is None:
            return task.wait_for("approved", timeout=60)
        return task.wait_for("approved", timeout=timedelta(seconds=60), default=default)

    task = start(handler)
    dispatch(after=timedelta(seconds=61))
    signal(task.id, "approved", "too late")
    task = run_next(session, task)

    assert task.status == status
    assert task.result == default
    assert default or task.error["type"] == "WaitTimedOut"


ANOTHER = {
    "kind": (lambda task: task.once("step", str), lambda task: task.call("reverse_string", "a", step="step")),
    "child type": (
        lambda task: task.call("reverse_string", "a", step="step"),
        lambda task: task.call("uppercase_text", "a", step="step"),
    ),
    "payload": (
        lambda task: task.call("reverse_string", "a", step="step"),
        lambda task: task.call("reverse_string", "b", step="step"),
    ),
}


@pytest.mark.parametrize("what", ANOTHER)
def test_another_question_under_a_known_name_is_refused_and_loses_nothing(session, start, declared, what):
    before, after = ANOTHER[what]

    def handler_of(question):
        def handler(task):
            task.once("charge", lambda: "charged", undo=("reverse_string", "undone"))
            question(task)
            task.wait_for("approved")
            return task.once("charge again", lambda: "again")

        return handler

    task = start(handler_of(before))
    steps = steps_of(session, task.id)
    signal(task.id, "approved")
    declared(handler_of(after), durable=True)
    task = run_next(session, task)
    assert (task.status, task.error["type"]) == (Status.FAILED, "NotDeterministic")
    assert "'step'" in task.error["message"]
    assert "call() of" in task.error["message"]
    assert steps_of(session, task.id) == steps, "nothing is undone, and nothing is lost"

    declared(handler_of(before), durable=True)
    replay_service.replay(session, task.id, owner=None, now=clock.utcnow())
    session.commit()
    task = run_next(session, task)
    assert (task.status, task.result) == (Status.COMPLETED, "again")


def test_another_order_and_inserted_steps_go_on(session, start, declared):
    done = []

    def before(task):
        task.once("a", done.append, "a")
        task.once("b", done.append, "b")
        task.wait_for("approved")

    def after(task):
        task.once("new", done.append, "new")
        task.once("b", done.append, "b")
        task.wait_for("approved")
        task.once("a", done.append, "a")
        return done

    task = start(before)
    signal(task.id, "approved")
    declared(after, durable=True)
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, ["a", "b", "new"])


def test_a_child_is_waited_for_without_a_worker(session, start):
    def handler(task):
        call = task.call("reverse_string", "abc")
        return [str(call.id), call.result(), call.result()]

    task = start(handler)
    [only] = children_of(session, task)
    assert (task.status, task.waits_for["children"], only.step) == (Status.WAITING, 1, "reverse_string")
    assert run_children(session, task.id) == 1
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, [str(only.id), "cba", "cba"])
    assert len(children_of(session, task)) == 1


def test_a_child_that_fails_is_started_over_with_its_parent(session, start, monkeypatch, failing):
    def handler(task):
        good = task.call("reverse_string", "abc")
        return [good.result(), task.call("failing", None).result()]

    task = start(handler)
    run_children(session, task.id)
    task = run_next(session, task)
    run_children(session, task.id)
    task = run_next(session, task)
    assert (task.status, task.error["type"]) == (Status.FAILED, "ChildFailed")
    bad = next(each for each in children_of(session, task) if each.type == "failing")
    with pytest.raises(Exception, match="replayed with that only"):
        replay_service.replay(session, bad.id, owner=None, now=clock.utcnow())
    assert lifecycle.replay(session, [bad.id], now=clock.utcnow()) == set()
    session.rollback()

    failing.append("works now")
    replay_service.replay(session, task.id, owner=None, now=clock.utcnow())
    session.commit()
    task = run_next(session, task)
    assert task.status == Status.WAITING
    assert run_children(session, task.id) == 1
    task = run_next(session, task)
    assert (task.status, task.result) == (Status.COMPLETED, ["cba", "works now"])
    assert len(children_of(session, task)) == 2


@pytest.fixture
def failing(declared):
    """What the type `failing` returns next; while this is empty, it fails for good."""
    answers = []

    @task_type("failing")
    def failing(task: TaskContext, payload: Any) -> str:
        """Fail, or not."""
        if not answers:
            raise PermanentError("broken")
        return answers[-1]

    return answers


def test_many_children_go_at_most_so_many_at_once_and_come_back_in_order(session, start):
    def handler(task):
        return task.gather([child("reverse_string", f"{n}.") for n in range(23)], max_parallel=5)

    task = start(handler)
    runs = []
    while read_task(session, task.id).status == Status.WAITING:
        runs.append(run_children(session, task.id))
    task = run_next(session, task)

    assert runs == [5, 5, 5, 5, 3]
    assert (task.status, task.attempt) == (Status.COMPLETED, 2), "the parent was run again once"
    assert task.result == [f"{n}."[::-1] for n in range(23)]


def test_a_child_that_is_to_start_later_does_so_also_where_another_had_to_end_first(session, start):
    tomorrow = clock.utcnow() + timedelta(days=1)
    items = [child("reverse_string", "ab"), child("reverse_string", "cd", scheduled_at=tomorrow)]
    task = start(lambda task: task.gather(items, max_parallel=1))
    assert run_children(session, task.id) == 1

    later = children_of(session, task)[1]
    assert (later.status, later.due_at) == (Status.SCHEDULED, tomorrow)
    session.rollback()
    dispatch(after=timedelta(days=2))
    assert run_children(session, task.id) == 1
    assert run_next(session, task).result == ["ba", "dc"]


def test_failures_among_many_stand_in_their_place_where_that_is_asked_for(session, start, failing):
    def handler(task):
        items = [child("reverse_string", "ab"), child("failing", None), child("reverse_string", "cd")]
        results = task.gather(items, return_exceptions=True)
        return [type(each).__name__ if isinstance(each, ChildFailed) else each for each in results]

    task = start(handler)
    run_children(session, task.id)
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, ["ba", "ChildFailed", "dc"])


def test_calls_that_are_under_way_are_waited_for_together(session, start):
    def handler(task):
        calls = [task.call("reverse_string", text) for text in ("ab", "cd")]
        return [task.gather(calls), task.gather([])]

    task = start(handler)
    run_children(session, task.id)
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, [["ba", "dc"], []])
    assert sorted(steps_of(session, task.id)) == ["reverse_string", "reverse_string#2"]


def test_a_task_that_waits_for_children_is_cancelled_when_they_have_ended(session, start):
    task = start(lambda task: task.gather([child("reverse_string", "ab") for _ in range(4)], max_parallel=2))
    [running] = lifecycle.claim(
        session,
        "reverse_string",
        [children_of(session, task)[0].id],
        holder=lifecycle.Holder(worker="w/1", pid=1),
        lease_seconds=60,
        now=clock.utcnow(),
    )
    session.commit()

    found = cancellation.cancel(session, task.id, owner=None, by=None, now=clock.utcnow())
    session.commit()
    assert (found.is_stopping, found.task.status) == (True, Status.WAITING)
    dispatch()
    statuses = [each.status for each in children_of(session, task)]
    assert statuses == ["PROCESSING", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert read_task(session, task.id).status == Status.WAITING
    session.rollback()

    lifecycle.stopped(session, running, receipt="stopped", now=clock.utcnow())
    session.commit()
    dispatch()
    ended = read_task(session, task.id)
    assert (ended.status, ended.cancel_receipt) == (Status.CANCELLED, "stopped")


def test_a_child_that_is_suspended_while_it_is_cancelled_hears_of_it(session, start, monkeypatch):
    task = start(lambda task: task.call("reverse_string", "ab").result())
    child_id = children_of(session, task)[0].id
    [running] = lifecycle.claim(
        session,
        "reverse_string",
        [child_id],
        holder=lifecycle.Holder(worker="w/1", pid=1),
        lease_seconds=60,
        now=clock.utcnow(),
    )
    session.commit()
    ask_to_stop, waits = lifecycle.ask_to_stop, lifecycle.Waits(step="approved", signal="approved")

    def suspend():
        in_transaction(lambda other: lifecycle.suspend(other, running, waits, now=clock.utcnow()))

    with ThreadPoolExecutor(1) as pool:

        def ask_late(duty, ids, *, now):
            if child_id in ids:  # the child is suspended right between being found running and being asked to stop
                suspending = pool.submit(suspend)
                wait_for(lambda: suspending.done() or somebody_waits(), timeout=10, what="it is suspended")
            return ask_to_stop(duty, ids, now=now)

        monkeypatch.setattr(lifecycle, "ask_to_stop", ask_late)
        cancellation.cancel(session, task.id, owner=None, by=None, now=clock.utcnow())
        session.commit()
        dispatch()
    dispatch()

    assert read_task(session, child_id).status == Status.CANCELLED
    assert read_task(session, task.id).status == Status.CANCELLED


def test_a_task_that_waits_for_a_signal_is_cancelled_at_once(session, start):
    task = start(lambda task: task.wait_for("approved"))

    found = cancellation.cancel(session, task.id, owner=None, by="ann", now=clock.utcnow())

    assert (found.is_stopping, found.task.status) == (False, Status.CANCELLED)
    assert (found.task.cancel_receipt, found.task.waits_for) == ("stopped", None)


def undo_of(session, task):
    [undo] = [each for each in children_of(session, task) if each.type == "undo"]
    return undo


def test_what_was_done_is_undone_in_reverse_order(session, start):
    def handler(task):
        task.once("account", lambda: {"id": "a-1"}, undo=("reverse_string", {"$from": "result.id"}))
        task.once("card", lambda: 5, undo=("uppercase_text", "card"))
        task.once("mail", lambda: None)
        task.call("reverse_string", "xyz", undo=("uppercase_text", {"$from": "result"})).result()
        raise PermanentError("no")

    task = start(handler)
    run_children(session, task.id)
    task = run_next(session, task)
    assert task.status == Status.FAILED
    undo = undo_of(session, task)
    with pytest.raises(Exception, match="being undone"):
        replay_service.replay(session, task.id, owner=None, now=clock.utcnow())
    session.rollback()

    order = []
    while read_task(session, undo.id).status != Status.COMPLETED:
        undo = run_next(session, undo)
        known = len(order)
        order += [(each.type, each.payload) for each in children_of(session, undo)][known:]
        run_children(session, undo.id)

    assert order == [("uppercase_text", "zyx"), ("uppercase_text", "card"), ("reverse_string", "a-1")]
    states = steps_of(session, task.id)
    assert [states[name] for name in ("account", "card", "mail", "reverse_string")] == [
        "UNDONE",
        "UNDONE",
        "DONE",
        "UNDONE",
    ]

    replay_service.replay(session, task.id, owner=None, now=clock.utcnow())
    session.commit()
    assert steps_of(session, task.id) == {}, "once anything was undone, nothing is remembered"


@pytest.mark.parametrize("limit", ["quota", "depth"])
def test_what_was_done_is_undone_whatever_the_account_may_still_start(
    session, declared, run, person, monkeypatch, limit
):
    if limit == "depth":
        monkeypatch.setattr("app.worker.children.get_settings", lambda: replace_settings(max_task_depth=1))

    def handler(task):
        task.once("account", lambda: "a-1", undo=("reverse_string", {"$from": "result"}))
        raise PermanentError("no")

    declared(handler, durable=True)
    task = run(owner_id=person.id)
    dispatch()
    if limit == "quota":
        session.execute(sa.text("UPDATE users SET max_waiting_tasks = 1 WHERE id = :id"), {"id": person.id})
        make_task(session, owner_id=person.id)
        session.commit()
    undo = run_next(session, undo_of(session, task))

    assert (undo.status, undo.error) == (Status.WAITING, None)
    assert [each.payload for each in children_of(session, undo)] == ["a-1"]


def test_a_child_is_not_started_over_while_what_it_did_is_being_undone(session, start):
    @task_type("saga", durable=True)
    def saga(task: DurableTask, payload: Any) -> None:
        """Do something, and fail."""
        task.once("charge", lambda: "charged", undo=("reverse_string", "take it back"))
        raise PermanentError("no")

    task = start(lambda task: task.call("saga", None).result())
    run_children(session, task.id)
    task = run_next(session, task)
    [child_task] = children_of(session, task)
    undo = undo_of(session, child_task)
    assert (task.status, child_task.status, undo.status) == (Status.FAILED, Status.FAILED, Status.PENDING)

    with pytest.raises(Conflict, match=str(undo.id)):
        replay_service.replay(session, task.id, owner=None, now=clock.utcnow())
    session.rollback()
    lifecycle.replay(session, [task.id], now=clock.utcnow())  # as many dead letters are, which are not asked one by one
    session.commit()
    run_next(session, task)
    assert read_task(session, child_task.id).status == Status.FAILED


def test_a_step_that_had_begun_is_undone_with_what_is_not_known(session, start):
    def handler(task):
        task.once("account", _raise, undo=("reverse_string", {"$literal": "unknown"}))

    task = start(handler)
    undo = undo_of(session, task)
    run_next(session, undo)

    assert [each.payload for each in children_of(session, undo)] == ["unknown"]


def _raise():
    raise PermanentError("the function failed")


def test_a_type_may_leave_its_steps_as_they_are(session, start):
    def handler(task):
        task.once("account", lambda: 1, undo=("reverse_string", "x"))
        raise PermanentError("no")

    task = start(handler, on_failure="stop")

    assert task.status == Status.FAILED
    assert children_of(session, task) == []


def test_a_replay_remembers_and_a_fresh_one_does_not(session, start):
    done, fails = [], [True]

    def handler(task):
        task.once("charge", done.append, 1)
        if fails[0]:
            raise PermanentError("no")
        return len(done)

    task = start(handler)
    replay_service.replay(session, task.id, owner=None, now=clock.utcnow())
    session.commit()
    task = run_next(session, task)
    assert (task.status, done) == (Status.FAILED, [1])
    fails[0] = False
    replay_service.replay(session, task.id, owner=None, now=clock.utcnow(), fresh=True)
    session.commit()
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, 2)


def test_a_handler_that_swallows_its_suspension_is_failed_with_those_words(session, start):
    def handler(task):
        try:
            task.wait_for("approved")
        except BaseException:
            return "done"

    task = start(handler)

    assert task.status == Status.FAILED
    assert "caught the suspension" in task.error["message"]


def test_a_handler_begins_anew_with_another_payload(session, declared, run):
    seen = []

    def handler(task):
        seen.append(task.once("number", lambda: len(seen)))
        if len(seen) < 3:
            task.start_over(f"round {len(seen)}")
        return seen

    declared(handler, durable=True)
    task = run()
    assert (task.status, task.payload) == (Status.PENDING, "round 1")
    task = run_next(session, task)
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, [0, 1, 2])


def test_a_handler_that_begins_anew_has_no_checkpoint_of_before(session, declared, run):
    seen = []

    def handler(task):
        seen.append(task.last_checkpoint)
        task.checkpoint({"line": 7})
        if len(seen) == 1:
            task.start_over("next")

    declared(handler, durable=True)
    run_next(session, run())

    assert seen == [None, None]


def test_what_was_kept_a_moment_before_a_wait_is_written_with_it(session, start):
    def handler(task):
        if task.last_checkpoint is None:
            for page in range(100):
                task.checkpoint(page)
        task.wait_for("approved")
        return task.last_checkpoint

    task = start(handler)
    signal(task.id, "approved")

    assert run_next(session, task).result == 99


def pruned(session, ids):
    ages, later = Ages.in_days(completed=1, failed=1, cancelled=1, events=0), clock.utcnow() + timedelta(days=2)
    Pruner().prune_tasks(session, ages, now=later)


def deleted_by_hand(session, ids):
    session.execute(sa.text("DELETE FROM event_outbox"))
    for id_ in ids:
        with suppress(Conflict):
            records.delete(session, id_, owner=None, states=None)


@pytest.mark.parametrize("forget", [pruned, deleted_by_hand])
def test_children_of_a_handler_that_has_begun_anew_are_kept_no_longer_than_other_tasks(session, start, forget):
    def handler(task):
        task.call("reverse_string", "abc").result()
        if task.attempt < 3:
            task.start_over("next")
        task.call("reverse_string", "def").result()
        task.wait_for("approved")

    task = start(handler)
    for _ in range(4):
        run_children(session, task.id)
        task = run_next(session, task)
    ids = [each.id for each in children_of(session, task)]
    assert [each.payload for each in children_of(session, task)] == ["abc", "abc", "def"]

    forget(session, ids)

    assert set(session.scalars(sa.text("SELECT id FROM tasks"))) == {task.id, *ids[1:]}


def test_a_stale_worker_records_nothing_and_its_handler_ends(session, start):
    after = []

    def handler(task):
        session.execute(sa.text("UPDATE tasks SET lease = :lease WHERE id = :id"), {"lease": uuid4(), "id": task.id})
        session.commit()
        task.once("charge", lambda: 1)
        after.append("went on")

    task = start(handler)

    assert task.status == Status.PROCESSING
    assert (steps_of(session, task.id), after) == ({}, [])


def test_a_coroutine_awaits_the_same(session, declared, run):
    async def double(number):
        await asyncio.sleep(0)
        return number * 2

    async def handler(task):
        first = await task.once("double", double, 4)
        await task.sleep(60)
        call = await task.call("reverse_string", "ab")
        decision = await task.wait_for("approved")
        return [first, decision, await call.result(), await task.gather([child("reverse_string", "cd")])]

    declared_as_coroutine(declared, handler)
    task = run()
    assert task.status == Status.WAITING
    dispatch(after=timedelta(minutes=2))
    task = run_next(session, task)
    signal(task.id, "approved", "yes")
    run_children(session, task.id)
    task = run_next(session, task)
    run_children(session, task.id)
    task = run_next(session, task)

    assert (task.status, task.result) == (Status.COMPLETED, [8, "yes", "ba", ["dc"]])


def declared_as_coroutine(declared, handler):
    async def parent(task, payload):
        return await handler(task)

    parent.__annotations__ = {"task": TaskContext, "payload": Any}
    declared(lambda task: None)  # whose declaration lasts as long as the test
    registry._types.pop("parent")
    task_type("parent", durable=True)(parent)


LIMITS = {
    "a result": (lambda task: task.once("big", lambda: "x" * 300_000), "artifact"),
    "steps": (lambda task: [task.once("step", int) for _ in range(1_001)], "start_over"),
    "a name": (lambda task: task.once("a#2", int), "no name of a step"),
    "a schema": (lambda task: task.wait_for("approved", schema={"type": "objekt"}), "its schema is no JSON Schema"),
    "a schema without end": (
        lambda task: task.wait_for("approved", schema={"allOf": [{"$ref": "#"}]}),
        "its schema # leads back to itself",
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_what_is_too_much_is_refused_with_a_remedy(start, what):
    handler, words = LIMITS[what]

    task = start(handler)

    assert task.status == Status.FAILED
    assert words in task.error["message"]


def test_a_child_with_the_ordering_key_of_its_parent_is_refused(session, start):
    def handler(task):
        session.execute(sa.text("UPDATE tasks SET ordering_key = 'account 7' WHERE id = :id"), {"id": task.id})
        session.commit()
        task.call("reverse_string", "a", ordering_key="account 7")

    task = start(handler)

    assert task.status == Status.FAILED
    assert "is that of a task above it" in task.error["message"]


def test_another_payload_needs_a_fresh_start_where_steps_are_remembered(session, start):
    def handler(task):
        task.once("charge", lambda: 1)
        raise PermanentError("no")

    task = start(handler)
    edited = replay_service.Edited(payload="another payload")

    with pytest.raises(Refused, match="fresh"):
        replay_service.replay(session, task.id, owner=None, now=clock.utcnow(), edited=edited)
    session.rollback()
    fresh = replay_service.replay(session, task.id, owner=None, now=clock.utcnow(), edited=edited, fresh=True)
    assert (fresh.status, fresh.payload) == (Status.PENDING, "another payload")
