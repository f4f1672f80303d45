"""Payload templates of steps against a schema: what is refused whatever their references come to. Pure."""

from typing import Any

from app.services.releases.json_schema import Fault, Schema
from taskledger_sdk.workflows.errors import StepRefused
from taskledger_sdk.workflows.payloads import sample_of
from taskledger_sdk.workflows.templates import Lookup

# They judge what is there and of which kind, and not what it says: a reference below changes nothing about it.
CERTAIN = frozenset(
    {"type", "required", "additionalProperties", "minProperties", "maxProperties", "minItems", "maxItems"}
)


def faults_of(schema: Schema, template: Any, *, known: Lookup | None = None) -> list[Fault]:
    """The faults that no value of the references that `known` does not know can mend."""
    try:
        sample, holes = sample_of(template, known)
    except StepRefused:
        return []  # a reference to nothing, or too much of it: no schema can help, and its run will say so
    return [fault for fault in schema.faults(sample) if not _is_uncertain(fault, holes)]


def _is_uncertain(fault: Fault, holes: set[tuple[str, ...]]) -> bool:
    place = fault.path
    if any(place[: len(hole)] == hole for hole in holes):
        return True
    return fault.keyword not in CERTAIN and any(hole[: len(place)] == place for hole in holes)
