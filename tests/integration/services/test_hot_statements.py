"""The statements that every task passes: planned once a connection, with a plan that fits tables of any size."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.clock import utcnow
from app.config import get_settings
from app.database import Session, array, make_engine, to_json
from app.services import lifecycle
from app.services.lifecycle.outcomes import COMPLETE
from app.services.submission import Submission, storage
from app.services.submission.drafts import draft_unchecked
from tests.support.factories import HOLDER

PLANS = sa.text("SELECT name, generic_plans, custom_plans FROM pg_prepared_statements ORDER BY name")
NOTHING = "00000000-0000-0000-0000-000000000000"


def drafts(count):
    submission = Submission(type="reverse_string", payload="hello")
    return [draft_unchecked(submission, owner_id=None, now=utcnow()) for _ in range(count)]


def pass_through(session, count):
    tasks = storage.insert(session.connection(), drafts(count))
    ids = [task.id for task in tasks]
    claims = lifecycle.claim(session, "reverse_string", ids, holder=HOLDER, lease_seconds=60, now=utcnow())
    assert len(lifecycle.complete(session, [(held, "olleh") for held in claims], now=utcnow())) == count


@pytest.fixture
def session(engine):
    """A new connection such as the workers have."""
    of_its_own = make_engine(get_settings(), isolation_level="AUTOCOMMIT")
    with Session(of_its_own) as session:
        yield session
    of_its_own.dispose()


def test_they_are_planned_once_for_any_number_of_tasks(session):
    for count in (1, 1, 1, 8, 1, 1, 1):
        pass_through(session, count)

    found = {row.name: (row.generic_plans, row.custom_plans) for row in session.execute(PLANS)}

    assert found == {
        "taskledger_insert_1": (6, 0),
        "taskledger_insert_8": (1, 0),
        "taskledger_claim": (7, 0),
        "taskledger_complete": (7, 0),
    }


def test_a_plan_made_when_the_table_was_empty_still_uses_the_index_when_it_is_full(session):
    pass_through(session, 1)
    connection = session.connection()
    for _ in range(4):
        storage.insert(connection, drafts(1_000))

    for call in (
        f"complete('{{{NOTHING}}}', '{NOTHING}', '{{}}', '{{}}', now())",
        f"claim('{{{NOTHING}}}', 'x', '{NOTHING}', 'w', 1, now(), now(), '{{}}')",
    ):
        explain = f"SET LOCAL plan_cache_mode = force_generic_plan; EXPLAIN (FORMAT JSON) EXECUTE taskledger_{call}"
        [(found,)] = connection.exec_driver_sql(explain)
        assert ways_to("tasks", found[0]["Plan"]) == {"Index Scan"}, found


@pytest.mark.parametrize("prepared", [True, False])
def test_they_lock_tasks_in_the_order_of_ids_whatever_they_are_given(session, monkeypatch, prepared):
    settings = replace(get_settings(), prepare_statements=prepared)
    monkeypatch.setattr("app.database.prepared.get_settings", lambda: settings)
    newest_first = sorted(drafts(50), key=lambda draft: draft.id, reverse=True)
    ids = [task.id for task in storage.insert(session.connection(), newest_first)]
    claims = lifecycle.claim(session, "reverse_string", ids, holder=HOLDER, lease_seconds=60, now=utcnow())

    results = {str(id_): "olleh" for id_ in ids}
    changed = COMPLETE.execute(
        session,
        {"ids": array(ids), "lease": claims[0].lease, "results": to_json(results), "reasons": "{}", "now": utcnow()},
    )

    # Rows are returned in the order in which they were changed.
    assert changed.scalars().all() == ids[::-1]


def ways_to(table, plan):
    """How a plan reads a table."""
    ways = {plan["Node Type"]} if plan.get("Relation Name") == table and "Scan" in plan["Node Type"] else set()
    return ways.union(*(ways_to(table, part) for part in plan.get("Plans", ())))
