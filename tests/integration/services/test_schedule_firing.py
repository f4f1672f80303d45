"""Firing schedules on PostgreSQL: slots, tasks, policies, and what a dispatcher leaves when it dies."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.database import Session
from app.models import new_id
from app.services import schedules
from app.services.schedules import leave
from app.services.schedules.occurrences import SLOTS_A_LOOK
from app.services.submission import store
from tests.support.factories import NOON, bring_to, create_schedule, read_task, seconds, slots_of
from tests.support.runs import create_workflow, step

ONE = NOON + timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def fire(session: Session, now) -> int:
    looked = schedules.fire_due(session, now=now, limit=100) + schedules.fire_released(session, now=now, limit=100)
    session.commit()
    return looked


def finish(session: Session, task_id) -> None:
    bring_to(session, "COMPLETED", task_id)
    session.commit()


def states(session: Session, schedule) -> list[str]:
    return [slot.state for slot in slots_of(session, schedule)]


def test_a_slot_that_has_come_submits_its_task_and_says_so(session):
    schedule = create_schedule(session, name="hourly")

    fire(session, ONE)

    [slot] = slots_of(session, schedule)
    task = read_task(session, slot.task_id)
    assert (slot.slot_at, slot.state) == (ONE, "fired")
    assert (task.type, task.payload, task.name) == ("reverse_string", "hello", "hourly")
    assert (task.status, task.dispatched_at, task.due_at) == ("PENDING", None, ONE)


def test_the_next_slot_is_computed_when_one_has_fired(session):
    schedule = create_schedule(session)

    fire(session, ONE)

    after = schedules.read(session, schedule.id, visible_to=None)
    assert (after.accounted_until, after.next_at) == (ONE, ONE + timedelta(hours=1))
    assert after.last_slot_at == ONE


def test_nothing_fires_before_its_time_or_twice(session):
    schedule = create_schedule(session)

    looked = [fire(session, now) for now in (ONE - seconds(1), ONE, ONE + seconds(1))]

    assert looked == [0, 1, 0]
    assert states(session, schedule) == ["fired"]


def test_what_the_template_says_is_what_the_task_has(session):
    template = {"type": "uppercase_text", "payload": "a", "name": "own", "priority": "high", "max_retries": 7,
                "timeout": 11, "labels": {"team": "billing"}}  # fmt: skip
    schedule = create_schedule(session, target={"task": template})

    fire(session, ONE)

    task = read_task(session, slots_of(session, schedule)[0].task_id)
    assert (task.name, task.priority, task.max_retries, task.timeout_seconds) == ("own", "high", 7, 11)
    assert task.labels == {"team": "billing"}


def test_a_one_off_fires_once_and_has_no_next(session):
    schedule = create_schedule(session, run_at=ONE)

    fire(session, ONE)

    assert states(session, schedule) == ["fired"]
    assert schedules.read(session, schedule.id, visible_to=None).next_at is None


def test_two_dispatchers_at_once_fire_a_slot_once(session, engine):
    schedule = create_schedule(session)
    session.commit()

    with Session(engine) as other:
        schedules.fire_due(session, now=ONE, limit=10)
        seen_by_the_other = schedules.fire_due(other, now=ONE, limit=10)
    session.commit()

    assert seen_by_the_other == 0
    assert states(session, schedule) == ["fired"]


def test_a_slot_that_has_its_row_is_not_fired_even_if_the_schedule_forgot_it(session):
    schedule = create_schedule(session)
    fire(session, ONE)
    session.execute(sa.text("UPDATE schedules SET accounted_until = :at, next_at = :next"), {"at": NOON, "next": ONE})

    fire(session, ONE)

    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 1
    assert schedules.read(session, schedule.id, visible_to=None).next_at == ONE + timedelta(hours=1)


def test_a_dispatcher_that_dies_before_its_commit_leaves_the_slot_to_the_next(session, engine):
    schedule = create_schedule(session)
    session.commit()
    with Session(engine) as dying:
        schedules.fire_due(dying, now=ONE, limit=10)
        dying.rollback()

    fire(session, ONE)

    assert states(session, schedule) == ["fired"]


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("skip", {"missed": 60}),
        ("run_once", {"missed": 59, "fired": 1}),
        ("run_all", {"missed": 55, "fired": 5}),
    ],
)
def test_the_dispatcher_was_down_for_an_hour(session, misfire, expected):
    schedule = create_schedule(session, cron="* * * * *", misfire=misfire, misfire_cap=5)

    fire(session, ONE + seconds(45))

    slots = slots_of(session, schedule)
    assert {state: sum(slot.state == state for slot in slots) for state in expected} == expected
    assert [slot.slot_at for slot in slots] == [NOON + n * MINUTE for n in range(1, 61)]
    assert all(f"misfire {misfire}" in slot.reason for slot in slots if slot.state == "missed")
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == expected.get("fired", 0)


def test_a_long_absence_is_worked_off_in_looks_and_the_cap_counts_from_the_end(session):
    schedule = create_schedule(session, cron="* * * * *", misfire="run_all", misfire_cap=3)
    back = NOON + (SLOTS_A_LOOK * 2 + 50) * MINUTE + seconds(45)

    while fire(session, back):
        pass

    assert states(session, schedule) == ["missed"] * (SLOTS_A_LOOK * 2 + 47) + ["fired"] * 3


def test_overlap_skip_skips_while_the_last_task_is_unfinished(session):
    schedule = create_schedule(session, overlap="skip")
    for n in (1, 2):
        fire(session, NOON + timedelta(hours=n))
    finish(session, slots_of(session, schedule)[0].task_id)

    fire(session, NOON + timedelta(hours=3))

    assert states(session, schedule) == ["fired", "skipped", "fired"]


def test_overlap_queue_one_fires_the_waiting_slot_when_the_last_task_finishes(session):
    schedule = create_schedule(session, overlap="queue_one")
    for n in (1, 2, 3):
        fire(session, NOON + timedelta(hours=n))
    before = states(session, schedule)
    finish(session, slots_of(session, schedule)[0].task_id)

    fire(session, NOON + timedelta(hours=3, minutes=5))

    assert before == ["fired", "skipped"]
    assert states(session, schedule) == ["fired", "fired", "skipped"]


def test_jitter_moves_the_start_of_the_task_and_not_the_slot(session):
    schedule = create_schedule(session, jitter_seconds=600)

    fire(session, ONE)

    [slot] = slots_of(session, schedule)
    task = read_task(session, slot.task_id)
    assert (slot.slot_at, task.status) == (ONE, "SCHEDULED")
    assert ONE < task.due_at < ONE + timedelta(minutes=10)


def test_a_disabled_owner_fires_nothing_and_the_slot_says_why(session, monkeypatch):
    owner = new_id()
    theirs, others = create_schedule(session, owner_id=owner), create_schedule(session)
    monkeypatch.setattr(leave, "owner_is_active", lambda _, owner_id: owner_id != owner)

    fire(session, ONE)

    [slot] = slots_of(session, theirs)
    assert (slot.state, slot.reason) == ("skipped", "the owner's account is disabled")
    assert states(session, others) == ["fired"]


def test_a_task_type_that_is_gone_skips_its_slots_and_nobody_elses(session):
    gone = create_schedule(session, target={"task": {"type": "gone", "payload": 1}})
    other = create_schedule(session)

    fire(session, ONE)

    assert slots_of(session, gone)[0].reason == "task type 'gone' is not known to this dispatcher"
    assert states(session, other) == ["fired"]


def test_a_workflow_whose_task_type_is_gone_skips_its_slots_and_nobody_elses(session):
    create_workflow(session, {"a": step()}, name="old")
    gone = create_schedule(session, target={"workflow": {"name": "old", "input": {}}})
    other = create_schedule(session)
    outdated = "UPDATE workflow_versions SET definition = replace(definition::text, 'reverse_string', 'gone')::json"
    session.execute(sa.text(outdated))

    fire(session, ONE)

    [slot] = slots_of(session, gone)
    assert (slot.state, "no task type is called 'gone'" in slot.reason) == ("skipped", True)
    assert states(session, other) == ["fired"]


def test_a_zone_that_is_not_known_here_is_told_and_the_slots_wait_until_it_is(session):
    lost = create_schedule(session, time_zone="Mars/Olympus", next_at=ONE)
    other = create_schedule(session)

    fire(session, ONE)
    problem = schedules.read(session, lost.id, visible_to=None).problem
    session.execute(sa.text("UPDATE schedules SET time_zone = 'UTC' WHERE id = :id"), {"id": lost.id})
    fire(session, ONE + timedelta(minutes=6))

    assert "Mars/Olympus" in problem
    assert states(session, other) == ["fired"]
    assert [slot.slot_at for slot in slots_of(session, lost)] == [ONE]
    assert schedules.read(session, lost.id, visible_to=None).problem is None


@pytest.mark.parametrize("payload", [None, "é\\u2028'\"", 0, -1.5, True, [], {"a": [None, {"b": "c"}]}])
def test_a_payload_reaches_its_task_as_it_was_given(session, payload):
    schedule = create_schedule(session, target={"task": {"type": "reverse_string", "payload": payload}})

    fire(session, ONE)

    assert read_task(session, slots_of(session, schedule)[0].task_id).payload == payload


def test_storing_no_drafts_stores_nothing(session):
    store(session, [], is_urgent=False)

    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 0
