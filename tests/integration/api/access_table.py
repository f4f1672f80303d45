"""Who may do what: one line an operation. A route that is not in here fails tests/integration/api/test_access.py.

A new route needs one line: what it needs to exist (`given`), a body if it takes one, and the status each caller gets.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from app.clock import utcnow
from app.config import get_settings
from app.database import Session, in_transaction
from app.models import Status, new_id
from app.services import admission, artifacts, invoices, repairs, triggers, webhooks, workflows
from app.services.accounts.allowance import ANYTHING
from app.services.accounts.audit import COMMAND_LINE
from app.services.admission import Limit
from app.services.artifacts import NewArtifact
from app.services.remote import declaring, types
from app.services.remote.known import TYPES
from app.services.remote.presence import WorkerInfo
from app.services.repairs import Choice, Plan, Spec
from app.services.triggers import TaskTemplate
from taskledger_sdk.registry import get_type
from tasks.ports import InvoiceDraft, InvoiceLine
from tests.support.factories import NOON, bring_to, create_schedule, make_task, pass_events_on
from tests.support.people import Person, make_person
from tests.support.runs import create_workflow, step

EVERYBODY = ("anonymous", "other", "owner", "reader", "admin")


@dataclass(frozen=True, kw_only=True)
class World:
    """What a maker has at hand: `owner` is who the thing shall belong to."""

    session: Session
    database_url: str
    owner: Person


Maker = Callable[[World], dict[str, str]]
"""Makes what the route is about, committed by the caller; returns its path parameters."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One operation. The statuses of: nobody; another user; the owner; the owner's read-only key; an admin."""

    expected: tuple[int, int, int, int, int]
    given: Maker = field(default=lambda _: {})
    body: Any = None
    upload: bytes | None = None
    """Sent as multipart/form-data, in place of a body."""
    headers: dict[str, str] = field(default_factory=dict)
    starting: Any = None
    """A body that starts or changes work, where `body` does not."""


def open_(status: int, **options: Any) -> Line:
    """The same answer for everybody."""
    return Line(expected=(status,) * 5, **options)


def for_admins(status: int, **options: Any) -> Line:
    return Line(expected=(401, 403, 403, 403, status), **options)


def for_people(status: int, **options: Any) -> Line:
    """For those who logged in, and admins' keys: the keys in this table of other people are programs'."""
    return Line(expected=(401, 403, 403, 403, status), **options)


def reading(status: int = 200, **options: Any) -> Line:
    """For every account alike."""
    return Line(expected=(401, status, status, status, status), **options)


def creating(status: int, **options: Any) -> Line:
    return Line(expected=(401, status, status, 403, status), **options)


def reading_own(given: Maker, status: int = 200, **options: Any) -> Line:
    return Line(expected=(401, 404, status, status, status), given=given, **options)


def changing_own(given: Maker, status: int = 200, **options: Any) -> Line:
    return Line(expected=(401, 404, status, 403, status), given=given, **options)


def waiting_task(world: World) -> dict[str, str]:
    return {"task_id": str(make_task(world.session, owner_id=world.owner.id).id)}


def signalled_task(world: World) -> dict[str, str]:
    return waiting_task(world) | {"name": "approved"}


def finished_task(world: World) -> dict[str, str]:
    ended = {"status": Status.COMPLETED, "due_at": None, "finished_at": NOON}
    task = make_task(world.session, owner_id=world.owner.id, **ended)
    pass_events_on(world.session)
    return {"task_id": str(task.id)}


def failed_task(world: World) -> dict[str, str]:
    ended = {"status": Status.FAILED, "due_at": None, "finished_at": NOON}
    return {"task_id": str(make_task(world.session, owner_id=world.owner.id, **ended).id)}


def invoiced_task(world: World) -> dict[str, str]:
    ended = {"status": Status.COMPLETED, "due_at": None, "finished_at": NOON, "result": {}}
    payload = get_type("create_invoice").examples[0]
    return {
        "task_id": str(
            make_task(world.session, owner_id=world.owner.id, type="create_invoice", payload=payload, **ended).id
        )
    }


def dead_letter_group(world: World) -> dict[str, str]:
    ended = {"status": Status.FAILED, "due_at": None, "finished_at": utcnow(), "error_fingerprint": "0" * 16}
    make_task(world.session, owner_id=world.owner.id, **ended)
    return {"fingerprint": "0" * 16}


def repair(world: World) -> dict[str, str]:
    known = repairs.find(world.session, visible_to=world.owner.id, before=None, limit=1).items
    if known:  # one is active at most, and a table may ask for several visitors
        return {"repair_id": str(known[0].id)}
    failed_task(world)
    made = repairs.start(
        world.session,
        Plan(
            choice=Choice(type="reverse_string", failed_before=utcnow()),
            patch=None,
            spec=Spec(canary=1, per_second=1, stop_above_failure_ratio=None),
        ),
        token=str(uuid4()),
        owner_id=world.owner.id,
        visible_to=world.owner.id,
        allowance=ANYTHING,
        actor=COMMAND_LINE,
        now=utcnow(),
    )
    return {"repair_id": str(made.id)}


def artifact(world: World) -> dict[str, str]:
    new = NewArtifact(owner_id=world.owner.id, task_id=None, name="a.csv", media_type="text/csv")
    made = artifacts.save(in_transaction, artifacts.store(), new, iter([b"a,b"]), settings=get_settings())
    return {"artifact_id": str(made.id)}


def schedule(world: World) -> dict[str, str]:
    return {"schedule_id": str(create_schedule(world.session, owner_id=world.owner.id).id)}


def trigger(world: World) -> dict[str, str]:
    wanted = triggers.NewTrigger(event="order.paid", task=TaskTemplate(type="reverse_string", payload="hello"))
    return {"trigger_id": str(triggers.create(world.session, wanted, new_id(), owner_id=world.owner.id, now=NOON).id)}


def outside_event(world: World) -> dict[str, str]:
    new = triggers.NewEvent(name="order.paid")
    event, _ = triggers.receive_once(world.session, new, key=None, owner_id=world.owner.id, now=NOON)
    return {"event_id": str(event.id)}


def webhook(world: World) -> dict[str, str]:
    wanted = webhooks.NewWebhook(url="https://example.com/hooks")
    made, _ = webhooks.create(world.session, wanted, owner_id=world.owner.id, key=None, keys=(), now=NOON)
    return {"webhook_id": str(made.id)}


def delivered(world: World) -> dict[str, str]:
    made = webhook(world)
    test = webhooks.send_test(world.session, UUID(made["webhook_id"]), owner=None, now=NOON)
    bring_to(world.session, Status.FAILED, test.task_id)
    return made | {"delivery_id": str(test.id)}


def workflow(world: World) -> dict[str, str]:
    return {"name": _new_workflow(world).name}


def run(world: World) -> dict[str, str]:
    new = workflows.NewRun()
    started = workflows.start(world.session, _new_workflow(world), new, owner_id=world.owner.id, now=utcnow())
    return {"run_id": str(started.id)}


def _new_workflow(world: World) -> workflows.WorkflowRecord:
    name = f"flow-{new_id()}"  # a name can be taken once
    return create_workflow(world.session, {"a": step()}, owner_id=world.owner.id, name=name)


def signalled_run(world: World) -> dict[str, str]:
    return run(world) | {"name": "approved"}


def paused_run(world: World) -> dict[str, str]:
    made = run(world)
    workflows.pause(world.session, UUID(made["run_id"]), visible_to=None, now=utcnow())
    return made


def cancelled_run(world: World) -> dict[str, str]:
    made = run(world)
    workflows.cancel(world.session, UUID(made["run_id"]), visible_to=None, now=utcnow())
    return made


def invoice(world: World) -> dict[str, str]:
    payload = get_type("create_invoice").payload.load(get_type("create_invoice").examples[0])
    draft = InvoiceDraft(series="INV", due_days=14, lines=(), **{
        name: getattr(payload, name) for name in ("customer_id", "customer_name", "date_from", "date_to", "currency")
    })  # fmt: skip
    draft = replace(draft, lines=tuple(InvoiceLine(**vars(line)) for line in payload.lines))
    amounts = invoices.compute(draft)
    made = invoices.issue(world.session, draft, amounts, owner_id=world.owner.id, task_id=uuid4(), now=NOON)
    return {"number": made["number"], "customer_id": draft.customer_id}


def somebody(world: World) -> dict[str, str]:
    return {"user_id": str(make_person(world.database_url).id)}


def unknown_key(_: World) -> dict[str, str]:
    return {"key_id": str(uuid4())}


def type_limit(world: World) -> dict[str, str]:
    admission.set_limit(world.session, Limit(kind="type", name="reverse_string", max_running=7, changed_at=NOON))
    return {"kind": "type", "name": "reverse_string"}


def queue(_: World) -> dict[str, str]:
    return {"name": "tasks"}


def task_type(_: World) -> dict[str, str]:
    return {"name": "reverse_string"}


LEASE = UUID("018f3c5e-7d2a-4000-8000-0123456789ab")


def remote_type(world: World) -> dict[str, str]:
    if "resize" not in types.stamps(world.session):
        declaring.declare(world.session, types.Declaration(name="resize", schema={}), now=NOON)
    TYPES.forget()
    return {"name": "resize"}


def leased_task(world: World) -> dict[str, str]:
    """A task that a remote worker of the owner's account runs."""
    remote_type(world)
    held = {"lease": LEASE, "leased_by": WorkerInfo(account=world.owner.id, name="worker-1").id, "attempt": 1}
    running = {"status": Status.PROCESSING, "started_at": utcnow(), **held}
    task = make_task(world.session, type="resize", payload=1, queue="remote:resize", **running)
    return {"task_id": str(task.id)}


SUBMISSION = {"type": "reverse_string", "payload": "hello"}
SCHEDULE = {"name": "report", "cron": "0 7 * * *", "time_zone": "Europe/Berlin", "task": SUBMISSION}
TRIGGER = {"event": "order.paid", "task": SUBMISSION}
INVOICE = {"customer_id": "customer-1", "date_from": "2026-01-01", "date_to": "2026-01-31"}
WORKFLOW = {"name": "flow", "definition": {"steps": {"a": {"type": "reverse_string", "payload": "hello"}}}}
NEW_ACCOUNT = {"email": "new@example.com", "password": "three random words", "name": "New"}

TABLE: dict[str, Line] = {
    # Tasks
    "POST /api/v1/tasks": creating(201, body=SUBMISSION),
    "POST /api/v1/tasks/batch": creating(200, body={"tasks": [SUBMISSION]}),
    "GET /api/v1/tasks": reading(),
    "GET /api/v1/tasks/{task_id}": reading_own(waiting_task),
    "PATCH /api/v1/tasks/{task_id}": changing_own(
        waiting_task, body={"name": "renamed"}, starting={"payload": "another"}
    ),
    "DELETE /api/v1/tasks/{task_id}": changing_own(finished_task, 204),
    "GET /api/v1/tasks/{task_id}/events": reading_own(waiting_task),
    "GET /api/v1/tasks/{task_id}/attempts": reading_own(waiting_task),
    "GET /api/v1/tasks/{task_id}/children": reading_own(waiting_task),
    "GET /api/v1/tasks/{task_id}/logs": reading_own(waiting_task),
    "GET /api/v1/tasks/{task_id}/steps": reading_own(waiting_task),
    "GET /api/v1/tasks/{task_id}/signals": reading_own(waiting_task),
    "POST /api/v1/tasks/{task_id}/signals/{name}": changing_own(signalled_task, 201),
    "POST /api/v1/tasks/{task_id}/cancel": changing_own(waiting_task),
    "POST /api/v1/tasks/{task_id}/retry": changing_own(failed_task),
    "POST /api/v1/tasks/{task_id}/compensate": changing_own(invoiced_task, 201),
    "GET /api/v1/dead-letters": reading(),
    "GET /api/v1/dead-letters/groups": reading(),
    "POST /api/v1/dead-letters/replay": creating(200, body={"dry_run": True}, given=failed_task),
    "POST /api/v1/dead-letters/purge": creating(200, body={"dry_run": True}),
    "GET /api/v1/dead-letters/groups/{fingerprint}": reading_own(dead_letter_group),
    "POST /api/v1/repairs": creating(
        200, body={"filter": {"type": "reverse_string"}, "dry_run": True}, given=failed_task
    ),
    "GET /api/v1/repairs": reading(),
    "GET /api/v1/repairs/{repair_id}": reading_own(repair),
    "GET /api/v1/repairs/{repair_id}/items": reading_own(repair),
    "POST /api/v1/repairs/{repair_id}/pause": changing_own(repair),
    "POST /api/v1/repairs/{repair_id}/resume": changing_own(repair),
    "POST /api/v1/repairs/{repair_id}/stop": changing_own(repair),
    "POST /api/v1/repairs/{repair_id}/undo": changing_own(repair),
    # Task types and queues
    "GET /api/v1/task-types": reading(),
    "GET /api/v1/task-types/{name}": reading(given=task_type),
    "POST /api/v1/task-types": for_admins(201, body={"name": "declared_here", "schema": {}}),
    "PUT /api/v1/task-types/{name}": for_admins(200, given=remote_type, body={"schema": {}}),
    "DELETE /api/v1/task-types/{name}": for_admins(204, given=remote_type),
    # Remote work: an admin's key may work, too, and holds no lease of the owner's workers; see WORK.
    "POST /api/v1/work/claim": for_admins(200, given=remote_type, body={"types": ["resize"], "worker": "worker-1"}),
    "POST /api/v1/work/{task_id}/heartbeat": for_admins(409, given=leased_task, body={"lease": str(LEASE)}),
    "POST /api/v1/work/{task_id}/complete": for_admins(409, given=leased_task, body={"lease": str(LEASE)}),
    "POST /api/v1/work/{task_id}/fail": for_admins(409, given=leased_task, body={"lease": str(LEASE)}),
    "POST /api/v1/work/{task_id}/retry": for_admins(409, given=leased_task, body={"lease": str(LEASE)}),
    "POST /api/v1/work/{task_id}/release": for_admins(409, given=leased_task, body={"lease": str(LEASE)}),
    "POST /api/v1/work/heartbeats": for_admins(200, body={"items": [{"task_id": str(uuid4()), "lease": str(LEASE)}]}),
    "POST /api/v1/work/outcomes": for_admins(
        200, body={"items": [{"task_id": str(uuid4()), "lease": str(LEASE), "outcome": "release"}]}
    ),
    "POST /api/v1/work/leave": for_admins(204, body={"worker": "worker-1"}),
    "GET /api/v1/limits": for_admins(200),
    "GET /api/v1/limits/usage": Line(expected=(401, 200, 200, 200, 200)),
    "PUT /api/v1/limits/{kind}/{name}": for_admins(200, given=type_limit, body={"max_running": 5}),
    "DELETE /api/v1/limits/{kind}/{name}": for_admins(204, given=type_limit),
    "POST /api/v1/task-types/{name}/pause": for_admins(200, given=task_type),
    "POST /api/v1/task-types/{name}/resume": for_admins(200, given=task_type),
    "GET /api/v1/queues": reading(),
    "GET /api/v1/queues/status": reading(),
    "GET /api/v1/queues/overloaded": reading(),
    "GET /api/v1/queues/failed-count": reading(),
    "GET /api/v1/queues/pending-count": reading(),
    "GET /api/v1/queues/scaling": reading(),
    "POST /api/v1/queues/{name}/purge": for_admins(200, given=queue, body={"dry_run": True}),
    "GET /api/v1/workers": reading(),
    "GET /api/v1/stats": reading(),
    "GET /api/v1/tasks/{task_id}/why": reading_own(waiting_task),
    "GET /api/v1/schedules/{schedule_id}/why": reading_own(schedule),
    "POST /api/v1/queues/{name}/pause": for_admins(200, given=queue),
    "POST /api/v1/queues/{name}/resume": for_admins(200, given=queue),
    "GET /api/v1/integrity": for_admins(200),
    "POST /api/v1/deploy-check": for_admins(200, body={"types": {}}),
    # Schedules
    "POST /api/v1/schedules": creating(201, body=SCHEDULE),
    "GET /api/v1/schedules": reading(),
    "POST /api/v1/schedules/preview": creating(200, body={"cron": "0 7 * * *", "time_zone": "Europe/Berlin"}),
    "GET /api/v1/schedules/{schedule_id}": reading_own(schedule),
    "PUT /api/v1/schedules/{schedule_id}": changing_own(
        schedule, body=SCHEDULE, starting=SCHEDULE | {"task": SUBMISSION | {"payload": "another"}}
    ),
    "PATCH /api/v1/schedules/{schedule_id}": changing_own(
        schedule, body={"name": "renamed"}, starting={"task": SUBMISSION | {"payload": "another"}}
    ),
    "DELETE /api/v1/schedules/{schedule_id}": changing_own(schedule, 204),
    "POST /api/v1/schedules/{schedule_id}/run": changing_own(schedule, 201),
    "GET /api/v1/schedules/{schedule_id}/slots": reading_own(schedule),
    # Triggers, and what happened elsewhere
    "POST /api/v1/triggers": creating(201, body=TRIGGER),
    "GET /api/v1/triggers": reading(),
    "GET /api/v1/triggers/{trigger_id}": reading_own(trigger),
    "PATCH /api/v1/triggers/{trigger_id}": changing_own(
        trigger, body={"name": "renamed"}, starting={"task": SUBMISSION | {"payload": "another"}}
    ),
    "DELETE /api/v1/triggers/{trigger_id}": changing_own(trigger, 204),
    "GET /api/v1/triggers/{trigger_id}/matches": reading_own(trigger),
    "POST /api/v1/events": creating(201, body={"name": "order.paid"}),
    "GET /api/v1/events": reading(),
    "GET /api/v1/events/{event_id}": reading_own(outside_event),
    # Events, sinks and webhooks
    "GET /api/v1/events/stream": reading(),
    "GET /api/v1/sinks": reading(),
    "POST /api/v1/webhooks": creating(201, body={"url": "https://example.com/hooks"}),
    "GET /api/v1/webhooks": reading(),
    "POST /api/v1/webhooks/secret": creating(200),
    "GET /api/v1/webhooks/callbacks": reading(),
    "GET /api/v1/webhooks/{webhook_id}": reading_own(webhook),
    "PATCH /api/v1/webhooks/{webhook_id}": changing_own(webhook, body={"enabled": False}, starting={"enabled": True}),
    "DELETE /api/v1/webhooks/{webhook_id}": changing_own(webhook, 204),
    "POST /api/v1/webhooks/{webhook_id}/secret": changing_own(webhook),
    "POST /api/v1/webhooks/{webhook_id}/test": changing_own(webhook, 202),
    "GET /api/v1/webhooks/{webhook_id}/deliveries": reading_own(webhook),
    "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": changing_own(delivered, 202),
    # Workflows
    "POST /api/v1/workflows": creating(201, body=WORKFLOW),
    "GET /api/v1/workflows": reading(),
    "GET /api/v1/workflows/{name}": reading_own(workflow),
    "PATCH /api/v1/workflows/{name}": changing_own(
        workflow, body={"description": "other"}, starting={"definition": WORKFLOW["definition"]}
    ),
    "DELETE /api/v1/workflows/{name}": changing_own(workflow, 204),
    "GET /api/v1/workflows/{name}/versions": reading_own(workflow),
    "POST /api/v1/workflows/{name}/activate": changing_own(workflow),
    "POST /api/v1/workflows/{name}/deactivate": changing_own(workflow),
    "GET /api/v1/workflows/{name}/graph": reading_own(workflow),
    "GET /api/v1/workflows/{name}/graph.svg": reading_own(workflow),
    "POST /api/v1/workflows/{name}/runs": changing_own(workflow, 201, body={}),
    "GET /api/v1/workflows/{name}/runs": reading_own(workflow),
    "POST /api/v1/runs": creating(201, body={"definition": WORKFLOW["definition"]}),
    "GET /api/v1/runs": reading(),
    "GET /api/v1/runs/{run_id}": reading_own(run),
    "GET /api/v1/runs/{run_id}/why": reading_own(run),
    "GET /api/v1/runs/{run_id}/events": reading_own(run),
    "GET /api/v1/runs/{run_id}/signals": reading_own(run),
    "POST /api/v1/runs/{run_id}/signals/{name}": changing_own(signalled_run, 201),
    "GET /api/v1/runs/{run_id}/graph": reading_own(run),
    "GET /api/v1/runs/{run_id}/graph.svg": reading_own(run),
    "POST /api/v1/runs/{run_id}/pause": changing_own(run),
    "POST /api/v1/runs/{run_id}/resume": changing_own(paused_run),
    "POST /api/v1/runs/{run_id}/cancel": changing_own(run),
    "POST /api/v1/runs/{run_id}/retry": changing_own(cancelled_run),
    "POST /api/v1/runs/{run_id}/compensate": changing_own(cancelled_run),
    # Invoices: of the caller's own account, an admin's like anybody's
    "POST /api/v1/invoices/workflow/start": creating(201, body=INVOICE),
    "POST /api/v1/invoices/workflow/scheduled": creating(201, body={**INVOICE, "scheduled_at": "2100-01-01T00:00:00Z"}),
    "POST /api/v1/invoices/workflow/recurring": creating(
        201, body={"customer_id": "customer-1", "cron_expression": "0 6 1 * *"}
    ),
    "POST /api/v1/invoices/email/scheduled": Line(
        expected=(401, 404, 201, 403, 404),
        given=invoice,
        body={"number": "INV-000001", "email": "ann@example.org", "scheduled_at": "2100-01-01T00:00:00Z"},
    ),
    "GET /api/v1/invoices/tasks/{customer_id}": reading(given=lambda _: {"customer_id": "customer-1"}),
    "GET /api/v1/invoices/status/{customer_id}": Line(expected=(401, 404, 200, 200, 404), given=invoice),
    "GET /api/v1/invoices/{number}": Line(expected=(401, 404, 200, 200, 404), given=invoice),
    "GET /api/v1/invoices/{number}/pdf": Line(expected=(401, 404, 202, 202, 404), given=invoice),
    # Files
    "POST /api/v1/artifacts": creating(201, upload=b"a,b"),
    "GET /api/v1/artifacts": reading(),
    "GET /api/v1/artifacts/{artifact_id}": reading_own(artifact),
    "GET /api/v1/artifacts/{artifact_id}/content": reading_own(artifact),
    "DELETE /api/v1/artifacts/{artifact_id}": changing_own(artifact, 204),
    # Accounts
    "POST /api/v1/auth/register": open_(201, body=NEW_ACCOUNT),
    "POST /api/v1/auth/login": open_(401, body={"email": "nobody@example.com", "password": "a wrong one"}),
    "POST /api/v1/auth/refresh": open_(401, body={"refresh_token": "tlr_none"}),
    "POST /api/v1/auth/logout": open_(204, body={"refresh_token": "tlr_none"}),
    "POST /api/v1/auth/logout-all": for_people(204),
    "POST /api/v1/auth/password": for_people(
        422, body={"current_password": "wrong", "new_password": "three words more"}
    ),
    "GET /api/v1/auth/me": reading(),
    "POST /api/v1/api-keys": for_people(201, body={"name": "import", "scopes": ["tasks:read"]}),
    "GET /api/v1/api-keys": for_people(200),
    "DELETE /api/v1/api-keys/{key_id}": for_people(404, given=unknown_key),
    "GET /api/v1/users": for_admins(200),
    "POST /api/v1/users": for_admins(201, body=NEW_ACCOUNT),
    "GET /api/v1/users/{user_id}": for_admins(200, given=somebody),
    "POST /api/v1/users/{user_id}/logout": for_admins(204, given=somebody),
    "PATCH /api/v1/users/{user_id}": for_admins(200, given=somebody, body={"name": "Renamed"}),
    "GET /api/v1/audit": for_admins(200),
    # Health: 503 here, because the tests' broker refuses connections
    "GET /metrics": for_admins(200),
    "GET /health/live": open_(200),
    "GET /health/ready": open_(503),
}

WORKERS = ("holder", "other lease", "other type", "other account")
WORK: dict[str, tuple[int, int, int, int]] = {
    # Keys with the scope work: of the account that holds the lease, with the lease and with one of its own making; for
    # another type; of another account. What is not their own is not there, or lost, and they learn nothing else.
    "POST /api/v1/work/claim": (200, 200, 403, 200),
    "POST /api/v1/work/{task_id}/heartbeat": (200, 409, 404, 409),
    "POST /api/v1/work/{task_id}/complete": (200, 409, 404, 409),
    "POST /api/v1/work/{task_id}/fail": (200, 409, 404, 409),
    "POST /api/v1/work/{task_id}/retry": (200, 409, 404, 409),
    "POST /api/v1/work/{task_id}/release": (200, 409, 404, 409),
}

OUTSIDE_THE_DOCUMENT = {"GET /openapi.json": 200, "GET /docs": 200, "GET /docs/assets/{filename}": 200}
"""Open to everybody; the OpenAPI document does not describe itself."""

STARTS_NOTHING = frozenset({
    *(route for route in TABLE if route.startswith(("GET ", "DELETE "))),
    *(route for route in TABLE if "/auth/" in route or "/users" in route or "/api-keys" in route),  # accounts
    *(route for route in TABLE if route.startswith("PUT /api/v1/limits")),
    *(route for route in TABLE if "/api/v1/work/" in route),  # it is there already; whose work it is, WORK asks
    *(route for route in TABLE if route.endswith(("/pause", "/resume", "/cancel", "/purge"))),
    "POST /api/v1/task-types",
    "PUT /api/v1/task-types/{name}",
    "POST /api/v1/deploy-check",
    "POST /api/v1/workflows/{name}/activate",
    "POST /api/v1/workflows/{name}/deactivate",
    "POST /api/v1/schedules/preview",
    "POST /api/v1/events",  # its triggers start what their owner may, which is asked when they are applied
    "POST /api/v1/webhooks/secret",
    "POST /api/v1/webhooks/{webhook_id}/secret",
    "POST /api/v1/artifacts",
    "POST /api/v1/tasks/{task_id}/compensate",  # nothing stops an undo: what was done may have to be taken back
    "POST /api/v1/runs/{run_id}/compensate",
    "POST /api/v1/repairs/{repair_id}/stop",
    "POST /api/v1/repairs/{repair_id}/undo",  # it makes dead letters of what has not started
}) - {"GET /api/v1/invoices/{number}/pdf"}  # fmt: skip
"""What starts no task of a type that the caller chose; all others are asked for the rights of the account."""
