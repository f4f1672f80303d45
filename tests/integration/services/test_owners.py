"""Whether somebody's work may still be started."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.services import owners
from tests.factories import NOON


@pytest.fixture
def users(session, monkeypatch):
    """A table of accounts that lasts for one test."""
    table = sa.Table("users", sa.MetaData(), sa.Column("id", sa.Uuid), sa.Column("disabled_at", sa.DateTime(True)))
    session.execute(sa.text("CREATE TEMPORARY TABLE users (id uuid, disabled_at timestamptz)"))
    monkeypatch.setattr(owners, "Base", SimpleNamespace(metadata=table.metadata))
    yield table
    session.rollback()


def test_an_open_account_is_active_and_a_closed_or_unknown_one_is_not(session, users):
    opened, closed = uuid4(), uuid4()
    session.execute(sa.insert(users), [{"id": opened, "disabled_at": None}, {"id": closed, "disabled_at": NOON}])

    active = [owners.owner_is_active(session, owner) for owner in (opened, closed, uuid4())]

    assert active == [True, False, False]


def test_the_system_is_always_active(session, users):
    assert owners.owner_is_active(session, None)
