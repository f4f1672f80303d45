"""GET /tasks and /tasks/{id}/events: filters and pages."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.database import Session
from app.models import Status
from tests.integration.api.conftest import TASKS, Store, Submit
from tests.support.factories import NOON


def names(client: FlaskClient, query: str = "") -> list[str]:
    answer = client.get(f"{TASKS}?{query}")
    assert answer.status_code == 200, answer.text
    return [task["name"] for task in answer.json["items"]]


def test_no_tasks_are_an_empty_list(client: FlaskClient):
    assert client.get(TASKS).json == {"items": [], "next": None}


def test_the_newest_comes_first(client: FlaskClient, store: Store):
    for name in "abc":
        store(name=name)

    assert names(client) == ["c", "b", "a"]


@pytest.fixture
def several(store: Store) -> None:
    """Five tasks that differ."""
    hour = timedelta(hours=1)
    store(name="waiting", labels={"team": "a", "env": "test"}, now=NOON)
    store(name="later", status=Status.SCHEDULED, labels={"team": "b"}, now=NOON + hour)
    store(name="running", status=Status.PROCESSING, type="uppercase_text", now=NOON + 2 * hour)
    store(
        name="failed",
        status=Status.FAILED,
        type="fibonacci_calc",
        payload=1,
        error={"type": "ValueError", "message": "100% of D:\\disk_full"},
        now=NOON + 3 * hour,
    )
    store(name="done", status=Status.COMPLETED, labels={"team": "a"}, now=NOON + 4 * hour)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=FAILED", ["failed"]),
        ("status=FAILED,COMPLETED", ["done", "failed"]),
        ("status=FAILED&status=PENDING", ["failed", "waiting"]),
        ("type=uppercase_text", ["running"]),
        ("type=uppercase_text,fibonacci_calc", ["failed", "running"]),
        ("type=gone_since", []),
        ("label=team:a", ["done", "waiting"]),
        ("label=team:a&label=env:test", ["waiting"]),
        ("label=team:", []),
        ("created_after=2026-03-02T15:00:00Z", ["done", "failed"]),
        ("created_before=2026-03-02T15:00:00Z", ["running", "later", "waiting"]),
        ("created_after=2026-03-02T14:00:00%2B01:00&created_before=2026-03-02T14:00:00Z", ["later"]),
        ("created_after=2026-03-02T14:00:00+01:00&created_before=2026-03-02T14:00:00Z", ["later"]),
        ("q=ATE", ["later"]),
        ("q=upper", ["running"]),
        ("q=disk", ["failed"]),
        ("q=100%25", ["failed"]),
        ("q=%25", ["failed"]),
        ("q=disk_full", ["failed"]),
        ("q=diskxfull", []),
        ("q=D:%5Cdisk", ["failed"]),
        ("q=' OR 1=1 --", []),
        ("status=FAILED&type=uppercase_text", []),
        ("status=PENDING&label=team:a&q=wait&created_before=2027-01-01T00:00:00Z", ["waiting"]),
    ],
)
@pytest.mark.usefixtures("several")
def test_a_filter_keeps_what_matches_all_of_it(client: FlaskClient, query: str, expected: list[str]):
    assert names(client, query) == expected


def test_pages_hold_every_task_once_even_while_more_arrive(client: FlaskClient, store: Store):
    for number in range(7):
        store(name=str(number))
    seen: list[str] = []
    query = "limit=3"

    while True:
        page = client.get(f"{TASKS}?{query}").json
        seen += [task["name"] for task in page["items"]]
        store(name="new")
        if page["next"] is None:
            break
        query = f"limit=3&cursor={page['next']}"

    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_a_full_last_page_has_no_next(client: FlaskClient, store: Store):
    for _ in range(2):
        store()

    assert client.get(f"{TASKS}?limit=2").json["next"] is None


@pytest.mark.usefixtures("several")
def test_a_page_honours_the_filter(client: FlaskClient):
    first = client.get(f"{TASKS}?limit=1&label=team:a").json

    assert names(client, f"limit=1&label=team:a&cursor={first['next']}") == ["waiting"]


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: "x" + c, lambda c: c.replace(".", "A."), str.swapcase])
def test_a_cursor_that_was_changed_is_422(client: FlaskClient, store: Store, change: Any):
    for _ in range(2):
        store()
    cursor = client.get(f"{TASKS}?limit=1").json["next"]

    answer = client.get(f"{TASKS}?limit=1&cursor={change(cursor)}")

    assert (answer.status_code, list(answer.json["errors"])) == (422, ["cursor"])


def test_a_cursor_of_another_list_is_422(client: FlaskClient, store: Store):
    task = store()
    store()
    cursor = client.get(f"{TASKS}?limit=1").json["next"]

    assert client.get(f"{TASKS}/{task.id}/events?cursor={cursor}").status_code == 422


def test_the_history_is_oldest_first_and_paged(client: FlaskClient, submit: Submit, session: Session):
    task_id = submit()["id"]
    for status in ("CANCELLED", "PENDING", "CANCELLED"):
        session.execute(sa.text("UPDATE tasks SET status = :s WHERE id = :id"), {"s": status, "id": UUID(task_id)})
        session.commit()

    first = client.get(f"{TASKS}/{task_id}/events?limit=3").json
    second = client.get(f"{TASKS}/{task_id}/events?limit=3&cursor={first['next']}").json

    assert [event["status"] for event in first["items"]] == ["PENDING", "CANCELLED", "PENDING"]
    assert second["next"] is None
    assert second["items"] == [
        {
            "status": "CANCELLED",
            "previous_status": "PENDING",
            "attempt": 0,
            "worker": None,
            "at": second["items"][0]["at"],
        }
    ]


def test_the_history_of_an_unknown_task_is_404(client: FlaskClient):
    assert client.get(f"{TASKS}/018f3c5e-7d2a-7000-8000-0123456789ab/events").status_code == 404


def test_a_trailing_slash_does_not_matter(client: FlaskClient):
    assert client.get(f"{TASKS}/").status_code == 200
