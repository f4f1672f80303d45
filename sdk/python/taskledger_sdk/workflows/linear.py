"""The short linear form: a first task, and for each type of task the one that follows it."""

from __future__ import annotations

from typing import Any

from taskledger_sdk.workflows.errors import Faults
from taskledger_sdk.workflows.model import MAX_STEPS

FIRST, TRANSITIONS = "initialTask", "transitions"


def is_linear(definition: dict[str, Any]) -> bool:
    """Whether a definition is written so."""
    return FIRST in definition or TRANSITIONS in definition


def expanded(definition: dict[str, Any], faults: Faults, path: tuple[str, ...]) -> dict[str, Any]:
    """The same as steps, each named after its type and after the one before; notes what is wrong."""
    transitions = definition.get(TRANSITIONS, {})
    if not isinstance(transitions, dict):
        faults.add((*path, TRANSITIONS), "must be an object: by the type of a finished task, the task that follows")
        return {}
    if not isinstance(definition.get(FIRST), dict):
        faults.add((*path, FIRST), 'must be the first task: {"type": …, "payload": …}')
        return {}
    steps: dict[str, Any] = {}
    place, task, before = (*path, FIRST), definition[FIRST], None
    while task is not None:
        kind = task.get("type") if isinstance(task, dict) else None
        if not isinstance(kind, str):
            faults.add(place, 'must be a task: {"type": …, "payload": …}')
            return {}
        if kind in steps:
            faults.add(place, f"closes a cycle: {' → '.join([*steps, kind])}")
            return {}
        if len(steps) == MAX_STEPS:
            faults.add((*path, TRANSITIONS), f"has more than {MAX_STEPS} tasks")
            return {}
        steps[kind] = {"payload": {}, **task, **({"after": [before]} if before else {})}
        place, task, before = (*path, TRANSITIONS, kind), transitions.get(kind), kind
    for kind in transitions:
        if kind not in steps:
            faults.add((*path, TRANSITIONS, kind), f"is never reached: no task before it is a {kind}")
    rest = {name: value for name, value in definition.items() if name not in (FIRST, TRANSITIONS)}
    return {**rest, "steps": steps}
