"""JSON Schemas of remote types: which ones are taken, and what they find in a payload. Pure.

A payload comes from anybody, so that checking it takes a bounded time: patterns run on an engine without backtracking,
a schema may not lead through itself, or through more of its parts than MAX_STEPS, without going down into the payload,
and a payload whose values would be looked at too often is refused unchecked
(docs/decisions/0036-json-schema-of-remote-types.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from app.database import to_json
from app.errors import Refused
from app.services.remote.visits import MAX_CHAIN, TooManyVisits, VisitCounter, escaped
from taskledger_sdk.errors import PayloadRefused
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.payload import Fault
from taskledger_sdk.payload.spec import MAX_MESSAGES, clean

if TYPE_CHECKING:
    from app.services.remote.validators import Validator

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_BYTES = 64 * 1024
MAX_LEVELS = 64
MAX_STEPS = 5_000
# Faults are told for each visit, which takes a hundred times as long as to find that there are some. So much is told of
# any payload; and of a large one, where its values are visited so often at most.
TOLD_VISITS, TOLD_VISITS_OF_ONE = 20_000, 32
# Keywords that lead to another place: to other documents, or by what is found on the way.
REFUSED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "$recursiveRef")


class _Keywords(NamedTuple):
    """Keywords whose value is a schema, a list of schemas, or schemas by name."""

    one: tuple[str, ...]
    lists: tuple[str, ...]
    maps: tuple[str, ...]


# What is asked of the same value, without going down into it; and all that hold schemas.
_IN_PLACE = _Keywords(("not", "if", "then", "else"), ("allOf", "anyOf", "oneOf"), ("dependentSchemas",))
_BELOW = _Keywords(
    (
        "additionalProperties",
        "propertyNames",
        "items",
        "contains",
        "unevaluatedItems",
        "unevaluatedProperties",
        *_IN_PLACE.one,
    ),
    ("prefixItems", *_IN_PLACE.lists),
    ("properties", "patternProperties", "$defs", *_IN_PLACE.maps),
)


_TOO_DEEP = Fault((), "is nested too deeply for the schema of its type, which leads to the same values again", None)
_SOMEWHERE = Fault((), "does not fit the schema of its type, and is nested too deeply to tell where", None)


class SchemaCheck:
    """What a remote type accepts, as the worker of a Celery type does it for its own."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = dict(schema)

    def load(self, data: Any) -> Any:
        """The payload itself. Raises PayloadRefused with the path of each fault."""
        found = self.faults(data)
        if found:
            raise PayloadRefused({"payload": _as_errors(found)})
        return data

    def faults(self, data: Any) -> list[Fault]:
        """The first faults of a payload, none when it fits."""
        try:
            visits = self._visits.of(data)
        except TooManyVisits:
            return [_TOO_DEEP]
        if self._validator.is_valid(data):
            return []
        if visits.total > TOLD_VISITS and visits.most_of_one > TOLD_VISITS_OF_ONE:
            return [_SOMEWHERE]
        errors = islice(self._validator.iter_errors(data), MAX_MESSAGES)
        return [
            Fault(tuple(clean(str(step)) for step in each.instance_path), clean(each.message), None) for each in errors
        ]

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema as it was declared."""
        return self._schema

    @cached_property
    def _visits(self) -> VisitCounter:
        parts = dict(_parts(self._schema, "#"))
        return VisitCounter(parts, {place: tuple(_in_place(place, parts)) for place in parts})

    @cached_property
    def _validator(self) -> "Validator":
        from app.services.remote.validators import validator_of  # as in `check`

        # Values are masked in messages: a payload may hold secrets, and messages stand in rows and logs.
        return validator_of(self._schema, mask="the value")


def _as_errors(found: Sequence[Fault]) -> Any:
    """Messages nested like the payload."""
    errors: dict[str, Any] = {}
    for fault in found:
        place = errors
        for step in fault.path:
            place = place.setdefault(step, {})
        place.setdefault("_schema", []).append(fault.message)
    return _without_needless(errors)


def _without_needless(errors: dict[str, Any]) -> Any:
    if errors.keys() == {"_schema"}:
        return errors["_schema"]
    return {name: below if name == "_schema" else _without_needless(below) for name, below in errors.items()}


def check(schema: Any) -> None:
    """Raises Refused, with the path of what is wrong, for a schema that no remote type may have."""
    if not isinstance(schema, dict):
        raise Refused({"schema": ["must be an object: a JSON Schema (2020-12)"]})
    if len(to_json(schema)) > MAX_BYTES or depth_exceeds(schema, MAX_LEVELS):
        raise Refused({"schema": [f"must have at most {MAX_BYTES} bytes as JSON, and {MAX_LEVELS} levels"]})
    if schema.get("$schema", DIALECT) != DIALECT:
        raise Refused({"schema": {"$schema": [f"must be {DIALECT}, or left out"]}})
    parts = dict(_parts(schema, "#"))
    for place, part in parts.items():
        _check_part(place, part, parts)
    _check_steps(parts)
    from app.services.remote.validators import fault_of  # 4 MB that processes without such schemas do without

    if fault := fault_of(schema):
        raise Refused({"schema": [f"is no JSON Schema that can be used: {fault}"]})


def _parts(schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All schemas in a schema, each with its place as `$ref` writes it."""
    yield place, schema
    for below, part in _children(schema, place, _BELOW):
        yield from _parts(part, below)


def _children(schema: Mapping[str, Any], place: str, keywords: _Keywords) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas right below these keywords; true and false, which are schemas too, ask nothing."""
    found = [(f"{place}/{keyword}", schema.get(keyword)) for keyword in keywords.one]
    for keyword in keywords.lists:
        below = schema.get(keyword)
        found += (
            (f"{place}/{keyword}/{index}", each) for index, each in enumerate(below if isinstance(below, list) else ())
        )
    for keyword in keywords.maps:
        named = schema.get(keyword)
        found += (
            (f"{place}/{keyword}/{escaped(name)}", each)
            for name, each in (named if isinstance(named, Mapping) else {}).items()
        )
    return ((at, each) for at, each in found if isinstance(each, Mapping))


def _check_part(place: str, part: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    for keyword in REFUSED:
        if keyword in part:
            raise Refused({"schema": [f"{place}/{keyword} is not taken: refer to places of this schema with $ref"]})
    target = part.get("$ref")
    if target is not None and target not in parts:
        raise Refused(
            {"schema": [f"{place}/$ref must be the place of another schema in this one, such as #/$defs/address"]}
        )


def _check_steps(parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises Refused for a schema that asks too much of one and the same value, or never ends asking."""
    costs: dict[str, int] = {}
    lengths: dict[str, int] = {}

    def cost(place: str, above: tuple[str, ...]) -> int:
        if place in above:
            raise Refused({"schema": [f"{place} leads back to itself without going down into the payload"]})
        if place not in costs:
            below = list(_in_place(place, parts)) if len(above) <= MAX_CHAIN else []
            costs[place] = 1
            for each in below:
                costs[place] += cost(each, (*above, place))
            lengths[place] = 1 + max((lengths[each] for each in below), default=0)
        if len(above) + lengths[place] > MAX_CHAIN:
            raise Refused({"schema": [f"{place} is in a chain of more than {MAX_CHAIN} $ref; refer to its end"]})
        if costs[place] > MAX_STEPS:
            raise Refused({"schema": [f"{place} asks more than {MAX_STEPS} things of one value; make it simpler"]})
        return costs[place]

    for place in parts:
        cost(place, ())


def _in_place(place: str, parts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The schemas that are asked of the same value as this one."""
    part = parts[place]
    if isinstance(part.get("$ref"), str):
        yield part["$ref"]
    for below, _ in _children(part, place, _IN_PLACE):
        yield below
