"""From JSON to a definition: everything that can be known before a run is checked here, and named by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.registry import MAX_TIMEOUT_SECONDS, get_type
from taskledger_sdk.workflows import control, linear, sharing
from taskledger_sdk.workflows.conditions import check_condition
from taskledger_sdk.workflows.errors import DefinitionRefused, Faults
from taskledger_sdk.workflows.graph import ancestors, ordered
from taskledger_sdk.workflows.inputs import parse_inputs
from taskledger_sdk.workflows.model import (
    COMPENSATE,
    KEYS,
    MAX_ITEMS,
    MAX_STEPS,
    ON_FAILURE,
    Definition,
    Input,
    Step,
    Undo,
)
from taskledger_sdk.workflows.payloads import check_payload
from taskledger_sdk.workflows.templates import STEP_KEY, Reference, check

MAX_RETRIES, MAX_LABELS = 100, 16
ROOT = ("definition",)
TOP = ("steps", "input", "on_failure", "labels", linear.FIRST, linear.TRANSITIONS)
OF_EVERY_STEP = ("after", "when", "for_each", "max_parallel", "retry", *KEYS, "labels")
OF_STEP = ("type", "payload", *OF_EVERY_STEP, "timeout", "compensate_with")
Found = list[tuple[tuple[str, ...], Reference]]


def parse(said: Any) -> Definition:
    """A checked definition. Raises DefinitionRefused with the path of every fault, from "definition" down."""
    faults = Faults()
    made = _definition(said, faults)
    if faults or made is None:
        raise DefinitionRefused(faults.tree)
    return made


def _definition(said: Any, faults: Faults) -> Definition | None:
    if not isinstance(said, dict):
        faults.add(ROOT, "must be an object with steps, or with initialTask and transitions")
        return None
    _check_names(said, TOP, ROOT, faults)
    if linear.is_linear(said):
        if "steps" in said:
            faults.add((*ROOT, "steps"), f"and {linear.FIRST} exclude each other: write one form")
            return None
        said = linear.expanded(said, faults, ROOT)
        if faults:
            return None
    inputs = parse_inputs(said.get("input"), (*ROOT, "input"), faults)
    if said.get("on_failure", COMPENSATE) not in ON_FAILURE:
        faults.add((*ROOT, "on_failure"), f"must be one of {', '.join(ON_FAILURE)}")
    labels = _labels(said.get("labels", {}), inputs, faults)
    steps = _steps(said.get("steps"), faults)
    if faults or steps is None:
        return None
    in_order = ordered(steps, ROOT, faults)
    if in_order is None:
        return None
    _check_templates(in_order, inputs, faults)
    return Definition(steps=in_order, inputs=inputs, on_failure=said.get("on_failure", COMPENSATE), labels=labels)


def _steps(said: Any, faults: Faults) -> dict[str, Step] | None:
    path = (*ROOT, "steps")
    if not isinstance(said, dict) or not said:
        faults.add(path, 'must be an object with at least one step: {"key": {"type": …, "payload": …}}')
        return None
    if len(said) > MAX_STEPS:
        faults.add(path, f"has {len(said)} steps; {MAX_STEPS} are allowed")
        return None
    return {key: made for key, each in said.items() if (made := _step(key, each, (*path, key), faults))}


def _step(key: str, said: Any, path: Sequence[str], faults: Faults) -> Step | None:
    if not STEP_KEY.fullmatch(key):
        faults.add(path, "its key must be up to 63 letters, digits, _ and -, a letter first")
        return None
    if not isinstance(said, dict):
        faults.add(path, 'must be an object: {"type": …, "payload": …}')
        return None
    word = control.word_of(said)
    if word is not None:
        return _control_step(key, said, word, path, faults)
    _check_names(said, OF_STEP, path, faults)
    if not _is_runnable(said.get("type"), (*path, "type"), faults):
        return None
    if "payload" not in said:
        faults.add((*path, "payload"), "is missing")
        return None
    return Step(
        key=key,
        type=said["type"],
        payload=said["payload"],
        timeout=_timeout(said.get("timeout"), (*path, "timeout"), faults),
        compensate_with=_undo(said.get("compensate_with"), (*path, "compensate_with"), faults),
        **_of_every_step(said, path, faults),
    )


def _control_step(key: str, said: Mapping[str, Any], word: str, path: Sequence[str], faults: Faults) -> Step | None:
    """A step that waits, or starts a run of another workflow."""
    _check_names(said, (word, *control.BESIDE[word], *OF_EVERY_STEP), path, faults)
    control.check(said, word, path, faults)
    if faults:
        return None
    kind, payload = control.compiled(said, word)
    written = control.written(said, word)
    return Step(key=key, type=kind, payload=payload, written=written, **_of_every_step(said, path, faults))


def _of_every_step(said: Mapping[str, Any], path: Sequence[str], faults: Faults) -> dict[str, Any]:
    return {
        "after": _after(said.get("after", []), (*path, "after"), faults),
        "when": said.get("when"),
        "max_retries": _retries(said.get("retry"), (*path, "retry"), faults),
        **{name: sharing.key(said.get(name), (*path, name), faults) for name in KEYS},
        "labels": sharing.labels(said.get("labels"), (*path, "labels"), faults),
        "for_each": _for_each(said.get("for_each"), (*path, "for_each"), faults),
        "max_parallel": _max_parallel(said, (*path, "max_parallel"), faults),
    }


def _for_each(said: Any, path: Sequence[str], faults: Faults) -> Any:
    is_list = isinstance(said, list) and len(said) <= MAX_ITEMS
    if said is not None and not is_list and not isinstance(said, dict):
        faults.add(path, f"must be a template of a list, or a list of at most {MAX_ITEMS} items")
    return said


def _max_parallel(said: Mapping[str, Any], path: Sequence[str], faults: Faults) -> int | None:
    most = said.get("max_parallel")
    if most is None:
        return None
    if said.get("for_each") is None:
        faults.add(path, "says nothing without for_each")
    elif not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MAX_ITEMS:
        faults.add(path, f"must be a whole number from 1 to {MAX_ITEMS}")
    return most if isinstance(most, int) else None


def _is_runnable(name: Any, path: Sequence[str], faults: Faults) -> bool:
    if not isinstance(name, str):
        faults.add(path, "must be the name of a task type")
        return False
    try:
        task_type = get_type(name)
    except UnknownTaskType as error:
        faults.add(path, str(error))
        return False
    if task_type.internal:
        faults.add(path, f"{name} is submitted by the service itself only")
        return False
    if task_type.sensitive:
        # Its payload would stand in the clear in the definition, and its result in the payloads of other steps.
        faults.add(path, f"{name} is sensitive: its payloads and results are not kept in workflows")
        return False
    return True


def _after(said: Any, path: Sequence[str], faults: Faults) -> tuple[str, ...]:
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        faults.add(path, "must be a list of the keys of other steps")
        return ()
    if len(set(said)) < len(said):
        faults.add(path, "names a step twice")
    return tuple(said)


def _retries(said: Any, path: Sequence[str], faults: Faults) -> int | None:
    if said is None:
        return None
    number = said.get("max_retries") if isinstance(said, dict) and said.keys() == {"max_retries"} else None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_RETRIES:
        faults.add(path, f'must be {{"max_retries": 0 to {MAX_RETRIES}}}')
        return None
    return number


def _timeout(said: Any, path: Sequence[str], faults: Faults) -> int | None:
    if said is None:
        return None
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= MAX_TIMEOUT_SECONDS:
        faults.add(path, f"must be from 1 to {MAX_TIMEOUT_SECONDS} seconds")
        return None
    return said


def _undo(said: Any, path: Sequence[str], faults: Faults) -> Undo | None:
    if said is None:
        return None
    if not isinstance(said, dict) or not said.keys() <= {"type", "payload"} or "payload" not in said:
        faults.add(path, 'must be a task: {"type": …, "payload": …}')
        return None
    if not _is_runnable(said.get("type"), (*path, "type"), faults):
        return None
    return Undo(type=said["type"], payload=said["payload"])


def _labels(said: Any, inputs: Mapping[str, Input] | None, faults: Faults) -> dict[str, Any]:
    path = (*ROOT, "labels")
    if not isinstance(said, dict) or len(said) > MAX_LABELS:
        faults.add(path, f"must be an object of at most {MAX_LABELS} names")
        return {}
    for name, template in said.items():
        if not STEP_KEY.fullmatch(name):
            faults.add((*path, name), "its name must be up to 63 letters, digits, _ and -, a letter first")
        for place, reference in check(template, (*path, name), faults):
            if reference.source != "input":
                faults.add(place, f"{reference} is not known when a run begins; labels are made from the input")
            _check_input(place, reference, inputs, faults)
    return said


def _check_templates(steps: Mapping[str, Step], inputs: Mapping[str, Input] | None, faults: Faults) -> None:
    before = ancestors(steps)
    for step in steps.values():
        path = (*ROOT, "steps", step.key)
        found = check(step.payload, (*path, "payload"), faults)
        for name in KEYS:
            found += check(getattr(step, name), (*path, name), faults)
        found += [each for name in step.labels for each in check(step.labels[name], (*path, "labels", name), faults)]
        items = step.for_each is not None
        _check_references(found, steps, before[step.key], inputs, faults, items=items)
        found = check(step.for_each, (*path, "for_each"), faults)
        if step.when is not None:
            found += check_condition(step.when, (*path, "when"), faults)
        _check_references(found, steps, before[step.key], inputs, faults)
        if step.compensate_with is not None:
            undoing = check(step.compensate_with.payload, (*path, "compensate_with", "payload"), faults)
            _check_references(undoing, steps, before[step.key] | {step.key}, inputs, faults, items=items)
    if faults:
        return
    for step in steps.values():
        path = (*ROOT, "steps", step.key)
        if step.written is None:  # else what stands in its place was checked
            check_payload(step.type, step.payload, (*path, "payload"), faults, None)
        if step.compensate_with is not None:
            undo = step.compensate_with
            check_payload(undo.type, undo.payload, (*path, "compensate_with", "payload"), faults, None)


def _check_references(
    found: Found,
    steps: Mapping[str, Step],
    before: set[str],
    inputs: Mapping[str, Input] | None,
    faults: Faults,
    *,
    items: bool = False,
) -> None:
    """`items`: whether there is an item to refer to."""
    for place, reference in found:
        if reference.source == "event":
            faults.add(place, f"{reference} is known in triggers only: let the trigger put it into the input")
        if reference.source in ("item", "index") and not items:
            faults.add(place, f"{reference} is known in a step with for_each only, in its payload, keys and labels")
        _check_input(place, reference, inputs, faults)
        if reference.step is None or reference.step in before:
            continue
        if reference.step not in steps:
            faults.add(
                place, f"{reference}: there is no step {reference.step!r}{faults.nearest(reference.step, steps)}"
            )
        else:
            faults.add(place, f"{reference}: this step does not come after {reference.step}; add it to its `after`")


def _check_input(
    place: Sequence[str], reference: Reference, inputs: Mapping[str, Input] | None, faults: Faults
) -> None:
    if reference.source != "input" or inputs is None or not reference.path:
        return
    if reference.path[0] not in inputs:
        faults.add(place, f"{reference}: no such input is declared{faults.nearest(reference.path[0], inputs)}")


def _check_names(said: Mapping[str, Any], known: Sequence[str], path: Sequence[str], faults: Faults) -> None:
    for name in said:
        if name not in known:
            nearest = faults.nearest(name, known) or f"; known: {', '.join(known)}"
            faults.add((*path, name), f"is not a known field{nearest}")
