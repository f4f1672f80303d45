"""From a JSON Schema to a form, and from the form that was sent back to the JSON value. Pure.

A field's name is the path of its value, such as payload.lines.0.quantity, which is also how errors name it. What a
schema says that no input can express is written as JSON.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from app.api import json_body
from app.errors import Refused

MISSING: Any = object()
"""Left out: what is missing is not sent, so that the type's default applies."""
LONG_TEXT = 200  # characters; a text that may be longer gets several lines
MOST_ITEMS = 200
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
        said = value if value is not MISSING else schema.get("default", False)
        return Node(**{**common, "enforced": False}, value=bool(said))
    if kind == "choice":
        said = value if value is not MISSING else schema.get("default", MISSING)
        return Node(**common, value="" if said is MISSING or said is None else str(said), choices=schema["enum"])
    return Node(**common, value=_text(kind, value), bounds=_bounds(schema, kind), placeholder=_placeholder(schema))


def read(schema: Schema, sent: MultiDict[str, str], name: str, *, required: bool = True) -> Any:
    """The value that a form holds under a name; MISSING where it was left empty and may be."""
    match kind_of(schema):
        case "object":
            return _read_object(schema, sent, name, required)
        case "variant":
            return _read_variant(schema, sent, name)
        case "list":
            return _read_list(schema, sent, name, required)
        case "map":
            return _read_map(sent, name, required)
        case "flag":
            return name in sent
        case kind:
            return _read_simple(kind, schema, sent.get(name, ""), required)


def kind_of(schema: Schema) -> str:
    """How a value of this schema is entered."""
    types = [each for each in _types(schema) if each != "null"]
    if "oneOf" in schema and _tag(schema) is not None:
        return "variant"
    if "enum" in schema:
        return "choice"
    if types == ["object"]:
        if "properties" in schema:
            return "object"
        return "map" if _types(schema.get("additionalProperties") or {}) == ["string"] else "json"
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


def _types(schema: Any) -> list[str]:
    said = schema.get("type", []) if isinstance(schema, Mapping) else []
    return [said] if isinstance(said, str) else list(said)


def _tag(schema: Schema) -> str | None:
    """The property by which the members of a oneOf are told apart."""
    candidates = [
        {name for name, said in member.get("properties", {}).items() if len(said.get("enum", ())) == 1}
        for member in schema["oneOf"]
    ]
    shared = set.intersection(*candidates) if candidates else set()
    return min(shared) if shared else None


def _members(schema: Schema) -> dict[str, Schema]:
    tag = _tag(schema) or ""
    return {str(member["properties"][tag]["enum"][0]): member for member in schema["oneOf"]}


def _object(
    schema: Schema, value: Any, common: dict[str, Any], errors: Mapping[str, Sequence[str]], enforced: bool
) -> Node:
    is_optional = not common["required"] or "null" in _types(schema)
    said = value if isinstance(value, Mapping) else {}
    is_root = "." not in common["name"]
    children = _properties(
        schema, said, common["name"], errors, enforced=enforced and (not is_optional or is_root), skipped=()
    )
    is_on = not is_optional or is_root or isinstance(value, Mapping)
    return Node(**common, children=children, is_on=is_on)


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
    members, tag = _members(schema), _tag(schema) or ""
    said = value if isinstance(value, Mapping) else {}
    chosen = str(said.get(tag)) if str(said.get(tag)) in members else next(iter(members))
    children = _properties(members[chosen], said, common["name"], errors, enforced=common["enforced"], skipped=(tag,))
    more = (*common["errors"], *errors.get(f"{common['name']}.{tag}", ()))
    return Node(
        **{**common, "errors": more, "label": words_of(tag) if "." not in common["name"] else common["label"]},
        value=chosen,
        choices=list(members),
        children=children,
    )


def _list(
    schema: Schema, value: Any, common: dict[str, Any], errors: Mapping[str, Sequence[str]], enforced: bool
) -> Node:
    if isinstance(value, str) and "string" in _types(schema):
        value = [value]
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    items += [MISSING] * (min(schema.get("minItems", 0), 1) - len(items) if common["required"] else 0)
    inner = schema.get("items", {})
    children = [
        build(inner, item, name=f"{common['name']}.{number}", label=f"{number + 1}", errors=errors, enforced=enforced)
        for number, item in enumerate(items[:MOST_ITEMS])
    ]
    return Node(
        **common,
        children=children,
        keys=[str(number) for number in range(len(children))],
        can_grow=len(items) < min(schema.get("maxItems", MOST_ITEMS), MOST_ITEMS),
    )


def _map(schema: Schema, value: Any, common: dict[str, Any]) -> Node:
    pairs = list(value.items()) if isinstance(value, Mapping) else []
    children = [
        Node(kind="pair", name=f"{common['name']}.{number}", label=str(key), value=str(said))
        for number, (key, said) in enumerate(pairs[:MOST_ITEMS])
    ]
    return Node(
        **common,
        children=children,
        keys=[str(number) for number in range(len(children))],
        can_grow=len(pairs) < min(schema.get("maxProperties", MOST_ITEMS), MOST_ITEMS),
    )


def _text(kind: str, value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if kind == "json" and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if kind == "json":
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


def _read_object(schema: Schema, sent: MultiDict[str, str], name: str, required: bool) -> Any:
    is_optional = not required or "null" in _types(schema)
    if is_optional and "." in name and f"{name}.{ON}" not in sent:
        return None if required else MISSING
    return _read_properties(schema, sent, name, skipped=())


def _read_properties(schema: Schema, sent: MultiDict[str, str], name: str, skipped: Iterable[str]) -> dict[str, Any]:
    needed = schema.get("required", ())
    found = {
        key: read(below, sent, f"{name}.{key}", required=key in needed)
        for key, below in schema["properties"].items()
        if key not in skipped
    }
    return {key: value for key, value in found.items() if value is not MISSING}


def _read_variant(schema: Schema, sent: MultiDict[str, str], name: str) -> Any:
    members, tag = _members(schema), _tag(schema) or ""
    chosen = sent.get(f"{name}.{VARIANT}", "")
    if chosen not in members:
        chosen = next(iter(members))
    return {tag: chosen, **_read_properties(members[chosen], sent, name, skipped=(tag,))}


def _read_list(schema: Schema, sent: MultiDict[str, str], name: str, required: bool) -> Any:
    keys = sent.getlist(f"{name}.{ITEMS}")[:MOST_ITEMS]
    if not keys and not required:
        return MISSING
    items = [read(schema.get("items", {}), sent, f"{name}.{key}") for key in keys]
    return [None if item is MISSING else item for item in items]


def _read_map(sent: MultiDict[str, str], name: str, required: bool) -> Any:
    keys = sent.getlist(f"{name}.{ITEMS}")[:MOST_ITEMS]
    pairs = [(sent.get(f"{name}.{key}.key", ""), sent.get(f"{name}.{key}.value", "")) for key in keys]
    found = {key: value for key, value in pairs if key or value}
    return found if found or required or keys else MISSING


def _read_simple(kind: str, schema: Schema, text: str, required: bool) -> Any:
    text = text.replace("\r\n", "\n")
    if text == "":
        if "null" in _types(schema) and required:
            return None
        # An empty text is a text; that it is too short, the type says.
        return "" if required and kind in ("text", "long_text") else MISSING
    if kind in ("whole", "number"):
        return _number(text)
    if kind == "choice":
        return next((choice for choice in schema["enum"] if str(choice) == text), text)
    if kind == "json":
        value = parsed(text)
        return text if value is MISSING else value
    return text


def parsed(text: str) -> Any:
    """The value of JSON as it was typed, read as strictly as a body of the API; MISSING for what that would refuse."""
    try:
        return json_body.parse(text.encode())
    except (BadRequest, Refused):
        return MISSING


def _number(text: str) -> Any:
    """The number, or the text as it is, which the type then refuses in its own words."""
    for convert in (int, float):
        try:
            number = convert(text)
        except ValueError:
            continue
        return number if abs(number) < float("inf") else text
    return text


def words_of(name: str) -> str:
    """customer_id and forceFailure as people read them: Customer id, Force failure."""
    spaced = "".join(f" {each.lower()}" if each.isupper() else each for each in name).replace("_", " ").strip()
    return spaced[:1].upper() + spaced[1:]


def changed(value: Any, schema: Schema, *, action: str, path: Sequence[str]) -> Any:
    """The value with one item added to, or removed from, the list or map at a path below it."""
    if not path:
        return _grown(value, schema) if action == "add" else value
    head, rest = path[0], path[1:]
    if action == "remove" and not rest and head.isdigit():
        return _without(value, int(head))
    if isinstance(value, list) and head.isdigit() and int(head) < len(value):
        below = changed(value[int(head)], schema.get("items", {}), action=action, path=rest)
        return [below if number == int(head) else item for number, item in enumerate(value)]
    properties = _below(schema, value)
    if head not in properties:
        return value
    said = value if isinstance(value, Mapping) else {}
    return {**said, head: changed(said.get(head, MISSING), properties[head], action=action, path=rest)}


def _below(schema: Schema, value: Any) -> Mapping[str, Schema]:
    if "oneOf" in schema and (tag := _tag(schema)) is not None:
        members = _members(schema)
        chosen = str(value.get(tag)) if isinstance(value, Mapping) else ""
        schema = members.get(chosen) or next(iter(members.values()))
    properties: Mapping[str, Schema] = schema.get("properties", {})
    return properties


def _grown(value: Any, schema: Schema) -> Any:
    if kind_of(schema) == "map":
        return {**(value if isinstance(value, Mapping) else {}), "": ""}
    items = list(value) if isinstance(value, list) else [] if value in (MISSING, None) else [value]
    return [*items, MISSING]


def _without(value: Any, number: int) -> Any:
    if isinstance(value, Mapping):
        return {key: said for position, (key, said) in enumerate(value.items()) if position != number}
    return [item for position, item in enumerate(value) if position != number] if isinstance(value, list) else value
