"""Rows are stored as they were drafted, whichever form the statement takes."""

from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec.structs import replace

from app.services.submission import Submission, draft_unchecked, storage
from app.services.submission.storage import FEW_ROWS, MAX_ROWS
from tests.support.factories import NOON, read_task

ODD = ("", None, "\u0001\u202e😀", "'; --", "%s %(id)s :id", {"a": [None, 1.5, 10**30, {}]}, [], False, 0)


def draft(payload, **fields):
    submission = Submission(type="reverse_string", payload=payload, **fields)
    return draft_unchecked(submission, owner_id=uuid4(), now=NOON)


@pytest.mark.parametrize("copies", [1, FEW_ROWS])
def test_every_value_is_read_back_as_it_was_written(session, copies):
    odd = {"name": "Ünïcödé %", "labels": {"a%": "'"}, "expires_at": NOON + timedelta(days=9), "timeout": 3}
    drafts = [draft(payload, **odd) for payload in ODD for _ in range(copies)]

    stored = storage.insert(session.connection(), drafts)

    assert [replace(task, updated_at=NOON) for task in stored] == [replace(task, updated_at=NOON) for task in drafts]
    assert [read_task(session, task.id) for task in drafts] == stored


def test_a_few_rows_and_many_are_stored_alike(session):
    few = storage.insert(session.connection(), [draft(payload) for payload in ODD[:FEW_ROWS]])
    many = storage.insert(session.connection(), [draft(payload) for payload in ODD] * 1)

    assert [read_task(session, task.id).payload for task in few] == list(ODD[:FEW_ROWS])
    assert [read_task(session, task.id).payload for task in many] == list(ODD)


def test_more_than_one_statement_holds_are_stored_in_their_order(session):
    drafts = [draft(number) for number in range(MAX_ROWS + FEW_ROWS)]

    stored = storage.insert(session.connection(), drafts)

    assert [task.id for task in stored] == [task.id for task in drafts]
    assert read_task(session, drafts[-1].id).payload == MAX_ROWS + FEW_ROWS - 1


def test_what_differs_between_many_rows_is_kept_apart(session):
    fields = [
        {"name": "one", "timeout": 3, "priority": "high", "labels": {"a": "1"}},
        {"labels": {}, "max_retries": 0, "expires_at": NOON + timedelta(days=1)},
        {
            "callback_url": "https://example.org/%s",
            "concurrency_key": "host:a",
            "scheduled_at": NOON + timedelta(hours=1),
        },
    ]
    drafts = [draft(payload, **fields[number % 3]) for number, payload in enumerate(ODD * 3)]

    stored = storage.insert(session.connection(), drafts)

    assert [replace(task, updated_at=NOON) for task in stored] == [replace(task, updated_at=NOON) for task in drafts]
    assert [read_task(session, task.id) for task in drafts] == stored


def test_many_rows_that_have_all_but_their_ids_in_common_are_as_many_tasks(session):
    drafts = [replace(draft({}), owner_id=None) for _ in range(FEW_ROWS + 1)]

    storage.insert(session.connection(), drafts)

    assert [read_task(session, task.id).payload for task in drafts] == [{}] * (FEW_ROWS + 1)
