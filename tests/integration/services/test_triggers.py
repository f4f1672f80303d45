"""Triggers applied to events: each matching one starts its work once, as its owner may today; others say why not."""

import time

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.errors import Refused
from app.models import MatchState, new_id
from app.services import triggers
from app.services.accounts.quotas import WAITING_TASKS
from app.services.triggers import NewEvent, NewTrigger, TaskTemplate, WorkflowTemplate
from taskledger_sdk.errors import NoRoom
from tests.support.factories import NOON, make_task, read_task
from tests.support.people import make_person
from tests.support.runs import create_workflow, step
from tests.support.servers.attempts import run_attempt

EVENT = "order.paid"
TASK = TaskTemplate(type="reverse_string", payload={"$from": "event.data.order_id"})
DATA = {"order_id": "A-17", "total": 120, "customer": {"id": 42}}


@pytest.fixture
def owner(engine, database_url):
    WAITING_TASKS.forget()
    return make_person(database_url).id


@pytest.fixture
def trigger(session, owner):
    """Create a trigger at noon."""

    def created(*, owner_id=owner, **said):
        task = None if "workflow" in said else TASK
        wanted = NewTrigger(**{"event": EVENT, "task": task, **said})
        made = triggers.create(session, wanted, new_id(), owner_id=owner_id, now=NOON)
        session.commit()
        return made

    return created


@pytest.fixture
def happen(session, owner):
    """An event that was accepted, not applied yet."""

    def happened(data=DATA, *, name=EVENT, owner_id=owner, now=NOON, **said):
        new = NewEvent(name=name, data=data, **said)
        event, _ = triggers.receive_once(session, new, key=None, owner_id=owner_id, now=now)
        session.commit()
        return event

    return happened


def apply(session, event, **options):
    progress = triggers.apply_some(session, event.id, now=NOON, **options)
    session.commit()
    return progress


def seen(session, event):
    return triggers.view_event(session, triggers.read_event(session, event.id, visible_to=None))


def started_tasks(session, owner):
    query = sa.text("SELECT id FROM tasks WHERE owner_id = :owner AND type <> 'apply_triggers' ORDER BY id")
    return [read_task(session, id_) for id_ in session.scalars(query, {"owner": owner})]


def test_an_event_submits_the_task_of_a_trigger_with_what_it_says(session, owner, trigger, happen):
    made = trigger(
        task=TaskTemplate(
            type="reverse_string",
            payload={"$text": ["order ", {"$from": "event.data.order_id"}]},
            fields={
                "priority": "high",
                "labels": {"customer": {"$from": "event.data.customer.id"}, "event": {"$from": "event.name"}},
                "ordering_key": {"$from": "event.data.customer.id"},
            },
        )
    )
    event = happen()

    assert apply(session, event).is_done

    [task] = started_tasks(session, owner)
    assert (task.payload, task.priority, task.ordering_key) == ("order A-17", "high", "42")
    assert task.labels == {"customer": "42", "event": EVENT}
    [match] = seen(session, event).matches
    assert (match.trigger_id, match.state, match.task_id) == (made.id, MatchState.STARTED, task.id)


def test_an_event_starts_a_run(session, owner, trigger, happen):
    create_workflow(session, {"only": step(payload={"$from": "input.order"})}, name="ship", owner_id=owner)
    trigger(workflow=WorkflowTemplate(name="ship", input={"order": {"$from": "event.data.order_id"}}))
    event = happen()

    apply(session, event)

    [match] = seen(session, event).matches
    found = session.execute(sa.text("SELECT id, input FROM workflow_runs")).one()
    assert (match.run_id, found.input) == (found.id, {"order": "A-17"})


def test_triggers_of_other_accounts_events_and_times_do_not_hear_it(session, owner, database_url, trigger, happen):
    trigger(owner_id=make_person(database_url).id)
    trigger(owner_id=None)
    trigger(event="order.lost")
    trigger(enabled=False)
    event = happen()
    wanted = NewTrigger(event=EVENT, task=TASK)
    triggers.create(session, wanted, new_id(), owner_id=owner, now=utcnow())  # later than the event

    apply(session, event)

    assert started_tasks(session, owner) == []
    assert seen(session, event).summary == f"No enabled trigger of this account listened for {EVENT!r}."


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({"greater": [{"$from": "event.data.total"}, 500]}, "when.greater: 120 is not greater than 500"),
        ({"all": [True, {"equals": [{"$from": "event.data.order_id"}, "B"]}]}, 'when.all.1.equals: "A-17" is not "B"'),
        ({"any": [False, {"exists": {"$from": "event.data.vip"}}]}, "when.any: none of its parts holds"),
        ({"exists": {"$from": "event.data.vip"}}, "when.exists: there is no event.data.vip"),
        ({"not": {"exists": {"$from": "event.data.total"}}}, "when.not: what it denies holds"),
        ({"greater": [{"$from": "event.data.weight"}, 1]}, "there is no event.data.weight"),
        ({"less": [{"$from": "event.data.order_id"}, 1]}, "only two numbers or two texts have an order"),
    ],
)
def test_a_trigger_that_does_not_match_says_why(condition, reason, session, owner, trigger, happen):
    made = trigger(condition=condition)
    event = happen()

    apply(session, event)

    view = seen(session, event)
    assert started_tasks(session, owner) == []
    assert view.event.unmatched == 1
    [told] = view.event.unmatched_sample
    assert told["trigger_id"] == str(made.id)
    assert reason in told["reason"]


def test_secrets_of_an_event_are_not_told_with_the_reason(session, trigger, happen):
    trigger(condition={"equals": [{"$from": "event.data.password"}, "hunter2"]})
    event = happen({"password": "correct horse"})

    apply(session, event)

    [told] = seen(session, event).event.unmatched_sample
    assert "correct horse" not in told["reason"]


def test_applying_again_starts_nothing(session, owner, trigger, happen):
    trigger()
    event = happen()

    assert [apply(session, event).is_done for _ in range(2)] == [True, True]

    assert len(started_tasks(session, owner)) == 1


def test_an_application_that_dies_goes_on_behind_its_last_batch(session, owner, trigger, happen):
    for _ in range(5):
        trigger()
    event = happen()

    assert not apply(session, event, limit=2).is_done
    triggers.apply_some(session, event.id, now=NOON, limit=2)
    session.rollback()  # killed before its commit
    while not apply(session, event, limit=2).is_done:
        pass

    view = seen(session, event)
    assert len(started_tasks(session, owner)) == view.started == 5
    assert len({match.trigger_id for match in view.matches}) == 5


def test_what_a_type_refuses_keeps_no_other_trigger_from_its_work(session, owner, trigger, happen):
    trigger(task=TaskTemplate(type="reverse_string", payload={"$from": "event.data.customer"}))
    trigger(task=TaskTemplate(type="reverse_string", payload={"$from": "event.data.nothing"}))
    trigger()
    event = happen()

    apply(session, event)

    view = seen(session, event)
    assert [match.state for match in view.matches] == ["refused", "refused", "started"]
    assert "reverse_string refuses its payload" in view.matches[0].reason
    assert "there is no event.data.nothing" in view.matches[1].reason
    assert view.summary.startswith("Of 3 triggers")


def test_a_workflow_that_refuses_its_input_leaves_no_run(session, owner, trigger, happen):
    definition = {"only": step(payload={"$from": "input.total"})}
    create_workflow(session, definition, name="ship", owner_id=owner, input={"total": {"type": "integer"}})
    trigger(workflow=WorkflowTemplate(name="ship", input={"total": {"$from": "event.data.order_id"}}))
    trigger()
    event = happen()

    apply(session, event)

    assert [match.state for match in seen(session, event).matches] == ["refused", "started"]
    assert session.scalar(sa.text("SELECT count(*) FROM workflow_runs")) == 0


def test_a_trigger_may_start_what_its_owner_may_today(session, owner, trigger, happen):
    trigger()
    session.execute(sa.text("UPDATE users SET allowed_types = ARRAY['uppercase_text'] WHERE id = :id"), {"id": owner})
    event = happen()

    apply(session, event)

    [match] = seen(session, event).matches
    assert match.state == MatchState.REFUSED
    assert "may not use tasks of type reverse_string" in match.reason


def test_a_closed_account_starts_nothing(session, owner, trigger, happen):
    trigger()
    event = happen()
    session.execute(sa.text("UPDATE users SET disabled_at = now() WHERE id = :id"), {"id": owner})

    apply(session, event)

    assert [match.reason for match in seen(session, event).matches] == ["the owner's account is disabled"]


def test_without_room_an_event_waits_and_goes_on_where_it_was(session, owner, trigger, happen):
    for _ in range(3):
        trigger()
    event = happen()
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 2 WHERE id = :id"), {"id": owner})
    session.commit()
    WAITING_TASKS.forget()

    progress = apply(session, event)  # the task that applies it waits, too

    assert (progress.is_done, progress.has_room) == (False, False)
    assert len(started_tasks(session, owner)) == 1

    session.execute(sa.text("UPDATE users SET max_waiting_tasks = NULL WHERE id = :id"), {"id": owner})
    session.commit()
    WAITING_TASKS.forget()
    assert apply(session, event).is_done
    assert len(started_tasks(session, owner)) == 3


def test_the_task_of_an_event_applies_its_triggers(session, owner, trigger, happen):
    trigger()
    event = happen(now=utcnow())

    run_attempt("apply_triggers", event.task_id)
    session.rollback()

    assert read_task(session, event.task_id).status == "COMPLETED"
    assert seen(session, event).state == "applied"
    assert len(started_tasks(session, owner)) == 1


def test_the_task_of_an_event_is_tried_again_when_there_is_no_room(session, owner, trigger, happen):
    trigger()
    event = happen(now=utcnow())
    session.execute(sa.text("UPDATE users SET max_waiting_tasks = 1 WHERE id = :id"), {"id": owner})
    make_task(session, owner_id=owner)
    session.commit()
    WAITING_TASKS.forget()

    run_attempt("apply_triggers", event.task_id)
    session.rollback()

    task = read_task(session, event.task_id)
    assert (task.status, task.error["type"]) == ("RETRYING", NoRoom.__name__)
    assert seen(session, event).state == "waiting"


def test_old_events_go_with_their_matches_and_waiting_ones_stay(session, trigger, happen):
    trigger()
    old, waiting = happen(), happen()
    apply(session, old)

    assert triggers.prune(session, before=utcnow(), limit=10) == 1

    assert session.scalar(sa.text("SELECT count(*) FROM trigger_matches")) == 0
    assert triggers.read_event(session, waiting.id, visible_to=None).id == waiting.id


def test_10000_triggers_of_other_events_cost_an_event_nothing(session, owner, trigger, happen):
    made = trigger()
    session.execute(
        sa.text("""
            INSERT INTO triggers (id, owner_id, event, target, enabled, created_at, updated_at)
            SELECT gen_random_uuid(), :owner, 'other.' || n, CAST(:target AS jsonb), true, :now, :now
            FROM generate_series(1, 10000) AS n
        """),
        {"owner": owner, "target": '{"task": {"type": "reverse_string", "payload": "a"}}', "now": NOON},
    )
    session.execute(sa.text("ANALYZE triggers"))
    session.commit()
    event = happen()

    plan = "\n".join(
        session.scalars(
            sa.text("EXPLAIN SELECT * FROM triggers WHERE event = :event AND owner_id = :owner AND enabled "
                    "AND created_at <= :now ORDER BY id LIMIT 200"),
            {"event": EVENT, "owner": owner, "now": NOON},
        )
    )  # fmt: skip
    began = time.perf_counter()
    apply(session, event)
    took = time.perf_counter() - began

    assert "ix_triggers_event" in plan
    assert [match.trigger_id for match in seen(session, event).matches] == [made.id]
    assert took < 0.5, took


def test_a_thousand_triggers_of_one_event_are_looked_at_in_batches(session, owner, trigger, happen):
    session.execute(
        sa.text("""
            INSERT INTO triggers (id, owner_id, event, condition, target, enabled, created_at, updated_at)
            SELECT gen_random_uuid(), :owner, :event, CAST(:condition AS jsonb), CAST(:target AS jsonb), true,
                :now, :now
            FROM generate_series(1, 1000) AS n
        """),
        {
            "owner": owner,
            "event": EVENT,
            "condition": '{"greater": [{"$from": "event.data.total"}, 1000]}',
            "target": '{"task": {"type": "reverse_string", "payload": "a"}}',
            "now": NOON,
        },
    )
    trigger()
    event = happen()

    batches = 1
    while not apply(session, event).is_done:
        batches += 1

    view = seen(session, event)
    assert (view.started, view.event.unmatched, len(view.event.unmatched_sample)) == (1, 1000, 100)
    assert batches == 6


def test_a_workflow_of_another_account_cannot_be_started(session, owner, database_url, trigger):
    create_workflow(session, {"only": step()}, name="theirs", owner_id=make_person(database_url).id)
    wanted = NewTrigger(event=EVENT, workflow=WorkflowTemplate(name="theirs", input={}))

    with pytest.raises(Refused, match=r"workflow\.name"):
        triggers.create(session, wanted, new_id(), owner_id=owner, now=NOON)
