"""Payloads of steps, checked as far as they are known: where a reference stands, anything may come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.errors import PayloadRefused, UnknownTaskType
from tasks.registry import get_type
from tasks.workflow.errors import Faults, StepRefused
from tasks.workflow.templates import FROM, LITERAL, TEXT, Lookup, Reference, below, render

UNKNOWN = ""  # in the place of what is not known yet: a text, which fields that take any JSON accept

CERTAIN = ("must be a", "must not be null", "is not a known field", "is missing")  # whatever stands inside


def check_payload(type_name: str, template: Any, path: Sequence[str], faults: Faults, known: Lookup | None) -> None:
    """Note what the type would refuse, whatever the references that `known` does not know come to."""
    holes: set[tuple[str, ...]] = set()
    try:
        sample = _sample(template, (), known, holes)
        get_type(type_name).payload.load(sample)
    except (StepRefused, UnknownTaskType) as error:  # of a stored definition, a type may be gone since
        faults.add(path, str(error))
    except PayloadRefused as refused:
        for place, message in _leaves(refused.errors["payload"]):
            if not _is_uncertain(place, message, holes):
                faults.add((*path, *place), message)


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


def _is_uncertain(place: tuple[str, ...], message: str, holes: set[tuple[str, ...]]) -> bool:
    """Whether the fault may go with what a hole comes to: it is at one, in one, or judges what has one inside."""
    if any(place[: len(hole)] == hole for hole in holes):
        return True
    return not message.startswith(CERTAIN) and any(hole[: len(place)] == place for hole in holes)


def _leaves(errors: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(errors, Mapping):
        for key, inner in errors.items():
            yield from _leaves(inner, path if key == "_schema" else (*path, str(key)))
    else:
        for message in errors:
            yield path, str(message)
