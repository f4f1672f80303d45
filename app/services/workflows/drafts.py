"""The tasks of a run: ordinary tasks that know their run and step, and travel alone."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from app.config import get_settings
from app.database import to_json
from app.models import RunRecord, TaskRecord
from app.services.submission import Submission, draft_unchecked
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.registry import get_type
from taskledger_sdk.workflows.errors import StepRefused

MAX_LEVELS = 200  # a body has 64, and a template around a part of it 32; Python reads and writes some 900


def draft_task(
    run: RunRecord,
    key: str,
    type_name: str,
    payload: Any,
    *,
    now: datetime,
    name: str,
    max_retries: int | None = None,
    timeout: int | None = None,
) -> TaskRecord:
    """The task to be. Raises UnknownTaskType, or StepRefused for a payload that its type, or the service, refuses."""
    task_type = get_type(type_name)
    if task_type.sensitive:
        raise StepRefused(f"{type_name} is sensitive: its payloads are not kept in workflows")
    if depth_exceeds(payload, MAX_LEVELS):
        raise StepRefused(f"the payload is nested too deeply: {MAX_LEVELS} levels are allowed")
    try:
        task_type.payload.load(payload)
    except PayloadRefused as error:
        raise StepRefused(f"{type_name} refuses its payload: {error}") from None
    size, most = len(to_json(payload).encode()), get_settings().max_payload_bytes
    if size > most:
        raise StepRefused(f"the payload has {size} bytes; at most {most} are accepted: refer to parts, or to a file")
    submission = Submission(
        type=type_name,
        payload=payload,
        name=name[:200],
        priority=run.priority,
        scheduled_at=run.starts_at if run.starts_at is not None and run.starts_at > now else None,
        max_retries=max_retries,
        timeout=timeout,
        labels=run.labels,
    )
    record = draft_unchecked(submission, owner_id=run.owner_id, now=now)
    return replace(record, run_id=run.id, step=key, unchunked=True)
