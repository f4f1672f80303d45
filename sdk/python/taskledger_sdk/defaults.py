"""What a task type says of all of its submissions, once: keys and labels that are read off the payload, and limits.

A key or a label is a path such as `payload.customer_id`, or a text with paths in braces: `host:{payload.host}`. Paths
are checked against the payload's JSON Schema when the type is declared. Pure; SQL reads the same from `as_json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from taskledger_sdk.errors import BadDeclaration, PayloadRefused

MAX_KEY, MAX_LABEL, MAX_LABELS = 200, 256, 16
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}")
PATH = re.compile(r"payload(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")
IN_BRACES = re.compile(r"\{(" + PATH.pattern + r")\}")
PLAIN = frozenset({"string", "integer", "boolean", "null"})
AFTER_FAILURE = ("block", "release")
RATE = re.compile(r"([1-9][0-9]{0,6})/([1-9][0-9]{0,4})?(s|min|h|day)")
SECONDS = {"s": 1, "min": 60, "h": 3_600, "day": 86_400}
LONGEST_PERIOD, MAX_STARTS = 86_400, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Path:
    """A field of the payload; `default` is what stands for it where it is left out, None for nothing."""

    keys: tuple[str, ...]
    default: str | None = None

    def text_of(self, payload: Any) -> str | None:
        """The value as text, as PostgreSQL writes it; None for one that is null, empty or not there."""
        value = payload
        for key in self.keys:
            if not isinstance(value, Mapping) or key not in value:
                return self.default
            value = value[key]
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():  # in JSON 3.0 is a whole number
            value = int(value)
        return str(value) or None if isinstance(value, str | int) else None


@dataclass(frozen=True, kw_only=True)
class Template:
    """Texts and paths whose values are joined; `most`: how many characters what they come to may have."""

    parts: tuple[str | Path, ...]
    most: int

    def text_of(self, payload: Any, name: str) -> str | None:
        """What it comes to; None where a value is missing. Raises PayloadRefused for more than may be stored."""
        texts = [part if isinstance(part, str) else part.text_of(payload) for part in self.parts]
        if None in texts:
            return None
        text = "".join(text for text in texts if text is not None)
        if len(text) > self.most:
            told = f"makes the task's {name} longer than {self.most} characters, which its type takes from here"
            path = next(part.keys for part in self.parts if isinstance(part, Path))
            raise PayloadRefused({"payload": _nested(path, [told])})
        return text

    def as_json(self) -> list[Any]:
        """Texts, and {"path", "default"}."""
        return [
            part if isinstance(part, str) else {"path": list(part.keys), "default": part.default} for part in self.parts
        ]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """At most `count` starts in `seconds`."""

    count: int
    seconds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """What the declarations of a type come to for one payload; None and nothing where it says nothing."""

    ordering_key: str | None = None
    concurrency_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """The declarations of a type, read and checked."""

    ordering_key: Template | None = None
    concurrency_key: Template | None = None
    labels: Mapping[str, Template] = field(default_factory=dict)

    def of(self, payload: Any) -> Values:
        """What they come to. Raises PayloadRefused, with the path, for a value that makes something too long."""
        return Values(
            ordering_key=_text(self.ordering_key, payload, "ordering_key"),
            concurrency_key=_text(self.concurrency_key, payload, "concurrency_key"),
            labels={
                name: text
                for name, template in self.labels.items()
                if (text := template.text_of(payload, f"label {name}")) is not None
            },
        )

    def as_json(self) -> dict[str, Any]:
        """As the database keeps it."""
        return {
            "ordering_key": self.ordering_key and self.ordering_key.as_json(),
            "concurrency_key": self.concurrency_key and self.concurrency_key.as_json(),
            "labels": {name: template.as_json() for name, template in self.labels.items()},
        }


def _text(template: Template | None, payload: Any, name: str) -> str | None:
    return None if template is None else template.text_of(payload, name)


def defaults_of(
    schema: Mapping[str, Any],
    *,
    ordering_key: str | None,
    concurrency_key: str | None,
    labels: Mapping[str, str],
    search: Sequence[str],
    sensitive: bool,
) -> Defaults:
    """The declarations of a type with this payload schema. Raises BadDeclaration, naming the option and the path."""
    names = [*labels, *search]
    if len(names) > MAX_LABELS:
        raise BadDeclaration(f"labels and search name {len(names)} labels; give at most {MAX_LABELS}")
    for name in names:
        if not isinstance(name, str) or not LABEL_NAME.fullmatch(name) or names.count(name) > 1:
            raise BadDeclaration(f"{name!r} is no name of a label, or is given twice in labels and search")
    paths = {name: f"payload.{name}" for name in search}
    for name, path in paths.items():
        if not PATH.fullmatch(path):
            raise BadDeclaration(
                f"search={name!r} is no field; write its path below the payload, such as 'customer_id'"
            )
    made = Defaults(
        ordering_key=_key("ordering_key", ordering_key, schema),
        concurrency_key=_key("concurrency_key", concurrency_key, schema),
        labels={
            **{name: _template(text, f"labels[{name!r}]={text!r}", schema, MAX_LABEL) for name, text in labels.items()},
            **{name: _template(path, f"search={name!r}", schema, MAX_LABEL) for name, path in paths.items()},
        },
    )
    if sensitive and any(True for _ in _paths(made)):
        raise BadDeclaration(
            "is sensitive, and keys and labels are readable by everybody who sees the task: take none from its payload"
        )
    return made


def rate_of(text: str) -> Rate:
    """A rate such as 100/min, 5/s, 10/30s or 1000/day. Raises BadDeclaration."""
    found = RATE.fullmatch(text) if isinstance(text, str) else None
    seconds = int(found[2] or 1) * SECONDS[found[3]] if found else 0
    if not found or seconds > LONGEST_PERIOD or int(found[1]) > MAX_STARTS:
        raise BadDeclaration(f"rate={text!r} is no rate; write starts a period, such as '100/min', '5/s' or '10/30s'")
    return Rate(count=int(found[1]), seconds=seconds)


def simple_faults(*, after_failure: Any, concurrency: Any, labels: Any) -> Iterator[str]:
    """What is wrong with the options that have nothing to do with the payload, each with what to do."""
    if after_failure not in (None, *AFTER_FAILURE):
        yield f"after_failure={after_failure!r}; give one of {', '.join(map(repr, AFTER_FAILURE))}, or leave it out"
    if concurrency is not None and (type(concurrency) is not int or not 1 <= concurrency <= MAX_STARTS):
        yield f"concurrency={concurrency!r}; give how many may run at once over all workers, from 1"
    if not isinstance(labels, Mapping):
        yield f'labels={labels!r}; give texts by name, such as labels={{"team": "billing"}}'


def _key(option: str, text: str | None, schema: Mapping[str, Any]) -> Template | None:
    if text is None:
        return None
    made = _template(text, f"{option}={text!r}", schema, MAX_KEY)
    if not any(isinstance(part, Path) for part in made.parts):
        example = "'payload.<field>', or a text with {payload.<field>} in it"
        raise BadDeclaration(f"{option}={text!r} names no field of the payload; write {example}")
    return made


def _template(text: str, where: str, schema: Mapping[str, Any], most: int) -> Template:
    if not isinstance(text, str) or not text or "\0" in text or len(text) > most:
        raise BadDeclaration(f"{where} is no text of 1 to {most} characters")
    if PATH.fullmatch(text):
        return Template(parts=(_path(text, where, schema),), most=most)
    pieces = IN_BRACES.split(text)  # text, path, text, path, ..., text
    parts = [_path(each, where, schema) if number % 2 else each for number, each in enumerate(pieces)]
    return Template(parts=tuple(part for part in parts if part != ""), most=most)


def _path(text: str, where: str, schema: Mapping[str, Any]) -> Path:
    keys, places = tuple(text.split(".")[1:]), "payload"
    reached: list[Mapping[str, Any]] = [schema]
    for key in keys:
        shapes = [shape for each in reached for shape in _objects(each)]
        below = [found for shape in shapes if (found := _below(shape, key)) is not None]
        if not below:
            known = sorted({name for shape in shapes for name in shape.get("properties", {})})
            raise BadDeclaration(f"{where}: {places} has no field {key!r}; {_guess(key, known)}")
        reached, places = below, f"{places}.{key}"
    kinds = {kind for each in reached for kind in _kinds(each)}
    if not kinds or not kinds <= PLAIN or kinds == {"null"}:
        said = " or ".join(sorted(kinds - PLAIN)) or "anything"
        raise BadDeclaration(f"{where}: {places} may be {said}; name a text, a whole number or a boolean")
    return Path(keys=keys, default=_default(reached))


def _objects(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The object, or those that it may be."""
    choices = [each for word in ("oneOf", "anyOf") for each in schema.get(word, ()) if "properties" in each]
    yield from choices or [schema]


def _below(shape: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    """The schema of a field; of an object whose names are free, that of every value."""
    named: Mapping[str, Any] | None = shape.get("properties", {}).get(key)
    free = shape.get("additionalProperties")
    return named if named is not None or not isinstance(free, Mapping) else free


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    said = schema.get("type")
    if said is not None:
        return {said} if isinstance(said, str) else set(said)
    words = {str: "string", bool: "boolean", int: "integer", type(None): "null", float: "number"}
    found = {words.get(type(value), "object") for value in schema.get("enum", ())}
    for word in ("oneOf", "anyOf"):
        found = found.union(*(_kinds(each) for each in schema.get(word, ())))
    return found


def _default(schemas: Sequence[Mapping[str, Any]]) -> str | None:
    defaults = {Path(keys=()).text_of(each.get("default")) for each in schemas}
    return defaults.pop() if len(defaults) == 1 else None


def _guess(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"it has: {', '.join(known)}" if known else "it has none"


def _paths(made: Defaults) -> Iterator[Path]:
    for template in (made.ordering_key, made.concurrency_key, *made.labels.values()):
        yield from (part for part in (template.parts if template else ()) if isinstance(part, Path))


def _nested(path: Sequence[str], messages: list[str]) -> Any:
    return {path[0]: _nested(path[1:], messages)} if path else messages
