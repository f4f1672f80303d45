"""The circuit of a receiver: opened by failures in a row, tried by one delivery, closed by a success."""

import pytest
import sqlalchemy as sa

from app.services import circuits, webhooks
from app.services.circuits import FIRST_PAUSE, MAX_PAUSE, OPENS_AFTER, State
from tests.support.factories import NOON, make_task, read_task, seconds
from tests.support.people import make_person

TO = circuits.of_callback("https://example.com/done?task=1", None)


def fail(session, times=1, *, at=NOON):
    for _ in range(times):
        done = circuits.failed(session, TO, "it answered 500", now=at)
    return done


def circuit(session):
    return circuits.read(session, {TO.key})[TO.key]


def test_it_opens_at_the_fifth_failure_in_a_row_and_says_why(session):
    before = fail(session, OPENS_AFTER - 1)
    assert (before.has_opened, circuit(session).state) == (False, State.CLOSED)

    opened = fail(session, at=NOON + seconds(1))

    found = circuit(session)
    assert (opened.has_opened, found.state, found.since) == (True, State.OPEN, NOON + seconds(1))
    assert (found.retry_at, found.reason) == (NOON + seconds(1) + FIRST_PAUSE, "it answered 500")
    assert found.is_open(NOON + seconds(30))
    assert not found.is_open(NOON + seconds(31))


def test_a_success_between_failures_keeps_it_closed(session):
    fail(session, OPENS_AFTER - 1)
    circuits.succeeded(session, TO.key, now=NOON)

    fail(session, OPENS_AFTER - 1)

    assert circuit(session).state == State.CLOSED


def test_an_attempt_that_was_on_its_way_does_not_make_the_pause_longer(session):
    fail(session, OPENS_AFTER)
    until = circuit(session).retry_at

    late = fail(session, at=NOON + seconds(5))

    assert (late.has_opened, circuit(session).retry_at, circuit(session).openings) == (False, until, 1)


def test_each_failed_try_doubles_the_pause_up_to_a_quarter_of_an_hour(session):
    fail(session, OPENS_AFTER)
    pauses = []
    for _ in range(8):
        now = circuit(session).retry_at
        circuits.probe(session, {TO.key}, now=now)
        assert circuit(session).state == State.HALF_OPEN
        fail(session, at=now)
        pauses.append((circuit(session).retry_at - now).total_seconds())

    assert pauses == [60, 120, 240, 480, 900, 900, 900, 900]
    assert MAX_PAUSE.total_seconds() == 900


def test_a_successful_try_closes_it_and_callbacks_leave_nothing_behind(session, database_url):
    fail(session, OPENS_AFTER)
    circuits.probe(session, {TO.key}, now=NOON)

    circuits.succeeded(session, TO.key, now=NOON)

    assert circuits.read(session, {TO.key}) == {}


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Example.COM/a?b=1", "https://example.com:443"),
        ("HTTP://example.com:8080/", "http://example.com:8080"),
        ("http://[::1]/hook", "http://[::1]:80"),
        ("http://example.com:port/", "http://example.com:port/"),
    ],
)
def test_callbacks_share_a_circuit_by_scheme_host_and_port(url, origin):
    assert circuits.origin_of(url) == origin


def test_accounts_do_not_share_the_circuit_of_one_host(session, database_url):
    ada, ben = make_person(database_url).id, make_person(database_url).id

    assert circuits.of_callback("https://a.example/1", ada).key == circuits.of_callback("https://a.example/2", ada).key
    assert circuits.of_callback("https://a.example/1", ada).key != circuits.of_callback("https://a.example/1", ben).key


def test_what_waited_for_a_week_for_a_receiver_that_is_down_is_given_up_and_kept_in_the_log(session):
    fail(session, OPENS_AFTER)
    made = {"type": "webhook_delivery", "queue": "webhooks", "payload": {}, "concurrency_key": TO.key}
    old = make_task(session, **made, now=NOON - seconds(8 * 86_400))
    new = make_task(session, **made)
    other = make_task(session, **{**made, "concurrency_key": "another"}, now=NOON - seconds(8 * 86_400))

    assert webhooks.give_up(session, now=NOON, limit=10) == 1

    assert [read_task(session, each.id).status for each in (old, new, other)] == ["CANCELLED", "PENDING", "PENDING"]
    assert "has not answered within 7 days" in read_task(session, old.id).reason


def test_deliveries_of_a_release_before_come_under_their_receivers_limits(session, database_url):
    owner = make_person(database_url).id
    made = {"type": "webhook_delivery", "payload": {}, "owner_id": None}
    waiting, running, retrying = (make_task(session, **made) for _ in range(3))
    rows = [(waiting, "PENDING"), (running, "PROCESSING"), (retrying, "RETRYING")]
    session.execute(sa.text("ALTER TABLE tasks DISABLE TRIGGER USER"))
    for task, status in rows:
        session.execute(
            sa.text("UPDATE tasks SET gated = false, queue = 'tasks', concurrency_key = NULL, status = :status, "
                    "dispatched_at = :now, due_at = :now, lease = CASE WHEN :status = 'PROCESSING' THEN id END "
                    "WHERE id = :id"),
            {"id": task.id, "status": status, "now": NOON},
        )  # fmt: skip
        session.execute(
            sa.text("INSERT INTO webhook_deliveries (id, owner_id, position, event, url, body, task_id, created_at) "
                    "VALUES (:id, :owner, :position, 'task.completed', 'https://example.com/x', '{}', :id, :now)"),
            {"id": task.id, "owner": owner, "position": rows.index((task, status)), "now": NOON},
        )  # fmt: skip
    session.execute(sa.text("DELETE FROM admissions"))
    session.execute(sa.text("ALTER TABLE tasks ENABLE TRIGGER USER"))
    session.commit()

    assert webhooks.adopt_earlier(session, limit=10) == 3
    assert webhooks.adopt_earlier(session, limit=10) == 0

    states = dict(session.execute(sa.text("SELECT task_id, state FROM admissions")).all())
    assert states == {waiting.id: "held", running.id: "running", retrying.id: "waiting"}
    key = circuits.of_callback("https://example.com/x", owner).key
    for task, _ in rows:
        found = session.execute(sa.text("SELECT queue, concurrency_key, owner_id FROM tasks WHERE id = :id"),
                                {"id": task.id}).one()  # fmt: skip
        assert found == ("webhooks", key, owner)
