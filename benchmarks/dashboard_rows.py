"""Workflows, runs, webhooks and deliveries for the dashboard's benchmark: all of one user, the hardest to page."""

import psycopg2
import sqlalchemy as sa

from app.database import Session
from app.services import webhooks, workflows
from app.services.workflows import NewWorkflow
from tests.support.factories import NOON

STEPS = {
    "fetch": {"type": "reverse_string", "payload": "abc"},
    **{f"work-{n}": {"type": "reverse_string", "payload": "abc", "after": ["fetch"]} for n in range(20)},
    "join": {"type": "reverse_string", "payload": "abc", "after": [f"work-{n}" for n in range(20)]},
}
FILL = (
    "SET session_replication_role = replica",
    """
INSERT INTO workflow_runs (id, workflow_name, version_id, version, owner_id, status, input, labels, priority,
                           created_at, finished_at, updated_at)
SELECT ('01900000' || lpad(to_hex(n), 4, '0') || '70008000000000000000')::uuid, w.name, v.id, 1, w.owner_id,
       (ARRAY['COMPLETED', 'COMPLETED', 'FAILED', 'CANCELLED'])[1 + n % 4], '{}', '{"team": "a"}', 'normal',
       now() - (20001 - n) * interval '1 minute', now() - (20000 - n) * interval '1 minute', now()
FROM workflows w JOIN workflow_versions v ON v.workflow_id = w.id, generate_series(1, 20000) AS n WHERE w.name = 'flow'
""",
    """
INSERT INTO workflow_steps (run_id, key, position, type, state, started_at, ended_at)
SELECT r.id, s.key, s.position - 1, 'reverse_string', 'COMPLETED', r.created_at, r.finished_at
FROM workflow_runs r, unnest(%(keys)s) WITH ORDINALITY AS s (key, position)
""",
    """
INSERT INTO workflow_run_events (run_id, at, status, previous_status)
SELECT id, created_at, 'RUNNING', NULL FROM workflow_runs
UNION ALL SELECT id, finished_at, status, 'RUNNING' FROM workflow_runs
""",
    """
INSERT INTO webhook_deliveries (id, webhook_id, owner_id, position, event, body, task_id, source_task_id, attempts,
                                delivered_at, created_at)
SELECT gen_random_uuid(), w.id, w.owner_id, t.n, 'task.completed', '{"type": "task.completed"}', t.id, t.id,
       '[{"at": "2026-01-01T00:00:00Z", "attempt": 1, "status": 200}]', now(), now() - t.n * interval '1 minute'
FROM (SELECT id, row_number() OVER () AS n FROM (SELECT id FROM tasks LIMIT 20000) AS newest) AS t, webhooks w
""",
)


def fill(database_url: str, email: str) -> list[str]:
    """Write the rows for the user of this address, vacuum, and say which pages show them."""
    engine = sa.create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(database_url))
    with Session(engine) as session:
        owner = session.execute(sa.text("SELECT id FROM users WHERE email = :email"), {"email": email}).scalar_one()
        workflows.create_once(
            session, NewWorkflow(name="flow", definition={"steps": STEPS}), key=None, owner_id=owner, now=NOON
        )
        hook, _ = webhooks.create(
            session, webhooks.NewWebhook(url="https://example.com/"), owner_id=owner, key=None, keys=(), now=NOON
        )
        session.commit()
    engine.dispose()
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            for statement in FILL:
                cursor.execute(statement, {"keys": list(STEPS)} if "%(keys)s" in statement else None)
            cursor.execute("SELECT max(id::text) FROM workflow_runs")
            (run,) = cursor.fetchone() or ("",)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
    finally:
        connection.close()
    return [
        "/workflows", "/workflows/flow", "/runs", "/runs?status=FAILED", "/runs?workflow=nothing+is+called+this",
        f"/runs/{run}", f"/runs/{run}/compensate", "/webhooks", f"/webhooks/{hook.id}",
    ]  # fmt: skip
