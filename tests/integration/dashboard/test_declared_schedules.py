"""The page of a schedule that is written in code offers what people may do with it."""

import pytest

from taskledger_sdk import schedules
from taskledger_sdk.schedules import schedule
from tests.support.factories import create_schedule


@pytest.fixture(autouse=True)
def code(monkeypatch):
    """The schedules that the code declares: none at first."""
    declared = {}
    monkeypatch.setattr(schedules, "_schedules", declared)
    return declared


def shown(client, session, **columns):
    stored = create_schedule(session, owner_id=None, name="nightly", **columns)
    session.commit()
    return client.get(f"/schedules/{stored.id}").text


def test_one_of_the_code_is_run_and_disabled(boss, session):
    schedule("nightly", cron="0 2 * * *", task={"type": "reverse_string", "payload": "hello"})

    text = shown(boss, session, declared="digest")

    assert "written in code" in text
    assert [word for word in ("/run", "/disable", "/edit", "/delete") if f'{word}"' in text] == ["/run", "/disable"]


def test_one_whose_code_is_gone_is_run_and_deleted(boss, session):
    text = shown(boss, session, declared="digest", enabled=False, withdrawn=True)

    assert "its code is gone" in text
    assert [word for word in ("/run", "/enable", "/edit", "/delete") if f'{word}"' in text] == ["/run", "/delete"]


def test_one_of_a_person_can_be_changed(boss, session):
    text = shown(boss, session)

    assert all(f'{word}"' in text for word in ("/run", "/disable", "/edit", "/delete"))
