"""A session: what it commits, what it takes back, and what it calls once something is committed."""

from contextlib import suppress

import pytest
import sqlalchemy as sa

from app.database import Session

NOTE = sa.text("INSERT INTO counters (name, value) VALUES (:name, 1)")
NAMES = sa.text("SELECT name FROM counters ORDER BY name")


@pytest.fixture
def told(session):
    """What was called after a commit, each time with the rows that others saw then."""
    return []


@pytest.fixture
def names(engine):
    """The rows that somebody else sees."""

    def read():
        with engine.connect() as connection:
            return list(connection.scalars(NAMES))

    return read


def note(session, name):
    session.execute(NOTE, {"name": name})


def test_what_is_not_committed_is_taken_back(engine, names):
    with Session(engine) as session:
        note(session, "one")

    assert names() == []


def test_a_block_is_committed_at_its_end_and_taken_back_when_it_raises(engine, names):
    with Session(engine) as session, session.begin():
        note(session, "one")

    def note_and_fail():
        with Session(engine) as session, session.begin():
            note(session, "two")
            raise LookupError

    with pytest.raises(LookupError):
        note_and_fail()

    assert names() == ["one"]


def test_a_session_goes_on_after_a_commit_and_after_a_rollback(session, names):
    note(session, "one")
    session.commit()
    note(session, "two")
    session.rollback()
    note(session, "three")
    session.commit()

    assert names() == ["one", "three"]


def test_its_connection_is_back_in_the_pool_between_transactions(engine, session):
    taken = engine.pool.checkedout()
    note(session, "one")
    assert engine.pool.checkedout() == taken + 1

    session.commit()

    assert engine.pool.checkedout() == taken


def test_a_connection_whose_server_process_has_gone_is_given_back_as_well(engine):
    taken = engine.pool.checkedout()
    ended = Session(engine)
    pid = ended.scalar(sa.text("SELECT pg_backend_pid()"))
    with Session(engine) as session:
        session.scalar(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with suppress(sa.exc.DBAPIError):
        ended.close()

    assert engine.pool.checkedout() == taken
    assert ended.scalar(sa.text("SELECT 1")) == 1
    ended.close()


def test_a_call_comes_after_the_commit_and_once(session, names, told):
    note(session, "one")
    session.after_commit(lambda: told.append(names()))
    assert told == []

    session.commit()
    session.commit()

    assert told == [["one"]]


def test_a_call_never_comes_after_a_rollback(session, told):
    note(session, "one")
    session.after_commit(lambda: told.append("one"))
    session.rollback()
    session.commit()

    assert told == []


def test_a_savepoint_takes_its_calls_back_and_no_others(session, names, told):
    def note_and_fail():
        with session.begin_nested():
            note(session, "one")
            session.after_commit(lambda: told.append("within"))
            with session.begin_nested():
                session.after_commit(lambda: told.append("further within"))
            raise LookupError

    session.after_commit(lambda: told.append("before"))
    with pytest.raises(LookupError):
        note_and_fail()
    note(session, "two")
    session.commit()

    assert (names(), told) == (["two"], ["before"])


def test_a_call_of_a_savepoint_that_holds_waits_for_the_whole(session, told):
    with session.begin_nested():
        note(session, "one")
        session.after_commit(lambda: told.append("one"))
    assert told == []

    session.commit()

    assert told == ["one"]


def test_a_session_that_commits_each_statement_calls_at_once(engine, names, told):
    plain = engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(plain, commits_each_statement=True) as session:
        note(session, "one")
        session.after_commit(lambda: told.append(names()))

    assert told == [["one"]]


def test_on_a_connection_without_a_transaction_it_commits_its_own(engine, names):
    with engine.connect() as connection:
        with Session(connection) as session, session.begin():
            note(session, "one")
        with Session(connection) as session:
            note(session, "two")

        assert (names(), connection.closed, connection.in_transaction()) == (["one"], False, False)


def test_a_transaction_that_somebody_else_began_is_left_to_them(engine, names):
    with engine.connect() as connection:
        note(connection, "one")
        with Session(connection) as session, session.begin():
            note(session, "two")
        assert names() == []

        connection.commit()

    assert names() == ["one", "two"]
