"""rule(): what a value must satisfy beyond its type, and how JSON Schema says the same."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, validate

from taskledger_sdk.errors import BadDeclaration
from taskledger_sdk.payload import containers
from taskledger_sdk.payload import fields as strict

# PostgreSQL's jsonb refuses NUL. Lone surrogates, which it refuses too, have no portable pattern in JSON Schema.
NO_NUL = r"^[^\u0000]*$"
_KEY = "taskledger.rule"

Check = Callable[[Any], Any]
Mask = Callable[[Any], Any]
"""From a value as it was sent to what is shown in its place."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rules of one value, merged from its Annotated type and from its dataclass field."""

    checks: tuple[Check, ...] = ()
    examples: tuple[Any, ...] = ()
    description: str = ""
    schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    secret: bool | Mask = False
    or_one: bool = False

    def __or__(self, other: Rule) -> Rule:
        """Both rules; `other` is nearer to the value's use, so its words win."""
        return Rule(
            checks=self.checks + other.checks,
            examples=other.examples or self.examples,
            description=other.description or self.description,
            schema={**self.schema, **other.schema},
            secret=other.secret or self.secret,
            or_one=other.or_one or self.or_one,
        )


def rule(
    *validators: Check,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    examples: Sequence[Any] = (),
    description: str = "",
    schema: Mapping[str, Any] | None = None,
    secret: bool | Mask = False,
    or_one: bool = False,
) -> Any:
    """Say what a value must satisfy: as the default of a dataclass field, or inside Annotated.

    `validators` are marshmallow's (Length, Range, Regexp, OneOf, Email, URL …), `Places`, or any callable that raises
    marshmallow's ValidationError. JSON Schema learns of those named here by itself; for another callable say in
    `schema` which keywords describe it, e.g. {"multipleOf": 5}. A field with no default is required.

    A `secret` value is stored and given to the handler, and never shown (tasks.masking); a function instead of True
    says what is shown in its place. `or_one` lets a list of texts also be sent as one text, which becomes a list.
    """
    made = Rule(
        checks=validators,
        examples=tuple(examples),
        description=description,
        schema=schema or {},
        secret=secret,
        or_one=or_one,
    )
    # A dataclass field also serves inside Annotated, where only its metadata is read.
    return dataclasses.field(default=default, default_factory=default_factory, metadata={_KEY: made})


def rule_of(thing: Any) -> Rule | None:
    """The rule behind a dataclass field or behind an argument of Annotated, if it is one."""
    return thing.metadata.get(_KEY) if isinstance(thing, dataclasses.Field) else None


class Places(validate.Validator):
    """A Decimal with at most `digits` digits after the point: Places(2) for most money."""

    def __init__(self, digits: int) -> None:
        self.digits = digits

    def __call__(self, value: Any) -> Any:
        """Accept: the pattern of the field, made from this, has already been checked."""
        return value


class Matches(validate.Validator):
    """The whole text matches a pattern: Regexp as JSON Schema can say it, without its open end."""

    def __init__(self, rule: validate.Regexp, where: str) -> None:
        source = rule.regex.pattern
        if not isinstance(source, str) or rule.regex.flags & ~re.UNICODE:
            raise BadDeclaration(f"{where}: JSON Schema has no flags or bytes; write [A-Za-z] instead of IGNORECASE")
        body = re.sub(r"^(\^|\\A)|((?<!\\)\$|\\Z)$", "", source)
        self.whole = re.compile(body, re.ASCII)
        self.source = f"^(?:{body})$" if "|" in body else f"^{body}$"
        self.error: str = rule.error
        # A guess on the safe side: only a dot, a negated class or an escape can stand for NUL.
        self.may_match_nul = re.search(r"\.|\[\^|\\[DSWXx0-7u]", body) is not None

    def __call__(self, value: str) -> str:
        """Accept a text that matches from its first to its last character."""
        if not self.whole.fullmatch(value):
            raise ValidationError(self.error.format(input=value, regex=self.source))
        return value


class _Sized(validate.Validator):
    """The length of an object; apispec would call Length's bounds minLength, where it means minProperties."""

    def __init__(self, length: validate.Length) -> None:
        self.length = length

    def __call__(self, value: Any) -> Any:
        return self.length(value)


# Which field a validator can judge. Others would raise a TypeError at the first payload instead of at import.
FITS: dict[type[validate.Validator], tuple[type[fields.Field[Any]], ...]] = {
    validate.Length: (strict.Text, containers.Items, containers.Entries),
    validate.Range: (strict.Whole, strict.Real, strict.Exact, strict.Day, strict.Moment),
    validate.Regexp: (strict.Text,),
    validate.Email: (strict.Text,),
    validate.URL: (strict.Text,),
    validate.ContainsOnly: (),
    Places: (strict.Exact,),
}


def fitting(check: Check, kind: type[fields.Field[Any]], where: str) -> Check:
    """The check as a field of this kind uses it. Raises BadDeclaration if it cannot judge such a value."""
    for validator, kinds in FITS.items():
        if isinstance(check, validator) and not issubclass(kind, kinds):
            fit = " and ".join(each.__name__ for each in kinds) or "no payload; give the items of the list a Literal"
            raise BadDeclaration(f"{where}: {validator.__name__} cannot judge {kind.__name__}; it is for {fit}")
    if isinstance(check, validate.Regexp):
        return Matches(check, where)
    if isinstance(check, validate.Length) and kind is containers.Entries:
        return _Sized(check)
    return check


def keywords(check: Check) -> dict[str, Any]:
    """The JSON Schema keywords of a check which apispec's converter does not know, or says wrongly."""
    said: dict[str, Any] = {}
    match check:
        case Matches():
            said = {"pattern": check.source}
            if check.may_match_nul:
                said["anyOf"] = [{"pattern": NO_NUL}]
        case validate.Range() if isinstance(check.max if check.min is None else check.min, int | float):
            said["exclusiveMinimum"] = None if check.min_inclusive else check.min
            said["exclusiveMaximum"] = None if check.max_inclusive else check.max
        case validate.NoneOf():
            said["not"] = {"enum": list(check.iterable)}
        case validate.Email():
            said["format"] = "email"
        case validate.URL():
            said["format"] = "uri"
        case _Sized(length=length):
            said["minProperties"] = length.min if length.equal is None else length.equal
            said["maxProperties"] = length.max if length.equal is None else length.equal
    return {word: value for word, value in said.items() if value is not None}
