"""What a webhook is sent: the task as it was, as its owner may show it to others. Pure."""

from datetime import datetime
from typing import Any

from app.clock import rfc_3339
from app.database import to_json
from app.models import Status, TaskRecord
from app.services.encryption import ciphertexts
from app.services.events import Numbered
from app.services.export.event_rows import is_sensitive, shown_result
from tasks.masking import MASKED, masked

MAX_BYTES = 65_536  # of a payload or a result; receivers refuse large requests, and the task can be read


def event_name(status: str) -> str:
    """COMPLETED is task.completed."""
    return f"task.{status.lower()}"


def body_of(event: Numbered, task: TaskRecord) -> dict[str, Any]:
    """{"type", "timestamp", "data": {task}}: secrets are masked, and nothing of a sensitive type is in it.

    A payload or result that is too large is null, and `omitted` names it.
    """
    data = {
        "id": str(task.id),
        "type": task.type,
        "name": task.name,
        "status": event.status,
        "previous_status": event.previous_status,
        "payload": _shown_payload(task),
        "result": shown_result(task.type, task.result),
        "error": task.error and {"type": task.error.get("type"), "message": task.error.get("message")},
        "priority": task.priority,
        "queue": task.queue,
        "attempt": event.attempt,
        "max_retries": task.max_retries,
        "labels": task.labels,
        "waits_for": task.waits_for if event.status == Status.WAITING else None,
        "owner": task.owner_id and str(task.owner_id),
        "created_at": moment(task.created_at),
        "scheduled_at": moment(task.scheduled_at),
        "started_at": moment(task.started_at),
        "finished_at": moment(task.finished_at),
        "links": {"self": f"/api/v1/tasks/{task.id}"},
    }
    omitted = [name for name in ("payload", "result") if len(to_json(data[name]).encode()) > MAX_BYTES]
    data |= dict.fromkeys(omitted)
    return {
        "type": event_name(event.status),
        "timestamp": moment(event.at),
        "data": {**data, "omitted": omitted},
    }


def test_body(webhook_id: str, now: datetime) -> dict[str, Any]:
    """What a test sends."""
    return {"type": "webhook.test", "timestamp": moment(now), "data": {"webhook_id": webhook_id}}


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return None if at is None else rfc_3339(at)


def _shown_payload(task: TaskRecord) -> Any:
    if is_sensitive(task.type) or ciphertexts.is_encrypted(task.payload):
        return MASKED
    return masked(task.type, task.payload)
