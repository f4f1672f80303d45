"""Connections to PostgreSQL: each has our settings, and asks for none of them in a way that a pooler refuses."""

import pytest
import sqlalchemy as sa

from app.config import load
from app.database import SESSION_SETTINGS, make_engine
from app.worker import heartbeat
from tests.support.servers.databases import NO_BROKER


@pytest.fixture(params=["worker", "api", "heartbeat"])
def any_engine(request, database_url, application, monkeypatch):
    """An engine as each kind of process makes it."""
    settings = load({"DATABASE_URL": database_url, "BROKER_URL": NO_BROKER})
    if request.param == "api":
        with application.app_context():
            yield application.extensions["sqlalchemy"].engine
        return
    monkeypatch.setattr(heartbeat, "get_settings", lambda: settings)
    engine = heartbeat._short_waits() if request.param == "heartbeat" else make_engine(settings)
    yield engine
    engine.dispose()


def test_a_session_keeps_our_settings_over_a_rollback(any_engine):
    with any_engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        connection.rollback()
        names = sa.text("SELECT name, current_setting(name) FROM unnest(CAST(:names AS text[])) AS name")
        found = {row.name: row.current_setting for row in connection.execute(names, {"names": [*SESSION_SETTINGS]})}

    assert found.pop("statement_timeout") in ("30s", "3s")  # the heartbeat waits for nothing
    assert found.pop("idle_in_transaction_session_timeout") == "1min"
    assert found.items() <= SESSION_SETTINGS.items()


def test_no_session_is_opened_with_options_which_pgbouncer_refuses(any_engine):
    connection = any_engine.raw_connection()
    try:
        assert not connection.driver_connection.get_dsn_parameters().get("options")
    finally:
        connection.close()
