"""GET /tasks/{id}/children, and what a task says of its parent."""

import pytest
import sqlalchemy as sa

from app.models import Status
from tests.integration.api.conftest import TASKS
from tests.support.factories import NOON, make_task, seconds


@pytest.fixture
def family(session):
    """A task that submitted five others, one of them with a key, and one that did not."""
    parent = make_task(session)
    children = []
    for number in range(5):
        child = make_task(session, parent_id=parent.id, name=str(number), now=NOON + seconds(number))
        session.execute(
            sa.text("INSERT INTO task_children (parent_id, child_id, type, key) VALUES (:parent, :child, :type, :key)"),
            {"parent": parent.id, "child": child.id, "type": child.type, "key": "the first" if number == 0 else None},
        )
        children.append(child)
    make_task(session)
    session.commit()
    return parent, children


def test_children_are_listed_the_newest_first_page_by_page(client, family):
    parent, children = family
    path, found = f"{TASKS}/{parent.id}/children?limit=2", []
    answer = client.get(path).json
    while True:
        found += answer["items"]
        if answer["next"] is None:
            break
        answer = client.get(f"{path}&cursor={answer['next']}").json

    assert [task["id"] for task in found] == [str(child.id) for child in reversed(children)]


def test_a_cursor_of_another_list_is_refused(client, family):
    parent, _ = family
    cursor = client.get(f"{TASKS}?limit=1").json["next"]

    assert client.get(f"{TASKS}/{parent.id}/children?cursor={cursor}").status_code == 422


def test_parent_and_child_name_each_other(client, family):
    parent, [child, *_] = family

    shown, top = client.get(f"{TASKS}/{child.id}").json, client.get(f"{TASKS}/{parent.id}").json

    assert (shown["parent_id"], shown["links"]["parent"]) == (str(parent.id), f"{TASKS}/{parent.id}")
    assert (top["parent_id"], top["links"]["parent"]) == (None, None)
    assert str(child.id) in [task["id"] for task in client.get(top["links"]["children"]).json["items"]]


def test_a_submission_cannot_claim_a_parent(client, family):
    parent, _ = family

    answer = client.post(TASKS, json={"type": "reverse_string", "payload": "a", "parent_id": str(parent.id)})

    assert answer.status_code == 422
    assert answer.json["errors"]["parent_id"] == ["is read-only: the service sets it"]


def test_children_that_are_gone_are_left_out(client, session, family):
    parent, children = family
    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": children[4].id})
    session.commit()

    shown = client.get(f"{TASKS}/{parent.id}/children?limit=3").json

    assert [task["name"] for task in shown["items"]] == ["3", "2", "1"]
    assert shown["next"] is not None


def test_sql_shows_parents_and_children(session, family):
    parent, children = family
    shown = session.execute(
        sa.text("SELECT id, key, status FROM taskledger.v_children WHERE parent_id = :id ORDER BY id"),
        {"id": parent.id},
    ).all()

    assert [tuple(row) for row in shown] == [
        (child.id, "the first" if number == 0 else None, Status.PENDING) for number, child in enumerate(children)
    ]
    named = sa.text("SELECT parent_id FROM taskledger.v_tasks WHERE id = :id")
    assert session.scalar(named, {"id": children[0].id}) == parent.id
