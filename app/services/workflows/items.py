"""Items of a step with `for_each`: the tasks that they are, and those that take them back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.config import get_settings
from app.database import Session, from_json, to_json
from app.models import RunRecord, StepRecord
from app.services.tasks.compensation import COMPENSATION
from app.services.workflows import run_statements, steps
from app.services.workflows.rendering import LOOKED_AT, lookup_of, references
from app.services.workflows.versions import accepted_under, definition_of
from taskledger_sdk.defaults import MAX_KEY, MAX_LABEL
from taskledger_sdk.errors import PayloadRefused, UpgradeFailed
from taskledger_sdk.registry import find_type, get_type
from taskledger_sdk.upgrades import upgraded
from taskledger_sdk.workflows import Step
from taskledger_sdk.workflows.control import SUB_WORKFLOW, UNDO_RUN
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.model import MAX_ITEMS
from taskledger_sdk.workflows.sharing import text_of
from taskledger_sdk.workflows.templates import Lookup, Missing, Reference, below, bounded, render

MAX_REASON = 500
_ENDED = """
    SELECT items.seq - first.seq AS number, {columns}
    FROM task_steps AS items
    JOIN tasks AS child ON child.id = items.child_id
    CROSS JOIN (SELECT min(seq) AS seq FROM task_steps WHERE task_id = :task_id AND child_id IS NOT NULL) AS first
    WHERE items.task_id = :task_id AND items.child_id IS NOT NULL AND child.status = 'COMPLETED'
    ORDER BY child.finished_at DESC, items.seq DESC
"""
_COMPLETED = sa.text(_ENDED.format(columns="items.child_id"))
_RESULTS = sa.text(_ENDED.format(columns="items.child_id, child.result::text AS result"))


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemTask:
    """A task to be; `options` are named as those of task.call()."""

    type: str
    payload: Any
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """A step with what its templates are looked up in."""

    run: RunRecord
    step: Step
    lookup: Lookup


def items_of(session: Session, run_id: UUID, key: str, *, task_id: UUID) -> tuple[list[ItemTask], int | None]:
    """The tasks of a step, in the order of its items, and how many of them may be under way at once.

    `task_id` is the step's task. Raises StepRefused for what is no list, or too long, and for what is not there.
    """
    asked, current = _asked(session, run_id, key)
    if current[key].task_id != task_id:
        raise StepRefused(f"step {key} of run {run_id} has another task by now")
    earlier = _accepted_under(session, asked.run, asked.step.type)
    items = [_item(asked, item, number, earlier) for number, item in enumerate(_list(asked))]
    return items, asked.step.max_parallel


def completed(session: Session, run_id: UUID, key: str) -> list[int]:
    """The numbers of a step's completed items, the last to complete first; none where nothing takes them back.

    Raises StepRefused.
    """
    asked, current = _asked(session, run_id, key)
    task_id = current[key].task_id
    if task_id is None or not _has_undo(asked.step):
        return []
    return [row.number for row in session.execute(_COMPLETED, {"task_id": task_id})]


def undos_of(session: Session, run_id: UUID, key: str, numbers: Sequence[int], *, reason: str) -> list[ItemTask]:
    """The tasks that take back these items of a step, in this order. Raises StepRefused."""
    asked, current = _asked(session, run_id, key)
    template = asked.step.compensate_with
    query = _COMPLETED if template is None else _RESULTS
    rows = {row.number: row for row in session.execute(query, {"task_id": current[key].task_id})}
    listed, earlier = [], None
    if template is not None:
        listed, earlier = _list(asked), _accepted_under(session, asked.run, template.type)
    found = []
    for number in numbers:
        if number not in rows:
            raise StepRefused(f"the task of item {number} of step {key} is not there any more")
        row = rows[number]
        if template is not None:
            result = None if row.result is None else from_json(row.result)
            lookup = bounded(_with_item(asked.lookup, key, listed[number], number, result), _most())
            payload = render(template.payload, lookup, ("compensate_with",))
            payload = _as_taken_now(template.type, payload, earlier)
            found.append(ItemTask(type=template.type, payload=payload, options={}))
        else:
            undo = UNDO_RUN if asked.step.type == SUB_WORKFLOW else COMPENSATION
            said = {"task_id": str(row.child_id), "reason": reason[:MAX_REASON]}
            found.append(ItemTask(type=undo, payload=said, options={}))
    return found


def _has_undo(step: Step) -> bool:
    return step.compensate_with is not None or step.type == SUB_WORKFLOW or get_type(step.type).compensable


def _asked(session: Session, run_id: UUID, key: str) -> tuple[_Asked, dict[str, StepRecord]]:
    runs = run_statements.lock(session, [run_id])
    if not runs:
        raise StepRefused(f"there is no run {run_id} any more")
    run = runs[0]
    step, current = definition_of(session, run.version_id).steps[key], steps.read(session, run_id)
    templates = [step.payload, step.for_each, *step.sharing]
    if step.compensate_with is not None:
        templates.append(step.compensate_with.payload)
    needed = [each for template in templates for each in references(template) if each.step != key]
    return _Asked(run=run, step=step, lookup=lookup_of(session, run, current, list(dict.fromkeys(needed)))), current


def _list(asked: _Asked) -> list[Any]:
    listed = render(asked.step.for_each, bounded(asked.lookup, _most() * LOOKED_AT), ("for_each",))
    if not isinstance(listed, list):
        raise StepRefused("for_each: must come to a list")
    if len(listed) > MAX_ITEMS:
        raise StepRefused(f"for_each: comes to {len(listed)} items; at most {MAX_ITEMS} are taken")
    return listed


def _accepted_under(session: Session, run: RunRecord, type_name: str) -> str | None:
    """The schema that a type upgrades, if the definition of the run was accepted under one."""
    kind = find_type(type_name)
    return None if kind is None or not kind.upgrade else accepted_under(session, run.version_id, kind)


def _as_taken_now(type_name: str, payload: Any, earlier: str | None) -> Any:
    """The payload as it is, or upgraded where only that is taken: children are stored under the schema of now.

    What is refused either way is told by whoever submits it. Raises StepRefused for an upgrade that fails.
    """
    if earlier is None:
        return payload
    kind = get_type(type_name)
    try:
        kind.check(payload)
    except PayloadRefused:
        try:
            return upgraded(kind.upgrade, payload, earlier)
        except UpgradeFailed as error:
            raise StepRefused(str(error)) from None
    return payload


def _item(asked: _Asked, item: Any, number: int, earlier: str | None) -> ItemTask:
    step, run = asked.step, asked.run
    lookup = bounded(_with_item(asked.lookup, step.key, item, number), _most())
    payload = _as_taken_now(step.type, render(step.payload, lookup), earlier)
    size = len(to_json(payload).encode())
    if size > _most():
        raise StepRefused(f"item {number}: its payload has {size} bytes; at most {_most()} are accepted")
    labels = {name: text_of(label, lookup, f"labels.{name}", MAX_LABEL) for name, label in step.labels.items()}
    options: dict[str, Any] = {
        "name": f"{run.workflow_name}: {step.key} {number}"[:200],
        "priority": run.priority,
        "max_retries": step.max_retries,
        "timeout": step.timeout,
        "ordering_key": text_of(step.ordering_key, lookup, "ordering_key", MAX_KEY),
        "concurrency_key": text_of(step.concurrency_key, lookup, "concurrency_key", MAX_KEY),
        "labels": {**run.labels, **{name: text for name, text in labels.items() if text is not None}},
    }
    said = {name: value for name, value in options.items() if value is not None}
    return ItemTask(type=step.type, payload=payload, options=said)


def _with_item(lookup: Lookup, key: str, item: Any, number: int, result: Any = None) -> Lookup:
    """The lookup that knows an item, too, and as the result of its step that of the item."""

    def look(reference: Reference) -> Any:
        if reference.source == "item":
            return below(item, reference.path)
        if reference.source == "index":
            return number
        if reference.step == key:
            if reference.source != "result":
                raise Missing(str(reference))
            return below(result, reference.path)
        return lookup(reference)

    return look


def _most() -> int:
    return get_settings().max_payload_bytes
