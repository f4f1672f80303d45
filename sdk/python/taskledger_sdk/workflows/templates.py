"""Templates: JSON in which objects with a $word stand for something that is known when the step's turn comes.

{"$from": "steps.fetch.result.orders", "default": …} · {"$text": ["Invoice ", {"$from": …}]} · {"$literal": …}
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskledger_sdk.workflows.errors import Faults, StepRefused

FROM, DEFAULT, TEXT, LITERAL = "$from", "default", "$text", "$literal"
MAX_LEVELS = 32
MAX_PARTS, MAX_REFERENCE = 20, 500
KEY = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
STEP_KEY = re.compile(KEY)
INDEX = re.compile("-?[0-9]+")
RUN_FIELDS = ("id", "workflow", "version", "started_at")
EVENT_FIELDS = ("id", "name", "received_at")
SHAPES = "write input.NAME, steps.KEY.result.NAME, steps.KEY.task_id or run.id; in triggers event.data.NAME"
TYPES_OF_CONTROL = ("wait_for_signal", "sleep_until", "run_workflow", "fan_out")
"""Task types of steps that have none of their own."""
MASKED = "[redacted]"
_NOTHING = object()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Where a value comes from: the `path` below the input, a step's result, or the facts of a run or an event.

    References to an event stand in triggers, all others in workflows, those to an item in steps with `for_each` only:
    whoever checks a template says which it knows.
    """

    source: str  # input, run, result, task_id, event, item, index
    step: str | None
    path: tuple[str, ...]

    def __str__(self) -> str:
        before = [f"steps.{self.step}.{self.source}"] if self.step else [SHOWN.get(self.source, self.source)]
        return ".".join([*before, *self.path])


SHOWN = {"index": "item.index"}


class Missing(Exception):
    """There is nothing where a reference points."""


Lookup = Callable[[Reference], Any]
"""The value of a reference. Raises Missing."""


def reference_of(text: Any) -> Reference | None:
    """A reference as it is written; None for what is none."""
    if not isinstance(text, str) or len(text) > MAX_REFERENCE:
        return None
    parts = text.split(".")
    if not all(parts) or len(parts) > MAX_PARTS:
        return None
    match parts:
        case ["input", *path]:
            return Reference(source="input", step=None, path=tuple(path))
        case ["run", name] if name in RUN_FIELDS:
            return Reference(source="run", step=None, path=(name,))
        case ["steps", step, "task_id"]:
            return Reference(source="task_id", step=step, path=())
        case ["steps", step, "result", *path]:
            return Reference(source="result", step=step, path=tuple(path))
    return _of_item_or_event(parts)


def _of_item_or_event(parts: Sequence[str]) -> Reference | None:
    match parts:
        case ["item", "index"]:
            return Reference(source="index", step=None, path=())
        case ["item", *path]:
            return Reference(source="item", step=None, path=tuple(path))
        case ["event", "data", *_]:
            return Reference(source="event", step=None, path=tuple(parts[1:]))
        case ["event", name] if name in EVENT_FIELDS:
            return Reference(source="event", step=None, path=(name,))
    return None


def check(template: Any, path: Sequence[str], faults: Faults) -> list[tuple[tuple[str, ...], Reference]]:
    """The references in a template, each with its place; notes what is wrong with it."""
    found: list[tuple[tuple[str, ...], Reference]] = []
    for place, value in _places(template, tuple(path), faults):
        _check_value(value, place, faults, found)
    return found


def _places(template: Any, path: tuple[str, ...], faults: Faults) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every place of a template that is not inside a literal, without recursion: it may be deep."""
    rest: list[tuple[tuple[str, ...], Any, int]] = [(path, template, 1)]
    while rest:
        place, value, level = rest.pop()
        if level > MAX_LEVELS:
            faults.add(place, f"is nested too deeply: a template has {MAX_LEVELS} levels at most")
            return
        yield place, value
        if isinstance(value, list):
            rest += [((*place, str(index)), each, level + 1) for index, each in enumerate(value)]
        elif isinstance(value, dict) and LITERAL not in value:
            rest += [((*place, key), each, level + 1) for key, each in value.items() if key != FROM]


def _check_value(value: Any, place: tuple[str, ...], faults: Faults, found: list[Any]) -> None:
    if value == MASKED:
        faults.add(place, "is what the service shows in place of a secret: send the secret itself")
    if not isinstance(value, dict):
        return
    words = [key for key in value if key.startswith("$")]
    if not words:
        return
    word = words[0]
    if word == FROM and value.keys() <= {FROM, DEFAULT}:
        reference = reference_of(value[FROM])
        if reference is None:
            faults.add((*place, FROM), f"is no reference: {SHAPES}")
        else:
            found.append((place, reference))
    elif word == TEXT and len(value) == 1:
        if not isinstance(value[TEXT], list):
            faults.add((*place, TEXT), "must be a list of texts and references, which are joined")
    elif word != LITERAL or len(value) > 1:
        known = f"{FROM} (with {DEFAULT}), {TEXT}, {LITERAL}"
        faults.add((*place, word), f"is no template: known are {known}; put data with such keys into {LITERAL}")


def render(template: Any, lookup: Lookup, path: tuple[str, ...] = ("payload",)) -> Any:
    """The template with every reference replaced by its value. Raises StepRefused, naming the place."""
    if isinstance(template, list):
        return [render(each, lookup, (*path, str(index))) for index, each in enumerate(template)]
    if not isinstance(template, dict):
        return template
    if FROM in template:
        return _looked_up(template, lookup, path)
    if TEXT in template:
        parts = [render(each, lookup, (*path, TEXT, str(index))) for index, each in enumerate(template[TEXT])]
        return "".join(_as_text(part, path) for part in parts)
    if LITERAL in template:
        return template[LITERAL]
    return {key: render(each, lookup, (*path, key)) for key, each in template.items()}


def bounded(lookup: Lookup, most_bytes: int) -> Lookup:
    """The lookup, which refuses as soon as all that it has given is longer, as JSON, than what it is for may be.

    A short template may refer to a long value thousands of times: what it comes to would fill the memory before anybody
    could measure it. Raises StepRefused beside Missing.
    """
    given = 0

    def look(reference: Reference) -> Any:
        nonlocal given
        value = lookup(reference)
        given += _least_size(value)
        if given > most_bytes:
            said = f"at least {given} bytes; at most {most_bytes} are accepted: refer to parts, or to a file"
            raise StepRefused(f"what it refers to has {said}")
        return value

    return look


def _least_size(value: Any) -> int:
    """Bytes that a value has at least, wherever it ends: a text may be joined to others, without its quotes."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    try:
        return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    except RecursionError:
        raise StepRefused("what it refers to is nested too deeply") from None


def _looked_up(template: Mapping[str, Any], lookup: Lookup, path: tuple[str, ...]) -> Any:
    reference = reference_of(template[FROM])
    if reference is None:
        raise StepRefused(f"{'.'.join(path)}: {template[FROM]!r} is no reference")
    try:
        value = lookup(reference)
    except Missing:
        value = _NOTHING
    if DEFAULT in template and (value is _NOTHING or value is None):
        return render(template[DEFAULT], lookup, (*path, DEFAULT))
    if value is _NOTHING:
        raise StepRefused(
            f"{'.'.join(path)}: there is no {reference}; give the reference a default if it may be absent"
        )
    return value


def _as_text(part: Any, path: tuple[str, ...]) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, bool | int | float):
        return json.dumps(part)
    raise StepRefused(f"{'.'.join(path)}: only texts, numbers and booleans can be joined to a text")


def below(value: Any, path: Sequence[str]) -> Any:
    """What is at a path inside a JSON value; lists go by number, from the end by a negative one. Raises Missing.

    As PostgreSQL's #> has it, which looks into results: the same path means the same in an input.
    """
    for part in path:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and INDEX.fullmatch(part) and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            raise Missing(part)
    return value
