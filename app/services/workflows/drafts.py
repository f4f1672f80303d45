"""The tasks of a run: ordinary tasks that know their run and step, and travel alone."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from app.config import get_settings
from app.database import to_json
from app.models import RunRecord, TaskRecord
from app.services.submission import Submission, draft_unchecked
from taskledger_sdk.defaults import MAX_KEY, MAX_LABEL
from taskledger_sdk.errors import PayloadRefused, UpgradeFailed
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.registry import TaskType, get_type
from taskledger_sdk.workflows import Step
from taskledger_sdk.workflows.control import FAN_OUT
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.sharing import text_of
from taskledger_sdk.workflows.templates import Lookup

RELEASE = "release"
AcceptedUnder = Callable[[TaskType], str | None]
MAX_LEVELS = 200  # a body has 64, and a template around a part of it 32; Python reads and writes some 900


def draft_task(
    run: RunRecord,
    key: str,
    type_name: str,
    payload: Any,
    *,
    now: datetime,
    name: str,
    accepted_under: AcceptedUnder,
    step: Step | None = None,
    lookup: Lookup | None = None,
) -> TaskRecord:
    """The task to be. Raises UnknownTaskType, or StepRefused for a payload that its type, or the service, refuses.

    `step` says how its task differs from what its type says, with references that `lookup` knows; a compensation has
    none. `accepted_under` says which schema its definition was accepted under, where another release may still take
    what this one refuses. A step that fails blocks nobody who waits with its ordering key: what follows from it is the
    run's to decide, and its task may stay FAILED for good.
    """
    task_type = get_type(type_name)
    if task_type.sensitive:
        raise StepRefused(f"{type_name} is sensitive: its payloads are not kept in workflows")
    if depth_exceeds(payload, MAX_LEVELS):
        raise StepRefused(f"the payload is nested too deeply: {MAX_LEVELS} levels are allowed")
    schema_hash = _schema_hash_of(task_type, payload, accepted_under)
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
    return replace(
        record, run_id=run.id, step=key, unchunked=True, after_failure=after_failure, schema_hash=schema_hash
    )


def draft_fan_out(run: RunRecord, step: Step, *, now: datetime) -> TaskRecord:
    """The task of a step with `for_each`, whose children are its items: what they are, it looks up itself."""
    return draft_task(
        run,
        step.key,
        FAN_OUT,
        {"run_id": str(run.id), "step": step.key},
        now=now,
        name=f"{run.workflow_name}: {step.key}",
        accepted_under=lambda _: None,
    )


def _schema_hash_of(task_type: TaskType, payload: Any, accepted_under: AcceptedUnder) -> str:
    """The schema that the payload counts as accepted under: this process' own, or that of its definition.

    Raises StepRefused for what neither this release takes nor another one that its workers are of.
    """
    try:
        task_type.check(payload)
    except PayloadRefused as error:
        earlier = accepted_under(task_type)
        if earlier is None:
            raise StepRefused(f"{task_type.name} refuses its payload: {error}") from None
    else:
        return task_type.schema_hash
    try:
        if earlier in task_type.upgrade:
            task_type.load(payload, earlier)
    except UpgradeFailed as error:
        raise StepRefused(f"{task_type.name} refuses its payload: {error}") from None
    return earlier


def _as_step_says(submission: Submission, step: Step, lookup: Lookup) -> Submission:
    labels = {name: text_of(label, lookup, f"labels.{name}", MAX_LABEL) for name, label in step.labels.items()}
    return replace(
        submission,
        max_retries=step.max_retries,
        timeout=step.timeout,
        ordering_key=text_of(step.ordering_key, lookup, "ordering_key", MAX_KEY),
        concurrency_key=text_of(step.concurrency_key, lookup, "concurrency_key", MAX_KEY),
        labels={**submission.labels, **{name: text for name, text in labels.items() if text is not None}},
    )
