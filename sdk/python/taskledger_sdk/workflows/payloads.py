"""Payloads of steps, checked as far as they are known: where a reference stands, anything may come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskledger_sdk.errors import UnknownTaskType
from taskledger_sdk.payload import Fault
from taskledger_sdk.registry import get_type
from taskledger_sdk.workflows.errors import Faults, StepRefused
from taskledger_sdk.workflows.templates import FROM, LITERAL, TEXT, Lookup, Reference, below, render

UNKNOWN = ""  # in the place of what is not known yet: a text, which fields that take any JSON accept


def check_payload(type_name: str, template: Any, path: Sequence[str], faults: Faults, known: Lookup | None) -> None:
    """Note what the type would refuse, whatever the references that `known` does not know come to."""
    try:
        sample, holes = sample_of(template, known)
        found = get_type(type_name).payload.faults(sample)
    except (StepRefused, UnknownTaskType) as error:  # of a stored definition, a type may be gone since
        faults.add(path, str(error))
        return
    for fault in found:
        if not _is_uncertain(fault, holes):
            faults.add((*path, *fault.path), fault.message)


def sample_of(template: Any, known: Lookup | None) -> tuple[Any, set[tuple[str, ...]]]:
    """The payload as far as it is known, and the places of what is not, which hold a text. Raises StepRefused."""
    holes: set[tuple[str, ...]] = set()
    return _sample(template, (), known, holes), holes


def _sample(template: Any, place: tuple[str, ...], known: Lookup | None, holes: set[tuple[str, ...]]) -> Any:
    if isinstance(template, list):
        return [_sample(each, (*place, str(index)), known, holes) for index, each in enumerate(template)]
    if not isinstance(template, dict):
        return template
    if LITERAL in template:
        return template[LITERAL]
    if FROM in template or TEXT in template:
        try:
            return render(template, known or _nothing_known, ("payload", *place))
        except _Unknown:
            holes.add(place)
            return UNKNOWN
    return {key: _sample(each, (*place, key), known, holes) for key, each in template.items()}


class _Unknown(Exception):
    """A reference whose value comes later."""


def _nothing_known(_: Reference) -> Any:
    raise _Unknown


def of_input(given: Mapping[str, Any]) -> Lookup:
    """A lookup that knows the input, and says of everything else that it comes later."""

    def lookup(reference: Reference) -> Any:
        if reference.source != "input":
            raise _Unknown
        return below(given, reference.path)

    return lookup


def _is_uncertain(fault: Fault, holes: set[tuple[str, ...]]) -> bool:
    """Whether the fault may go with what a hole comes to: it is at one, in one, or judges what has one inside.

    A fault that has a code does not depend on what stands inside: a list is no text, whatever its items are.
    """
    place = fault.path
    if any(place[: len(hole)] == hole for hole in holes):
        return True
    return fault.code is None and any(hole[: len(place)] == place for hole in holes)
