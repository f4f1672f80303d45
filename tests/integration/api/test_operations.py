"""Statistics, workers, queues in figures, purging and metrics over HTTP."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.api.service.metrics import LEDGER
from app.clock import utcnow
from app.dispatcher.measure import Measure
from app.models import Status, new_id
from app.services import lifecycle
from app.services.recovery.failures import Failure
from tests.integration.services.test_explain import worker
from tests.support.factories import HOLDER, make_claim, make_task, read_task
from tests.support.people import make_person

API = "/api/v1"
FAILURE = Failure(type="LookupError", message="no such city")
HOUR = timedelta(hours=1)


@pytest.fixture
def history(session):
    """Two done, one failed and replayed, one dead letter, one cancelled, one that waits; all by nobody."""
    now = utcnow()
    done = [make_claim(session, now=now) for _ in range(2)]
    for held in done:
        lifecycle.complete(session, [(held, 5)], now=now)
    failed = [make_claim(session, now=now, max_retries=0, type="send_email", payload={}) for _ in range(2)]
    for held in failed:
        lifecycle.fail(session, held, FAILURE, now=now)
    lifecycle.replay(session, [failed[0].id], now=now)
    gone = make_task(session, now=now)
    lifecycle.cancel(session, [gone.id], reason="cancelled", now=now)
    session.commit()


def test_stats_count_what_was_done_and_failed_by_type(client, history):
    stats = client.get(f"{API}/stats").json

    figures = {
        name: stats[name] for name in ("submitted", "jobs_done", "jobs_failed", "cancelled", "total_jobs_in_queue")
    }
    assert figures == {"submitted": 5, "jobs_done": 2, "jobs_failed": 1, "cancelled": 1, "total_jobs_in_queue": 1}
    assert {each["type"]: (each["jobs_done"], each["jobs_failed"]) for each in stats["by_type"]} == {
        "reverse_string": (2, 0),
        "send_email": (0, 1),
    }


def test_stats_by_period_count_failures_where_they_happened(client, history):
    stats = client.get(f"{API}/stats", query_string={"since": utcnow().isoformat(), "period": "hour"}).json

    assert [(each["jobs_done"], each["jobs_failed"]) for each in stats["by_period"]] == [(2, 2)]
    assert client.get(f"{API}/stats?period=hour").status_code == 422


def test_stats_stay_when_the_counts_have_left_the_outbox(client, session, history):
    before = client.get(f"{API}/stats").json
    session.execute(
        sa.text(
            "INSERT INTO task_counts (hour, owner_id, type, previous_status, status, n) SELECT "
            "date_trunc('hour', at, 'UTC'), owner_id, type, previous_status, status, count(*) FROM task_events "
            "GROUP BY 1, 2, 3, 4, 5"
        )
    )
    session.execute(sa.text("DELETE FROM event_outbox"))
    session.commit()

    after = client.get(f"{API}/stats").json

    assert {**after, "at": None} == {**before, "at": None}


def test_everybody_sees_the_statistics_of_their_own_tasks(application, database_url, session, history):
    somebody = make_person(database_url)
    make_task(session, owner_id=somebody.id)
    session.commit()

    stats = somebody.client(application).get(f"{API}/stats").json

    assert (stats["submitted"], stats["jobs_done"], stats["total_jobs_in_queue"]) == (1, 0, 1)


def test_workers_tell_of_types_that_nobody_would_run(client, session):
    worker(session, seen=utcnow(), types=("reverse_string",))
    worker(session, node="worker-b", seen=utcnow() - HOUR)
    make_task(session, type="retired_type")
    make_claim(session, holder=HOLDER)
    session.commit()

    shown = client.get(f"{API}/workers").json

    assert [(each["node"], each["state"]) for each in shown["items"]] == [("worker-a", "alive"), ("worker-b", "lost")]
    assert (shown["live"], shown["slots"]) == (1, 2)
    assert shown["items"][0]["other_schemas"] == ["reverse_string"]
    assert shown["items"][0]["running"] == 1
    assert shown["unknown_types"] == [{"type": "retired_type", "queue": "tasks", "waiting": 1, "known_here": False}]


def test_queue_status_has_each_queue_and_type(client, session):
    now = utcnow()
    worker(session, seen=now)
    make_task(session, now=now - timedelta(seconds=90))
    make_claim(session, now=now)
    make_task(session, status=Status.SCHEDULED, due_at=now + HOUR, dispatched_at=None)
    session.commit()

    queue, other = client.get(f"{API}/queues/status").json["items"]

    assert (other["name"], other["waiting"]) == ("webhooks", 0)
    assert (queue["name"], queue["waiting"], queue["running"], queue["scheduled"]) == ("tasks", 1, 1, 1)
    assert 90 <= queue["oldest_seconds"] < 120
    assert (queue["workers"], queue["slots"]) == (1, 2)
    assert [(each["type"], each["waiting"], each["known_by_workers"]) for each in queue["types"]] == [
        ("reverse_string", 1, 1)
    ]


def test_a_measurement_answers_in_place_of_the_tasks_while_it_is_fresh(client, session):
    make_task(session)
    Measure()._measure(session, utcnow())
    make_task(session)
    session.commit()

    assert client.get(f"{API}/queues/pending-count").json == {"count": 1, "by_type": {"reverse_string": 1}}
    session.execute(sa.text("UPDATE measurements SET measured_at = measured_at - interval '1 minute'"))
    session.commit()
    assert client.get(f"{API}/queues/pending-count").json["count"] == 2


def test_overloaded_says_why(client, session):
    make_task(session, now=utcnow() - HOUR)
    session.commit()

    verdict = client.get(f"{API}/queues/overloaded").json

    assert verdict["overloaded"] is True
    assert [reason["what"] for reason in verdict["reasons"]] == ["oldest_seconds", "workers"]
    assert verdict["thresholds"]["oldest_seconds"] == 300


def test_a_paused_queue_is_not_overloaded(client, session):
    make_task(session, now=utcnow() - HOUR)
    session.commit()
    client.post(f"{API}/queues/tasks/pause")

    assert client.get(f"{API}/queues/overloaded").json["overloaded"] is False


def test_scaling_asks_for_a_handler_for_what_waits(client, session):
    for _ in range(3):
        make_task(session)
    session.commit()

    [asked] = client.get(f"{API}/queues/scaling?queue=tasks").json["items"]

    assert (asked["waiting"], asked["desired_concurrency"]) == (3, 3)
    assert client.get(f"{API}/queues/scaling?queue=none").status_code == 404


def test_failed_and_pending_are_counted_by_type(client, history):
    assert client.get(f"{API}/queues/failed-count").json == {"count": 1, "by_type": {"send_email": 1}}
    assert client.get(f"{API}/queues/pending-count").json == {"count": 1, "by_type": {"send_email": 1}}


def test_purging_cancels_what_was_counted_and_nothing_else(client, session):
    waiting = [make_task(session, now=utcnow() - HOUR) for _ in range(3)]
    other = make_task(session, now=utcnow() - HOUR, queue="mail")
    running = make_claim(session, now=utcnow() - HOUR)
    session.commit()

    counted = client.post(f"{API}/queues/tasks/purge", json={"dry_run": True}).json
    later = make_task(session, now=utcnow())
    session.commit()
    done = client.post(f"{API}/queues/tasks/purge", json={"token": counted["token"]}).json

    assert (counted["count"], counted["by_status"], done["count"]) == (3, {"PENDING": 3}, 3)
    assert {read_task(session, task.id).status for task in waiting} == {"CANCELLED"}
    assert [read_task(session, id_).status for id_ in (other.id, later.id)] == ["PENDING", "PENDING"]
    assert read_task(session, running.id).status == "PROCESSING"
    assert read_task(session, waiting[0].id).reason.startswith("purged from tasks by ")


def test_a_purge_needs_the_token_of_its_own_queue(client, session):
    make_task(session, queue="mail")
    session.commit()
    token = client.post(f"{API}/queues/mail/purge", json={"dry_run": True}).json["token"]

    assert client.post(f"{API}/queues/tasks/purge", json={"token": token}).status_code == 422
    assert client.post(f"{API}/queues/tasks/purge", json={}).status_code == 422
    assert client.post(f"{API}/queues/nowhere/purge", json={"dry_run": True}).status_code == 404


def test_metrics_are_open_to_the_addresses_that_may_read_them(client, anonymous, history, session):
    Measure()._measure(session, utcnow())
    session.commit()
    LEDGER.forget()

    answer = client.get("/metrics")

    assert answer.mimetype == "text/plain"
    assert 'taskledger_tasks_finished_total{status="COMPLETED",type="reverse_string"} 2.0' in answer.text
    assert 'taskledger_tasks_finished_total{status="FAILED",type="send_email"} 2.0' in answer.text
    assert "taskledger_ledger_up 1.0" in answer.text
    assert anonymous.get("/metrics").status_code == 401


def test_a_task_keeps_the_id_of_the_request_that_submitted_it(client, session):
    trace = f"00-{new_id().hex}-00000000000000aa-01"
    headers = {"X-Request-ID": "order-4711", "traceparent": trace}
    made = client.post(f"{API}/tasks", json={"type": "reverse_string", "payload": "x"}, headers=headers).json

    task = read_task(session, made["id"])

    assert (task.request_id, task.traceparent) == ("order-4711", trace)


def test_hosts_and_versions_are_told_to_admins_only(application, client, database_url, session):
    worker(session, seen=utcnow())
    session.execute(
        sa.text(
            "INSERT INTO sinks (name, position, node, last_seen_at, last_error) "
            "VALUES ('csv', 0, 'ledger-host/81', now(), 'disk /srv/secret is full')"
        )
    )
    session.commit()
    somebody = make_person(database_url).client(application)

    workers, sinks = somebody.get(f"{API}/workers"), somebody.get(f"{API}/sinks")
    [shown], [known] = workers.json["items"], client.get(f"{API}/workers").json["items"]

    hidden = ("node", "host", "pid", "version", "runtime")
    assert [shown[name] for name in hidden] == [None] * len(hidden)
    assert all(known[name] is not None for name in hidden)
    assert shown["id"] != known["id"]
    # What remains says whether somebody works, and what on.
    useful = ("state", "concurrency", "running", "queues", "types", "started_at", "last_seen_at")
    assert {name: shown[name] for name in useful} == {name: known[name] for name in useful}
    assert known["node"] not in workers.text
    assert (sinks.json["items"][0]["node"], "secret" in sinks.text) == (None, False)
    assert sinks.json["items"][0]["last_error"]
    assert client.get(f"{API}/sinks").json["items"][0]["node"] == "ledger-host/81"


def test_why_counts_workers_for_all_but_admins(application, client, database_url, session):
    somebody = make_person(database_url)
    worker(session, seen=utcnow())
    task = make_task(session, type="retired_type", owner_id=somebody.id)
    session.commit()

    path = f"{API}/tasks/{task.id}/why"
    shown, known = (each.get(path).json["evidence"]["live_workers"] for each in (somebody.client(application), client))

    assert (shown, list(known)) == (1, ["worker-a"])
