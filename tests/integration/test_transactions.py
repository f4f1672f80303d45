"""Transactions: what commits, what rolls back, and what is done again; of a process and of a request alike."""

from contextlib import nullcontext

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app import database
from app.web import transactions as of_requests

NOTE = sa.text("INSERT INTO counters (name, value) VALUES (:name, 1)")
NOTED = sa.text("SELECT name FROM counters ORDER BY name")
FAIL_WITH = "DO $$ BEGIN RAISE EXCEPTION 'a test' USING ERRCODE = '{code}'; END $$"


@pytest.fixture(params=["process", "request"])
def transactions(request, engine, application):
    """The module that opens them, within an application where that one needs it."""
    with application.app_context() if request.param == "request" else nullcontext():
        yield of_requests if request.param == "request" else database


def noted(session):
    return session.execute(NOTED).scalars().all()


def test_a_block_that_ends_commits(transactions, session):
    with transactions.transaction() as opened:
        opened.execute(NOTE, {"name": "one"})
        assert noted(session) == []
        session.rollback()

    assert noted(session) == ["one"]


@pytest.mark.parametrize(("autocommit", "kept"), [(False, []), (True, ["one"])])
def test_a_block_that_raises_keeps_what_was_committed_by_itself(transactions, session, autocommit, kept):
    def note_and_fail():
        with transactions.transaction(autocommit=autocommit) as opened:
            opened.execute(NOTE, {"name": "one"})
            raise LookupError

    with pytest.raises(LookupError):
        note_and_fail()

    assert noted(session) == kept


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_session_says_whether_it_commits_each_statement(transactions, autocommit):
    with transactions.transaction(autocommit=autocommit) as opened:
        assert opened.commits_each_statement is autocommit


@pytest.mark.parametrize("code", ["40P01", "40001"])
def test_after_a_deadlock_all_of_it_is_done_again(transactions, session, code):
    tries = []

    def work(opened):
        tries.append(opened)
        opened.execute(NOTE, {"name": f"try {len(tries)}"})
        if len(tries) < 3:
            opened.execute(sa.text(FAIL_WITH.format(code=code)))
        return len(tries)

    assert transactions.in_transaction(work) == 3
    assert noted(session) == ["try 3"]


@pytest.mark.parametrize(("code", "times"), [("40P01", 3), ("23505", 1)])
def test_what_cannot_be_mended_by_another_try_is_raised(transactions, session, code, times):
    tries = []

    def work(opened):
        tries.append(opened)
        opened.execute(NOTE, {"name": "one"})
        opened.execute(sa.text(FAIL_WITH.format(code=code)))

    with pytest.raises(DBAPIError):
        transactions.in_transaction(work)

    assert len(tries) == times
    assert noted(session) == []
