"""What a payload is made of, in no particular language."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "string", "integer", "number", "boolean", "null", "date-time", "date", "uuid", "decimal", "any"
]
Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts. All but numbers and booleans travel as strings; `any` is every JSON value."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array."""

    item: "PayloadType"


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with free keys."""

    value: "PayloadType"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A value of one of these types, of which none is a OneOf itself."""

    members: tuple["PayloadType", ...]


@dataclass(frozen=True, slots=True)
class Named:
    """An object with a shape; its name is that of the class or interface."""

    name: str


@dataclass(frozen=True, slots=True)
class Unsayable:
    """Anything, because the schema says what types do not; `reason` is a short phrase of ours."""

    reason: str


PayloadType: TypeAlias = Scalar | Choice | ListOf | MapOf | OneOf | Named | Unsayable


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeField:
    """One field of an object; `default` is JSON, or empty where none is told."""

    json_name: str
    type: PayloadType
    is_required: bool
    description: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An object with known fields; `path` is its place in the payload, and `is_open` says that it may have others."""

    name: str
    path: str
    fields: tuple[ShapeField, ...]
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The payload of a task type; a shape comes after those that it is made of."""

    task_type: str
    schema_hash: str
    name: str
    description: str
    type: PayloadType
    shapes: tuple[Shape, ...]


def one_of(members: list[PayloadType]) -> PayloadType:
    """The choice between these: flat, each once, and with null last."""
    flat: list[PayloadType] = []
    for member in members:
        flat += member.members if isinstance(member, OneOf) else (member,)
    unique = sorted(dict.fromkeys(flat), key=lambda each: each == Scalar("null"))
    if not unique:
        return Unsayable("nothing fits it")
    return unique[0] if len(unique) == 1 else OneOf(tuple(unique))


def members_of(type_: PayloadType) -> tuple[PayloadType, ...]:
    """The types that a value may have."""
    return type_.members if isinstance(type_, OneOf) else (type_,)


def reasons_in(type_: PayloadType) -> Iterator[str]:
    """Why parts of it are anything."""
    match type_:
        case Unsayable(reason):
            yield reason
        case ListOf(inner) | MapOf(inner):
            yield from reasons_in(inner)
        case OneOf(members):
            for member in members:
                yield from reasons_in(member)
