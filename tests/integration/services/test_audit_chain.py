"""The chain of the audit log: every change and every gap shows, whoever made it, and pruning leaves none."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from app.cli import register
from app.clock import utcnow
from app.database import Session
from app.factory import create_app
from app.services.accounts import audit, audit_chain
from app.services.accounts.audit import COMMAND_LINE

REHASHED = """
UPDATE audit_log a SET subject = 'x', hash = taskledger.audit_hash(previous_hash, ROW(a.id, a.at, a.action, a.actor_id,
    a.key_id, 'x', a.address, a.request_id, a.detail, a.previous_hash, a.hash)::audit_log) WHERE id = 3
"""
"""A change by somebody who knows how the hash is made."""
LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def five(session):
    """Five entries with the ids 1 to 5; the first three are old."""
    for number in range(1, 6):
        now = LONG_AGO + timedelta(days=number) if number < 4 else utcnow()
        audit.record(session, "test.done", COMMAND_LINE, now=now, subject=f"test:{number}", number=number)
    session.commit()
    return session


def by_hand(session: Session, statement: str, table: str = "audit_log") -> None:
    """What somebody does who owns the tables."""
    session.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    session.execute(sa.text(statement))
    session.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    session.commit()


def fault(session: Session, newest: int | None = None) -> str | None:
    return audit_chain.verify(session, newest=newest).fault


def test_entries_that_nobody_touched_verify(five):
    found = audit_chain.verify(five, newest=None)

    assert (found.entries, found.fault) == (5, None)
    assert five.scalars(sa.text("SELECT id FROM audit_log ORDER BY id")).all() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_an_entry_verifies_in_every_time_zone(five, zone):
    five.execute(sa.text(f"SET LOCAL TIME ZONE '{zone}'"))

    assert fault(five) is None


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "UPDATE audit_log SET subject = 'test:other' WHERE id = 3",
            "entry 3 is the first that is broken: its",
        ),
        ("UPDATE audit_log SET detail = '{}' WHERE id IN (2, 4)", "entry 2 is the first that is broken: its"),
        ("UPDATE audit_log SET at = at + interval '1 us' WHERE id = 5", "entry 5 is the first that is broken"),
        ("UPDATE audit_log SET hash = NULL WHERE id = 4", "entry 4 is the first that is broken"),
        ("DELETE FROM audit_log WHERE id = 3", "entry 4 is the first that is broken: it does not follow from entry 2"),
        ("DELETE FROM audit_log WHERE id <= 2", "entry 3 is the first that is broken: what came before it was removed"),
        ("DELETE FROM audit_log WHERE id = 5", "entry 4 is not the newest: entries up to 5 were removed"),
        ("TRUNCATE audit_log", "entries 1 to 5 were removed"),
        (
            REHASHED,
            "entry 4 is the first that is broken: it does not follow from entry 3",
        ),
    ],
)
def test_a_change_by_hand_is_named(five, statement, said):
    by_hand(five, statement)

    assert (fault(five) or "").startswith(said)


def test_without_its_row_the_chain_takes_no_entry(five):
    by_hand(five, "DELETE FROM audit_chain", "audit_chain")

    assert "audit_chain is gone" in (fault(five) or "")
    with pytest.raises(sa.exc.DBAPIError, match="audit_chain is gone"):
        audit.record(five, "test.done", COMMAND_LINE, now=utcnow())
    five.rollback()
    by_hand(five, "INSERT INTO audit_chain VALUES (1, 5, '', 0, '')", "audit_chain")


def test_the_newest_alone_can_be_verified(five):
    by_hand(five, "UPDATE audit_log SET subject = 'test:other' WHERE id = 2")

    assert fault(five, newest=2) is None
    assert audit_chain.verify(five, newest=2).entries == 3  # and the one that the older of both follows from
    assert "entry 2" in (fault(five) or "")


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE audit_log",
        "UPDATE audit_log SET action = 'nothing'",
        "DELETE FROM audit_log WHERE id = 1",
        "TRUNCATE audit_chain",
        "DELETE FROM audit_chain",
        "UPDATE audit_chain SET last_id = 0, last_hash = ''",
        "UPDATE audit_chain SET pruned_id = 5, pruned_hash = (SELECT hash FROM audit_log WHERE id = 5)",
        "UPDATE audit_chain SET pruned_id = 3, pruned_hash = ''",
        "INSERT INTO audit_chain VALUES (1, 0, '', 0, '')",
        "SELECT taskledger.prune_audit_log(now() - interval '29 days')",
        "SELECT taskledger.prune_audit_log(NULL)",
    ],
)
@pytest.mark.parametrize("role", ["a superuser", "the owner"])
def test_the_log_is_only_added_to(five, statement, role):
    if role == "the owner":
        for made in (
            "CREATE ROLE owner_of_log",
            "GRANT USAGE ON SCHEMA public, taskledger TO owner_of_log",
            "GRANT ALL ON audit_log, audit_chain TO owner_of_log",
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA taskledger TO owner_of_log",
            "SET LOCAL ROLE owner_of_log",
        ):
            five.execute(sa.text(made))

    with pytest.raises(sa.exc.DBAPIError, match=r"refused|and not otherwise|30 days"):
        five.execute(sa.text(statement))
    five.rollback()

    assert audit_chain.verify(five, newest=None).entries == 5
    assert fault(five) is None


def test_pruning_removes_the_oldest_and_what_stays_still_verifies(five):
    removed = audit_chain.prune(five, LONG_AGO + timedelta(days=2, hours=1))
    five.commit()

    assert removed == 2
    assert five.scalars(sa.text("SELECT id FROM audit_log ORDER BY id")).all() == [3, 4, 5, 6]
    assert fault(five) is None
    told = five.execute(sa.text("SELECT action, detail ->> 'count' FROM audit_log WHERE id = 6")).one()
    assert tuple(told) == ("audit.pruned", "2")
    by_hand(five, "DELETE FROM audit_log WHERE id = 3")
    assert "entry 4 is the first that is broken: what came before it was removed" in (fault(five) or "")


def test_pruning_again_goes_on_where_it_ended_and_nothing_old_is_no_fault(five):
    for day, removed in ((1, 0), (2, 1), (2, 0), (30, 2)):
        assert audit_chain.prune(five, LONG_AGO + timedelta(days=day)) == removed
        five.commit()

    assert fault(five) is None


def test_entries_that_are_added_at_once_follow_each_other(engine):
    def add(worker: int) -> None:
        for number in range(20):
            with Session(engine) as mine:
                audit.record(mine, "test.done", COMMAND_LINE, now=utcnow(), subject=f"test:{worker}:{number}")
                if number % 5 == 4:
                    mine.rollback()  # leaves no gap
                else:
                    mine.commit()

    workers = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    with Session(engine) as session:
        assert session.scalars(sa.text("SELECT id FROM audit_log ORDER BY id")).all() == list(range(1, 97))
        assert fault(session) is None


@pytest.fixture
def run(settings, engine):
    """Runs a command."""
    application = create_app(settings)
    register(application)
    return application.test_cli_runner().invoke


def test_the_export_is_one_entry_a_line_in_bounded_pages(run, five, monkeypatch):
    monkeypatch.setattr(audit_chain, "PAGE", 2)

    whole = run(args=["audit", "export", "--since", "2026-01-01"])
    some = run(args=["audit", "export", "--since", "2026-01-02T12:00:00Z", "--until", "2026-01-04T12:00:00Z"])

    lines = [json.loads(line) for line in whole.stdout.splitlines()]
    assert [line["subject"] for line in lines] == [f"test:{number}" for number in range(1, 6)]
    assert lines[0]["previous_hash"] is None
    assert [line["previous_hash"] for line in lines[1:]] == [line["hash"] for line in lines[:-1]]
    assert (lines[0]["at"], lines[0]["detail"]) == ("2026-01-02T12:00:00Z", {"number": 1})
    assert [json.loads(line)["subject"] for line in some.stdout.splitlines()] == ["test:1", "test:2"]


def test_the_command_prunes_and_refuses_what_is_young(run, five):
    refused = run(args=["audit", "prune", "--before", utcnow().isoformat()])

    assert (refused.exit_code, "at least 30 days ago" in refused.output) == (2, True)
    assert "Removed 3 entries" in run(args=["audit", "prune", "--before", "2026-02-01"]).output


def test_what_the_sink_has_still_to_send_is_pruned_only_when_that_is_said(run, five):
    five.execute(sa.text("INSERT INTO sinks (name, position) VALUES ('audit', 1)"))
    five.commit()

    refused = run(args=["audit", "prune", "--before", "2026-02-01"])
    first = run(args=["audit", "prune", "--before", "2026-01-03"])
    rest = run(args=["audit", "prune", "--before", "2026-02-01", "--unsent"])

    assert refused.exit_code == 1
    assert "2 of these entries were not sent yet" in refused.output
    assert "Removed 1 entries" in first.output
    assert "Removed 2 entries" in rest.output
