"""What a type declares of its submissions holds whichever way they come, and what a submission says wins."""

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from psycopg2.extras import Json

from app.clock import utcnow
from app.services import submission, workflows
from app.services.submission import Submission
from app.services.tasks import children, records
from app.services.tasks.children.asking import wish
from app.services.tasks.records import Filter
from app.services.workflows import NewRun
from taskledger_sdk import PermanentError, TaskContext, registry, task_type
from taskledger_sdk.registry import load_types
from tests.integration.sql.conftest import Psql, known_types, log_in, person, psql  # noqa: F401 (fixtures)
from tests.support.factories import read_task
from tests.support.runs import create_workflow, end, start, states, step, task_of

TASKS = "/api/v1/tasks"
ROOT = Path(__file__).parents[2]
INDEX = "ON tasks USING gin (labels jsonb_path_ops) WITH (gin_pending_list_limit = 256) WHERE labels <> '{}'"
ORDER = {"customer_id": "C-1", "account": 5}
FROM_TYPE = ("C-1", "account:5", "release", {"team": "billing", "customer_id": "C-1", "account": "5"})


@dataclass(frozen=True, kw_only=True)
class Order:
    customer_id: str
    account: int = 7
    note: str | None = None


@pytest.fixture(autouse=True)
def bill(monkeypatch):
    """A type that declares all that can be declared, known as long as the test runs."""
    monkeypatch.setattr(registry, "_types", dict(load_types()))
    monkeypatch.setattr(registry, "_found", None)

    @task_type(
        "bill",
        ordering_key="payload.customer_id",
        after_failure="release",
        concurrency_key="account:{payload.account}",
        labels={"team": "billing"},
        search=("customer_id", "account", "note"),
    )
    def bill(task: TaskContext, payload: Order) -> None:
        """Bill an order."""


def sharing(task):
    return task.ordering_key, task.concurrency_key, task.after_failure, task.labels


def posted(client, **said):
    answer = client.post(TASKS, json={"type": "bill", "payload": ORDER, **said})
    assert answer.status_code == 201, answer.text
    return answer.json


def test_a_submission_over_http_has_what_its_type_declares(client):
    task = posted(client)

    assert (task["ordering_key"], task["concurrency_key"], task["after_failure"], task["labels"]) == FROM_TYPE


def test_what_a_submission_says_wins(client):
    task = posted(client, ordering_key="mine", labels={"team": "sales", "x": "y"}, after_failure="block")

    assert (task["ordering_key"], task["concurrency_key"], task["after_failure"]) == ("mine", "account:5", "block")
    assert task["labels"] == {"team": "sales", "customer_id": "C-1", "account": "5", "x": "y"}


def test_tasks_are_found_by_what_search_names(client):
    found, _ = posted(client), posted(client, payload=ORDER | {"customer_id": "C-2"})

    listed = client.get(f"{TASKS}?label=customer_id:C-1&label=account:5").json["items"]

    assert [each["id"] for each in listed] == [found["id"]]


def test_a_batch_has_what_the_type_declares(client, session):
    items = [{"type": "bill", "payload": ORDER}, {"type": "bill", "payload": ORDER | {"customer_id": "x" * 201}}]

    accepted, refused = client.post(f"{TASKS}/batch", json={"tasks": items}).json["results"]

    assert sharing(read_task(session, accepted["task"]["id"])) == FROM_TYPE
    assert "longer than 200" in refused["problem"]["errors"]["payload"]["customer_id"][0]


def test_a_value_that_makes_a_key_too_long_is_refused_with_its_path(client, session):
    answer = client.post(TASKS, json={"type": "bill", "payload": {"customer_id": "x" * 201}})

    assert (answer.status_code, answer.json["code"]) == (422, "payload_refused")
    assert "ordering_key longer than 200 characters" in answer.json["errors"]["payload"]["customer_id"][0]
    assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 0


def test_unique_compares_labels_that_the_type_gives(client):
    once = {"by": ["type", "labels.customer_id"]}

    first = posted(client, unique=once)
    same = client.post(TASKS, json={"type": "bill", "payload": ORDER, "unique": once})
    other = posted(client, payload=ORDER | {"customer_id": "C-2"}, unique=once)

    assert (same.status_code, same.json["id"]) == (200, first["id"])
    assert other["id"] != first["id"]


def test_a_schedule_submits_with_what_the_type_declares_or_its_template_says(client, session):
    template = {"type": "bill", "payload": ORDER}
    made = client.put("/api/v1/schedules/bills", json={"cron": "@daily", "task": template}).json
    own = client.put("/api/v1/schedules/own", json={"cron": "@daily", "task": template | {"ordering_key": "mine"}}).json

    tasks = [read_task(session, client.post(f"{each['links']['self']}/run").json["id"]) for each in (made, own)]

    assert sharing(tasks[0]) == FROM_TYPE
    assert tasks[1].ordering_key == "mine"


def test_a_schedule_whose_payload_makes_a_key_too_long_is_refused(client):
    template = {"type": "bill", "payload": {"customer_id": "x" * 201}}

    answer = client.post("/api/v1/schedules", json={"cron": "@daily", "task": template})

    assert answer.status_code == 422
    assert "longer than 200" in answer.json["errors"]["task"]["payload"]["customer_id"][0]


def test_a_child_has_what_its_type_declares(session):
    options = {"parent_id": uuid4(), "owner_id": None, "now": utcnow(), "payload_keys": ()}

    made = children.draft(wish("bill", ORDER, None, {}), **options)
    own = children.draft(wish("bill", ORDER, None, {"ordering_key": "mine"}), **options)

    assert sharing(made) == FROM_TYPE
    assert own.ordering_key == "mine"
    with pytest.raises(PermanentError, match=r"task.submit\('bill'\): payload.customer_id: .*longer than 200"):
        wish("bill", {"customer_id": "x" * 201}, None, {})


def test_a_step_has_what_its_type_declares_and_blocks_nobody_when_it_fails(session):
    run = start(session, {"bill": step(type_="bill", payload=ORDER)})

    assert sharing(task_of(session, run.id, "bill")) == FROM_TYPE


def test_a_step_says_keys_and_labels_by_templates(session):
    said = {
        "ordering_key": {"$text": ["customer ", {"$from": "input.number"}]},
        "concurrency_key": {"$from": "steps.first.result"},
        "labels": {"number": {"$from": "input.number"}, "none": {"$from": "input.none", "default": None}, "fixed": "x"},
    }
    steps = {"first": step(), "bill": step("first", type_="bill", payload=ORDER, **said)}
    run = start(session, steps, input_={"number": 5})
    end(session, run.id, "first", "the result")
    task = task_of(session, run.id, "bill")

    assert (task.ordering_key, task.after_failure) == ("customer 5", "release")
    assert task.concurrency_key == "the result"
    assert task.labels == {"team": "billing", "customer_id": "C-1", "account": "5", "number": "5", "fixed": "x"}


def test_a_step_without_declarations_blocks_nobody_with_its_own_key_either(session):
    run = start(session, {"a": step(ordering_key="mine"), "b": step()})

    found = [task_of(session, run.id, key) for key in ("a", "b")]

    assert [(each.ordering_key, each.after_failure) for each in found] == [("mine", "release"), (None, None)]


@pytest.mark.parametrize(
    ("said", "place", "told"),
    [
        ({"ordering_key": 5}, "ordering_key", "must be a text of 1 to 200"),
        ({"ordering_key": {"$from": "steps.b.result"}}, "ordering_key", "there is no step 'b'"),
        ({"concurrency_key": ""}, "concurrency_key", "must be a text"),
        ({"labels": []}, "labels", "must be an object"),
        ({"ordring_key": "x"}, "ordring_key", "did you mean 'ordering_key'?"),
    ],
    ids=repr,
)
def test_a_definition_with_bad_keys_is_refused_with_their_places(client, said, place, told):
    definition = {"steps": {"a": {"type": "bill", "payload": ORDER, **said}}}

    answer = client.post("/api/v1/workflows", json={"name": "flow", "definition": definition})

    assert answer.status_code == 422
    assert told in str(answer.json["errors"]["definition"]["steps"]["a"][place])


def test_a_step_whose_key_comes_to_no_text_fails(session):
    workflow = create_workflow(session, {"a": step(ordering_key={"$from": "input.key"})})

    run = workflows.start(session, workflow, NewRun(input={"key": ["x"]}), owner_id=None, now=utcnow())

    [failed] = workflows.view(session, run).steps
    assert states(session, run.id) == {"a": "FAILED"}
    assert "ordering_key: must come to a text" in failed.error["message"]


def test_the_definition_that_is_shown_has_the_keys(client):
    definition = {"steps": {"a": step(ordering_key="x", labels={"a": "b"})}}
    client.post("/api/v1/workflows", json={"name": "flow", "definition": definition})

    shown = client.get("/api/v1/workflows/flow").json["definition"]["steps"]["a"]

    assert (shown["ordering_key"], shown["labels"]) == ("x", {"a": "b"})


@pytest.mark.parametrize(
    "payload",
    [
        ORDER,
        {"customer_id": "C-1"},
        {"customer_id": ""},
        {"customer_id": "Ü \" '", "account": 5.0, "note": "n"},
        {"customer_id": "C-1", "note": None},
    ],
    ids=repr,
)
def test_sql_takes_the_same_from_the_payload(known_types, log_in, person, session, payload):  # noqa: F811
    made = submission.draft(Submission(type="bill", payload=payload), owner_id=None, now=utcnow())

    task_id = log_in(person).one("SELECT taskledger.submit('bill', %s)", json.dumps(payload))

    assert sharing(read_task(session, UUID(task_id))) == sharing(made)


def test_labels_that_sql_gives_win_and_long_keys_are_refused(known_types, log_in, person, session):  # noqa: F811
    ana = log_in(person)

    task_id = ana.one("SELECT taskledger.submit('bill', %s, labels => '{\"team\": \"sales\"}')", json.dumps(ORDER))

    assert read_task(session, UUID(task_id)).labels == {"team": "sales", "customer_id": "C-1", "account": "5"}
    with pytest.raises(Exception, match="makes the ordering_key, which the type takes from it, longer than 200"):
        ana("SELECT taskledger.submit('bill', %s)", json.dumps({"customer_id": "x" * 201}))


def test_the_list_of_types_shows_what_each_declares(client):
    shown = client.get("/api/v1/task-types/bill").json
    other = client.get("/api/v1/task-types/reverse_string").json

    names = ("ordering_key", "after_failure", "concurrency_key", "default_labels", "search", "rate", "concurrency")
    assert [shown[name] for name in names] == [
        "payload.customer_id",
        "release",
        "account:{payload.account}",
        {"team": "billing"},
        ["customer_id", "account", "note"],
        None,
        None,
    ]
    assert [other[name] for name in names] == [None, None, None, {}, [], None, None]


def test_an_index_of_labels_that_an_admin_makes_serves_the_filter(session):
    session.execute(sa.text(f"CREATE INDEX ix_tasks_labels {INDEX}"))
    session.execute(sa.text("SET LOCAL enable_seqscan = off"))
    session.execute(sa.text("SET LOCAL enable_indexscan = off"))
    wanted = records.conditions(session, Filter(labels=[("customer_id", "C-1")]))
    query = sa.select(records.TASKS.c.id).where(*wanted).compile(session.connection())
    values = {name: Json(value) if isinstance(value, dict) else value for name, value in query.params.items()}

    plan = session.connection().exec_driver_sql(f"EXPLAIN {query}", values).scalars().all()
    session.rollback()

    assert any("ix_tasks_labels" in line for line in plan), plan
    assert INDEX in (ROOT / "docs" / "how-to" / "scale.md").read_text(encoding="utf-8")
