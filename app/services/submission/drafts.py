"""What a caller asks for, and the row that it becomes: checked, and not stored yet."""

import dataclasses
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from app.errors import Refused
from app.models import Json, Priority, TaskRecord, new_id
from app.services.accounts import rights as rights_by_type
from app.services.accounts.rights import Rights
from app.services.dispatch.queues import known_queues
from app.services.encryption import ciphertexts
from app.services.lifecycle import beginning
from app.services.submission import chosen_ids, uniqueness
from app.services.submission.chosen_ids import ChosenId
from app.services.submission.uniqueness import Unique
from taskledger_sdk.defaults import Values
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, TaskType, get_type
from tasks import correlation

MAX_RETRIES = 100


class Submission(Struct, frozen=True, kw_only=True):
    """What a caller asks for; None, or a label left out, means what the type says. Moments are aware and in UTC."""

    type: str
    payload: Json
    name: str | None = None
    priority: str = Priority.NORMAL.value
    scheduled_at: datetime | None = None
    max_retries: int | None = None
    timeout: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None
    callback_url: str | None = None
    concurrency_key: str | None = None
    ordering_key: str | None = None
    after_failure: str | None = None
    unique: Unique | None = None
    chosen: ChosenId | None = None
    queue: str | None = None
    request_id: str | None = None
    traceparent: str | None = None

    def fingerprinted(self) -> dict[str, Any]:
        """What an Idempotency-Key is compared by: without what is told of the request only."""
        said = asdict(self)
        said["unique"] = None if self.unique is None else dataclasses.asdict(self.unique)
        for name in ("request_id", "traceparent", "chosen"):
            del said[name]
        # As they were before these fields: a request may be repeated across an upgrade.
        if self.queue is None:
            del said["queue"]
        if self.chosen is not None:
            said["id"] = self.chosen.id
        return said


def draft(
    submission: Submission,
    *,
    owner_id: UUID | None,
    now: datetime,
    task_id: UUID | None = None,
    payload_keys: ciphertexts.Keys = (),
    rights: Iterable[Rights] = (),
) -> TaskRecord:
    """The row to be, checked and not stored yet. Raises UnknownTaskType, TypeNotAllowed, PayloadRefused or Refused.

    `owner_id` is None for what the service submits to itself. `payload_keys` encrypt the payloads of sensitive types.
    `rights` are those of everybody who must allow it.
    """
    task_type = get_type(submission.type)
    if task_type.internal and owner_id is not None:
        raise Refused({"type": ["is submitted by the service itself only"]})
    if submission.queue is not None:
        check_queue(submission.queue)
    rights_by_type.check(rights, task_type, queue=submission.queue)
    if submission.chosen is not None:
        task_id = submission.chosen.id
        chosen_ids.check(task_id, now=now)
    if submission.callback_url is not None:
        rights_by_type.check_outside(rights)
    task_type.payload.load(submission.payload)
    check_timeout(submission.timeout)
    check_times(submission.scheduled_at, submission.expires_at, now=now)
    if submission.unique is not None:
        uniqueness.check(task_type, submission.unique)
    record = _record(submission, task_type, task_id or new_id(), owner_id, now)
    if task_type.sensitive:
        return replace(record, payload=ciphertexts.encrypted(record.payload, record.id, "payload", keys=payload_keys))
    return record


def check_queue(name: str) -> None:
    """Raises Refused for a queue that no type names, which no worker would look at."""
    known = known_queues()
    if name not in known:
        raise Refused({"queue": [f"is not known; known: {', '.join(sorted(known))}"]})


def check_timeout(timeout: int | None) -> None:
    """Raises Refused for a soft limit that no task may have."""
    if timeout is not None and not 1 <= timeout <= MAX_TIMEOUT_SECONDS:
        raise Refused({"timeout": [f"must be from 1 to {MAX_TIMEOUT_SECONDS} seconds (7 days); split longer work"]})


def check_times(scheduled_at: datetime | None, expires_at: datetime | None, *, now: datetime) -> None:
    """Raises Refused for a task that could never start."""
    if expires_at is None:
        return
    if expires_at <= now:
        raise Refused({"expires_at": [f"must be in the future; it is {now:%Y-%m-%dT%H:%M:%SZ} here"]})
    if scheduled_at is not None and scheduled_at >= expires_at:
        raise Refused({"expires_at": ["must be later than scheduled_at, or the task could never start"]})


def draft_unchecked(
    submission: Submission, *, owner_id: UUID | None, now: datetime, task_id: UUID | None = None
) -> TaskRecord:
    """The row to be of what the service submits to itself, or has checked before. Raises UnknownTaskType."""
    return _record(submission, get_type(submission.type), task_id or new_id(), owner_id, now)


def _record(
    submission: Submission, task_type: TaskType, task_id: UUID, owner_id: UUID | None, now: datetime
) -> TaskRecord:
    """The row to be: due now and on its way to the broker, or waiting for its start."""
    if task_type.defaults is not None or task_type.after_failure is not None:
        submission = _with_defaults(submission, task_type)
    start = beginning(submission.scheduled_at, now=now)
    return TaskRecord(
        id=task_id,
        type=task_type.name,
        name=submission.name,
        status=start.status,
        payload=submission.payload,
        result=None,
        error=None,
        error_fingerprint=None,
        reason=None,
        priority=submission.priority,
        queue=submission.queue or task_type.queue,
        unchunked=False,
        attempt=0,
        attempt_base=0,
        max_retries=task_type.retry.max_retries if submission.max_retries is None else submission.max_retries,
        timeout_seconds=submission.timeout,
        owner_id=owner_id,
        labels=dict(submission.labels),
        progress=None,
        created_at=now,
        scheduled_at=submission.scheduled_at,
        expires_at=submission.expires_at,
        started_at=None,
        finished_at=None,
        updated_at=now,
        due_at=start.due_at,
        dispatched_at=start.dispatched_at,
        lease=None,
        leased_by=None,
        leased_pid=None,
        cancel_requested_at=None,
        cancel_receipt=None,
        callback_url=submission.callback_url,
        request_id=submission.request_id or correlation.request_id(),
        traceparent=submission.traceparent or correlation.traceparent(),
        concurrency_key=submission.concurrency_key,
        ordering_key=submission.ordering_key,
        after_failure=submission.after_failure,
        schema_hash=task_type.schema_hash,
    )


def _with_defaults(submission: Submission, task_type: TaskType) -> Submission:
    """With what its type says, where it says nothing itself. Raises PayloadRefused for a key that gets too long."""
    made = Values() if task_type.defaults is None else task_type.defaults.of(submission.payload)
    ordering_key = made.ordering_key if submission.ordering_key is None else submission.ordering_key
    by_type = None if ordering_key is None else task_type.after_failure
    return replace(
        submission,
        ordering_key=ordering_key,
        after_failure=by_type if submission.after_failure is None else submission.after_failure,
        concurrency_key=made.concurrency_key if submission.concurrency_key is None else submission.concurrency_key,
        labels={**made.labels, **submission.labels},
    )
