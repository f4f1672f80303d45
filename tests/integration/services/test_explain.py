"""Why a task does not run: every cause is made to happen in the database, and recognised."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.commands.why import why
from app.dispatcher.measure import Measure
from app.models import Status, Worker, new_id
from app.services import admission, circuits, explain, lifecycle, workflows
from app.services.admission import Limit, Rate
from app.services.dispatch import queues
from app.services.explain import CAUSES, RUN_CAUSES, SCHEDULE_CAUSES
from app.services.lifecycle import Holder
from app.services.recovery.failures import Failure
from tests.support.factories import NOON, bring_to, create_schedule, make_claim, make_task, seconds
from tests.support.runs import BROKEN, cancelled_in_its_pause, end, pdf, start, step, task_of
from tests.support.waiting_tasks import make_waiting, remember

FAILURE = Failure(type="LookupError", message="no such city")
HOUR = timedelta(hours=1)


def worker(
    session,
    *,
    node="worker-a",
    seen=NOON,
    stopped=None,
    queue="tasks",
    types=("reverse_string",),
    concurrency=2,
    **runtime,
):
    """As a worker's parent process writes it each second."""
    row = {
        "id": f"{node}/00000001", "node": node, "host": "here", "pid": 1, "concurrency": concurrency, "queues": [queue],
        "types": dict.fromkeys(types, "abc"), "version": "1", "runtime": runtime, "started_at": NOON - HOUR,
        "last_seen_at": seen, "stopped_at": stopped,
    }  # fmt: skip
    session.execute(sa.insert(Worker.__table__).values(row))
    return Holder(worker=row["id"], pid=4711)


def dispatcher(session, *, seen=NOON, error=None):
    session.execute(
        sa.text(
            "INSERT INTO duties (name, node, last_success_at, last_error) VALUES ('dispatch', 'here', :at, :error)"
        ),
        {"at": seen, "error": error},
    )


def completed(session) -> UUID:
    held = make_claim(session)
    lifecycle.complete(session, [(held, 5)], now=NOON)
    return held.id


def failed(session) -> UUID:
    held = make_claim(session, max_retries=0)
    lifecycle.fail(session, held, FAILURE, now=NOON)
    return held.id


def cancelled(session) -> UUID:
    task = make_task(session)
    lifecycle.cancel(session, [task.id], reason="cancelled by ada", now=NOON)
    return task.id


def held_by_a_lost_worker(session) -> UUID:
    holder = worker(session, seen=NOON - seconds(16))
    return make_claim(session, now=NOON - seconds(20), holder=holder).id


def held_by_a_worker_that_nobody_knows(session) -> UUID:
    return make_claim(session).id


def asked_to_stop(session) -> UUID:
    held = make_claim(session, holder=worker(session))
    lifecycle.ask_to_stop(session, [held.id], now=NOON)
    return held.id


def running(session) -> UUID:
    return make_claim(session, holder=worker(session)).id


def starting_later(session) -> UUID:
    task = make_task(session, status=Status.SCHEDULED, scheduled_at=NOON + HOUR, due_at=NOON + HOUR, dispatched_at=None)
    return task.id


def waiting_for_its_retry(session) -> UUID:
    held = make_claim(session)
    lifecycle.retry_later(session, held, FAILURE, due_at=NOON + HOUR, now=NOON)
    return held.id


def of_a_paused_type(session) -> UUID:
    worker(session)
    task = make_task(session)
    queues.pause(session, "type", "reverse_string", by="ada", reason="the relay is down", now=NOON)
    lifecycle.hold_paused(session, [task.id])
    return task.id


def in_a_paused_queue(session) -> UUID:
    worker(session)
    queues.pause(session, "queue", "tasks", by="ada", reason=None, now=NOON)
    return make_task(session).id


def under_a_full_limit(session) -> UUID:
    worker(session)
    admission.set_limit(session, Limit(kind="type", name="reverse_string", max_running=0, changed_at=NOON))
    return make_task(session).id


def for_a_receiver_that_fails(session) -> UUID:
    worker(session, queue="webhooks", types=("webhook_delivery",))
    to = circuits.of_callback("https://down.example.com/done?task=1", None)
    for _ in range(circuits.OPENS_AFTER):
        circuits.failed(session, to, "it answered 503", now=NOON)
    payload = {"delivery_id": str(new_id())}
    return make_task(session, type="webhook_delivery", queue="webhooks", payload=payload, concurrency_key=to.key).id


def under_a_spent_rate(session) -> UUID:
    worker(session)
    rate = Rate(count=1, seconds=60)
    admission.set_limit(session, Limit(kind="type", name="reverse_string", rate=rate, changed_at=NOON))
    session.execute(sa.text("INSERT INTO rate_buckets VALUES ('type', 'reverse_string', 0, :now)"), {"now": NOON})
    return make_task(session).id


def behind_another_with_its_key(session) -> UUID:
    worker(session)
    make_task(session, ordering_key="order-7")
    return make_task(session, ordering_key="order-7").id


def held_for_its_turn(session) -> UUID:
    worker(session)
    dispatcher(session)
    return make_task(session, ordering_key="order-7").id


def without_any_worker(session) -> UUID:
    worker(session, stopped=NOON - HOUR, seen=NOON - HOUR)
    return make_task(session).id


def in_a_queue_that_nobody_takes(session) -> UUID:
    worker(session, queue="mail")
    return make_task(session).id


def of_a_type_that_nobody_knows(session) -> UUID:
    worker(session, types=("send_email",))
    return make_task(session).id


def of_a_newer_release(session) -> UUID:
    worker(session)
    task = make_task(session, schema_hash="ffffffffffff")
    lifecycle.hold_for_schema(session, [task.id], schema="abc", now=NOON)
    return task.id


def due_without_a_dispatcher(session) -> UUID:
    worker(session)
    dispatcher(session, seen=NOON - HOUR)
    task = make_task(session, status=Status.SCHEDULED, due_at=NOON - seconds(30), dispatched_at=None)
    return task.id


def held_because_the_broker_did_not_take_it(session) -> UUID:
    worker(session)
    dispatcher(session, error="OperationalError: connection refused")
    return make_task(session, due_at=NOON + seconds(3), dispatched_at=None).id


def passed_by_a_later_hint(session) -> UUID:
    worker(session)
    task = make_task(session, now=NOON - seconds(20), due_at=NOON + seconds(3))
    session.execute(
        sa.text("INSERT INTO queue_positions (queue, priority, passed_at) VALUES ('tasks', 'normal', :at)"),
        {"at": NOON},
    )
    return task.id


def purged_while_workers_are_idle(session) -> UUID:
    worker(session)
    return make_task(session, now=NOON - seconds(20), due_at=NOON + seconds(3)).id


def behind_tasks_that_take_long(session) -> UUID:
    holder = worker(session, concurrency=1, free=0, acknowledged_early=1)
    held = make_claim(session, holder=holder)
    session.execute(sa.text("UPDATE tasks SET started_at = :at WHERE id = :id"), {"at": NOON - HOUR, "id": held.id})
    return make_task(session, now=NOON - seconds(2)).id


def third_in_line(session) -> UUID:
    holder = worker(session, concurrency=1)
    make_claim(session, holder=holder)
    make_task(session, priority="high")
    make_task(session, now=NOON - seconds(3))
    make_task(session, priority="low", now=NOON - seconds(4))
    return make_task(session, now=NOON - seconds(2)).id


def waiting_for_a_signal(session):
    task_id = make_waiting(session)
    session.execute(
        sa.text("INSERT INTO signals (target, name, data, at) VALUES (:id, 'aproved', '1', now())"), {"id": task_id}
    )
    return task_id


def waiting_for_its_children(session):
    task_id = make_waiting(session, waits={"children": 2, "steps": ["a", "b"]})
    for number, name in enumerate(("a", "b")):
        child = make_task(session)
        remember(session, task_id, name, number, kind="call", state="BEGUN", child_id=child.id, ended_at=None)
    return task_id


def cancelled_with_a_child(session):
    task_id = make_waiting(session, waits={"children": 1, "steps": ["a"]})
    remember(session, task_id, "a", 1, kind="call", state="BEGUN", child_id=make_task(session).id, ended_at=None)
    session.execute(sa.text("UPDATE tasks SET cancel_requested_at = :now WHERE id = :id"), {"now": NOON, "id": task_id})
    return task_id


def asleep(session):
    return make_waiting(session, waits={"until": (NOON + seconds(3600)).isoformat()})


def waiting_for_nobody_knows_what(session):
    return make_task(session, status=Status.WAITING, dispatched_at=None).id


@dataclass(frozen=True)
class Case:
    make: Callable[[Any], UUID]
    cause: str
    said: tuple[str, ...]
    """In the summary, the evidence or what to do."""


CASES = [
    Case(completed, "finished", ("COMPLETED",)),
    Case(failed, "finished", ("FAILED", "LookupError: no such city", "/retry")),
    Case(cancelled, "finished", ("cancelled by ada",)),
    Case(held_by_a_lost_worker, "worker_lost", ("worker-a/00000001", "2026-03-02T11:59:44Z")),
    Case(held_by_a_worker_that_nobody_knows, "worker_lost", ("not known any more",)),
    Case(asked_to_stop, "stopping", ("asked to stop",)),
    Case(running, "running", ("worker-a/00000001", "last seen at 2026-03-02T12:00:00Z", "/cancel")),
    Case(cancelled_with_a_child, "cancelling", ("one of its children", "2026-03-02T12:00:00Z")),
    Case(waiting_for_a_signal, "waiting_for_signal", ("the signal approved", "sent as aproved", "/signals/approved")),
    Case(waiting_for_its_children, "waiting_for_children", ("2 of its children", "/why")),
    Case(asleep, "sleeping", ("until 2026-03-02T13:00:00Z",)),
    Case(waiting_for_nobody_knows_what, "waiting", ("does not say for what", "/cancel")),
    Case(starting_later, "not_due", ("2026-03-02T13:00:00Z",)),
    Case(waiting_for_its_retry, "retry_due", ("2026-03-02T13:00:00Z", "LookupError", "retry 1 of 3")),
    Case(of_a_paused_type, "type_paused", ("by ada", "the relay is down", "/task-types/reverse_string/resume")),
    Case(in_a_paused_queue, "queue_paused", ("by ada", "/queues/tasks/resume")),
    Case(without_any_worker, "no_live_worker", ("celery -A tasks worker",)),
    Case(in_a_queue_that_nobody_takes, "no_worker_takes_queue", ("mail", "--queues tasks")),
    Case(of_a_type_that_nobody_knows, "no_worker_knows_type", ("reverse_string",)),
    Case(of_a_newer_release, "needs_newer_worker", ("needs a newer worker", "schema ffff", "none that is alive")),
    Case(
        for_a_receiver_that_fails,
        "circuit_open",
        ("open until 2", "5 attempts in a row failed (it answered 503)", "https://down.example.com:443", "is lost"),
    ),
    Case(under_a_full_limit, "limit_reached", ("the limit of type reverse_string", "/limits")),
    Case(under_a_spent_rate, "rate_reached", ("2026-03-02T12:01:00Z",)),
    Case(behind_another_with_its_key, "blocked_by_order", ("ordering_key", "'ahead': 1")),
    Case(held_for_its_turn, "waiting_for_its_turn", ("for its turn",)),
    Case(due_without_a_dispatcher, "dispatcher_away", ("2026-03-02T11:00:00Z", "celery -A tasks beat")),
    Case(held_because_the_broker_did_not_take_it, "waiting_for_dispatch", ("connection refused",)),
    Case(passed_by_a_later_hint, "message_lost", ("a later one was taken", "2026-03-02T12:00:03Z")),
    Case(purged_while_workers_are_idle, "message_lost", ("idle", "2026-03-02T12:00:03Z")),
    Case(behind_tasks_that_take_long, "workers_busy", ("All 1 places", "1 of them by tasks that take long")),
    Case(third_in_line, "in_line", ("number 3 in line",)),
]


@pytest.mark.parametrize("case", CASES, ids=[case.make.__name__ for case in CASES])
def test_every_cause_is_recognised(case, session):
    task_id = case.make(session)

    answer = explain.why(session, task_id, owner=None, now=NOON)

    assert answer.cause == case.cause, answer
    for said in case.said:
        assert said in f"{answer.summary} {answer.evidence} {answer.fix}", answer


@pytest.mark.parametrize("case", CASES, ids=[case.make.__name__ for case in CASES])
def test_a_measured_ledger_gives_the_same_answers(case, session):
    task_id = case.make(session)
    Measure()._measure(session, NOON)

    assert explain.why(session, task_id, owner=None, now=NOON).cause == case.cause


def test_no_cause_is_left_out():
    assert {case.cause for case in CASES} == set(CAUSES)


def test_other_causes_that_hold_as_well_are_named(session):
    task_id = starting_later(session)

    answer = explain.why(session, task_id, owner=None, now=NOON)

    assert answer.evidence["also"] == ["no_live_worker", "no_worker_takes_queue", "no_worker_knows_type"]


ENDED_OR_RUNNING = (completed, failed, cancelled, held_by_a_lost_worker, asked_to_stop, running)


@pytest.mark.parametrize("make", ENDED_OR_RUNNING, ids=lambda make: make.__name__)
def test_nothing_is_said_to_hold_that_was_not_looked_at(session, make):
    """Who has ended, or runs, waits for no worker: not to have counted them does not mean that there is none."""
    worker(session, node="another")
    task_id = make(session)

    answer = explain.why(session, task_id, owner=None, now=NOON)

    assert "also" not in answer.evidence


def test_of_a_lost_worker_that_was_to_stop_both_is_said_and_not_that_it_runs(session):
    task_id = held_by_a_lost_worker(session)
    lifecycle.ask_to_stop(session, [task_id], now=NOON)

    answer = explain.why(session, task_id, owner=None, now=NOON)

    assert (answer.cause, answer.evidence["also"]) == ("worker_lost", ["stopping"])


ALSO = {
    without_any_worker: ["no_worker_takes_queue", "no_worker_knows_type"],
    in_a_queue_that_nobody_takes: ["no_worker_knows_type"],
    starting_later: ["no_live_worker", "no_worker_takes_queue", "no_worker_knows_type"],
    waiting_for_its_retry: ["no_live_worker", "no_worker_takes_queue", "no_worker_knows_type"],
    for_a_receiver_that_fails: ["dispatcher_away", "waiting_for_dispatch"],
    under_a_full_limit: ["dispatcher_away", "waiting_for_dispatch"],
    under_a_spent_rate: ["dispatcher_away", "waiting_for_dispatch"],
    behind_another_with_its_key: ["dispatcher_away", "waiting_for_dispatch"],
    held_for_its_turn: ["waiting_for_dispatch"],
    due_without_a_dispatcher: ["waiting_for_dispatch"],
    of_a_paused_type: ["waiting_for_dispatch"],
    of_a_newer_release: ["waiting_for_dispatch"],
    cancelled_with_a_child: ["waiting_for_children"],
}
"""What else holds in each of the cases, as somebody would find who looked; nothing in those that are not here."""


@pytest.mark.parametrize("case", CASES, ids=[case.make.__name__ for case in CASES])
def test_what_else_is_named_holds(session, case):
    task_id = case.make(session)

    answer = explain.why(session, task_id, owner=None, now=NOON)

    assert answer.evidence.get("also", []) == ALSO.get(case.make, [])


def test_the_place_in_a_long_line_is_told_without_counting(session, monkeypatch):
    monkeypatch.setattr("app.services.measuring.levels.LINES_FROM", 100)
    make_claim(session, holder=worker(session, concurrency=1))
    tasks = [make_task(session, now=NOON - seconds(400 - n)) for n in range(300)]
    make_task(session, priority="high")
    Measure()._measure(session, NOON)

    first, middle, last = (
        explain.why(session, tasks[n].id, owner=None, now=NOON).evidence["position"] for n in (0, 150, 299)
    )

    assert abs(first - 2) <= 3
    assert abs(middle - 152) <= 3
    assert abs(last - 301) <= 3


def schedule_cases(session) -> dict[str, UUID]:
    busy = make_task(session)
    return {
        "disabled": create_schedule(session, enabled=False).id,
        "problem": create_schedule(session, problem="there is no time zone Mars/Olympus").id,
        "overlap": create_schedule(session, overlap="skip", last_task_id=busy.id).id,
        "no_slot_left": create_schedule(session, run_at=NOON - HOUR, next_at=None).id,
        "slot_due": create_schedule(session, next_at=NOON - seconds(1)).id,
        "not_due": create_schedule(session).id,
    }


def test_every_cause_of_a_schedule_is_recognised(session):
    made = schedule_cases(session)

    answers = {name: explain.why_schedule(session, id_, owner=None, now=NOON).cause for name, id_ in made.items()}

    assert answers == {name: name for name in SCHEDULE_CAUSES}


def test_a_slot_that_waits_for_its_predecessor_says_so(session):
    busy = make_task(session)
    waiting = create_schedule(session, overlap="queue_one", last_task_id=busy.id, queued_slot_at=NOON - HOUR)

    answer = explain.why_schedule(session, waiting.id, owner=None, now=NOON)

    assert answer.cause == "overlap"
    assert "its slot of 2026-03-02T11:00:00Z waits" in answer.summary
    assert f"/tasks/{busy.id}/why" in answer.fix


def test_a_schedule_of_runs_is_blocked_by_its_last_run(session):
    run = start(session, {"a": step()})
    schedule = create_schedule(session, overlap="skip", last_run_id=run.id)

    busy = explain.why_schedule(session, schedule.id, owner=None, now=NOON)
    end(session, run.id, "a", "done")
    free = explain.why_schedule(session, schedule.id, owner=None, now=NOON)

    assert (busy.cause, free.cause) == ("overlap", "not_due")
    assert f"/runs/{run.id}/why" in busy.fix


def run_cases(session) -> dict[str, UUID]:
    """A run for each cause."""
    made = {name: start(session, {"a": step(), "b": step("a")}, name=name).id for name in ("blocked_by_step", "paused")}
    workflows.pause(session, made["paused"], visible_to=None, now=NOON)
    made["steps_under_way"] = start(session, {"a": step()}, name="one").id
    made["finished"] = start(session, {"a": step()}, name="ended").id
    end(session, made["finished"], "a", "done")
    steps = {"a": step(type_="generate_pdf", payload=pdf()), "b": step("a")}
    made["undoing"] = start(session, steps, name="broken").id
    end(session, made["undoing"], "a", {"artifact_id": str(new_id())})
    end(session, made["undoing"], "b", BROKEN)
    made["not_due"] = start(session, {"a": step()}, name="later").id
    session.execute(sa.text("UPDATE workflow_runs SET starts_at = :at WHERE id = :id"),
                    {"at": NOON + HOUR, "id": made["not_due"]})  # fmt: skip
    return made


def test_every_cause_of_a_run_is_recognised(session):
    made = run_cases(session)

    answers = {name: explain.why_run(session, id_, owner=None, now=NOON).cause for name, id_ in made.items()}

    assert answers == {name: name for name in RUN_CAUSES}


def test_a_run_cancelled_in_its_pause_is_not_told_to_be_resumed(session):
    run, _ = cancelled_in_its_pause(session, {"a": step()})

    answer = explain.why_run(session, run.id, owner=None, now=NOON)

    assert (answer.cause, answer.evidence["under_way"]["a"]["status"]) == ("steps_under_way", "PROCESSING")


def test_a_step_that_waits_is_told_with_the_task_that_it_waits_for(session):
    run = start(session, {"a": step(), "b": step("a"), "c": step("a", "b")})
    task = task_of(session, run.id, "a")

    answer = explain.why_run(session, run.id, owner=None, now=NOON)

    assert answer.summary == "The step b waits for a to end, and 1 more step waits."
    assert answer.evidence["blocked"] == {"b": ["a"], "c": ["a", "b"]}
    assert answer.evidence["under_way"]["a"] == {"task_id": str(task.id), "status": "PENDING", "attempt": 0}
    assert f"/tasks/{task.id}/why" in answer.fix


def test_a_step_that_waits_for_a_signal_is_told_with_the_signal(session):
    run = start(session, {"a": {"wait_for": "approved"}, "b": step("a")})
    task = task_of(session, run.id, "a")
    bring_to(session, Status.WAITING, task.id)
    session.execute(
        sa.text("UPDATE tasks SET reason = 'waits for the signal approved' WHERE id = :id"), {"id": task.id}
    )

    answer = explain.why_run(session, run.id, owner=None, now=NOON)

    assert answer.summary == "The step b waits for a (waits for the signal approved) to end."


def test_the_command_prints_what_an_error_says_as_it_stands(application, engine, session):
    held = make_claim(session, max_retries=0)
    lifecycle.fail(session, held, Failure(type="ValueError", message="[/bold] is no [red]colour"), now=NOON)
    session.commit()

    told = application.test_cli_runner().invoke(why, [str(held.id)])

    assert told.exit_code == 0
    assert "[/bold] is no [red]colour" in told.output.replace("\n", " ")


def test_the_command_tells_of_runs(application, engine, session):
    run = start(session, {"a": step(), "b": step("a")})

    told = application.test_cli_runner().invoke(why, [str(run.id)])

    assert "blocked_by_step: The step b waits for a to end." in told.output


def test_the_command_tells_it_too(application, engine, session):
    task = make_task(session, status=Status.SCHEDULED, due_at=NOON.replace(year=2099), dispatched_at=None)
    session.commit()
    runner = application.test_cli_runner()

    told = runner.invoke(why, [str(task.id)])
    unknown = runner.invoke(why, [str(new_id())])

    assert (told.exit_code, unknown.exit_code) == (0, 1)
    assert "not_due: It is not due: it starts at 2099" in told.output
