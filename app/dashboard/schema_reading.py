"""From a form that was sent back to the JSON value, and what its buttons do to the value. Pure.

Where an input says what it showed, the value stays the very one that was there: see untouched.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from werkzeug.datastructures import MultiDict

from app.dashboard.schema_form import (
    ITEMS,
    MAX_ITEMS,
    ON,
    VARIANT,
    Schema,
    chosen_of,
    is_checked,
    items_of,
    kind_of,
    may_be_off,
    members_of,
    parsed,
    tag_of,
    text_of,
    types_of,
)
from app.dashboard.untouched import MISSING, is_untouched, kept_again

PAIR = "text"


def read(
    schema: Schema, sent: MultiDict[str, str], name: str, shown: Any = MISSING, *, required: bool = True
) -> tuple[Any, bool]:
    """The value that a form holds under a name, which showed the value `shown`; and whether anything was touched.

    MISSING where it was left empty and may be. An input that was not sent was not in the form.
    """
    reader = _Reader(sent)
    return reader.read(schema, name, shown, required=required), reader.touched > 0


class _Reader:
    """Reads one form, and counts what in it was touched."""

    def __init__(self, sent: MultiDict[str, str]) -> None:
        self._sent = sent
        self.touched = 0

    def read(self, schema: Schema, name: str, shown: Any, *, required: bool) -> Any:
        before = self.touched
        value = self._read(schema, name, shown, required)
        # A needed value that is not there yet is read as its empty input says it: an empty text is a text.
        is_as_shown = self.touched == before and (shown is not MISSING or not required)
        return shown if is_as_shown else value

    def _read(self, schema: Schema, name: str, shown: Any, required: bool) -> Any:
        match kind_of(schema):
            case "object":
                return self._object(schema, name, shown, required)
            case "variant":
                return self._variant(schema, name, shown)
            case "list":
                return self._list(schema, name, shown, required)
            case "map":
                return self._map(name, shown, required)
            case "flag":
                self.touched += (name in self._sent) != is_checked(schema, shown)
                return name in self._sent
            case kind:
                return self._simple(kind, schema, name, shown, required)

    def _object(self, schema: Schema, name: str, shown: Any, required: bool) -> Any:
        if may_be_off(schema, name, required=required):
            is_on = f"{name}.{ON}" in self._sent
            self.touched += is_on != isinstance(shown, Mapping)
            if not is_on:
                return None if required else MISSING
        return self._properties(schema, name, shown, skipped=())

    def _properties(self, schema: Schema, name: str, shown: Any, skipped: Iterable[str]) -> dict[str, Any]:
        """Those of the schema; what the form has no input for stays."""
        said = shown if isinstance(shown, Mapping) else {}
        needed, properties = schema.get("required", ()), schema["properties"]
        found = {
            key: self.read(below, f"{name}.{key}", said.get(key, MISSING), required=key in needed)
            for key, below in properties.items()
            if key not in skipped
        }
        ordered = dict.fromkeys((*said, *found))
        kept = {key: found[key] if key in found else said[key] for key in ordered if key not in skipped}
        return {key: value for key, value in kept.items() if value is not MISSING}

    def _variant(self, schema: Schema, name: str, shown: Any) -> Any:
        members, tag = members_of(schema), tag_of(schema) or ""
        drawn = chosen_of(schema, shown)
        chosen = self._sent.get(f"{name}.{VARIANT}", drawn)
        chosen = chosen if chosen in members else next(iter(members))
        self.touched += chosen != drawn
        said = shown if isinstance(shown, Mapping) else {}
        if chosen != drawn:  # what the other one does not know would be refused
            said = {key: value for key, value in said.items() if key in members[chosen]["properties"]}
        return {tag: chosen, **self._properties(members[chosen], name, said, skipped=(tag,))}

    def _list(self, schema: Schema, name: str, shown: Any, required: bool) -> Any:
        items = items_of(schema, shown, required=required)
        drawn, rest = items[:MAX_ITEMS], items[MAX_ITEMS:]
        keys = self._keys(name, len(drawn))
        inner = schema.get("items", {})
        read = [self.read(inner, f"{name}.{key}", _at(drawn, key), required=True) for key in keys]
        if not keys and not required and not rest:
            return MISSING
        return [None if item is MISSING else item for item in [*read, *rest]]

    def _map(self, name: str, shown: Any, required: bool) -> Any:
        pairs = list(shown.items()) if isinstance(shown, Mapping) else []
        keys = self._keys(name, len(pairs[:MAX_ITEMS]))
        read = [self._pair(f"{name}.{key}", _at(pairs[:MAX_ITEMS], key)) for key in keys]
        found = {key: value for key, value in read if key or value}
        found |= dict(pairs[MAX_ITEMS:])
        found = kept_again(found, shown)  # of a pair that was moved
        return found if found or required or keys else MISSING

    def _pair(self, name: str, shown: Any) -> tuple[str, Any]:
        key, value = ("", "") if shown is MISSING else shown
        return self._text(f"{name}.key", key), self._text(f"{name}.value", value)

    def _text(self, name: str, shown: Any) -> Any:
        sent = self._sent.get(name)
        if sent is None or is_untouched(PAIR, sent, str(shown)):
            return shown
        self.touched += 1
        return sent

    def _keys(self, name: str, drawn: int) -> list[str]:
        keys = self._sent.getlist(f"{name}.{ITEMS}")[:MAX_ITEMS]
        self.touched += keys != [str(number) for number in range(drawn)]
        return keys

    def _simple(self, kind: str, schema: Schema, name: str, shown: Any, required: bool) -> Any:
        text = self._sent.get(name)
        if text is not None and not is_untouched(kind, text, text_of(schema, shown)):
            self.touched += 1
        return _value(kind, schema, text or "", shown, required)


def _at(values: Sequence[Any], key: str) -> Any:
    return values[int(key)] if key.isascii() and key.isdigit() and int(key) < len(values) else MISSING


def _value(kind: str, schema: Schema, text: str, shown: Any, required: bool) -> Any:
    text = text.replace("\r\n", "\n")
    if text == "":
        if "null" in types_of(schema) and required:
            return None
        # An empty text is a text; that it is too short, the type says.
        return "" if required and kind in ("text", "long_text") else MISSING
    if kind in ("whole", "number"):
        return _number(text)
    if kind == "choice":
        return next((choice for choice in schema["enum"] if str(choice).replace("\r\n", "\n") == text), text)
    if kind == "json":
        value = parsed(text)
        return text if value is MISSING else kept_again(value, shown)
    return text


def _number(text: str) -> Any:
    """The number, or the text as it is, which the type then refuses in its own words."""
    for convert in (int, float):
        try:
            number = convert(text)
        except ValueError:
            continue
        return number if abs(number) < float("inf") else text
    return text


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
    if "oneOf" in schema and (tag := tag_of(schema)) is not None:
        members = members_of(schema)
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
