"""Calls within a transaction of their caller: of the ledger's own database, and of another one."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
import sqlalchemy as sa
from celery import chain
from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from app.clock import utcnow
from app.dispatcher.dispatch import Dispatch
from app.messaging import Publisher
from taskledger_sdk.celery import NotJson, using

SECONDS = 20


def dispatch() -> None:
    """What the dispatcher does, whose broker is away; what SQL has submitted is held by the ledger until then."""
    with suppress(OperationalError):
        Dispatch(Publisher()).run_once(utcnow())


@pytest.fixture
def elsewhere(tmp_path) -> Iterator[Session]:
    """A session of a database that is not the ledger's."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.db")
    with Session(engine) as session:
        session.execute(sa.text("CREATE TABLE orders (id integer PRIMARY KEY)"))
        session.commit()
        yield session
    engine.dispose()


@pytest.fixture(params=["the ledger's database", "another database"])
def place(request, engine, declared) -> Iterator[Session]:
    """A session of either."""
    if request.param == "another database":
        yield request.getfixturevalue("elsewhere")
    else:
        with Session(engine) as session:
            yield session


def test_what_is_rolled_back_was_never_made(shop, place, stored):
    with using(place):
        shop.add.delay(1, 2)
        place.rollback()

    place.commit()
    assert stored() == []


def test_what_is_committed_is_a_task_whose_result_is_read(shop, place, declared, stored):
    with using(place):
        result = shop.add.delay(1, 2)
        before = stored()
        place.commit()

    assert before == []
    dispatch()
    with declared:
        assert result.get(timeout=SECONDS) == 3


def test_nothing_is_sent_twice(shop, place, stored):
    with using(place):
        shop.add.delay(1, 2)
        place.commit()
        place.execute(sa.text("SELECT 1"))
        place.commit()

    assert len(stored()) == 1


def test_a_savepoint_that_is_rolled_back_takes_its_calls_along(shop, place, stored):
    with using(place):
        place.execute(sa.text("SELECT 1"))
        savepoint = place.begin_nested()
        shop.add.delay("inner", "")
        savepoint.rollback()
        with place.begin_nested():
            shop.add.delay("kept", "")
        shop.add.delay("outer", "")
        place.commit()

    assert sorted(row.payload["args"][0] for row in stored()) == ["kept", "outer"]


def test_a_session_that_is_closed_without_a_commit_sends_nothing(shop, place, stored):
    with using(place):
        shop.add.delay(1, 2)
        place.close()
        place.commit()

    assert stored() == []


def test_a_chosen_id_is_found_again(shop, place, declared):
    with using(place):
        shop.add.apply_async((1, 2), task_id="import-7")
        place.commit()

    dispatch()
    with declared:
        assert shop.app.AsyncResult("import-7").get(timeout=SECONDS) == 3


def test_a_canvas_is_sent_with_the_commit(shop, place, declared, stored):
    with using(place):
        result = chain(shop.add.s(1, 2), shop.add.s(3)).apply_async()
        before = stored()
        place.commit()

    assert before == []
    with declared:
        assert result.get(timeout=SECONDS) == 6


def test_what_cannot_be_sent_is_said_at_the_call(shop, place):
    with using(place), pytest.raises(NotJson):
        shop.add.delay({1})


def test_a_call_in_the_ledgers_database_is_a_row_of_its_transaction(shop, engine, declared):
    with Session(engine) as session, using(session):
        result = shop.add.apply_async((1, 2), countdown=600, priority=9, expires=6_000)

        row = session.execute(sa.text("SELECT * FROM tasks")).one()
        assert (str(row.id), row.status, row.priority) == (result.id, "SCHEDULED", "high")
        assert row.expires_at > row.scheduled_at


def test_a_scoped_session_is_the_one_of_this_thread(shop, engine, declared, stored):
    sessions = scoped_session(sessionmaker(engine))

    with using(sessions):
        shop.add.delay(1, 2)
        sessions.rollback()
        sessions.remove()

    assert stored() == []


def test_without_a_session_calls_are_sent_at_once(shop, elsewhere, declared, stored):
    with using(elsewhere), using(None):
        shop.add.delay(1, 2)

    assert len(stored()) == 1


def test_anything_else_is_no_session():
    with pytest.raises(TypeError, match="not a str"), using("session"):
        pass
