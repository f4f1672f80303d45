"""Whether somebody's work may still be started, and how much of something one may have."""

from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace
from uuid import uuid4

import pytest
import sqlalchemy as sa

from app.database import Session
from app.errors import Refused
from app.services import owners, webhooks
from app.services.accounts import api_keys
from app.services.webhooks import NewWebhook, endpoints
from tests.support.factories import NOON
from tests.support.people import make_person


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


def new_webhook(session, owner_id):
    return webhooks.create(session, NewWebhook(url="https://a.test"), owner_id=owner_id, key=None, keys=(), now=NOON)


def new_key(session, owner_id):
    return api_keys.create(
        session, owner_id, name="k", scopes=("tasks:read",), expires_at=None, now=NOON, is_admin=False
    )


@pytest.mark.parametrize(
    ("limited", "limit", "most", "make"),
    [(endpoints, "MAX_PER_ACCOUNT", 1, new_webhook), (api_keys, "MAX_KEYS", 2, new_key)],
)
def test_two_requests_at_once_make_no_more_than_an_account_may_have(
    database_url, session, engine, monkeypatch, limited, limit, most, make
):
    owner_id = make_person(database_url).id  # with one key
    monkeypatch.setattr(limited, limit, most)
    with Session(engine) as other, ThreadPoolExecutor(1) as pool:
        make(other, owner_id)
        waiting = pool.submit(make, session, owner_id)
        assert not wait([waiting], timeout=0.3).done
        other.commit()

        with pytest.raises(Refused):
            waiting.result(10)
