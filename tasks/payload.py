"""From the annotation of a payload to what loads it strictly, and to the JSON Schema that says the same."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

from marshmallow import ValidationError, fields, missing, validate

from tasks import fields as strict
from tasks.errors import BadDeclaration, PayloadRefused
from tasks.rules import Check, Matches, Places, Rule, keywords, rule, rule_of

__all__ = ["PayloadSpec", "Places", "rule"]

SCALARS: dict[Any, tuple[type[fields.Field[Any]], dict[str, Any]]] = {
    str: (strict.Text, {"pattern": strict.NO_NUL}),
    int: (strict.Whole, {}),
    float: (strict.Real, {}),
    bool: (strict.Flag, {}),
    dt.date: (strict.Day, {}),
    dt.datetime: (strict.Moment, {}),
    UUID: (strict.Identifier, {}),
    Any: (strict.Json, {}),
}
SUPPORTED = (
    "use str, int, float, bool, date, datetime, Decimal, UUID, Any, Literal, an Enum, X | None, list[X], "
    "tuple[X, ...], dict[str, X], or a dataclass(frozen=True, kw_only=True) of these"
)
MOST_MESSAGES = 50


@dataclass(frozen=True, eq=False)
class PayloadSpec:
    """What a task type accepts: `field` validates, and apispec turns it into JSON Schema."""

    field: fields.Field[Any]

    @classmethod
    def of(cls, annotation: Any, *, examples: Sequence[Any] = (), where: str = "payload") -> PayloadSpec:
        """Make the spec of an annotation. Raises BadDeclaration, naming `where`, for one it cannot say strictly."""
        return cls(_field(annotation, where, Rule(examples=tuple(examples)), (), {"required": True}))

    def load(self, data: Any) -> Any:
        """Turn parsed JSON into what the handler takes. Raises PayloadRefused with the path of each fault."""
        try:
            return self.field.deserialize(data)
        except ValidationError as fault:
            raise PayloadRefused({"payload": _readable(fault.messages, [MOST_MESSAGES])}) from None

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the payload, complete in itself: no reference to anywhere."""
        return copy.deepcopy(self._json_schema)

    @cached_property
    def _json_schema(self) -> dict[str, Any]:
        # Here and not above: workers never ask for a schema, and need not carry apispec.
        from apispec import APISpec
        from apispec.ext.marshmallow import MarshmallowPlugin

        plugin = MarshmallowPlugin(schema_name_resolver=lambda _: "")  # no name: inline, no reference
        APISpec(title="payload", version="1", openapi_version="3.1.0", plugins=[plugin])
        assert plugin.converter is not None  # noqa: S101  (set by APISpec)
        schema: dict[str, Any] = plugin.converter.field2property(self.field)
        return schema


def _field(
    annotation: Any, where: str, rules: Rule, within: tuple[type, ...], options: dict[str, Any]
) -> fields.Field[Any]:
    """Make the field of one annotation; `within` are the dataclasses it stands in, `options` are marshmallow's."""
    if typing.get_origin(annotation) is typing.Annotated:
        base, *notes = typing.get_args(annotation)
        inner = Rule()
        for note in notes:
            found = rule_of(note)
            if found is None:
                raise BadDeclaration(f"{where}: {note!r} in Annotated is no rule; write rule({note!r})")
            inner |= found
        return _field(base, where, inner | rules, within, options)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        if len(members) != 1:
            raise BadDeclaration(f"{where}: {annotation} can be several things; {SUPPORTED}")
        return _field(members[0], where, rules, within, {**options, "allow_none": True})
    options = {"allow_none": False, **options}
    made = _plain(annotation, where, rules, within, options)
    _check_examples(made, rules, where)
    return made


def _plain(
    annotation: Any, where: str, rules: Rule, within: tuple[type, ...], options: dict[str, Any]
) -> fields.Field[Any]:
    """Make the field of an annotation that is neither Annotated nor a union."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Decimal:
        pattern = _decimal_pattern(rules.checks)
        return strict.Exact(
            pattern=pattern, **_options(rules, options, where, {"type": "string", "pattern": f"^{pattern}$"})
        )
    if annotation in SCALARS:
        kind, said = SCALARS[annotation]
        return kind(**_options(rules, options, where, said, kind))
    if origin is Literal:
        return _choice([(value, value) for value in arguments], rules, options, where)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choice([(member.value, member) for member in annotation], rules, options, where)
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        inner = _field(arguments[0], f"{where}[]", Rule(), within, {})
        return strict.Items(inner, into=origin, **_options(rules, options, where, {}))
    if origin is dict and arguments[0] is str:
        values = _field(arguments[1], f"{where}{{}}", Rule(), within, {})
        said = {"allOf": [{"propertyNames": {"pattern": strict.NO_NUL}}]}
        settings = _options(rules, options, where, said, strict.Entries)
        return strict.Entries(keys=strict.Text(), values=values, **settings)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return strict.Object(_shape(annotation, where, within), **_options(rules, options, where, {}))
    raise BadDeclaration(f"{where}: {annotation!r} is no type of a payload; {SUPPORTED}")


def _options(
    rules: Rule, options: dict[str, Any], where: str, said: dict[str, Any], kind: type | None = None
) -> dict[str, Any]:
    """Marshmallow's options: the checks, and as metadata what the JSON Schema says beyond what apispec sees."""
    json_type = "object" if kind is strict.Entries else ""
    metadata: dict[str, Any] = dict(said)
    checks: list[Check] = []
    for given in rules.checks:
        check: Check = given
        if isinstance(given, validate.Regexp):
            check = Matches(given, where)
        words = keywords(check, json_type)
        if "pattern" in words and "pattern" in metadata:
            metadata.setdefault("allOf", []).append({"pattern": metadata["pattern"]})
        metadata |= words
        # apispec would call the length of an object minLength: it must not see that validator.
        checks.append(check.__call__ if json_type and isinstance(check, validate.Length) else check)
    metadata |= rules.schema
    if rules.description:
        metadata["description"] = rules.description
    if rules.examples:
        metadata["examples"] = list(rules.examples)
    if kind is strict.Real and not any(isinstance(check, validate.Range) for check in checks):
        metadata |= {"minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308}
    return {**options, "validate": checks, "metadata": metadata}


def _choice(choices: list[tuple[Any, Any]], rules: Rule, options: dict[str, Any], where: str) -> fields.Field[Any]:
    sent = [value for value, _ in choices]
    if not all(isinstance(value, str | int | float) for value in sent):
        raise BadDeclaration(f"{where}: the choices {sent} must be strings, numbers or booleans")
    said: dict[str, Any] = {"enum": [*sent, None] if options["allow_none"] else sent}
    if all(isinstance(value, str) for value in sent):
        said["type"] = "string"
    return strict.Choice(choices, **_options(rules, options, where, said))


def _decimal_pattern(checks: Sequence[Check]) -> str:
    digits = next((check.digits for check in checks if isinstance(check, Places)), 9)
    unsigned = any(isinstance(check, validate.Range) and check.min is not None and check.min >= 0 for check in checks)
    fraction = rf"(?:\.[0-9]{{1,{digits}}})?" if digits else ""
    return ("" if unsigned else "-?") + strict.MONEY_LIKE + fraction


_shapes: dict[type, type[strict.Shape]] = {}


def _shape(target: type, where: str, within: tuple[type, ...]) -> type[strict.Shape]:
    """The marshmallow schema of a dataclass; made once, so that OpenAPI names it once."""
    if target in _shapes:
        return _shapes[target]
    if target in within:
        raise BadDeclaration(
            f"{where}: {target.__name__} contains itself; use Any for the inner one, or a depth of two"
        )
    parameters = target.__dataclass_params__  # type: ignore[attr-defined]
    members = [member for member in dataclasses.fields(target) if member.init]
    if not parameters.frozen or not all(member.kw_only for member in members):
        raise BadDeclaration(f"{where}: write @dataclass(frozen=True, kw_only=True) above {target.__name__}")
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except NameError as fault:
        raise BadDeclaration(f"{where}: {target.__name__} names an unknown type: {fault}") from fault
    made: dict[str, fields.Field[Any]] = {}
    for member in members:
        options = _default(member)
        made[member.name] = _field(
            hints[member.name], f"{where}.{member.name}", rule_of(member) or Rule(), (*within, target), options
        )
        _check_default(made[member.name], f"{where}.{member.name}")
    shape = typing.cast("type[strict.Shape]", strict.Shape.from_dict(made, name=target.__name__))
    shape.target = target
    return _shapes.setdefault(target, shape)


def _default(member: dataclasses.Field[Any]) -> dict[str, Any]:
    if member.default is not dataclasses.MISSING:
        return {"load_default": member.default}
    if member.default_factory is not dataclasses.MISSING:
        return {"load_default": member.default_factory}
    return {"required": True}


def _check_default(field: fields.Field[Any], where: str) -> None:
    default = field.load_default() if callable(field.load_default) else field.load_default
    if default is missing:
        return
    try:
        field.deserialize(field._serialize(default, None, None))
    except ValidationError as fault:
        raise BadDeclaration(f"{where}: the default {default!r} is refused by its own rules: {fault}") from fault


def _check_examples(field: fields.Field[Any], rules: Rule, where: str) -> None:
    for example in rules.examples:
        try:
            field.deserialize(example)
        except ValidationError as fault:
            raise BadDeclaration(f"{where}: the example {example!r} is refused: {fault}") from fault


def _readable(messages: Any, left: list[int]) -> Any:
    """The first messages, with keys that can be encoded: they come from outside and go into answers and logs."""
    if not isinstance(messages, Mapping):
        left[0] -= 1
        return messages
    kept: dict[str, Any] = {}
    for key, below in messages.items():
        if left[0] <= 0:
            break
        kept[str(key)[:100].encode(errors="backslashreplace").decode()] = _readable(below, left)
    return kept
