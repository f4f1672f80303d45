"""From JSON Schema (2020-12) to the model. Rules about values (lengths, bounds, patterns) are no types and left out."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, cast

from taskledger_sdk.payload_types.model import (
    Choice,
    Kind,
    ListOf,
    MapOf,
    Named,
    Payload,
    PayloadType,
    Scalar,
    Shape,
    ShapeField,
    Unsayable,
    members_of,
    one_of,
)
from taskledger_sdk.payload_types.names import Names, class_name

ANY = Scalar("any")
WHOLE = Named("")
"""An object that is all of its payload, until it has a name."""
TYPE_WORDS = frozenset({"type", "enum", "const", "properties", "items", "oneOf", "anyOf", "allOf", "$ref"})
FORMATS: Mapping[str, Kind] = {"date-time": "date-time", "date": "date", "uuid": "uuid"}
PLAIN_KINDS = ("string", "integer", "number", "boolean", "null")
DECIMAL = re.compile(r"\^(-\?)?\(\?:0\|\[1-9\]\[0-9\]\{0,[0-9]+\}\)(\(\?:\\\.\[0-9\]\{1,[0-9]+\}\)\?)?\$")
"""The pattern that the payload of a Decimal has."""
DECIMAL_BOUNDS = ("x-minimum", "x-maximum")
LONGEST_DEFAULT = 80


def payloads_of(task_types: Iterable[Mapping[str, Any]], *, reserved: Iterable[str]) -> tuple[Payload, ...]:
    """The payloads of task types as GET /task-types shows them, by name; no class is called as in `reserved`."""
    shown = sorted(task_types, key=lambda each: str(each["name"]))
    names = Names(reserved)
    own = [names.take(class_name(str(each["name"]))) for each in shown]  # before any part of a payload has a name
    return tuple(_payload(each, name, names) for each, name in zip(shown, own, strict=True))


def _payload(task_type: Mapping[str, Any], name: str, names: Names) -> Payload:
    reader = _Reader(names)
    type_ = reader.read(task_type["payload"], (name,), "")
    type_ = reader.with_own_name(type_, name)
    said = [str(task_type.get(word) or "").strip() for word in ("summary", "description")]
    return Payload(
        task_type=str(task_type["name"]),
        schema_hash=str(task_type["schema_hash"]),
        name=name,
        description="\n\n".join(dict.fromkeys(text for text in said if text)),
        type=type_,
        shapes=tuple(reader.shapes),
    )


class _Reader:
    """Of one payload: its shapes are collected, and named by the words of their path."""

    def __init__(self, names: Names) -> None:
        self.shapes: list[Shape] = []
        self._names = names

    def with_own_name(self, type_: PayloadType, name: str) -> PayloadType:
        """The type, after an object that is all of the payload, which has no name until here, has got one."""
        if WHOLE not in members_of(type_):
            return type_
        name = name if type_ == WHOLE else self._names.take(f"{name}Value")
        self.shapes = [replace(each, name=each.name or name) for each in self.shapes]
        return one_of([Named(name) if each == WHOLE else each for each in members_of(type_)])

    def read(self, schema: Any, words: tuple[str, ...], path: str) -> PayloadType:
        """The type of a schema; `words` name a shape that it has, and `path` tells people where it is."""
        if schema is False or (schema is not True and not isinstance(schema, Mapping)):
            return Unsayable("nothing fits it")
        if schema is True or not TYPE_WORDS & schema.keys():
            return ANY
        if "$ref" in schema:
            return Unsayable("its schema is a reference")
        if together := _typed(schema.get("allOf", ())):
            return self.read(reduce(_merged, together, _without(schema, "allOf")), words, path)
        if "const" in schema or "enum" in schema:
            return _choice([schema["const"]] if "const" in schema else schema["enum"])
        for word in ("oneOf", "anyOf"):
            members = schema.get(word, ())
            if members and len(_typed(members)) == len(members):
                return self._union(_without(schema, word), members, words, path)
        return one_of([self._of_kind(kind, schema, words, path) for kind in _kinds(schema)])

    def _union(self, base: Mapping[str, Any], members: Sequence[Any], words: tuple[str, ...], path: str) -> PayloadType:
        if "properties" in base:
            members = [_merged(base, each) if isinstance(each, Mapping) else each for each in members]
        objects = [each for each in members if _is_object(each)]
        if len(objects) < 2:
            return one_of([self.read(each, words, path) for each in members])
        tag = _tag_of(objects)
        found = []
        for number, each in enumerate(members, start=1):
            if tag and _is_object(each):
                value = _tags(each, tag)[0]
                found.append(self.read(each, (*words, value), f"{path}, where {tag} is {value}".lstrip(", ")))
            else:
                found.append(self.read(each, (*words, str(number)), f"{path} ({number} of several)".lstrip()))
        return one_of(found)

    def _of_kind(self, kind: str, schema: Mapping[str, Any], words: tuple[str, ...], path: str) -> PayloadType:
        if kind == "array":
            if "prefixItems" in schema:
                return ListOf(Unsayable("each place of the array has a type of its own"))
            return ListOf(self.read(schema.get("items", True), (*words, "item"), f"{path}[]"))
        if kind == "object":
            return self._object(schema, words, path)
        if kind == "string":
            return Scalar(_kind_of_text(schema))
        return Scalar(cast("Kind", kind)) if kind in PLAIN_KINDS else Unsayable("its type is unknown")

    def _object(self, schema: Mapping[str, Any], words: tuple[str, ...], path: str) -> PayloadType:
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties", True)
        if not properties and others is not False:
            return MapOf(self.read(others, (*words, "value"), f"{path}{{}}"))
        name = self._names.take(class_name(*words)) if path else WHOLE.name
        required = set(schema.get("required", ()))
        fields = tuple(
            ShapeField(
                json_name=str(each),
                type=self.read(below, (*words, str(each)), f"{path}.{each}" if path else str(each)),
                is_required=each in required,
                description=str(below.get("description") or "") if isinstance(below, Mapping) else "",
                default=_default(below),
            )
            for each, below in properties.items()
        )
        self.shapes.append(Shape(name=name, path=path, fields=fields, is_open=others is not False))
        return Named(name)


def _choice(values: Sequence[Any]) -> PayloadType:
    if not all(value is None or isinstance(value, str | int | float) for value in values):
        return Unsayable("its values are arrays or objects")
    # 1 == True in Python and not in JSON, so that types tell them apart.
    plain = tuple(dict.fromkeys((type(value), value) for value in values if value is not None))
    found: list[PayloadType] = [Choice(tuple(value for _, value in plain))] if plain else []
    return one_of([*found, Scalar("null")] if None in values else found)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type")
    if kinds is None:
        kinds = "object" if "properties" in schema else "array" if "items" in schema else []
    return [kinds] if isinstance(kinds, str) else list(kinds) or ["any"]


def _kind_of_text(schema: Mapping[str, Any]) -> Kind:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    if "format" not in schema and any(word in schema for word in DECIMAL_BOUNDS):
        return "decimal"
    return "decimal" if DECIMAL.fullmatch(str(schema.get("pattern", ""))) else "string"


def _typed(members: Iterable[Any]) -> list[Any]:
    """Those that say something of types; others are rules about values."""
    return [each for each in members if isinstance(each, bool) or TYPE_WORDS & each.keys()]


def _is_object(schema: Any) -> bool:
    return isinstance(schema, Mapping) and bool(schema.get("properties"))


def _tag_of(objects: Sequence[Mapping[str, Any]]) -> str | None:
    """The first field that tells them apart: one of a few texts in each, and of others in every other."""
    for name in objects[0]["properties"]:
        tags = [_tags(each, name) for each in objects]
        if all(tags) and len({tag for each in tags for tag in each}) == sum(map(len, tags)):
            return str(name)
    return None


def _tags(schema: Mapping[str, Any], name: str) -> list[str]:
    field = schema["properties"].get(name)
    if not isinstance(field, Mapping):
        return []
    values = [field["const"]] if "const" in field else list(field.get("enum", ()))
    return values if all(isinstance(value, str) for value in values) else []


def _merged(base: Mapping[str, Any], member: Any) -> dict[str, Any]:
    """An object that fits both; what is nearer wins."""
    if not isinstance(member, Mapping):
        return dict(base)
    merged = {**base, **member}
    for word, both in (("properties", dict), ("required", list)):
        if word in base or word in member:
            below, above = base.get(word, both()), member.get(word, both())
            merged[word] = {**below, **above} if both is dict else [*below, *above]
    return merged


def _without(schema: Mapping[str, Any], word: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != word}


def _default(schema: Any) -> str:
    if not isinstance(schema, Mapping) or schema.get("default") is None:
        return ""
    default = json.dumps(schema["default"], ensure_ascii=False)
    return default if len(default) <= LONGEST_DEFAULT else ""
