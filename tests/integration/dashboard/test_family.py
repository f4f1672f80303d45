"""The page of a task: who submitted it, and what it submitted."""

import sqlalchemy as sa

from tests.support.factories import make_task


def family(session, children):
    parent = make_task(session)
    submitted = [make_task(session, parent_id=parent.id, name=f"child {number}") for number in range(children)]
    session.execute(
        sa.text(
            "INSERT INTO task_children (parent_id, child_id, type) "
            "SELECT parent_id, id, type FROM tasks WHERE parent_id = :id"
        ),
        {"id": parent.id},
    )
    session.commit()
    return parent, submitted


def test_the_pages_of_parent_and_child_lead_to_each_other(session, boss):
    parent, [child, *_] = family(session, 2)

    above, below = boss.get(f"/tasks/{parent.id}").text, boss.get(f"/tasks/{child.id}").text

    assert f'<a href="/tasks/{child.id}">child 0</a>' in above
    assert "There are more" not in above
    assert f'href="/tasks/{parent.id}"' in below
    assert "Submitted by it" not in below


def test_of_many_children_the_newest_are_shown_and_where_the_rest_is(session, boss):
    parent, children = family(session, 51)

    shown = boss.get(f"/tasks/{parent.id}").text

    assert f'<a href="/tasks/{children[50].id}">' in shown
    assert f'<a href="/tasks/{children[0].id}">' not in shown
    assert f"GET /tasks/{parent.id}/children" in shown
