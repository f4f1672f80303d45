"""Workflows, runs, webhooks and sinks for the scenery: made by the services themselves, then put into their states."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.database import Session
from app.services import webhooks, workflows
from app.services.workflows import NewRun, NewWorkflow

RUNNING = {"fetch": "COMPLETED", "check": "COMPLETED", "stock": "COMPLETED", "reserve": "STARTED", "invoice": "STARTED"}
FAILED = {"fetch": "COMPLETED", "check": "COMPLETED", "stock": "COMPLETED", "reserve": "COMPLETED", "invoice": "FAILED"}
ERROR = '{"type": "PermanentError", "message": "the customer has no address"}'
STEP = sa.text(
    "UPDATE workflow_steps SET state = :state, started_at = CAST(:at AS timestamptz), "
    "task_id = coalesce(task_id, (SELECT id FROM tasks WHERE finished_at IS NOT NULL ORDER BY id LIMIT 1)), "
    "ended_at = CASE WHEN :state = 'STARTED' THEN NULL ELSE CAST(:at AS timestamptz) + interval '1.4 s' END, "
    "error = CASE WHEN :state = 'FAILED' THEN CAST(:error AS jsonb) END WHERE run_id = :run AND key = :key"
)


def _step(type_: str, *after: str, payload: Any = "order") -> dict[str, Any]:
    return {"type": type_, "after": list(after), "payload": payload}


STEPS = {
    "fetch": _step("reverse_string", payload={"$from": "input.order"}),
    "check": _step("uppercase_text", "fetch"),
    "stock": _step("uppercase_text", "fetch"),
    "reserve": _step("reverse_string", "check", "stock"),
    "invoice": _step("uppercase_text", "check"),
    "tell": _step("uppercase_text", "reserve", "invoice"),
}


def paint(database_url: str, owner: UUID) -> dict[str, str]:
    """Paths to what was made."""
    engine = sa.create_engine(sa.make_url(database_url).set(drivername="postgresql+psycopg2"))
    try:
        with Session(engine) as session, session.begin():
            session.execute(sa.text("SET session_replication_role = replica"))
            return {"run": f"/runs/{_runs(session, owner)}", "webhook": f"/webhooks/{_webhooks(session, owner)}"}
    finally:
        engine.dispose()


def _runs(session: Session, owner: UUID) -> UUID:
    now = datetime.now(UTC)
    definition = {"input": {"order": {"type": "string", "description": "its number"}}, "steps": STEPS}
    wanted = NewWorkflow(name="order-to-cash", description="From an order to its invoice", definition=definition)
    made, _ = workflows.create_once(session, wanted, key=None, owner_id=owner, now=now - timedelta(days=12))
    for minutes, status, states in ((51, "COMPLETED", dict.fromkeys(STEPS, "COMPLETED")), (9, "FAILED", FAILED),
                                    (1, "RUNNING", RUNNING)):  # fmt: skip
        began = now - timedelta(minutes=minutes)
        new = NewRun(input={"order": f"A-{1000 + minutes}"}, labels={"order": f"A-{1000 + minutes}"})
        run = workflows.start(session, made, new, owner_id=owner, now=began)
        for number, (key, state) in enumerate(states.items()):
            at = began + timedelta(seconds=2 * number)
            session.execute(STEP, {"run": run.id, "key": key, "state": state, "at": at, "error": ERROR})
        reason = "step 'invoice' failed" if status == "FAILED" else None
        ended = None if status == "RUNNING" else began + timedelta(seconds=14)
        session.execute(
            sa.text("UPDATE workflow_runs SET status = :status, reason = :reason, finished_at = :ended WHERE id = :id"),
            {"status": status, "reason": reason, "ended": ended, "id": run.id},
        )
        history = [("RUNNING", None, began)] + ([(status, "RUNNING", ended)] if ended else [])
        session.execute(
            sa.text(
                "INSERT INTO workflow_run_events (run_id, at, status, previous_status, reason) "
                "VALUES (:id, :at, :status, :previous, :reason)"
            ),
            [{"id": run.id, "at": at, "status": to, "previous": previous, "reason": reason if previous else None}
             for to, previous, at in history],
        )  # fmt: skip
    return run.id


def _webhooks(session: Session, owner: UUID) -> UUID:
    now = datetime.now(UTC)
    made = [
        webhooks.create(session, webhooks.NewWebhook(url=url, description=about), owner_id=owner, key=None, keys=(),
                        now=now - timedelta(days=8))[0]
        for url, about in (("https://pager.example.org/taskledger", "wakes who is on call"),
                           ("https://crm.example.org/hooks/tasks", "tells the CRM what is done"))
    ]  # fmt: skip
    shown = made[-1].id
    for number, status in enumerate((200, 503, 200)):
        delivery = webhooks.send_test(session, shown, owner=None, now=now - timedelta(minutes=30 * (3 - number)))
        attempt = f'[{{"at": "{now:%Y-%m-%dT%H:%M:%S}", "attempt": 1, "status": {status}}}]'
        done = {"id": delivery.id, "attempts": attempt, "at": now if status == 200 else None}
        session.execute(
            sa.text("UPDATE webhook_deliveries SET event = 'task.completed', attempts = CAST(:attempts AS jsonb), "
                    "delivered_at = :at WHERE id = :id"), done
        )  # fmt: skip
        session.execute(
            sa.text("UPDATE tasks SET status = :status, due_at = NULL, finished_at = now() WHERE id = :id"),
            {"id": delivery.task_id, "status": "COMPLETED" if status == 200 else "FAILED"},
        )
    session.execute(
        sa.text("UPDATE webhooks SET failing_since = now() - interval '40 min' WHERE id = :id"), {"id": made[0].id}
    )
    session.execute(
        sa.text("INSERT INTO sinks (name, position, node, last_seen_at) VALUES ('csv', 0, 'ledger/81', now()), "
                "('stats', 0, 'ledger/82', now()), ('webhooks', 0, 'ledger/83', now() - interval '5 min')")
    )  # fmt: skip
    return shown
