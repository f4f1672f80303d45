"""v_workflow_runs and v_throughput, and what SQL may do with a task of a run."""

import psycopg2
import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.models import Status, new_id
from tests.support.factories import bring_to, make_task

pytestmark = pytest.mark.usefixtures("known_types")


@pytest.fixture
def run_id(session, person):
    """A run with one step completed, one failed, one under way and one waiting."""
    version, run = new_id(), new_id()
    session.execute(
        sa.text(
            "INSERT INTO workflow_versions (id, number, definition, digest, created_at) "
            "VALUES (:id, 1, '{}', 'x', now())"
        ),
        {"id": version},
    )
    session.execute(
        sa.text(
            "INSERT INTO workflow_runs (id, workflow_name, version_id, version, owner_id, status, input, labels, "
            "priority, created_at, updated_at) VALUES (:id, 'billing', :version, 1, :owner, 'RUNNING', '{}', '{}', "
            "'normal', now(), now())"
        ),
        {"id": run, "version": version, "owner": person.id},
    )
    for position, state in enumerate(("COMPLETED", "FAILED", "STARTED", "WAITING")):
        task = None if state == "WAITING" else make_task(session, owner_id=person.id, run_id=run, step=state.lower()).id
        if state in ("COMPLETED", "FAILED"):
            bring_to(session, state, task)
        session.execute(
            sa.text(
                "INSERT INTO workflow_steps (run_id, key, position, type, state, task_id) "
                "VALUES (:run, :key, :position, 'reverse_string', :state, :task)"
            ),
            {"run": run, "key": state.lower(), "position": position, "state": state, "task": task},
        )
    session.commit()
    return run


def test_a_run_is_shown_with_how_far_it_is(log_in, person, admin, run_id):
    [row] = log_in(person, operates=False)("SELECT * FROM taskledger.v_workflow_runs")

    assert (row["id"], row["workflow"], row["status"]) == (str(run_id), "billing", "RUNNING")
    assert (row["steps"], row["ended"], row["failed"], row["percent"]) == (4, 2, 1, 50)
    assert (row["running_steps"], row["failed_steps"]) == (["started"], ["failed"])
    assert log_in(admin, operates=False)("SELECT * FROM taskledger.v_workflow_runs") == []


def test_a_task_of_a_run_is_started_over_by_its_run_only(log_in, person, run_id, psql):
    ana = log_in(person)
    failed = psql.one("SELECT id FROM tasks WHERE status = 'FAILED'")

    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="is step failed of run"):
        ana("SELECT taskledger.retry(%s)", failed)
    assert ana.one("SELECT taskledger.retry_where('reverse_string')") == 0


def test_throughput_counts_every_change_once_whether_it_was_passed_on_or_not(session, psql):
    for status in (Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.RETRYING):
        bring_to(session, status, make_task(session).id, at=utcnow())
    session.commit()
    count = (
        "SELECT sum(submitted) AS submitted, sum(started) AS started, sum(completed) AS completed, "
        "sum(failed) AS failed, sum(cancelled) AS cancelled, sum(retries) AS retries FROM taskledger.v_throughput"
    )
    [before] = psql(count)

    # As the duty `events` does it: counted and deleted in one transaction.
    psql("BEGIN")
    psql("INSERT INTO task_counts (hour, owner_id, type, previous_status, status, n) "
         "SELECT date_trunc('hour', e.at, 'UTC'), e.owner_id, e.type, e.previous_status, e.status, count(*) "
         "FROM event_outbox o JOIN task_events e ON e.id = o.event_id GROUP BY 1, 2, 3, 4, 5")  # fmt: skip
    psql("DELETE FROM event_outbox")
    psql("COMMIT")
    [after] = psql(count)

    expected = {"submitted": 5, "started": 4, "completed": 2, "failed": 1, "cancelled": 1, "retries": 1}
    assert before == after == expected
