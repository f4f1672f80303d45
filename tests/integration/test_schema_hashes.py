"""Which schema a payload was accepted under: said by whatever keeps one, and published by nobody who is older."""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from app.clock import utcnow
from app.models import Priority, Status, StepState, Worker
from app.services import schedules, workflows
from app.services.schedules import NewSchedule
from app.services.schedules.targets import TaskTemplate
from app.services.sql import published
from app.services.workflows import NewRun
from taskledger_sdk.registry import TaskType
from tests.support.factories import NOON, make_task, read_task
from tests.support.runs import create_workflow, end, states, step, task_of

TASKS = "/api/v1/tasks"


@dataclass(frozen=True, kw_only=True)
class First:
    size: Literal["s", "m"]


@dataclass(frozen=True, kw_only=True)
class Second:
    width: int


def widths(payload: dict[str, Any]) -> dict[str, Any]:
    return {"width": {"s": 1, "m": 2}[payload["size"]]}


def hash_of_row(session, task_id) -> str | None:
    return session.scalar(sa.text("SELECT schema_hash FROM tasks WHERE id = :id"), {"id": task_id})


def test_a_submission_is_stored_with_the_schema_of_its_type(client, session, release):
    kind = release(First)

    one = client.post(TASKS, json={"type": "resize", "payload": {"size": "s"}}).json["id"]
    many = client.post(f"{TASKS}/batch", json={"tasks": [{"type": "resize", "payload": {"size": "s"}}] * 10}).json

    ids = [one, *(each["task"]["id"] for each in many["results"])]
    assert {hash_of_row(session, each) for each in ids} == {kind.schema_hash}


def test_a_payload_that_is_changed_is_one_of_the_release_that_takes_the_change(client, session, release):
    release(First)
    task = make_task(session, type="resize", payload={"size": "s"}, schema_hash="aaaaaaaaaaaa")
    session.commit()
    kind = release(Second)

    assert client.patch(f"{TASKS}/{task.id}", json={"payload": {"width": 5}}).status_code == 200

    assert hash_of_row(session, task.id) == kind.schema_hash


def test_a_name_that_is_changed_changes_no_schema(client, session, release):
    task = make_task(session, type="reverse_string", schema_hash="aaaaaaaaaaaa")
    session.commit()

    assert client.patch(f"{TASKS}/{task.id}", json={"name": "another"}).status_code == 200

    assert hash_of_row(session, task.id) == "aaaaaaaaaaaa"


def test_a_dead_letter_that_is_replayed_with_another_payload_is_of_this_release(client, session, release):
    old = release(First).schema_hash
    task = make_task(session, type="resize", payload={"size": "s"}, schema_hash=old)
    session.commit()
    assert client.post(f"{TASKS}/{task.id}/cancel").status_code == 200
    kind = release(Second)

    assert client.post(f"{TASKS}/{task.id}/retry", json={"payload": {"width": 5}}).status_code == 200

    assert hash_of_row(session, task.id) == kind.schema_hash


def schedule_of(session, **options):
    template = TaskTemplate(type="resize", payload={"size": "m"}, fields={"priority": Priority.NORMAL.value})
    return schedules.create(
        session, NewSchedule(cron="0 * * * *", task=template, **options), owner_id=None, now=NOON, most=10
    )


def test_what_a_schedule_submits_is_of_the_release_that_accepted_the_schedule(session, release):
    old = release(First)
    schedule = schedule_of(session)
    release(Second, upgrade={old.schema_hash: widths}, ordering_key="width:{payload.width}")

    draft = schedules.run_now(session, schedule.id, visible_to=None, now=NOON)

    task = read_task(session, draft.id)
    assert (task.payload, task.schema_hash) == ({"size": "m"}, old.schema_hash)
    assert task.ordering_key == "width:2"  # taken from the payload as it is now


def test_a_schedule_whose_payload_stays_is_still_of_the_release_that_accepted_it(session, release):
    old = release(First)
    schedule = schedule_of(session)
    release(Second, upgrade={old.schema_hash: widths})
    template = TaskTemplate(type="resize", payload={"size": "m"}, fields={"max_retries": 7})

    changed = schedules.change(session, schedule.id, {"task": template}, visible_to=None, now=NOON)

    assert changed.target["task"]["max_retries"] == 7
    assert changed.schema_hash == old.schema_hash


def test_one_whose_payload_is_replaced_is_of_the_release_that_takes_it(session, release):
    old = release(First)
    schedule = schedule_of(session)
    kind = release(Second, upgrade={old.schema_hash: widths})
    template = TaskTemplate(type="resize", payload={"width": 5}, fields={})

    changed = schedules.change(session, schedule.id, {"task": template}, visible_to=None, now=NOON)

    assert changed.schema_hash == kind.schema_hash


def started(session, release) -> tuple[TaskType, Any]:
    """A run whose second step is still to come, started by a release with the first payload."""
    old = release(First)
    steps = {"a": step(), "b": step("a", type_="resize", payload={"size": "s"})}
    flow = create_workflow(session, steps)
    run = workflows.start(session, flow, NewRun(input={}), owner_id=None, now=NOON)
    session.commit()
    return old, run


def live_worker(session, schema_hash: str) -> None:
    row = {
        "id": "old/00000001", "node": "old", "host": "here", "pid": 1, "concurrency": 2, "queues": ["tasks"],
        "types": {"resize": schema_hash}, "version": "1", "runtime": {}, "started_at": utcnow(),
        "last_seen_at": utcnow(), "stopped_at": None,
    }  # fmt: skip
    session.execute(sa.insert(Worker.__table__).values(row))


def test_a_step_that_the_new_release_refuses_is_left_to_the_old_one_while_it_lives(session, release):
    old, run = started(session, release)
    release(Second)
    live_worker(session, old.schema_hash)

    end(session, run.id, "a")

    task = task_of(session, run.id, "b")
    assert (task.status, task.schema_hash) == (Status.PENDING, old.schema_hash)


def test_or_to_a_new_one_that_upgrades_it(session, release):
    old, run = started(session, release)
    release(Second, upgrade={old.schema_hash: widths})

    end(session, run.id, "a")

    assert task_of(session, run.id, "b").schema_hash == old.schema_hash


def test_a_step_that_nobody_takes_fails_its_run_as_it_always_did(session, release):
    _, run = started(session, release)
    release(Second)

    end(session, run.id, "a")

    assert states(session, run.id)["b"] == StepState.FAILED


def publish(session, kind: TaskType, *, by: str) -> dict[str, Any]:
    tell = published.types if by == "setup" else published.newer_types
    tell(session, [kind], now=utcnow())
    row = session.execute(sa.text("SELECT * FROM task_types WHERE name = 'resize'")).mappings().one()
    return dict(row)


def test_an_older_worker_never_writes_over_a_newer_schema(session, release):
    old = release(First)
    publish(session, old, by="setup")
    new = release(Second)

    assert publish(session, new, by="setup")["schema_hash"] == new.schema_hash
    row = publish(session, old, by="worker")

    assert (row["schema_hash"], row["earlier_hashes"]) == (new.schema_hash, [old.schema_hash])


def test_a_worker_publishes_what_was_never_there(session, release):
    old = release(First)
    assert publish(session, old, by="worker")["schema_hash"] == old.schema_hash
    new = release(Second)

    assert publish(session, new, by="worker")["schema_hash"] == new.schema_hash


def test_setup_of_an_older_release_goes_back(session, release):
    old = release(First)
    publish(session, old, by="setup")
    publish(session, release(Second), by="setup")

    row = publish(session, old, by="setup")

    assert row["schema_hash"] == old.schema_hash
    assert old.schema_hash not in row["earlier_hashes"]


def test_a_worker_brings_no_retired_type_back(session, release):
    kind = release(First)
    publish(session, kind, by="setup")
    published.retire_others(session, [], now=utcnow())

    assert publish(session, kind, by="worker")["retired_at"] is not None
    assert publish(session, kind, by="setup")["retired_at"] is None


def test_a_hundred_earlier_schemas_are_kept(session, release):
    kind = release(First)
    publish(session, kind, by="setup")
    session.execute(
        sa.text("UPDATE task_types SET earlier_hashes = array(SELECT n::text FROM generate_series(1, 100) AS n)")
    )

    row = publish(session, release(Second), by="setup")

    assert row["earlier_hashes"] == [*map(str, range(2, 101)), kind.schema_hash]
