"""What a trigger starts, a task or a run of a workflow: checked when it is set, and made of an event that matches."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from app.config import get_settings
from app.database import Session, to_json
from app.errors import NotFound, Refused
from app.models import OutsideEventRecord, TaskRecord, TriggerRecord
from app.services import workflows
from app.services.accounts.allowance import Allowance
from app.services.submission import Submission, check_timeout, draft_unchecked
from app.services.triggers.lookups import check_template, lookup_of, refuse
from app.services.workflows import Caller, NewRun, WorkflowRecord
from taskledger_sdk.defaults import MAX_KEY, MAX_LABEL
from taskledger_sdk.errors import PayloadRefused, UnknownTaskType, UpgradeFailed
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.registry import TaskType, get_type
from taskledger_sdk.workflows import sharing
from taskledger_sdk.workflows.errors import Faults, StepRefused
from taskledger_sdk.workflows.payloads import check_payload, sample_of
from taskledger_sdk.workflows.templates import bounded, render

MAX_TARGET = 32 * 1024  # hundreds of templates are rendered in one transaction
MAX_LEVELS = 200  # a body has 64, and a template around a part of it 32; Python reads and writes some 900
KEYS = ("ordering_key", "concurrency_key")
PLAIN = ("name", "priority", "max_retries", "timeout", "callback_url")
"""What a template says of its tasks as it stands, as a submission does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTemplate:
    """A submission whose payload, keys and labels are templates over the event; `fields` as in a submission."""

    type: str
    payload: Any
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowTemplate:
    """A workflow by name, and a template for the input of its runs."""

    name: str
    input: Any


def target_of(
    session: Session, task: TaskTemplate | None, workflow: WorkflowTemplate | None, *, caller: Caller, now: datetime
) -> dict[str, Any]:
    """The stored form of either. Raises Refused, so that a template cannot fail event after event."""
    if (task is None) == (workflow is None):
        raise Refused({"task": ["is missing: give either task or workflow"] if task is None else ["excludes workflow"]})
    if task is not None:
        target: dict[str, Any] = {"task": _checked_task(task)}
    else:
        assert workflow is not None  # noqa: S101 (just asked)
        target = {"workflow": _checked_workflow(session, workflow, caller=caller, now=now)}
    name, size = next(iter(target)), len(to_json(target))
    if size > MAX_TARGET:
        raise Refused({name: [f"has {size} bytes; {MAX_TARGET} are allowed: refer to what is larger"]})
    return target


def schema_hash_of(target: Mapping[str, Any]) -> str | None:
    """The schema that the payload of a target which was checked just now was accepted under; None for a workflow."""
    return get_type(target["task"]["type"]).schema_hash if "task" in target else None


def _checked_task(template: TaskTemplate) -> dict[str, Any]:
    try:
        task_type = get_type(template.type)
    except UnknownTaskType as error:
        raise Refused({"task": {"type": [str(error)]}}, code="unknown_task_type") from None
    if task_type.internal:
        raise Refused({"task": {"type": ["is submitted by the service itself only"]}})
    if task_type.sensitive:
        raise Refused({"task": {"type": [f"{template.type} is sensitive: its payloads are not kept in triggers"]}})
    try:
        check_timeout(template.fields.get("timeout"))
    except Refused as error:
        raise Refused({"task": error.errors}) from None
    faults = Faults()
    for name in KEYS:
        sharing.key(template.fields.get(name), ("task", name), faults)
    sharing.labels(template.fields.get("labels"), ("task", "labels"), faults)
    refuse(faults.tree)
    check_template(template.payload, ("task", "payload"))
    for name in (*KEYS, "labels"):
        check_template(template.fields.get(name), ("task", name))
    check_payload(template.type, template.payload, ("task", "payload"), faults, None)
    if faults:
        raise Refused(faults.tree, code="payload_refused")
    return {"type": template.type, "payload": template.payload, **template.fields}


def _checked_workflow(session: Session, template: WorkflowTemplate, *, caller: Caller, now: datetime) -> dict[str, Any]:
    found = _workflow(session, template.name, caller=caller, now=now)
    check_template(template.input, ("workflow", "input"))
    _, holes = sample_of(template.input, None)
    if not holes:  # of what comes from events, each event tells
        try:
            workflows.check_input(
                workflows.Definition.stored(found.definition), render(template.input, _nothing, ("workflow", "input"))
            )
        except Refused as error:
            raise Refused({"workflow": error.errors}, code=error.code) from None
    return {"name": template.name, "input": template.input}


def _nothing(_: Any) -> Any:
    raise AssertionError("a template without references looks nothing up")


def check_allowed(
    session: Session, target: Mapping[str, Any], allowance: Allowance, *, caller: Caller, now: datetime
) -> None:
    """Raises TypeNotAllowed for a target that would submit what may not be used, Refused for a missing workflow."""
    if "task" in target:
        allowance.check_types([target["task"]["type"]])
        if target["task"].get("callback_url") is not None:
            allowance.check_callback()
        return
    found = _workflow(session, target["workflow"]["name"], caller=caller, now=now)
    allowance.check_types(workflows.types_of(workflows.definition_of(session, found.version_id)))


def draft_task(trigger: TriggerRecord, event: OutsideEventRecord, *, now: datetime) -> TaskRecord:
    """The task that an event leads to. Raises UnknownTaskType, or StepRefused for what its type or we refuse."""
    said = trigger.target["task"]
    task_type, most = get_type(said["type"]), get_settings().max_payload_bytes
    lookup = bounded(lookup_of(event), most)
    payload = render(said["payload"], lookup)
    if depth_exceeds(payload, MAX_LEVELS):
        raise StepRefused(f"the payload is nested too deeply: {MAX_LEVELS} levels are allowed")
    schema_hash = _accepted_under(task_type, payload, trigger.schema_hash)
    size = len(to_json(payload).encode())
    if size > most:
        raise StepRefused(f"the payload has {size} bytes; at most {most} are accepted: refer to parts, or to a file")
    labels = {
        name: sharing.text_of(label, lookup, f"labels.{name}", MAX_LABEL)
        for name, label in (said.get("labels") or {}).items()
    }
    submission = Submission(
        type=said["type"],
        payload=payload,
        **{name: said[name] for name in PLAIN if said.get(name) is not None},
        ordering_key=sharing.text_of(said.get("ordering_key"), lookup, "ordering_key", MAX_KEY),
        concurrency_key=sharing.text_of(said.get("concurrency_key"), lookup, "concurrency_key", MAX_KEY),
        labels={name: text for name, text in labels.items() if text is not None},
    )
    return replace(draft_unchecked(submission, owner_id=trigger.owner_id, now=now), schema_hash=schema_hash)


def _accepted_under(task_type: TaskType, payload: Any, earlier: str | None) -> str:
    """The schema that the payload counts as accepted under. Raises StepRefused where its type takes it under none."""
    try:
        task_type.check(payload)
    except PayloadRefused as error:
        if earlier is None or earlier not in task_type.upgrade:
            raise StepRefused(f"{task_type.name} refuses its payload: {error}") from None
    else:
        return task_type.schema_hash
    try:
        task_type.load(payload, earlier)
    except UpgradeFailed as error:
        raise StepRefused(f"{task_type.name} refuses its payload: {error}") from None
    return earlier


def new_run(trigger: TriggerRecord, event: OutsideEventRecord) -> NewRun:
    """The run that an event leads to. Raises StepRefused."""
    most = get_settings().max_payload_bytes
    return NewRun(
        input=render(trigger.target["workflow"]["input"], bounded(lookup_of(event), most), ("workflow", "input"))
    )


def workflow_of(session: Session, trigger: TriggerRecord, *, now: datetime) -> WorkflowRecord:
    """The workflow that a trigger starts runs of. Raises Refused for one that is gone."""
    caller = Caller(owner_id=trigger.owner_id)
    return _workflow(session, trigger.target["workflow"]["name"], caller=caller, now=now)


def _workflow(session: Session, name: str, *, caller: Caller, now: datetime) -> WorkflowRecord:
    try:
        return workflows.read_workflow(session, name, caller=Caller(owner_id=caller.owner_id), now=now)
    except NotFound as error:
        raise Refused({"workflow": {"name": [str(error)]}}) from None
