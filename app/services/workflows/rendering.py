"""What the references in templates come to: the run's input, its facts, and what earlier steps returned."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.clock import rfc_3339
from app.config import get_settings
from app.database import Session, to_json
from app.models import RunRecord, StepRecord, StepState
from taskledger_sdk.registry import find_type
from taskledger_sdk.workflows.conditions import check_condition
from taskledger_sdk.workflows.errors import Faults, StepRefused
from taskledger_sdk.workflows.templates import Lookup, Missing, Reference, below, check

LOOKED_AT = 16  # times the largest payload: as much may a condition compare, and one step refer to in all
# Those of each fan_out are its children in their order: what is not finished when it is asked for is not there.
ITEM_RESULTS = """
    (SELECT coalesce(jsonb_agg(child.result ORDER BY items.seq), '[]')
     FROM task_steps AS items
     JOIN tasks AS child ON child.id = items.child_id
     WHERE items.task_id = task.id)
"""
"""The results of all items, in SQL; `task` is the one that they are children of."""
# Only what is referred to leaves the database, as long as that is not too much: results may have a megabyte each, and a
# thousand may meet in one step.
_VALUES = sa.text(f"""
    SELECT number, is_missing, total > :most AS is_too_much, CASE WHEN total <= :most THEN value END AS value
    FROM (
        SELECT wanted.number, found.value, wanted.path <> '{{}}'
            AND found.value IS NULL AS is_missing,
            coalesce(sum(octet_length(found.value::text)) OVER (ORDER BY wanted.number), 0) AS total
        FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS wanted (number integer, task_id uuid, path text[])
        JOIN tasks AS task ON task.id = wanted.task_id AND task.status = 'COMPLETED'
        CROSS JOIN LATERAL (
            SELECT CASE WHEN task.type = 'fan_out' THEN {ITEM_RESULTS} ELSE task.result END #> wanted.path AS value
        ) AS found
    ) AS measured
""")


def references(template: Any, condition: Any = None) -> list[Reference]:
    """All references of a payload, and of a condition."""
    named = check(template, (), Faults())
    if condition is not None:
        named += check_condition(condition, (), Faults())
    pending = [reference for _, reference in named]
    return list(dict.fromkeys(pending))


def lookup_of(session: Session, run: RunRecord, steps: Mapping[str, StepRecord], needed: Sequence[Reference]) -> Lookup:
    """A lookup that knows these references."""
    values = _results(session, steps, [each for each in needed if each.source == "result"])

    def lookup(reference: Reference) -> Any:
        if reference.source == "input":
            return below(run.input, reference.path)
        if reference.source == "run":
            return _fact(run, reference.path[0])
        if reference.source == "task_id":
            return str(_task_of(steps, reference))
        if reference not in values:
            raise Missing(str(reference))
        return values[reference]

    return lookup


def _task_of(steps: Mapping[str, StepRecord], reference: Reference) -> Any:
    step = steps.get(reference.step or "")
    if step is None or step.task_id is None:
        raise Missing(str(reference))
    return step.task_id


def _fact(run: RunRecord, name: str) -> Any:
    facts = {
        "id": str(run.id),
        "workflow": run.workflow_name,
        "version": run.version,
        "started_at": rfc_3339(run.created_at),
    }
    return facts[name]


def _results(session: Session, steps: Mapping[str, StepRecord], needed: Sequence[Reference]) -> dict[Reference, Any]:
    known = [each for each in needed if (steps.get(each.step or "")) and steps[each.step or ""].task_id]
    for each in known:
        _check_shown(steps[each.step or ""], each)
    if not known:
        return {}
    asked = [
        {"number": number, "task_id": str(steps[each.step or ""].task_id), "path": list(each.path)}
        for number, each in enumerate(known)
        if steps[each.step or ""].state == StepState.COMPLETED
    ]
    most = get_settings().max_payload_bytes * LOOKED_AT
    rows = session.execute(_VALUES, {"wanted": to_json(asked), "most": most}).all()
    if any(row.is_too_much for row in rows):
        raise StepRefused(f"what it refers to has more than {most} bytes: refer to parts, or to a file")
    return {known[row.number]: row.value for row in rows if not row.is_missing}


def _check_shown(step: StepRecord, reference: Reference) -> None:
    """A type may have become sensitive since the definition was stored; then its results are encrypted."""
    kind = find_type(step.type)
    if kind is not None and kind.sensitive:
        raise StepRefused(f"{reference}: results of the sensitive type {step.type} are not given to other steps")
