"""The tasks of a run: ordinary tasks that know their run and step, and travel alone."""

import dataclasses
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from app.config import get_settings
from app.database import to_json
from app.models import RunRecord, TaskRecord
from app.services.submission import Submission, draft_unchecked
from taskledger_sdk.defaults import MAX_KEY, MAX_LABEL
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.registry import get_type
from taskledger_sdk.workflows import Step
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.sharing import text_of
from taskledger_sdk.workflows.templates import Lookup

RELEASE = "release"
MAX_LEVELS = 200  # a body has 64, and a template around a part of it 32; Python reads and writes some 900


def draft_task(
    run: RunRecord,
    key: str,
    type_name: str,
    payload: Any,
    *,
    now: datetime,
    name: str,
    step: Step | None = None,
    lookup: Lookup | None = None,
) -> TaskRecord:
    """The task to be. Raises UnknownTaskType, or StepRefused for a payload that its type, or the service, refuses.

    `step` says how its task differs from what its type says, with references that `lookup` knows; a compensation has
    none. A step that fails blocks nobody who waits with its ordering key: what follows from it is the run's to decide,
    and its task may stay FAILED for good.
    """
    task_type = get_type(type_name)
    if task_type.sensitive:
        raise StepRefused(f"{type_name} is sensitive: its payloads are not kept in workflows")
    if depth_exceeds(payload, MAX_LEVELS):
        raise StepRefused(f"the payload is nested too deeply: {MAX_LEVELS} levels are allowed")
    try:
        task_type.check(payload)
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
        labels=run.labels,
    )
    if step is not None and lookup is not None:
        submission = _as_step_says(submission, step, lookup)
    record = draft_unchecked(submission, owner_id=run.owner_id, now=now)
    after_failure = None if record.ordering_key is None else RELEASE
    return replace(record, run_id=run.id, step=key, unchunked=True, after_failure=after_failure)


def _as_step_says(submission: Submission, step: Step, lookup: Lookup) -> Submission:
    labels = {name: text_of(label, lookup, f"labels.{name}", MAX_LABEL) for name, label in step.labels.items()}
    return dataclasses.replace(
        submission,
        max_retries=step.max_retries,
        timeout=step.timeout,
        ordering_key=text_of(step.ordering_key, lookup, "ordering_key", MAX_KEY),
        concurrency_key=text_of(step.concurrency_key, lookup, "concurrency_key", MAX_KEY),
        labels={**submission.labels, **{name: text for name, text in labels.items() if text is not None}},
    )
