"""The model as a module of Python: frozen dataclasses."""

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
    members_of,
    reasons_in,
)
from taskledger_sdk.payload_types.names import field_names
from taskledger_sdk.payload_types.texts import default_of, docstring, filled, paragraphs, quoted

HEADER = '''\
# fmt: off
# ruff: noqa
"""What the task types of a Taskledger installation accept: client.submit(AClassOfThese(…)).

Written by `tledger types --python`. Do not change it: make it again when the types have changed.
"""
'''
"""It turns formatters and linters off, whose settings differ from team to team."""
IMPORTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("collections.abc", ("Mapping",)),
    ("dataclasses", ("dataclass", "field")),
    ("decimal", ("Decimal",)),
    ("typing", ("Any", "ClassVar", "Literal", "TypeAlias")),
    ("uuid", ("UUID",)),
)
OWN_IMPORTS = (("taskledger_sdk.typed_payloads", ("JSON_NAME", "UNSET", "TypedPayload", "Unset", "ValuePayload")),)
INDENT = "    "
SCALARS: dict[Kind, str] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "date-time": "dt.datetime",
    "date": "dt.date",
    "uuid": "UUID",
    "decimal": "Decimal",
    "any": "Any",
}
FEW_LETTERS = 60
"""Of an annotation that stands in one line."""


def python_source(payloads: Sequence[Payload]) -> str:
    """The module with the classes of all payloads; the same payloads make the same text."""
    lines: list[str] = []
    for payload in payloads:
        for part in _payload(payload):
            lines += ["", "", *part]
    lines = [HEADER.rstrip(), *_imports("\n".join(lines)), *lines]
    exported = [quoted(payload.name) for payload in payloads]
    lines += ["", "", "__all__ = [", *filled(exported, INDENT), "]"] if exported else ["", "__all__: list[str] = []"]
    return "\n".join(lines) + "\n"


def _imports(text: str) -> Iterator[str]:
    """Of what the text has the names of: checkers and editors complain of what is not used."""
    words = set(re.findall(r"\w+", text))
    standard = [f"from {module} import {', '.join(used)}" for module, used in _used(IMPORTS, words)]
    if "dt" in words:
        standard.insert(0, "import datetime as dt")
    own = [f"from {module} import {', '.join(used)}" for module, used in _used(OWN_IMPORTS, words)]
    for group in (standard, own):
        yield from ["", *group] if group else []


def _used(imports: Sequence[tuple[str, tuple[str, ...]]], words: set[str]) -> Iterator[tuple[str, list[str]]]:
    for module, names in imports:
        if used := [name for name in names if name in words]:
            yield module, used


def _payload(payload: Payload) -> Iterator[list[str]]:
    whole = {each.name for each in members_of(payload.type) if isinstance(each, Named)}
    if len(whole) < len(members_of(payload.type)):
        whole = set()  # it is not always an object
    for shape in payload.shapes:
        yield list(_class(shape, payload, is_whole=shape.name in whole))
    if not whole:
        yield list(_value_class(payload))
    elif isinstance(payload.type, OneOf):
        yield list(_alias(payload))


def _class(shape: Shape, payload: Payload, *, is_whole: bool) -> Iterator[str]:
    yield "@dataclass(frozen=True, kw_only=True)"
    yield f"class {shape.name}(TypedPayload):" if is_whole else f"class {shape.name}:"
    place = f"{shape.path} of {payload.task_type}." if shape.path else ""
    text = payload.description if is_whole and not shape.path else place
    others = "It may have other fields, which cannot be given here." if shape.is_open else ""
    yield from docstring(paragraphs([text, others]) or f"The payload of {payload.task_type}.", INDENT)
    if is_whole:
        yield from _class_variables(payload)
    if shape.fields:
        yield ""
    names = field_names(each.json_name for each in shape.fields)
    for name, each in zip(names, shape.fields, strict=True):
        yield from _field(name, each)


def _value_class(payload: Payload) -> Iterator[str]:
    yield "@dataclass(frozen=True)"
    yield f"class {payload.name}(ValuePayload):"
    yield from docstring(payload.description or f"The payload of {payload.task_type}.", INDENT)
    yield from _class_variables(payload)
    yield ""
    yield from _reasons(payload.type)
    yield from _annotated("value", payload.type, "", "")


def _class_variables(payload: Payload) -> Iterator[str]:
    yield ""
    yield f"{INDENT}TASK_TYPE: ClassVar[str] = {quoted(payload.task_type)}"
    yield f"{INDENT}SCHEMA_HASH: ClassVar[str] = {quoted(payload.schema_hash)}"


def _alias(payload: Payload) -> Iterator[str]:
    yield f"{payload.name}: TypeAlias = ("
    yield from filled([annotation(each) for each in members_of(payload.type)], INDENT, " | ")
    yield ")"
    yield from docstring(payload.description or f"The payload of {payload.task_type}.", "")


def _field(name: str, field: ShapeField) -> Iterator[str]:
    yield from _reasons(field.type)
    default = _default(field)
    value = f" = {default}" if default else ""
    if name != field.json_name:
        options = [f"default={default}"] if default else []
        value = f" = field({', '.join([*options, f'metadata={{JSON_NAME: {quoted(field.json_name)}}}'])})"
    yield from _annotated(name, field.type, "" if field.is_required else " | Unset", value)
    yield from docstring(paragraphs([field.description, default_of(field)]), INDENT)


def _default(field: ShapeField) -> str:
    """Of a field that may be left out, and of one that can have one value only, which is then sent."""
    if not field.is_required:
        return "UNSET"
    match field.type:
        case Choice((str(value),)):
            return quoted(value)
    return ""


def _reasons(type_: PayloadType) -> Iterator[str]:
    for reason in dict.fromkeys(reasons_in(type_)):
        yield f"{INDENT}# Any: {reason}."


def _annotated(name: str, type_: PayloadType, alternative: str, value: str) -> Iterator[str]:
    text = annotation(type_)
    if len(text) <= FEW_LETTERS:
        yield f"{INDENT}{name}: {text}{alternative}{value}"
        return
    yield f"{INDENT}{name}: ("
    members = members_of(type_)
    for number, each in enumerate(members):
        before = f"{INDENT * 2}| " if number else INDENT * 2
        if isinstance(each, Choice) and len(annotation(each)) > FEW_LETTERS:
            yield f"{before}Literal["
            yield from filled([quoted_value(value) for value in each.values], INDENT * 3)
            yield f"{INDENT * 2}]"
        else:
            yield f"{before}{annotation(each)}"
    if alternative:
        yield f"{INDENT * 2}{alternative.strip()}"
    yield f"{INDENT}){value}"


def annotation(type_: PayloadType) -> str:
    """The type as Python writes it."""
    match type_:
        case Scalar(kind):
            return SCALARS[kind]
        case Choice(values):
            # Literal takes no fractions.
            if any(isinstance(value, float) for value in values):
                return "float"
            return f"Literal[{', '.join(quoted_value(value) for value in values)}]"
        case ListOf(item):
            return f"list[{annotation(item)}]"
        case MapOf(value):
            return f"Mapping[str, {annotation(value)}]"
        case OneOf(members):
            return " | ".join(annotation(member) for member in members)
        case Named(name):
            return name
        case Unsayable():
            return "Any"


def quoted_value(value: str | float | bool | None) -> str:
    """A literal of Python."""
    return quoted(value) if isinstance(value, str) else repr(value)
