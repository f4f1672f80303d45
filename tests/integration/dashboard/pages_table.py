"""Who sees which page: one line a route. A route of the dashboard that is not in here fails test_access.py.

The statuses of: nobody (302 leads to the log-in page); another user; the owner; an admin.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.integration.api.access_table import (
    World,
    artifact,
    dead_letter_group,
    delivered,
    failed_task,
    finished_task,
    invoiced_task,
    outside_event,
    repair,
    run,
    schedule,
    signalled_task,
    somebody,
    trigger,
    waiting_task,
    webhook,
    workflow,
)
from tests.support.factories import NOON

VISITORS = ("nobody", "other", "owner", "admin")
TO_LOG_IN = 302


@dataclass(frozen=True, kw_only=True)
class Page:
    """One route; a POST is sent with its form's token, and answers 302 when it has done something."""

    expected: tuple[int, int, int, int]
    given: Callable[[World], dict[str, str]] = field(default=lambda _: {})
    form: dict[str, str] = field(default_factory=dict)


def everybody(status: int = 200, **options) -> Page:
    return Page(expected=(TO_LOG_IN, status, status, status), **options)


def own(given, status: int = 200, **options) -> Page:
    return Page(expected=(TO_LOG_IN, 404, status, status), given=given, **options)


def admins(status: int = 200, **options) -> Page:
    return Page(expected=(TO_LOG_IN, 403, 403, status), **options)


def task_for(action: str) -> Callable[[World], dict[str, str]]:
    makers = {"cancel": waiting_task, "retry": failed_task, "compensate": invoiced_task, "delete": finished_task}
    return lambda world: {**makers[action](world), "action": action}


def with_action(maker: Callable[[World], dict[str, str]], action: str) -> Callable[[World], dict[str, str]]:
    return lambda world: {**maker(world), "action": action}


def schedule_for(action: str) -> Callable[[World], dict[str, str]]:
    return with_action(schedule, action)


SUBMISSION = {"payload": "hello"}
REPAIR = {"type": "reverse_string", "canary": "1", "per_second": "5", "stop_above_failure_ratio": "", "patch": ""}
FAILED_BEFORE = {"failed_before": NOON.isoformat()}
QUEUE = {"kinds": "queues", "name": "tasks", "action": "pause"}
TRIGGER_FORM = {"event": "order.paid", "starts": "type:reverse_string", "template": '"hello"'}
SCHEDULE_FORM = {"kind": "cron", "cron": "0 7 * * *", "time_zone": "UTC", "payload": "hello"}

TABLE: dict[str, Page] = {
    "GET /": everybody(),
    "GET /login": Page(expected=(200, 302, 302, 302)),
    "GET /reset-password": Page(expected=(200, 200, 200, 200)),
    "POST /reset-password": Page(
        expected=(422, 422, 422, 422), form={"code": "x", "new_password": "three random words"}
    ),
    "POST /login": Page(expected=(401, 401, 401, 401), form={"email": "nobody@example.com", "password": "x"}),
    "POST /logout": Page(expected=(302, 302, 302, 302)),
    "GET /live": everybody(),
    "GET /tasks": everybody(),
    "POST /tasks/selected": everybody(302, form={"action": "cancel"}),
    "GET /tasks/{task_id}": own(waiting_task),
    "GET /tasks/{task_id}/{action}": own(task_for("cancel")),
    "POST /tasks/{task_id}/{action}": own(task_for("cancel"), 302),
    "GET /tasks/{task_id}/signals/{name}": own(signalled_task),
    "POST /tasks/{task_id}/signals/{name}": own(signalled_task, 302, form={"data": "yes"}),
    "GET /tasks/{task_id}/edit": own(waiting_task),
    "POST /tasks/{task_id}/edit": own(waiting_task, 409, form=SUBMISSION),
    "GET /artifacts/{artifact_id}/content": own(artifact),
    "GET /submit": everybody(),
    "GET /submit/{name}": everybody(given=lambda _: {"name": "reverse_string"}),
    "POST /submit/{name}": everybody(302, given=lambda _: {"name": "reverse_string"}, form=SUBMISSION),
    "GET /dead-letters": everybody(),
    "GET /dead-letters/{action}": everybody(given=lambda _: {"action": "replay"}),
    "POST /dead-letters/{action}": everybody(302, given=lambda _: {"action": "purge"}, form=FAILED_BEFORE),
    "GET /dead-letters/groups/{fingerprint}": own(dead_letter_group),
    "GET /repairs": everybody(),
    "GET /repairs/new": everybody(),
    "POST /repairs/new": everybody(given=failed_task, form=REPAIR),
    "POST /repairs": everybody(422, form={"token": "no token"}),
    "GET /repairs/{repair_id}": own(repair),
    "GET /repairs/{repair_id}/{action}": own(with_action(repair, "pause")),
    "POST /repairs/{repair_id}/{action}": own(with_action(repair, "pause"), 302),
    "GET /queues": everybody(),
    "GET /queues/{kinds}/{name}/{action}": admins(given=lambda _: QUEUE),
    "POST /queues/{kinds}/{name}/{action}": admins(302, given=lambda _: QUEUE),
    "GET /workers": admins(),
    "GET /schedules": everybody(),
    "GET /schedules/new": everybody(),
    "POST /schedules/new": Page(expected=(302, 404, 404, 404), form=SCHEDULE_FORM),
    "GET /schedules/{schedule_id}": own(schedule),
    "GET /schedules/{schedule_id}/edit": own(schedule),
    "POST /schedules/{schedule_id}/edit": own(schedule, 302, form=SCHEDULE_FORM),
    "GET /schedules/{schedule_id}/{action}": own(schedule_for("run")),
    "POST /schedules/{schedule_id}/{action}": own(schedule_for("delete"), 302),
    "GET /workflows": everybody(),
    "GET /workflows/{name}": own(workflow),
    "POST /workflows/{name}/runs": own(workflow, 302),
    "GET /workflows/{name}/{action}": own(with_action(workflow, "deactivate")),
    "POST /workflows/{name}/{action}": own(with_action(workflow, "deactivate"), 302),
    "GET /runs": everybody(),
    "GET /runs/{run_id}": own(run),
    "GET /runs/{run_id}/{action}": own(with_action(run, "cancel")),
    "POST /runs/{run_id}/{action}": own(with_action(run, "cancel"), 302),
    "GET /triggers": everybody(),
    "POST /triggers": everybody(302, form=TRIGGER_FORM),
    "GET /triggers/{trigger_id}": own(trigger),
    "GET /triggers/events/{event_id}": own(outside_event),
    "GET /triggers/{trigger_id}/{action}": own(with_action(trigger, "disable")),
    "POST /triggers/{trigger_id}/{action}": own(with_action(trigger, "delete"), 302),
    "GET /webhooks": everybody(),
    "POST /webhooks": everybody(form={"url": "https://example.com/hooks", "event": "task.failed"}),
    "GET /webhooks/{webhook_id}": own(webhook),
    "GET /webhooks/{webhook_id}/{action}": own(with_action(webhook, "delete")),
    "POST /webhooks/{webhook_id}/{action}": own(with_action(webhook, "delete"), 302),
    "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": own(delivered, 302),
    "GET /account": everybody(),
    "POST /account/keys": everybody(form={"name": "import", "scope": "tasks:read"}),
    "GET /account/keys/{key_id}/revoke": everybody(404, given=lambda _: {"key_id": str(NOBODY)}),
    "POST /account/keys/{key_id}/revoke": everybody(404, given=lambda _: {"key_id": str(NOBODY)}),
    "POST /account/password": everybody(422, form={"current_password": "wrong", "new_password": "three words more"}),
    "POST /account/log-out-everywhere": everybody(302),
    "GET /accounts": admins(),
    "POST /accounts": admins(422),
    "GET /accounts/{user_id}": admins(given=somebody),
    "POST /accounts/{user_id}/log-out": admins(302, given=somebody),
    "POST /accounts/{user_id}": admins(302, given=somebody, form={"name": "Renamed", "role": "user"}),
    "GET /audit": admins(),
}
NOBODY = "00000000-0000-4000-8000-000000000000"

OPEN = {"GET /assets/{filename}": 200}
"""Files of ours."""
