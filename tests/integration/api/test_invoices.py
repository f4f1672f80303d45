"""/invoices over HTTP: starting, scheduling, reading and printing again."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.services import schedules
from app.services.invoices import input_of
from tests.support.factories import bring_to
from tests.support.people import make_person
from tests.support.runs import end, task_of

INVOICES = "/api/v1/invoices"
JANUARY = {"customer_id": "customer-1", "date_from": "2026-01-01", "date_to": "2026-01-31"}
ISSUED = {"number": "INV-000001", "created": True, "total": "10.70", "currency": "EUR", "due_on": "2026-02-15"}


def fetched(**changed):
    line = {"description": "beans", "quantity": "2", "unit_price": "5.00", "tax_percent": "7"}
    return {"order_count": 1, "customer_name": "Ada", "customer_email": "ada@example.org", "currency": "EUR",
            "lines": [line], **changed}  # fmt: skip


def start(client, **fields):
    answer = client.post(f"{INVOICES}/workflow/start", json=JANUARY | fields)
    assert answer.status_code == 201, answer.text
    return answer.json


def test_an_invoice_is_a_run_of_four_steps(client, session):
    run = start(client)
    end(session, run["id"], "fetch_orders", fetched())

    payload = task_of(session, run["id"], "create_invoice").payload

    assert [step["key"] for step in run["steps"]] == ["fetch_orders", "create_invoice", "generate_pdf", "send_email"]
    assert (payload["customer_id"], payload["date_from"], payload["lines"]) == (
        "customer-1",
        "2026-01-01",
        fetched()["lines"],
    )


def test_the_mail_goes_to_the_customer_of_the_orders_unless_told_otherwise(client, session):
    for fields, to in (({}, "ada@example.org"), ({"email": "bob@example.org"}, "bob@example.org")):
        run = start(client, **fields)
        end(session, run["id"], "fetch_orders", fetched())
        made = _issued(session, run["id"])
        end(session, run["id"], "create_invoice", made)
        end(session, run["id"], "generate_pdf", {"artifact_id": "018f3c5e-7d2a-7000-8000-0123456789ab"})

        mail = task_of(session, run["id"], "send_email").payload
        assert (mail["to"], mail["subject"]) == (to, "Invoice INV-000001")
        assert "for 2026-01-01 to 2026-01-31: 10.70 EUR, due on 2026-02-15." in mail["text"]


def _issued(session, run_id):
    """What create_invoice returns, without its handler."""
    asked = task_of(session, run_id, "create_invoice").payload
    for name in ("delivery", "time_zone", "may_overlap"):
        del asked[name]
    return {**asked, **ISSUED, "issued_on": "2026-02-01", "net": "10.00",
            "tax": "0.70", "taxes": [], "lines": [{**fetched()["lines"][0], "net": "10.00"}]}  # fmt: skip


def test_a_customer_without_orders_gets_no_invoice(client, session):
    run = start(client)

    end(session, run["id"], "fetch_orders", fetched(order_count=0, lines=[], currency=None))

    told = client.get(f"/api/v1/runs/{run['id']}").json
    assert told["status"] == "COMPLETED"
    assert [step["state"] for step in told["steps"]] == ["COMPLETED", "SKIPPED", "SKIPPED", "SKIPPED"]


def test_an_invoice_that_another_run_issued_is_not_printed_and_mailed_again(client, session):
    run = start(client)
    end(session, run["id"], "fetch_orders", fetched())

    end(session, run["id"], "create_invoice", {**_issued(session, run["id"]), "created": False})

    told = client.get(f"/api/v1/runs/{run['id']}").json
    assert (told["status"], [step["state"] for step in told["steps"]][2:]) == ("COMPLETED", ["SKIPPED", "SKIPPED"])


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({**JANUARY, "date_to": "2025-01-31"}, "date_to must not be before"),
        ({**JANUARY, "customer_id": "a b"}, "customer_id must have"),
        ({"customer_id": "a"}, "date_from is missing"),
        ({**JANUARY, "email": "nobody"}, "email is no e-mail address"),
    ],
)
def test_what_cannot_be_invoiced_is_refused(client, body, place):
    answer = client.post(f"{INVOICES}/workflow/start", json=body)

    assert answer.status_code == 422
    assert place in answer.json["detail"]


def test_a_scheduled_invoice_starts_its_run_at_its_moment(client, session):
    at = datetime.now(UTC) + timedelta(hours=1)
    made = client.post(f"{INVOICES}/workflow/scheduled", json={**JANUARY, "scheduled_at": at.isoformat()})

    before = client.get("/api/v1/runs").json["items"]
    schedules.fire_due(session, now=at + timedelta(seconds=1), limit=10)
    session.commit()

    [run] = client.get("/api/v1/runs").json["items"]
    [slot] = client.get(f"{made.headers['Location']}/slots").json["items"]
    assert (made.status_code, before) == (201, [])
    assert (run["workflow"], run["input"]["date_from"]) == ("invoice", "2026-01-01")
    assert (slot["state"], slot["run_id"], slot["task_id"]) == ("fired", run["id"], None)
    assert client.get(made.headers["Location"]).json["last_run_id"] == run["id"]


def test_a_moment_that_is_past_is_refused(client):
    body = {**JANUARY, "scheduled_at": "2020-01-01T00:00:00Z"}

    answer = client.post(f"{INVOICES}/workflow/scheduled", json=body)

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["scheduled_at"])


def test_invoices_of_one_customer_may_be_scheduled_as_often_as_one_likes(client):
    moments = ("2099-01-01T00:00:00Z", "2099-02-01T00:00:00Z")

    made = [client.post(f"{INVOICES}/workflow/scheduled", json={**JANUARY, "scheduled_at": at}) for at in moments]

    assert [each.status_code for each in made] == [201, 201]
    assert [each.json["name"] for each in made] == ["invoice customer-1", "invoice customer-1 (2)"]


def test_recurring_invoices_are_for_the_period_before_each_slot(client, session):
    body = {"customer_id": "customer-1", "cron_expression": "0 6 1 * *", "time_zone": "Europe/Berlin"}
    made = client.post(f"{INVOICES}/workflow/recurring", json=body)
    next_at = datetime.fromisoformat(made.json["next_at"])

    schedules.fire_due(session, now=next_at + timedelta(seconds=1), limit=10)
    session.commit()

    [run] = client.get("/api/v1/runs").json["items"]
    last_day = next_at.date().replace(day=1) - timedelta(days=1)
    assert made.status_code == 201, made.text
    assert run["input"]["date_to"] == last_day.isoformat()
    assert run["input"]["date_from"] == last_day.replace(day=1).isoformat()


def test_a_bad_cron_expression_is_refused_by_its_own_name(client):
    body = {"customer_id": "customer-1", "cron_expression": "99 * * * *"}

    answer = client.post(f"{INVOICES}/workflow/recurring", json=body)

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["cron_expression"])


def test_a_schedule_of_a_workflow_skips_a_slot_while_its_last_run_is_unfinished(client, session):
    workflow = {"name": "invoice", "input": JANUARY}
    made = client.post("/api/v1/schedules", json={"cron": "* * * * *", "overlap": "skip", "workflow": workflow}).json
    first = datetime.fromisoformat(made["next_at"])

    for minutes in (0, 1):
        schedules.fire_due(session, now=first + timedelta(minutes=minutes, seconds=1), limit=10)
    session.commit()

    slots = client.get(f"{made['links']['self']}/slots").json["items"]
    assert [slot["state"] for slot in slots] == ["skipped", "fired"]


def test_a_schedule_of_a_workflow_that_is_gone_says_so(client, session):
    client.post(
        "/api/v1/workflows",
        json={"name": "mine", "definition": {"steps": {"a": {"type": "reverse_string", "payload": "x"}}}},
    )
    made = client.post("/api/v1/schedules", json={"cron": "* * * * *", "workflow": {"name": "mine"}}).json
    client.delete("/api/v1/workflows/mine")

    schedules.fire_due(session, now=datetime.fromisoformat(made["next_at"]) + timedelta(seconds=1), limit=10)
    session.commit()

    [slot] = client.get(f"{made['links']['self']}/slots").json["items"]
    assert slot["state"] == "skipped"
    assert "There is no workflow 'mine'" in slot["reason"]


def test_a_schedule_of_a_workflow_can_be_run_at_once(client):
    workflow = {"name": "invoice", "input": JANUARY}
    made = client.post("/api/v1/schedules", json={"cron": "0 6 1 * *", "workflow": workflow}).json

    answer = client.post(f"{made['links']['self']}/run")

    assert (answer.status_code, answer.json["kind"], answer.json["status"]) == (201, "run", "RUNNING")
    assert answer.headers["Location"] == f"/api/v1/runs/{answer.json['id']}"


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ({}, "task is missing: give either task or workflow"),
        ({"workflow": {"name": "none"}}, "workflow.name there is no workflow 'none'"),
        ({"workflow": {"name": "invoice"}}, "workflow.input.customer_id is missing"),
        ({"workflow": {"name": "invoice", "input": {**JANUARY, "date_to": {"$slot": "x"}}}}, "knows no $slot 'x'"),
    ],
)
def test_a_schedule_that_could_start_no_run_is_refused(client, target, place):
    answer = client.post("/api/v1/schedules", json={"cron": "@daily", **target})

    assert answer.status_code == 422
    assert place in answer.json["detail"]


def test_a_customers_status_and_tasks_are_theirs_alone(client, application, database_url, session):
    run = start(client)
    other_customer = start(client, customer_id="customer-2")
    stranger = make_person(database_url).client(application)

    status = client.get(f"{INVOICES}/status/customer-1").json
    tasks = client.get(f"{INVOICES}/tasks/customer-1").json["items"]

    assert (status["status"], status["run"]["id"], status["invoices"]) == ("RUNNING", run["id"], [])
    assert [task["id"] for task in tasks] == [run["steps"][0]["task_id"]]
    assert other_customer["steps"][0]["task_id"] not in [task["id"] for task in tasks]
    assert client.get(f"{INVOICES}/status/customer-3").status_code == 404
    assert stranger.get(f"{INVOICES}/status/customer-1").status_code == 404
    assert stranger.get(f"{INVOICES}/tasks/customer-1").json["items"] == []


def test_the_seller_of_the_settings_is_passed_on():
    assert input_of({"customer_id": "a", "note": None}, seller='{"name": "Shop"}') == {
        "customer_id": "a",
        "seller": {"name": "Shop"},
    }


def test_deleting_or_retrying_a_step_by_itself_is_a_conflict(client, session):
    run = start(client)
    task = run["steps"][0]["task_id"]
    bring_to(session, "FAILED", task)
    session.commit()

    assert client.post(f"/api/v1/tasks/{task}/retry").status_code == 409
    assert client.delete(f"/api/v1/tasks/{task}").status_code == 409
    dry = client.post("/api/v1/dead-letters/replay", json={"dry_run": True}).json
    assert dry["count"] == 0


@pytest.mark.parametrize("address", [None, "", "nobody", "ada@", "ada@example.org, bob@example.org"])
def test_orders_without_an_address_that_takes_mail_get_no_number(client, session, address):
    run = start(client)

    end(session, run["id"], "fetch_orders", fetched(customer_email=address))

    told = client.get(f"/api/v1/runs/{run['id']}").json
    refused = next(step for step in told["steps"] if step["key"] == "create_invoice")
    assert (told["status"], refused["state"], refused["task_id"]) == ("COMPENSATED", "FAILED", None)
    assert "send_to" in str(refused)


@pytest.mark.parametrize("changed", [{"seller": {"name": ""}}, {"note": "x" * 1001}])
def test_what_cannot_be_printed_gets_no_number(client, session, changed):
    body = {"input": {**JANUARY, **changed}}
    run = client.post("/api/v1/workflows/invoice/runs", json=body).json

    end(session, run["id"], "fetch_orders", fetched())

    told = client.get(f"/api/v1/runs/{run['id']}").json
    assert [step["state"] for step in told["steps"]][1] == "FAILED"


def test_a_long_address_is_taken_from_the_orders(client, session):
    run = start(client)

    end(session, run["id"], "fetch_orders", fetched(customer_email="maximiliana.schwarzenbergerova@example.org"))

    asked = task_of(session, run["id"], "create_invoice").payload
    assert asked["delivery"]["send_to"] == "maximiliana.schwarzenbergerova@example.org"


def test_an_address_that_is_none_is_refused_as_input_of_a_run(client):
    answer = client.post("/api/v1/workflows/invoice/runs", json={"input": {**JANUARY, "email": "ann@@example.org"}})

    assert answer.status_code == 422
    assert "is no e-mail address" in answer.text


def test_a_recurring_invoice_is_dated_in_the_zone_of_its_schedule(client, session):
    asked = {"customer_id": "customer-1", "cron_expression": "14 3 * * *", "time_zone": "Pacific/Auckland"}
    made = client.post(f"{INVOICES}/workflow/recurring", json={**asked, "period": "previous_day"}).json
    next_at = datetime.fromisoformat(made["next_at"])
    schedules.fire_due(session, now=next_at + timedelta(seconds=1), limit=10)
    session.commit()

    [run] = client.get("/api/v1/runs").json["items"]
    today = next_at.astimezone(ZoneInfo("Pacific/Auckland")).date()
    assert run["input"]["time_zone"] == "Pacific/Auckland"
    assert run["input"]["date_to"] == (today - timedelta(days=1)).isoformat()
    end(session, run["id"], "fetch_orders", fetched())
    assert task_of(session, run["id"], "create_invoice").payload["time_zone"] == "Pacific/Auckland"


def test_an_invoice_for_a_moment_is_dated_in_the_zone_that_was_asked_for(client, session):
    asked = {**JANUARY, "scheduled_at": "2099-01-01T00:00:00Z", "time_zone": "Pacific/Auckland"}
    made = client.post(f"{INVOICES}/workflow/scheduled", json=asked).json

    assert made["workflow"]["input"]["time_zone"] == "Pacific/Auckland"
    assert client.post(f"{INVOICES}/workflow/start", json={**JANUARY, "time_zone": "Mars/Base"}).status_code == 422
