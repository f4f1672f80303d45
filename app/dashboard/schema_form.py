"""From a JSON Schema and a value to a form. Pure.

A field's name is the path of its value, such as payload.lines.0.quantity, which is also how errors name it. What a
schema says that no input can express is written as JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import BadRequest

from app.dashboard.untouched import MISSING, Kept
from app.errors import Refused
from app.web.requests.parsing import parse_json

LONG_TEXT = 200  # characters; a text that may be longer gets several lines
MAX_ITEMS = 200
ITEMS, ON, VARIANT = "@items", "@on", "@variant"
SIMPLE = {"date": "date", "date-time": "moment", "email": "email", "uri": "url"}
INPUT = {"text": "text", "date": "date", "moment": "text", "email": "text", "url": "text", "whole": "number"}
Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One input, or a group of them. `kind` chooses how templates/_field.html draws it."""

    kind: str
    name: str
    label: str
    help: str = ""
    required: bool = False
    enforced: bool = False
    """Whether the browser may insist: not inside of what may be left out as a whole."""
    value: Any = ""
    choices: Sequence[Any] = ()
    bounds: Mapping[str, Any] = field(default_factory=dict)
    placeholder: str = ""
    children: Sequence["Node"] = ()
    keys: Sequence[str] = ()
    """Of a list or map: the part of the name that stands for each child."""
    is_on: bool = True
    may_be_off: bool = False
    """Of an object: it has a switch, and is left out, or null, while that is off."""
    errors: Sequence[str] = ()
    can_grow: bool = True

    @property
    def id(self) -> str:
        """Of the input, for its label."""
        return f"f-{self.name}"


def build(
    schema: Schema,
    value: Any,
    *,
    name: str,
    label: str,
    errors: Mapping[str, Sequence[str]],
    required: bool = True,
    enforced: bool = True,
) -> Node:
    """The form of a value. `errors`: messages by path."""
    kind = kind_of(schema)
    common: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "label": label,
        "help": schema.get("description", ""),
        "required": required,
        "enforced": enforced and required,
        "errors": errors.get(name, ()),
    }
    if kind == "object":
        return _object(schema, value, common, errors, enforced)
    if kind == "variant":
        return _variant(schema, value, common, errors)
    if kind == "list":
        return _list(schema, value, common, errors, enforced)
    if kind == "map":
        return _map(schema, value, common)
    if kind == "flag":
        return Node(**{**common, "enforced": False}, value=is_checked(schema, value))
    if kind == "choice":
        return Node(**common, value=text_of(schema, value), choices=_choices(schema, value))
    return Node(**common, value=text_of(schema, value), bounds=_bounds(schema, kind), placeholder=_placeholder(schema))


def is_checked(schema: Schema, value: Any) -> bool:
    """Whether the box of a flag is drawn checked."""
    return bool(value if value is not MISSING else schema.get("default", False))


def text_of(schema: Schema, value: Any) -> str:
    """What the input of a simple value shows."""
    kind = kind_of(schema)
    if kind == "choice":
        said = value if value is not MISSING else schema.get("default", MISSING)
        return "" if said is MISSING or said is None else str(said)
    return _text(kind, value)


def _choices(schema: Schema, value: Any) -> list[str]:
    """What can be chosen, and what is stored although it cannot be chosen any more: it would be replaced unseen."""
    choices = [str(each) for each in schema["enum"] if each is not None]
    stored = text_of(schema, value)
    return [stored, *choices] if stored and stored not in choices else choices


def kind_of(schema: Schema) -> str:
    """How a value of this schema is entered."""
    types = [each for each in types_of(schema) if each != "null"]
    if "oneOf" in schema and tag_of(schema) is not None:
        return "variant"
    if "enum" in schema:
        return "choice"
    if types == ["object"]:
        if "properties" in schema:
            return "object"
        return "map" if types_of(schema.get("additionalProperties") or {}) == ["string"] else "json"
    if "array" in types and set(types) <= {"array", "string"}:
        return "list"
    if len(types) != 1 or types == ["array"]:
        return "json"
    if types == ["string"]:
        special = SIMPLE.get(schema.get("format", ""))
        is_long = schema.get("maxLength", LONG_TEXT + 1) > LONG_TEXT and "examples" not in schema
        closed = str(schema.get("pattern", "")).startswith("^[^\\u0000]*$") and "format" not in schema
        return special or ("long_text" if is_long and closed else "text")
    return {"integer": "whole", "number": "number", "boolean": "flag"}.get(types[0], "json")


def types_of(schema: Any) -> list[str]:
    """The JSON types that a schema names."""
    said = schema.get("type", []) if isinstance(schema, Mapping) else []
    return [said] if isinstance(said, str) else list(said)


def tag_of(schema: Schema) -> str | None:
    """The property by which the members of a oneOf are told apart."""
    candidates = [
        {name for name, said in member.get("properties", {}).items() if len(said.get("enum", ())) == 1}
        for member in schema["oneOf"]
    ]
    shared = set.intersection(*candidates) if candidates else set()
    return min(shared) if shared else None


def members_of(schema: Schema) -> dict[str, Schema]:
    """The members of a oneOf by what stands in their tag."""
    tag = tag_of(schema) or ""
    return {str(member["properties"][tag]["enum"][0]): member for member in schema["oneOf"]}


def _object(
    schema: Schema, value: Any, common: dict[str, Any], errors: Mapping[str, Sequence[str]], enforced: bool
) -> Node:
    said = value if isinstance(value, Mapping) else {}
    has_switch = may_be_off(schema, common["name"], required=common["required"])
    children = _properties(schema, said, common["name"], errors, enforced=enforced and not has_switch, skipped=())
    is_on = not has_switch or isinstance(value, Mapping)
    return Node(**common, children=children, is_on=is_on, may_be_off=has_switch)


def may_be_off(schema: Schema, name: str, *, required: bool) -> bool:
    """Whether an object may be left out, or be null; the outermost one is always there."""
    return "." in name and (not required or "null" in types_of(schema))


def _properties(
    schema: Schema,
    value: Mapping[str, Any],
    name: str,
    errors: Mapping[str, Sequence[str]],
    *,
    enforced: bool,
    skipped: Iterable[str],
) -> list[Node]:
    needed = schema.get("required", ())
    named = {key: below for key, below in schema["properties"].items() if key not in skipped}
    # What is needed comes first; within that, as the type declares it.
    ordered = sorted(named, key=lambda key: key not in needed)
    return [
        build(
            named[key],
            value.get(key, MISSING),
            name=f"{name}.{key}",
            label=words_of(key),
            errors=errors,
            required=key in needed,
            enforced=enforced,
        )
        for key in ordered
    ]


def _variant(schema: Schema, value: Any, common: dict[str, Any], errors: Mapping[str, Sequence[str]]) -> Node:
    members, tag = members_of(schema), tag_of(schema) or ""
    said = value if isinstance(value, Mapping) else {}
    chosen = chosen_of(schema, value)
    children = _properties(members[chosen], said, common["name"], errors, enforced=common["enforced"], skipped=(tag,))
    more = (*common["errors"], *errors.get(f"{common['name']}.{tag}", ()))
    return Node(
        **{**common, "errors": more, "label": words_of(tag) if "." not in common["name"] else common["label"]},
        value=chosen,
        choices=list(members),
        children=children,
    )


def chosen_of(schema: Schema, value: Any) -> str:
    """Which member of a oneOf is drawn for a value."""
    members, tag = members_of(schema), tag_of(schema) or ""
    said = str(value.get(tag)) if isinstance(value, Mapping) else ""
    return said if said in members else next(iter(members))


def _list(
    schema: Schema, value: Any, common: dict[str, Any], errors: Mapping[str, Sequence[str]], enforced: bool
) -> Node:
    items = items_of(schema, value, required=common["required"])
    inner = schema.get("items", {})
    children = [
        build(inner, item, name=f"{common['name']}.{number}", label=f"{number + 1}", errors=errors, enforced=enforced)
        for number, item in enumerate(items[:MAX_ITEMS])
    ]
    return Node(
        **common,
        children=children,
        keys=[str(number) for number in range(len(children))],
        can_grow=len(items) < min(schema.get("maxItems", MAX_ITEMS), MAX_ITEMS),
    )


def items_of(schema: Schema, value: Any, *, required: bool) -> list[Any]:
    """The items of a list, one at least where one is needed; the first MAX_ITEMS are drawn."""
    if isinstance(value, str) and "string" in types_of(schema):
        value = [value]
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    return items + [MISSING] * (min(schema.get("minItems", 0), 1) - len(items) if required else 0)


def _map(schema: Schema, value: Any, common: dict[str, Any]) -> Node:
    pairs = list(value.items()) if isinstance(value, Mapping) else []
    children = [
        Node(kind="pair", name=f"{common['name']}.{number}", label=str(key), value=str(said))
        for number, (key, said) in enumerate(pairs[:MAX_ITEMS])
    ]
    return Node(
        **common,
        children=children,
        keys=[str(number) for number in range(len(children))],
        can_grow=len(pairs) < min(schema.get("maxProperties", MAX_ITEMS), MAX_ITEMS),
    )


def _text(kind: str, value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if kind == "json" and not isinstance(value, str | Kept):
        return json.dumps(value, ensure_ascii=False, default=str)
    if kind == "json" and isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
    return str(value)


def _is_plain(text: str) -> bool:
    """Whether the text, entered as it is, is read as that text again."""
    return bool(text) and parsed(text) is MISSING


def _bounds(schema: Schema, kind: str) -> dict[str, Any]:
    if kind in ("whole", "number"):
        step = "1" if kind == "whole" else "any"
        return {"step": step, **{key[:3]: schema[key] for key in ("minimum", "maximum") if key in schema}}
    return {"maxlength": schema["maxLength"]} if "maxLength" in schema else {}


def _placeholder(schema: Schema) -> str:
    if "default" in schema and schema["default"] not in (None, "", [], {}):
        return str(schema["default"])
    examples = schema.get("examples") or [""]
    return f"such as {examples[0]}" if isinstance(examples[0], str | int | float) and examples[0] != "" else ""


def parsed(text: str) -> Any:
    """The value of JSON as it was typed, read as strictly as a body of the API; MISSING for what that would refuse."""
    try:
        return parse_json(text.encode())
    except (BadRequest, Refused):
        return MISSING


def words_of(name: str) -> str:
    """customer_id and forceFailure as people read them: Customer id, Force failure."""
    spaced = "".join(f" {each.lower()}" if each.isupper() else each for each in name).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]
