"""JSON Patches (RFC 6902) on payloads: checked once against a task type, then applied to one after another. Pure."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed
from jsonpointer import JsonPointer, JsonPointerException

from app.database import to_json
from app.errors import Refused
from app.models import Json
from app.services.sql.published import known_keys, payload_kinds
from taskledger_sdk.errors import PayloadRefused, UpgradeFailed
from taskledger_sdk.registry import TaskType
from taskledger_sdk.upgrades import upgraded
from tasks.masking import EVERYTHING, masked_keys

MAX_OPERATIONS = 50
MAX_PATCH_BYTES = 20_000
MAX_PROBLEM = 500  # characters
NEEDS_VALUE, NEEDS_FROM = frozenset({"add", "replace", "test"}), frozenset({"move", "copy"})
NO_PATCH = (
    'must be a list of operations of JSON Patch (RFC 6902), such as [{"op": "replace", "path": "/amount", "value": 5}]'
)
CONTAINERS = frozenset({"object", "array"})
OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")
_UNFIT = (JsonPatchException, JsonPointerException, TypeError, LookupError)


class DoesNotFit(Exception):
    """A payload that the patch, or after it the task type, does not accept; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch that was checked against its type."""

    operations: Sequence[dict[str, Any]]
    kind: TaskType
    max_bytes: int
    """Of a payload, as JSON."""

    def apply(self, payload: Json, accepted_under: str | None = None) -> Json:
        """The payload with the patch, as the type accepts it; the one that is given stays as it was.

        `accepted_under` is its schema hash. What the type upgrades from there is upgraded first: a payload is patched
        as the handler would see it, and is stored under the schema of now, from which nothing upgrades it any more.
        Raises DoesNotFit.
        """
        patched = copy.deepcopy(self._upgraded(payload, accepted_under))
        for number, operation in enumerate(self.operations):
            patched = self._one(number, operation, patched)
        try:
            self.kind.payload.load(patched)
        except PayloadRefused as error:
            raise DoesNotFit(str(error)[:MAX_PROBLEM]) from None
        return patched

    def _upgraded(self, payload: Json, accepted_under: str | None) -> Json:
        if accepted_under not in self.kind.upgrade:
            return payload
        try:
            of_now: Json = json.loads(to_json(upgraded(self.kind.upgrade, payload, accepted_under)))
        except UpgradeFailed as error:  # its text quotes the payload
            cause = type(error.__cause__).__name__
            raise DoesNotFit(f"the upgrade from schema {accepted_under} raised {cause}") from None
        except (TypeError, ValueError):
            raise DoesNotFit(
                f"the upgrade from schema {accepted_under} made something that JSON does not have"
            ) from None
        return of_now

    def _one(self, number: int, operation: dict[str, Any], payload: Json) -> Json:
        place = f"patch.{number}: {operation['op']} {operation['path'] or 'the whole payload'}"
        try:
            patched: Json = JsonPatch([operation]).apply(payload, in_place=True)
        except JsonPatchTestFailed:
            raise DoesNotFit(f"{place}: the value there is another") from None
        except _UNFIT:  # their texts quote the payload
            raise DoesNotFit(f"{place}: the payload has no such place") from None
        # Copies may double a payload again and again, so that its size is looked at after each.
        if operation["op"] in ("add", "copy", "replace") and len(to_json(patched).encode()) > self.max_bytes:
            raise DoesNotFit(f"{place}: the payload would be larger than {self.max_bytes} bytes")
        return patched


def checked(operations: Any, kind: TaskType, *, max_bytes: int) -> Patch:
    """The patch, if it can do nothing but change what is known of payloads of this type.

    Raises Refused with the place of each fault: no list of operations, an operation that RFC 6902 does not know, a
    place that payloads of the type do not have, a secret.
    """
    if kind.internal:
        raise Refused({"patch": [f"tasks of {kind.name} are the service's own; their payloads are not to be changed"]})
    if not isinstance(operations, list) or not operations:
        raise Refused({"patch": [NO_PATCH]})
    if len(operations) > MAX_OPERATIONS or len(to_json(operations).encode()) > MAX_PATCH_BYTES:
        raise Refused({"patch": [f"must have at most {MAX_OPERATIONS} operations and {MAX_PATCH_BYTES} bytes"]})
    faults = {str(number): each for number, one in enumerate(operations) if (each := _faults(one, kind))}
    if faults:
        raise Refused({"patch": faults})
    return Patch(operations, kind, max_bytes)


def _faults(operation: Any, kind: TaskType) -> dict[str, list[str]]:
    if not isinstance(operation, dict):
        return {"_schema": ["must be an object with op and path"]}
    op = operation.get("op")
    if op not in OPERATIONS:
        return {"op": [f"must be one of {', '.join(OPERATIONS)}"]}
    if op in NEEDS_VALUE and "value" not in operation:
        return {"value": [f"is missing: {op} needs one"]}
    names = ("from", "path") if op in NEEDS_FROM else ("path",)
    unknown = sorted(set(operation) - {"op", *names, *(["value"] if op in NEEDS_VALUE else [])})
    faults = {str(name)[:100]: [f"is nothing that {op} has"] for name in unknown}
    for name in names:
        fault = _place_fault(operation.get(name), kind)
        if fault:
            faults[name] = [fault]
    return faults


def _place_fault(pointer: Any, kind: TaskType) -> str | None:
    """What is wrong with a place that an operation names; None when payloads of the type may have it."""
    if not isinstance(pointer, str):
        return "must be a JSON Pointer (RFC 6901) into the payload, such as /amount"
    try:
        parts = JsonPointer(pointer).parts
    except JsonPointerException:
        return "is no JSON Pointer (RFC 6901): it begins with / and has ~0 for ~ and ~1 for /"
    secret = masked_keys(kind.payload)
    if secret and (not parts or EVERYTHING in secret or parts[0] in secret):
        return f"holds a secret of {kind.name}: a repair keeps and shows its patch, so replay such tasks one by one"
    schema = kind.payload.json_schema()
    known = known_keys(schema)
    kinds = payload_kinds(schema)
    if known is None and not kinds & CONTAINERS:
        known = set()
    if not parts or known is None or parts[0] in known:
        return None
    has = ", ".join(sorted(known)) if known else f"is of kind {' or '.join(sorted(kinds))} and has no parts"
    return (
        f"{pointer[:200]} is no part of a payload of {kind.name}, which {'has ' if known else ''}{has}. "
        "Paths begin inside of the payload; nothing else of a task can be patched"
    )
