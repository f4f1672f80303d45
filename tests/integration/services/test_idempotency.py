"""Idempotency keys, also under concurrency."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.database import Session
from app.errors import Gone, Refused
from app.services import idempotency
from app.services.submission import Submission, accept
from taskledger_sdk.errors import PayloadRefused
from tests.support.factories import NOON

HELLO = Submission(type="reverse_string", payload="hello")


def key(submission=HELLO, value="order-17"):
    return idempotency.taken("tasks", value, {"type": submission.type, "payload": submission.payload})


def submit(session, submission=HELLO, *, value="order-17", now=NOON):
    accepted = accept(session, submission, key=key(submission, value), owner_id=None, now=now)
    return accepted.task, accepted.is_new


def test_the_same_key_and_body_return_the_first_task(session):
    first, is_new = submit(session)
    second, is_new_again = submit(session)

    assert (is_new, is_new_again) == (True, False)
    assert first.id == second.id


def test_another_key_makes_another_task(session):
    assert submit(session)[0].id != submit(session, value="order-18")[0].id


def test_the_same_key_with_another_body_is_refused(session):
    submit(session)

    with pytest.raises(Refused) as refused:
        submit(session, Submission(type="reverse_string", payload="bye"))
    assert refused.value.code == "idempotency_key_reused"


def test_a_refused_submission_leaves_the_key_unused(engine):
    bad = Submission(type="reverse_string", payload=17)
    with pytest.raises(PayloadRefused), Session(engine) as session, session.begin():
        submit(session, bad)

    with Session(engine) as session, session.begin():
        assert submit(session)[1]


def test_the_key_of_a_deleted_task_is_gone(session):
    task, _ = submit(session)
    session.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": task.id})

    with pytest.raises(Gone):
        submit(session)


def test_a_key_is_free_again_after_a_day(session):
    first, _ = submit(session)

    second, is_new = submit(session, now=NOON + timedelta(hours=24, seconds=1))

    assert is_new
    assert first.id != second.id


def test_twenty_identical_submissions_at_once_make_one_task(engine):
    def submit_alone(_):
        with Session(engine) as session, session.begin():
            return submit(session)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(submit_alone, range(20)))

    assert len({task.id for task, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1
    with Session(engine) as session:
        assert session.scalar(sa.text("SELECT count(*) FROM tasks")) == 1
