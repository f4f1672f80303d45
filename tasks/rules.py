"""rule(): what a value must satisfy beyond its type, and how JSON Schema says the same."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, validate

from tasks.errors import BadDeclaration

_KEY = "taskledger.rule"

Check = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rules of one value, merged from its Annotated type and from its dataclass field."""

    checks: tuple[Check, ...] = ()
    examples: tuple[Any, ...] = ()
    description: str = ""
    schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __or__(self, other: Rule) -> Rule:
        """Both rules; `other` is nearer to the value's use, so its words win."""
        return Rule(
            checks=self.checks + other.checks,
            examples=other.examples or self.examples,
            description=other.description or self.description,
            schema={**self.schema, **other.schema},
        )


def rule(
    *validators: Check,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    examples: Sequence[Any] = (),
    description: str = "",
    schema: Mapping[str, Any] | None = None,
) -> Any:
    """Say what a value must satisfy: as the default of a dataclass field, or inside Annotated.

    `validators` are marshmallow's (Length, Range, Regexp, OneOf, Email, URL …), `Places`, or any callable that raises
    marshmallow's ValidationError. JSON Schema learns of those named here by itself; for another callable say in
    `schema` which keywords describe it, e.g. {"multipleOf": 5}. A field with no default is required.
    """
    made = Rule(checks=validators, examples=tuple(examples), description=description, schema=schema or {})
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

    def __call__(self, value: str) -> str:
        """Accept a text that matches from its first to its last character."""
        if not self.whole.fullmatch(value):
            raise ValidationError(self.error.format(input=value, regex=self.source))
        return value


def keywords(check: Check, json_type: str) -> dict[str, Any]:
    """The JSON Schema keywords of a validator which apispec's converter does not know, or says wrongly."""
    if isinstance(check, Matches):
        return {"pattern": check.source}
    if isinstance(check, validate.Range):
        said = {} if check.min_inclusive or check.min is None else {"exclusiveMinimum": check.min}
        return said if check.max_inclusive or check.max is None else {**said, "exclusiveMaximum": check.max}
    if isinstance(check, validate.NoneOf):
        return {"not": {"enum": list(check.iterable)}}
    if isinstance(check, validate.Email):
        return {"format": "email"}
    if isinstance(check, validate.URL):
        return {"format": "uri"}
    if isinstance(check, validate.Length) and json_type == "object":
        low, high = (check.min, check.max) if check.equal is None else (check.equal, check.equal)
        said = {} if low is None else {"minProperties": low}
        return said if high is None else {**said, "maxProperties": high}
    return {}
