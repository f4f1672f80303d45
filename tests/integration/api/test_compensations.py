"""/tasks/{id}/compensate, and what the compensation then does, run by a worker's own code."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
import sqlalchemy as sa

from app.services import invoices
from taskledger_sdk.registry import get_type, load_types
from tests.support.factories import bring_to, make_task, pass_events_on, read_task
from tests.support.servers.attempts import run_attempt, run_task

TASKS = "/api/v1/tasks"


@pytest.fixture
def invoiced(client, session):
    """A create_invoice that is COMPLETED."""
    return run_task(session, "create_invoice", get_type("create_invoice").examples[0])


def compensate(client, task_id, **body):
    return client.post(f"{TASKS}/{task_id}/compensate", json=body)


def run(session, made):
    run_attempt("compensation", UUID(made["id"]))
    session.commit()
    return read_task(session, UUID(made["id"]))


def test_the_result_of_create_invoice_holds_the_whole_invoice(invoiced):
    assert invoiced.status == "COMPLETED", invoiced.error
    result = dict(invoiced.result)
    assert (result["number"], result["created"]) == ("INV-000001", True)
    assert (result["net"], result["tax"], result["total"]) == ("346.80", "38.68", "385.48")
    assert [tax["tax_percent"] for tax in result["taxes"]] == ["7", "19"]


def test_compensating_an_invoice_cancels_it_by_a_credit_note(client, session, invoiced):
    made = compensate(client, invoiced.id, reason="by mistake")

    row = run(session, made.json)
    assert (made.status_code, row.status) == (201, "COMPLETED")
    assert row.result["undone"] == {"cancelled": "INV-000001"}
    assert row.result["credit_number"] == "INV-CN-000001"
    assert invoices.read(session, "INV-000001", owner_id=None).status == "CANCELLED"


def test_asking_twice_is_one_compensation(client, session, invoiced):
    first, second = compensate(client, invoiced.id), compensate(client, invoiced.id)
    run(session, first.json)
    third = compensate(client, invoiced.id)

    assert [answer.status_code for answer in (first, second, third)] == [201, 200, 200]
    assert first.json["id"] == second.json["id"] == third.json["id"]


def test_asking_many_times_at_once_is_one_compensation(application, admin, session, invoiced):
    def ask(_):
        return compensate(admin.client(application), invoiced.id).json["id"]

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(ask, range(24)))

    assert len(ids) == 1
    assert session.scalar(sa.text("SELECT count(*) FROM tasks WHERE type = 'compensation'")) == 1


def test_a_second_compensation_submitted_by_hand_only_names_the_first(client, session, invoiced):
    first = compensate(client, invoiced.id).json
    by_hand = run_task(session, "compensation", {"task_id": str(invoiced.id)})

    assert by_hand.result == {"task_id": str(invoiced.id), "undone_by": first["id"], "undone": None}
    run(session, first)
    assert session.scalar(sa.text("SELECT count(*) FROM invoices WHERE kind = 'credit_note'")) == 1


def test_after_a_compensation_that_failed_there_can_be_another(client, session, invoiced):
    first = compensate(client, invoiced.id).json
    bring_to(session, "FAILED", first["id"])
    session.commit()

    second = compensate(client, invoiced.id)

    assert (second.status_code, second.json["id"] != first["id"]) == (201, True)
    assert run(session, second.json).status == "COMPLETED"


def test_a_compensation_that_was_done_and_deleted_is_not_done_again(client, session, invoiced):
    made = compensate(client, invoiced.id).json
    run(session, made)
    pass_events_on(session)
    assert client.delete(f"{TASKS}/{made['id']}").status_code == 204

    answer = compensate(client, invoiced.id)

    assert (answer.status_code, answer.json["code"]) == (409, "wrong_status")


def test_an_invoice_that_the_task_only_found_is_not_cancelled(client, session, invoiced):
    again = run_task(session, "create_invoice", invoiced.payload)
    made = compensate(client, again.id).json

    assert run(session, made).result["undone"] == {"cancelled": None, "kept": "INV-000001"}
    assert invoices.read(session, "INV-000001", owner_id=None).status == "ISSUED"


def test_a_type_without_an_undo_is_409(client, session):
    row = run_task(session, "reverse_string", "hello")

    answer = compensate(client, row.id)

    assert answer.status_code == 409
    assert "cannot be undone" in answer.json["detail"]


def test_a_task_that_is_not_completed_is_409(client, session):
    task = make_task(session, type="create_invoice", payload=get_type("create_invoice").examples[0])
    session.commit()

    assert compensate(client, task.id).status_code == 409


def test_a_task_that_is_not_there_is_404(client):
    assert compensate(client, "018f3c5e-7d2a-7000-8000-0123456789ab").status_code == 404


def test_the_files_that_tasks_made_are_deleted(client, session):
    for name in ("resize_image", "data_processing"):
        row = run_task(session, name, get_type(name).examples[0])
        made = compensate(client, row.id).json

        assert run(session, made).result["undone"] == {"deleted": row.result["artifact_id"]}
        assert client.get(f"/api/v1/artifacts/{row.result['artifact_id']}").status_code == 404


def test_a_different_invoice_for_a_charged_period_fails_its_task(session, invoiced):
    other = {**invoiced.payload, "lines": invoiced.payload["lines"][:1]}

    row = run_task(session, "create_invoice", other)

    assert (row.status, row.error["type"]) == ("FAILED", "PermanentError")
    assert "already has invoice INV-000001" in row.error["message"]


def test_task_types_say_what_can_be_undone(client):
    shown = {item["name"]: item["compensable"] for item in client.get("/api/v1/task-types").json["items"]}

    assert shown == {name: each.compensable for name, each in load_types().items() if not each.internal}
    assert shown["create_invoice"]
    assert not shown["compensation"]
