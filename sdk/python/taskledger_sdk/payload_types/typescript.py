"""The model as a module of TypeScript: interfaces, and a map from the names of types to their payloads."""

import json
import re
from collections.abc import Iterator, Sequence

from taskledger_sdk.payload_types.model import (
    Choice,
    Kind,
    ListOf,
    MapOf,
    Named,
    OneOf,
    Payload,
    PayloadType,
    Scalar,
    Shape,
    ShapeField,
    Unsayable,
    reasons_in,
)
from taskledger_sdk.payload_types.texts import default_of, doc_comment, filled, paragraphs, quoted

HEADER = """\
// What the task types of a Taskledger installation accept.
// Written by `tledger types --typescript`. Do not change it: make it again when the types have changed.
/* eslint-disable */
"""
INDENT = "  "
IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
SCALARS: dict[Kind, str] = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
    "date-time": "string",
    "date": "string",
    "uuid": "string",
    "decimal": "string",
    "any": "unknown",
}
REMARKS: dict[Kind, str] = {
    "integer": "A whole number.",
    "date-time": "A moment with its offset, such as 2026-01-31T09:00:00Z.",
    "date": "A date such as 2026-01-31.",
    "uuid": "A UUID.",
    "decimal": 'A decimal number in a string, such as "12.50".',
}


def typescript_source(payloads: Sequence[Payload]) -> str:
    """The module with the interfaces of all payloads; the same payloads make the same text."""
    lines = [HEADER.rstrip()]
    for payload in payloads:
        for shape in payload.shapes:
            lines += ["", *_interface(shape, payload)]
        if not (isinstance(payload.type, Named) and payload.type.name == payload.name):
            lines += ["", *_alias(payload)]
    return "\n".join([*lines, "", *_map(payloads)]) + "\n"


def _interface(shape: Shape, payload: Payload) -> Iterator[str]:
    text = f"{shape.path} of {payload.task_type}." if shape.path else _about(payload)
    yield from doc_comment(text, "")
    yield f"export interface {shape.name} {{"
    for each in shape.fields:
        yield from _field(each)
    if shape.is_open:
        yield f"{INDENT}[other: string]: unknown;"
    yield "}"


def _alias(payload: Payload) -> Iterator[str]:
    yield from doc_comment(paragraphs([_about(payload), _remarks(payload.type)]), "")
    yield f"export type {payload.name} = {annotation(payload.type)};"


def _map(payloads: Sequence[Payload]) -> Iterator[str]:
    yield "/** The payload of each task type. */"
    yield "export interface TaskPayloads {"
    for payload in payloads:
        yield f"{INDENT}{quoted(payload.task_type)}: {payload.name};"
    yield "}"


def _about(payload: Payload) -> str:
    origin = f"The payload of {payload.task_type}; its schema is {payload.schema_hash}."
    return paragraphs([payload.description, origin])


def _field(field: ShapeField) -> Iterator[str]:
    about = paragraphs([field.description, _remarks(field.type), default_of(field)])
    yield from doc_comment(about, INDENT)
    name = field.json_name if IDENTIFIER.fullmatch(field.json_name) else quoted(field.json_name)
    *others, last = _alternatives(field.type)
    parts = [f"{name}{'' if field.is_required else '?'}:", *(f"{each} |" for each in others), f"{last};"]
    yield from filled(parts, INDENT, " ", hanging=INDENT)


def _alternatives(type_: PayloadType) -> list[str]:
    match type_:
        case Choice(values):
            return [quoted(value) if isinstance(value, str) else json.dumps(value) for value in values]
        case OneOf(members):
            return list(dict.fromkeys(each for member in members for each in _alternatives(member)))
        case _:
            return [annotation(type_)]


def _remarks(type_: PayloadType) -> str:
    reasons = [f"Anything: {reason}." for reason in dict.fromkeys(reasons_in(type_))]
    return " ".join([*dict.fromkeys(_kinds(type_)), *reasons])


def _kinds(type_: PayloadType) -> Iterator[str]:
    match type_:
        case Scalar(kind) if kind in REMARKS:
            yield REMARKS[kind]
        case ListOf(inner) | MapOf(inner):
            yield from _kinds(inner)
        case OneOf(members):
            for member in members:
                yield from _kinds(member)


def annotation(type_: PayloadType) -> str:
    """The type as TypeScript writes it."""
    match type_:
        case Scalar(kind):
            return SCALARS[kind]
        case Choice() | OneOf():
            return " | ".join(_alternatives(type_))
        case ListOf(item):
            return f"Array<{annotation(item)}>"
        case MapOf(value):
            return f"Record<string, {annotation(value)}>"
        case Named(name):
            return name
        case Unsayable():
            return "unknown"
