"""From the annotation of a payload to the strict field that loads it; what cannot be said strictly fails here."""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
import typing
from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

from marshmallow import ValidationError, fields, missing, validate

from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.payload import containers, rules
from taskledger_sdk.payload import fields as strict
from taskledger_sdk.payload.rules import Rule

Field = fields.Field[Any]
Within = tuple[type, ...]

SCALARS: dict[Any, tuple[type[Field], dict[str, Any]]] = {
    str: (strict.Text, {"pattern": rules.NO_NUL}),
    int: (strict.Whole, {}),
    float: (strict.Real, {"minimum": -strict.LARGEST, "maximum": strict.LARGEST}),
    bool: (strict.Flag, {}),
    dt.date: (strict.Day, {}),
    dt.datetime: (strict.Moment, {}),
    UUID: (strict.Identifier, {}),
    Any: (strict.Json, {}),
}
SUPPORTED = (
    "use str, int, float, bool, date, datetime, Decimal, UUID, Any, Literal, an Enum, X | None, list[X], "
    "tuple[X, ...], dict[str, X], a dataclass(frozen=True, kw_only=True) of these, or a choice between dataclasses "
    'that share one Literal["…"] field'
)


def field_of(annotation: Any, where: str, rule: Rule, within: Within = (), **options: Any) -> Field:
    """Make the field of one annotation, with marshmallow's `options`; `within` are the dataclasses it stands in.

    Raises BadDeclaration, naming `where`.
    """
    if typing.get_origin(annotation) is typing.Annotated:
        base, *notes = typing.get_args(annotation)
        for note in reversed(notes):
            found = rules.rule_of(note)
            if found is None:
                raise BadDeclaration(f"{where}: {note!r} in Annotated is no rule; write rule({note!r})")
            rule = found | rule
        return field_of(base, where, rule, within, **options)
    options.setdefault("allow_none", annotation is Any)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        if len(members) < len(typing.get_args(annotation)):
            options["allow_none"] = True
        if len(members) == 1:
            return field_of(members[0], where, rule, within, **options)
        made = _tagged(members, where, rule, within, options)
    else:
        made = _plain(annotation, where, rule, within, options)
    for example in rule.examples:
        _try(made, example, f"{where}: the example {example!r}")
    return made


def _plain(annotation: Any, where: str, rule: Rule, within: Within, options: dict[str, Any]) -> Field:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Decimal:
        pattern = _decimal_pattern(rule.checks)
        said = {"type": "string", "pattern": f"^{pattern}$"}
        return strict.Exact(pattern=pattern, **_said(strict.Exact, rule, where, options, said))
    if annotation in SCALARS:
        kind, said = SCALARS[annotation]
        return kind(**_said(kind, rule, where, options, said))
    if origin is Literal:
        return _choice([(value, value) for value in arguments], where, rule, options)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choice([(member.value, member) for member in annotation], where, rule, options)
    if origin is list or (origin is tuple and arguments[1:] == (...,)):
        inner = field_of(arguments[0], f"{where}[]", Rule(), within)
        also = _one_alone(inner, where) if rule.or_one else {}
        return containers.Items(
            inner, into=origin, or_one=rule.or_one, **_said(containers.Items, rule, where, options, also)
        )
    if origin is dict:
        keys = field_of(arguments[0], f"{where} (its keys)", Rule(), within)
        values = field_of(arguments[1], f"{where}{{}}", Rule(), within)
        if not isinstance(keys, strict.Text):
            raise BadDeclaration(f"{where}: the keys of a JSON object are strings; write dict[str, …]")
        # In a list of one, because apispec forgets the null of a field that has allOf or propertyNames of its own.
        named = {"anyOf": [{"propertyNames": {"pattern": keys.metadata["pattern"]}}]}
        return containers.Entries(keys=keys, values=values, **_said(containers.Entries, rule, where, options, named))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        shape = _shape(annotation, where, within)
        return containers.Object(shape, **_said(containers.Object, rule, where, options, {}))
    raise BadDeclaration(f"{where}: {annotation!r} is no type of a payload; {SUPPORTED}")


def _said(kind: type[Field], rule: Rule, where: str, options: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Marshmallow's options: the checks, and as metadata what the JSON Schema says beyond what apispec sees."""
    checks = [rules.fitting(check, kind, where) for check in rule.checks]
    metadata = dict(said)
    for check in checks:
        metadata |= rules.keywords(check)
        if isinstance(check, validate.Range):  # apispec says its bounds; ours would be written over them
            bounds = {"minimum": check.min, "maximum": check.max}
            metadata = {word: said for word, said in metadata.items() if bounds.get(word) is None}
    metadata |= rule.schema
    if rule.secret:
        metadata["secret"] = rule.secret  # for tasks.masking; no keyword of JSON Schema, so that apispec skips it
    if rule.description:
        metadata["description"] = rule.description
    if rule.examples:
        metadata["examples"] = list(rule.examples)
    return {**options, "validate": checks, "metadata": metadata}


def _one_alone(inner: Field, where: str) -> dict[str, Any]:
    """The keywords that let a list of texts be one text: those of either kind say nothing about the other."""
    if not isinstance(inner, strict.Text) or any(isinstance(check, validate.Length) for check in inner.validators):
        raise BadDeclaration(f"{where}: or_one is for a list of texts whose only rule is a Regexp")
    return {"type": ["array", "string"], "pattern": inner.metadata["pattern"]}


def _choice(choices: list[tuple[Any, Any]], where: str, rule: Rule, options: dict[str, Any]) -> Field:
    sent = [value for value, _ in choices]
    if not all(isinstance(value, str | int | float) for value in sent):
        raise BadDeclaration(f"{where}: the choices {sent} must be strings, numbers or booleans")
    said: dict[str, Any] = {"enum": [*sent, None] if options["allow_none"] else sent}
    if all(isinstance(value, str) for value in sent):
        said["type"] = "string"
    return strict.Choice(choices, **_said(strict.Choice, rule, where, options, said))


def _decimal_pattern(checks: Sequence[rules.Check]) -> str:
    digits = next((check.digits for check in checks if isinstance(check, rules.Places)), 9)
    unsigned = any(isinstance(check, validate.Range) and check.min is not None and check.min >= 0 for check in checks)
    fraction = rf"(?:\.[0-9]{{1,{digits}}})?" if digits else ""
    return ("" if unsigned else "-?") + strict.WHOLE_DIGITS + fraction


def _tagged(members: list[Any], where: str, rule: Rule, within: Within, options: dict[str, Any]) -> Field:
    """A choice between dataclasses, told apart by the one field that is a required Literal in all of them."""
    if not all(isinstance(member, type) and dataclasses.is_dataclass(member) for member in members):
        raise BadDeclaration(f"{where}: {members} cannot be told apart; {SUPPORTED}")
    fields_of = [_shape(member, where, within)().fields for member in members]
    tags = [
        name
        for name in fields_of[0]
        if all(isinstance(made.get(name), strict.Choice) and made[name].required for made in fields_of)
    ]
    if len(tags) != 1:
        raise BadDeclaration(f"{where}: give {members} one field that is a Literal and required in all; found {tags}")
    options_by_tag: dict[str, containers.Object] = {}
    for member, made in zip(members, fields_of, strict=True):
        for sent in typing.cast("strict.Choice", made[tags[0]]).sent:
            if not isinstance(sent, str) or sent in options_by_tag:
                raise BadDeclaration(f"{where}: {tags[0]}={sent!r} must be a string, and of one dataclass only")
            options_by_tag[sent] = containers.Object(_shape(member, where, within))
    settings = _said(containers.Tagged, rule, where, options, {})
    return containers.Tagged(tags[0], options_by_tag, **settings)


_shapes: dict[type, type[containers.Shape]] = {}


def _shape(target: type, where: str, within: Within) -> type[containers.Shape]:
    """The marshmallow schema of a dataclass; made once, so that OpenAPI names it once."""
    if target in _shapes:
        return _shapes[target]
    if target in within:
        raise BadDeclaration(f"{where}: {target.__name__} contains itself; annotate the inner one as Any")
    parameters = target.__dataclass_params__  # type: ignore[attr-defined]  # not in the stubs
    members = [member for member in dataclasses.fields(target) if member.init]
    if not parameters.frozen or not all(member.kw_only for member in members):
        raise BadDeclaration(f"{where}: write @dataclass(frozen=True, kw_only=True) above {target.__name__}")
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except NameError as fault:
        raise BadDeclaration(f"{where}: {target.__name__}: {fault}; import it outside of TYPE_CHECKING") from fault
    made = {member.name: _member(member, hints, where, (*within, target)) for member in members}
    name = f"{target.__name__}Payload"
    if any(shape.__name__ == name for shape in _shapes.values()):  # apispec warns of two schemas with one name
        name = f"{target.__module__.rpartition('.')[2]}_{name}"
    shape = typing.cast("type[containers.Shape]", containers.Shape.from_dict(made, name=name))
    shape.target = target
    return _shapes.setdefault(target, shape)


def _member(member: dataclasses.Field[Any], hints: dict[str, Any], where: str, within: Within) -> Field:
    """The field of one member of a dataclass, whose default must be one that its own rules accept."""
    where = f"{where}.{member.name}"
    default, factory = member.default, member.default_factory
    absent = default is dataclasses.MISSING and factory is dataclasses.MISSING
    kept = missing if absent else factory if default is dataclasses.MISSING else default
    made = field_of(
        hints[member.name], where, rules.rule_of(member) or Rule(), within, required=absent, load_default=kept
    )
    if not absent:
        value = factory() if default is dataclasses.MISSING else default  # type: ignore[operator]  # one of the two is there
        sent = made._serialize(value, None, None)
        _try(made, sent, f"{where}: the default {value!r}")
        if sent in ([], {}):  # apispec passes over factories, as their next value may be another
            made.metadata = {**made.metadata, "default": sent}
    return made


def _try(made: Field, value: Any, what: str) -> None:
    try:
        made.deserialize(value)
    except ValidationError as fault:
        raise BadDeclaration(f"{what} is refused by the payload's own rules: {fault}") from fault
