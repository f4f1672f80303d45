"""Runs of workflows: the outcome of a step and what follows from it are one transaction."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.errors import Conflict, NotFound, Refused
from app.models import Status
from app.services import lifecycle, workflows
from app.services.retention import Ages, Pruner
from app.services.tasks import compensation, outcomes, records, replay
from app.services.tasks.outcomes import Completed, Retrying
from app.services.workflows import upkeep
from tests.support.factories import HOLDER, NOON, make_claim, read_task, seconds
from tests.support.runs import (
    BROKEN,
    cancelled_in_its_pause,
    create_workflow,
    end,
    pdf,
    run_of,
    start,
    states,
    step,
    task_of,
    undone,
)


def test_a_step_starts_with_the_outcome_of_the_last_one_it_waits_for(session):
    run = start(session, {"a": step(), "b": step(), "c": step("a", "b")})

    end(session, run.id, "a", "x")
    between = states(session, run.id)
    end(session, run.id, "b", "y")

    assert between == {"a": "COMPLETED", "b": "STARTED", "c": "WAITING"}
    assert states(session, run.id) == {"a": "COMPLETED", "b": "COMPLETED", "c": "STARTED"}


def test_a_run_is_completed_when_its_last_step_is(session):
    run = start(session, {"a": step()})

    end(session, run.id, "a", "x")

    ended = run_of(session, run.id)
    assert (ended.status, ended.finished_at) == ("COMPLETED", NOON)


def test_a_retried_attempt_moves_no_run(session):
    run = start(session, {"a": step(), "b": step("a")})

    end(session, run.id, "a", Retrying(failure=BROKEN.failure, delay=seconds(5)))

    assert states(session, run.id) == {"a": "STARTED", "b": "WAITING"}


def test_references_come_to_the_input_and_to_what_earlier_steps_returned(session):
    text = {"$text": [{"$from": "input.greeting"}, " ", {"$from": "steps.a.result.names.1"}, "!"]}
    run = start(session, {"a": step(), "b": step("a", payload=text)}, input_={"greeting": "Hi"})

    end(session, run.id, "a", {"names": ["Ada", "Bob"]})

    assert task_of(session, run.id, "b").payload == "Hi Bob!"


@pytest.mark.parametrize("path", ["names.0", "names.-1", "names.-2", "by_number.-1", "names.2", "names.-3", "names.x"])
def test_a_path_means_the_same_in_an_input_and_in_a_result(session, path):
    value = {"names": ["Ada", "Bob"], "by_number": {"-1": "Cleo"}}
    text = {"$text": [{"$from": f"{where}.{path}", "default": "?"} for where in ("input", "steps.a.result")]}
    run = start(session, {"a": step(), "b": step("a", payload=text)}, input_=value)

    end(session, run.id, "a", value)

    payload = task_of(session, run.id, "b").payload
    assert payload[: len(payload) // 2] * 2 == payload


def test_a_reference_to_what_is_not_there_fails_the_step_for_good_and_says_where(session):
    run = start(session, {"a": step(), "b": step("a", payload={"$from": "steps.a.result.total"})}, on_failure="stop")

    end(session, run.id, "a", {"sum": 3})

    ended = run_of(session, run.id)
    assert (ended.status, states(session, run.id)["b"]) == ("FAILED", "FAILED")
    assert "payload: there is no steps.a.result.total" in ended.reason


@pytest.mark.parametrize("result", [None, {"total": None}])
def test_a_default_stands_in_for_what_is_missing_or_null(session, result):
    total = {"$from": "steps.a.result.total", "default": "none"}
    run = start(session, {"a": step(), "b": step("a", payload=total)})

    end(session, run.id, "a", result)

    assert task_of(session, run.id, "b").payload == "none"


def test_a_payload_that_its_type_refuses_fails_the_step(session):
    run = start(session, {"a": step(), "b": step("a", payload={"$from": "steps.a.result"})}, on_failure="stop")

    end(session, run.id, "a", 5)

    assert "reverse_string refuses its payload: payload: must be a string" in run_of(session, run.id).reason


@pytest.mark.parametrize(("levels", "state"), [(198, "STARTED"), (199, "FAILED"), (900, "FAILED")])
def test_a_result_that_is_nested_too_deeply_for_a_payload_fails_the_step(session, levels, state):
    post = {"url": "https://example.org", "method": "POST", "body": [{"$from": "steps.a.result"}]}
    run = start(session, {"a": step(), "b": step("a", type_="http_request", payload=post)}, on_failure="stop")
    result = "x"
    for _ in range(levels):
        result = [result]

    end(session, run.id, "a", result)

    assert states(session, run.id) == {"a": "COMPLETED", "b": state}


def test_a_payload_that_grows_beyond_the_limit_fails_the_step(session):
    parts = {"json": [{"$from": "steps.a.result"}] * 3}
    post = {"url": "https://example.org", "method": "POST", "body": parts}
    run = start(session, {"a": step(), "b": step("a", type_="http_request", payload=post)}, on_failure="stop")

    end(session, run.id, "a", "x" * 500_000)

    assert "bytes; at most 1048576 are accepted" in run_of(session, run.id).reason


def test_an_input_that_is_referred_to_too_often_is_refused_before_it_fills_the_memory(session):
    body = {"text": {"$text": [{"$from": "input.x"}] * 20_000}}
    post = {"url": "https://example.org", "method": "POST", "body": body}
    workflow = create_workflow(session, {"a": step(type_="http_request", payload=post)})

    with pytest.raises(Refused, match="bytes; at most 1048576 are accepted"):
        workflows.start(session, workflow, workflows.NewRun(input={"x": "y" * 900_000}), owner_id=None, now=NOON)


def test_results_that_are_too_much_to_look_at_fail_the_step_and_stay_in_the_database(session):
    many = [f"s{number}" for number in range(17)]
    is_wanted = {"all": [{"exists": {"$from": f"steps.{key}.result"}} for key in many]}
    run = start(session, {key: step() for key in many} | {"z": step(*many, when=is_wanted)}, on_failure="stop")

    for key in many:
        end(session, run.id, key, "x" * 1_048_000)

    assert "what it refers to has more than 16777216 bytes" in run_of(session, run.id).reason


def test_a_step_whose_condition_does_not_hold_is_skipped_with_those_that_only_come_after_it(session):
    steps = {
        "a": step(),
        "big": step("a", when={"greater": [{"$from": "steps.a.result"}, 10]}),
        "after_big": step("big"),
        "small": step("a", when={"at_most": [{"$from": "steps.a.result"}, 10]}),
        "end": step("after_big", "small"),
    }
    run = start(session, steps)

    end(session, run.id, "a", 3)
    end(session, run.id, "small", "x")
    end(session, run.id, "end", "x")

    assert states(session, run.id) == {
        "a": "COMPLETED", "big": "SKIPPED", "after_big": "SKIPPED", "small": "COMPLETED", "end": "COMPLETED",
    }  # fmt: skip
    assert run_of(session, run.id).status == "COMPLETED"


def test_a_failed_run_stops_what_waits_and_lets_what_runs_finish_before_it_is_undone(session):
    run = start(session, {"a": step(type_="generate_pdf", payload=pdf()), "b": step(), "c": step()})
    task = task_of(session, run.id, "a")
    [held] = lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=NOON)
    session.commit()

    end(session, run.id, "b", BROKEN)

    assert states(session, run.id) == {"a": "STARTED", "b": "FAILED", "c": "CANCELLED"}
    assert (run_of(session, run.id).status, run_of(session, run.id).ending) == ("RUNNING", "failure")

    outcomes.record(session, [(held, Completed(result={"artifact_id": "x"}))], now=NOON)
    session.commit()
    assert (run_of(session, run.id).status, undone(session, run.id)["a"]) == ("COMPENSATING", "STARTED")


def test_a_step_that_fails_stops_those_alone_that_come_after_it_where_the_others_finish(session):
    steps = {"a": step(), "b": step("a"), "c": step(), "d": step("c"), "e": step("b", "d")}
    run = start(session, steps, on_failure="finish")

    end(session, run.id, "a", BROKEN)
    between = run_of(session, run.id)
    end(session, run.id, "c", "x")
    end(session, run.id, "d", "x")

    assert (between.status, between.ending) == ("RUNNING", None)
    assert states(session, run.id) == {
        "a": "FAILED", "b": "WAITING", "c": "COMPLETED", "d": "COMPLETED", "e": "WAITING",
    }  # fmt: skip
    ended = run_of(session, run.id)
    assert (ended.status, ended.reason.partition(":")[0]) == ("FAILED", "step a failed")


def test_a_run_whose_others_finished_is_retried_from_the_step_that_failed(session):
    run = start(session, {"a": step(), "b": step("a"), "c": step()}, on_failure="finish")
    end(session, run.id, "a", BROKEN)
    end(session, run.id, "c", "x")

    workflows.retry(session, run.id, visible_to=None, now=NOON)
    session.commit()
    end(session, run.id, "a", "x")
    end(session, run.id, "b", "x")

    assert run_of(session, run.id).status == "COMPLETED"


KEYS = ("one", "two", "three", "four")


@pytest.mark.parametrize("failing", range(4))
def test_a_run_failing_at_each_step_undoes_exactly_the_completed_ones_in_reverse(session, failing):
    steps = {key: step(*KEYS[max(0, n - 1) : n], type_="generate_pdf", payload=pdf(key)) for n, key in enumerate(KEYS)}
    run = start(session, steps)
    for key in KEYS[:failing]:
        end(session, run.id, key, {"artifact_id": key})
    end(session, run.id, KEYS[failing], BROKEN)

    order = []
    while run_of(session, run.id).status == "COMPENSATING":
        [key] = [key for key, state in undone(session, run.id).items() if state == "STARTED"]
        assert task_of(session, run.id, key).type == "compensation"
        order.append(key)
        end(session, run.id, key, {})

    assert order == list(KEYS[:failing])[::-1]
    assert run_of(session, run.id).status == "COMPENSATED"
    assert states(session, run.id) == {
        key: ["COMPLETED", "FAILED", "WAITING"][(n == failing) + 2 * (n > failing)] for n, key in enumerate(KEYS)
    }


def test_compensate_with_gets_what_the_step_returned(session):
    undo = {"type": "uppercase_text", "payload": {"$text": ["release ", {"$from": "steps.a.result.seat"}]}}
    run = start(session, {"a": step(compensate_with=undo), "b": step("a")})
    end(session, run.id, "a", {"seat": "7B"})
    end(session, run.id, "b", BROKEN)

    task = task_of(session, run.id, "a")
    end(session, run.id, "a", "RELEASED")

    assert (task.type, task.payload) == ("uppercase_text", "release 7B")
    assert (run_of(session, run.id).status, undone(session, run.id)["a"]) == ("COMPENSATED", "DONE")
    done = session.execute(sa.text("SELECT done_at IS NOT NULL FROM compensations")).scalars().all()
    assert done == [True]


def test_a_step_that_cannot_be_undone_is_passed_over(session):
    run = start(session, {"a": step(), "b": step("a")})
    end(session, run.id, "a", "x")

    end(session, run.id, "b", BROKEN)

    assert (run_of(session, run.id).status, undone(session, run.id)["a"]) == ("COMPENSATED", "NOTHING")


def test_a_compensation_that_fails_needs_a_person_who_can_try_again_or_say_that_it_is_done(session):
    run = start(session, {"a": step(type_="generate_pdf", payload=pdf()), "b": step("a")})
    end(session, run.id, "a", {"artifact_id": "x"})
    end(session, run.id, "b", BROKEN)

    end(session, run.id, "a", BROKEN)
    first = run_of(session, run.id)
    workflows.compensate(session, run.id, visible_to=None, reason="", now=NOON)
    session.commit()
    end(session, run.id, "a", BROKEN)
    workflows.compensate(session, run.id, visible_to=None, reason="", now=NOON, done_by_hand=["a"])

    assert first.status == "COMPENSATION_FAILED"
    assert "step a could not be undone: it broke" in first.reason
    assert (run_of(session, run.id).status, undone(session, run.id)["a"]) == ("COMPENSATED", "BY_HAND")


def test_a_completed_run_is_undone_when_somebody_asks(session):
    run = start(session, {"a": step(type_="generate_pdf", payload=pdf())})
    end(session, run.id, "a", {"artifact_id": "x"})

    workflows.compensate(session, run.id, visible_to=None, reason="ordered twice", now=NOON)
    session.commit()
    payload = task_of(session, run.id, "a").payload
    end(session, run.id, "a", {})

    assert "ordered twice" in payload["reason"]
    assert run_of(session, run.id).status == "COMPENSATED"


def test_a_step_that_was_undone_by_itself_is_not_undone_again(session):
    run = start(session, {"a": step(type_="generate_pdf", payload=pdf()), "b": step("a")})
    end(session, run.id, "a", {"artifact_id": "x"})
    step_task = task_of(session, run.id, "a")
    theirs, _ = compensation.request(session, step_task.id, owner=None, reason="", now=NOON)
    session.commit()

    end(session, run.id, "b", BROKEN)
    waits_for = {each.compensation_id for each in workflows.view(session, run_of(session, run.id)).steps}
    [held] = lifecycle.claim(session, theirs.type, [theirs.id], holder=HOLDER, lease_seconds=60, now=NOON)
    outcomes.record(session, [(held, Completed(result={}))], now=NOON)
    session.commit()

    assert waits_for == {theirs.id, None}
    assert run_of(session, run.id).status == "COMPENSATED"
    assert session.scalar(sa.text("SELECT count(*) FROM tasks WHERE type = 'compensation'")) == 1


def test_a_paused_run_starts_nothing_until_it_is_resumed(session):
    run = start(session, {"a": step(), "b": step("a")})

    workflows.pause(session, run.id, visible_to=None, now=NOON)
    session.commit()
    end(session, run.id, "a", "x")
    paused = states(session, run.id)
    workflows.resume(session, run.id, visible_to=None, now=NOON)

    assert paused == {"a": "COMPLETED", "b": "WAITING"}
    assert states(session, run.id) == {"a": "COMPLETED", "b": "STARTED"}


def test_a_cancelled_run_ends_when_what_ran_has_stopped(session):
    run = start(session, {"a": step(), "b": step(), "c": step("a", "b")})
    task = task_of(session, run.id, "a")
    [held] = lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=NOON)
    session.commit()

    workflows.cancel(session, run.id, visible_to=None, now=NOON)
    session.commit()

    assert (run_of(session, run.id).status, run_of(session, run.id).ending) == ("RUNNING", "cancel")
    assert read_task(session, task.id).cancel_requested_at == NOON
    assert states(session, run.id) == {"a": "STARTED", "b": "CANCELLED", "c": "WAITING"}

    lifecycle.stopped(session, held, receipt="stopped", now=NOON)
    upkeep.advance(session, run.id, now=NOON)
    assert run_of(session, run.id).status == "CANCELLED"


@pytest.mark.parametrize("what", [workflows.pause, workflows.resume])
def test_a_paused_run_that_was_cancelled_stays_so(session, what):
    run, held = cancelled_in_its_pause(session, {"a": step(), "b": step("a")})

    with pytest.raises(Conflict, match="is ending"):
        what(session, run.id, visible_to=None, now=NOON)

    session.rollback()
    outcomes.record(session, [(held, Completed(result="x"))], now=NOON)
    assert run_of(session, run.id).status == "CANCELLED"
    assert states(session, run.id) == {"a": "COMPLETED", "b": "WAITING"}


def test_a_failed_run_is_retried_from_the_step_that_failed_with_the_same_task(session):
    run = start(session, {"a": step(), "b": step("a"), "c": step("b")}, on_failure="stop")
    end(session, run.id, "a", "x")
    end(session, run.id, "b", BROKEN)
    before = task_of(session, run.id, "b").id

    workflows.retry(session, run.id, visible_to=None, now=NOON)
    session.commit()
    end(session, run.id, "b", "y")
    end(session, run.id, "c", "z")

    assert task_of(session, run.id, "b").id == before
    assert run_of(session, run.id).status == "COMPLETED"


@pytest.mark.parametrize("what", [workflows.pause, workflows.resume, workflows.cancel, workflows.retry])
def test_what_does_not_fit_the_status_is_a_conflict(session, what):
    run = start(session, {"a": step()})
    end(session, run.id, "a", "x")

    with pytest.raises(Conflict, match="COMPLETED"):
        what(session, run.id, visible_to=None, now=NOON)


def test_a_step_that_ended_by_another_door_is_found_by_the_duty(session):
    run = start(session, {"a": step(), "b": step("a")})
    task = task_of(session, run.id, "a")

    [held] = lifecycle.claim(session, task.type, [task.id], holder=HOLDER, lease_seconds=60, now=NOON)
    lifecycle.complete(session, [(held, "x")], now=NOON)
    assert upkeep.woken(session, limit=10) == [run.id]
    upkeep.advance(session, run.id, now=NOON)

    assert states(session, run.id) == {"a": "COMPLETED", "b": "STARTED"}
    assert upkeep.woken(session, limit=10) == []


def test_a_cancelled_step_fails_its_run(session):
    run = start(session, {"a": step()}, on_failure="stop")
    task = task_of(session, run.id, "a")

    lifecycle.cancel(session, [task.id], reason="cancelled by ann", now=NOON)
    upkeep.advance(session, run.id, now=NOON)

    assert run_of(session, run.id).status == "FAILED"
    assert "step a was cancelled: cancelled by ann" in run_of(session, run.id).reason


def test_a_run_whose_task_was_deleted_by_hand_is_found(session):
    run = start(session, {"a": step()}, on_failure="stop")
    session.execute(sa.text("DELETE FROM tasks WHERE run_id = :id"), {"id": run.id})

    found = upkeep.stuck(session, now=NOON + seconds(60), limit=10)
    upkeep.advance(session, run.id, now=NOON)

    assert found == [run.id]
    assert "was deleted" in run_of(session, run.id).reason


def test_a_run_cancelled_in_its_pause_whose_task_was_deleted_by_hand_is_found(session):
    run, _ = cancelled_in_its_pause(session, {"a": step()})
    session.execute(sa.text("DELETE FROM tasks WHERE run_id = :id"), {"id": run.id})

    found = upkeep.stuck(session, now=NOON + seconds(60), limit=10)
    upkeep.advance(session, run.id, now=NOON)

    assert (found, run_of(session, run.id).status) == ([run.id], "CANCELLED")


def test_a_step_is_neither_replayed_nor_deleted_by_itself(session):
    run = start(session, {"a": step()}, on_failure="stop")
    end(session, run.id, "a", BROKEN)
    task = task_of(session, run.id, "a")

    for change in (
        lambda: replay.replay(session, task.id, owner=None, now=NOON),
        lambda: records.delete(session, task.id, owner=None, states=None),
    ):
        with pytest.raises(Conflict, match="is step a of run"):
            change()
    assert lifecycle.replay(session, [task.id], now=NOON) == set()


def test_steps_travel_alone_and_plain_tasks_belong_to_no_run(session):
    run = start(session, {"a": step()})

    task = task_of(session, run.id, "a")

    assert (task.unchunked, task.run_id, task.step, task.status) == (True, run.id, "a", Status.PENDING)
    assert make_claim(session).run_id is None


def test_a_run_goes_by_the_version_it_began_with(session):
    workflow = create_workflow(session, {"a": step(), "b": step("a", payload="old")})
    first = workflows.start(session, workflow, workflows.NewRun(), owner_id=None, now=NOON)
    caller = workflows.Caller(owner_id=None, sees_all=True)
    _give_to_somebody(session, workflow)
    new = {"steps": {"a": step(), "b": step("a", payload="new"), "c": step("b")}}

    changed = workflows.change(session, "flow", caller=caller, now=NOON, definition=new)
    second = workflows.start(session, changed, workflows.NewRun(), owner_id=None, now=NOON)
    session.commit()
    for run in (first, second):
        end(session, run.id, "a", "x")

    assert (first.version, second.version) == (1, 2)
    assert [task_of(session, run.id, "b").payload for run in (first, second)] == ["old", "new"]
    assert list(states(session, first.id)) == ["a", "b"]


def _give_to_somebody(session, workflow):
    """What belongs to nobody is the service's own, and cannot be changed."""
    session.execute(sa.text("UPDATE workflows SET owner_id = gen_random_uuid() WHERE id = :id"), {"id": workflow.id})


def test_an_inactive_workflow_starts_no_runs(session):
    workflow = create_workflow(session, {"a": step()})
    caller = workflows.Caller(owner_id=None, sees_all=True)

    stopped = workflows.set_active(session, "flow", False, caller=caller, now=NOON)

    with pytest.raises(Conflict, match="not active"):
        workflows.start(session, stopped, workflows.NewRun(), owner_id=None, now=NOON)
    assert workflow.active


def test_an_input_that_a_first_step_would_refuse_starts_nothing(session):
    workflow = create_workflow(session, {"a": step(payload={"$from": "input.text"})})

    with pytest.raises(Refused, match="must be a string"):
        workflows.start(session, workflow, workflows.NewRun(input={"text": 5}), owner_id=None, now=NOON)
    with pytest.raises(Refused, match=r"there is no input\.text"):
        workflows.start(session, workflow, workflows.NewRun(), owner_id=None, now=NOON)


def test_runs_of_others_are_not_there(session):
    run = start(session, {"a": step()})

    with pytest.raises(NotFound):
        workflows.read(session, run.id, visible_to=uuid4())
    with pytest.raises(NotFound):
        workflows.cancel(session, run.id, visible_to=uuid4(), now=NOON)


def test_old_runs_go_with_their_tasks_and_unfinished_ones_stay(session):
    ages = Ages.in_days(completed=30, failed=30, cancelled=30, events=0)
    steps = {"a": step(), "b": step("a")}
    old = start(session, steps, name="old")
    paused = start(session, steps, name="paused")
    for run in (old, paused):
        end(session, run.id, "a", "x")
    end(session, old.id, "b", "x")
    later = NOON + timedelta(days=10_000)  # ids are of today, and pruning goes by them

    Pruner().prune_tasks(session, ages, now=later)
    kept = session.scalar(sa.text("SELECT count(*) FROM tasks"))
    upkeep.prune(session, ages, now=later, limit=100)

    assert kept == 4
    assert session.scalars(sa.text("SELECT DISTINCT run_id FROM tasks")).all() == [paused.id]
    assert session.scalars(sa.text("SELECT id FROM workflow_runs")).all() == [paused.id]


def test_a_compensation_that_was_followed_by_another_goes_when_its_run_has_gone(session):
    ages = Ages.in_days(completed=30, failed=30, cancelled=30, events=0)
    run = start(session, {"a": step(type_="generate_pdf", payload=pdf()), "b": step("a")})
    end(session, run.id, "a", {"artifact_id": "x"})
    end(session, run.id, "b", BROKEN)
    end(session, run.id, "a", BROKEN)
    first = task_of(session, run.id, "a").id
    workflows.compensate(session, run.id, visible_to=None, reason="", now=NOON)
    session.commit()
    end(session, run.id, "a", {})
    later = NOON + timedelta(days=10_000)  # ids are of today, and pruning goes by them

    Pruner().prune_tasks(session, ages, now=later)
    before = session.scalar(sa.text("SELECT count(*) FROM tasks"))
    upkeep.prune(session, ages, now=later, limit=100)
    left = session.scalars(sa.text("SELECT id FROM tasks")).all()
    Pruner().prune_tasks(session, ages, now=later)

    assert (before, left) == (4, [first])
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 0


def test_the_history_of_a_run_is_written_by_a_trigger(session):
    run = start(session, {"a": step()})
    end(session, run.id, "a", "x")

    assert [each["status"] for each in workflows.events(session, run.id)] == ["RUNNING", "COMPLETED"]
