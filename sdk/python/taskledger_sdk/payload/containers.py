"""Strict marshmallow fields for values with parts: lists, objects, dataclasses, and the choice between dataclasses."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, missing

from taskledger_sdk.payload.fields import Code, Message, Strict, wrong

# More faults than these in one list help nobody, and a megabyte of wrong items would cost seconds and fill the answer.
MAX_FAULTS = 20
UNKNOWN = Message.of(Code.UNKNOWN_FIELD, "is not a known field")


class Items(Strict, fields.List[Any]):
    """A list whose items fit one field; `into` makes what the handler gets of them.

    With `or_one` a text that stands alone is a list of one.
    """

    def __init__(
        self,
        inner: fields.Field[Any],
        *,
        into: Callable[[list[Any]], Any] = list,
        or_one: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(inner, **options)
        self.into = into
        self.or_one = or_one

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if self.or_one and isinstance(value, str):
            return self.into([self.inner.deserialize(value)])
        if not isinstance(value, list):
            raise wrong("a list", value)
        return self.into([item for _, item in each_of(self.inner, enumerate(value))])

    def _serialize(self, value: Any, *_: Any, **__: Any) -> list[Any] | None:
        return None if value is None else [self.inner._serialize(item, None, None) for item in value]


class Entries(Strict, fields.Dict):
    """An object with free keys, whose values fit one field."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong("an object", value)
        assert self.key_field is not None  # noqa: S101  (always given by taskledger_sdk.payload)
        assert self.value_field is not None  # noqa: S101
        for _ in each_of(self.key_field, ((key, key) for key in value)):
            pass
        return dict(each_of(self.value_field, value.items()))


class Object(Strict, fields.Nested):
    """An object that becomes a dataclass."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return typing.cast("Shape", self.schema).build(value)


class Shape(Schema):
    """Base of the schema made for a dataclass: unknown keys are refused, and what fits becomes the dataclass."""

    target: ClassVar[type]

    def build(self, value: Any) -> Any:
        """Make the dataclass. Raises ValidationError; a ValueError of its __post_init__ (a rule across fields) is one.

        Without `Schema.load`: its hooks, partial loading and attribute names serve no payload and take as long again.
        """
        if not isinstance(value, dict):
            raise ValidationError({"_schema": [Message.of(Code.WRONG_TYPE, "must be an object")]})
        loaded, faults = {}, {}
        for name, field in self.load_fields.items():
            try:
                found = field.deserialize(value.get(name, missing))
            except ValidationError as fault:
                faults[name] = fault.messages
            else:
                if found is not missing:
                    loaded[name] = found
        faults |= {name: [UNKNOWN] for name in value if name not in self.load_fields}
        if faults:
            raise ValidationError(faults)
        try:
            return self.target(**loaded)
        except ValueError as fault:
            raise ValidationError({"_schema": [str(fault)]}) from fault


class Tagged(Strict, fields.Raw):
    """An object that becomes one of several dataclasses; the value of its field `tag` says which."""

    def __init__(self, tag: str, members: Mapping[str, Object], **options: Any) -> None:
        self._said: Mapping[Any, Any] = {}
        super().__init__(**options)
        self.tag = tag
        self.members = members

    @property
    def metadata(self) -> Mapping[Any, Any]:
        """What apispec reads; made when it asks, because only then may apispec be imported."""
        choices = [describe(member) for member in self.members.values()]
        return {**self._said, "type": "object", "oneOf": [*choices, {"type": "null"}] if self.allow_none else choices}

    @metadata.setter
    def metadata(self, said: Mapping[Any, Any]) -> None:
        self._said = said

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        if not isinstance(value, dict):
            raise wrong("an object", value)
        if self.tag not in value:
            raise ValidationError({self.tag: ["is missing"]})
        sent = value[self.tag]
        if not isinstance(sent, str) or sent not in self.members:
            raise ValidationError({self.tag: [f"must be one of {', '.join(map(json.dumps, self.members))}"]})
        return self.members[sent].deserialize(value)

    def _serialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return None if value is None else self.members[getattr(value, self.tag)].schema.dump(value)


def describe(field: fields.Field[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a field, complete in itself, by apispec's converter."""
    # Here and not above: only who asks for a schema needs apispec; a worker never does.
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin

    plugin = MarshmallowPlugin(schema_name_resolver=lambda _: "")  # no name: inline, no reference
    APISpec(title="payload", version="1", openapi_version="3.1.0", plugins=[plugin])
    assert plugin.converter is not None  # noqa: S101  (set by APISpec)
    schema: dict[str, Any] = plugin.converter.field2property(field)
    return schema


def each_of(field: fields.Field[Any], pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Load every value with one field. Raises ValidationError with the faults by index or key."""
    loaded, faults = [], {}
    for key, value in pairs:
        try:
            loaded.append((key, field.deserialize(value)))
        except ValidationError as fault:
            faults[key] = fault.messages
            if len(faults) == MAX_FAULTS:
                break
    if faults:
        raise ValidationError(faults)
    return loaded
