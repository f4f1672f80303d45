"""How calls, results, failures and states of Celery tasks are written as JSON in the ledger, and read again. Pure.

The producer and the worker both stand on this module, so that what one writes the other reads:

- A payload is `{"args": [...], "kwargs": {...}}`, with a third key `celery` where the call says more (`CallOptions`).
- Values are those of kombu's JSON: a datetime is `{"__type__": "datetime", "__value__": "2026-01-02T03:04:05"}`.
- A failure is a type, as `module.Name`, and a message from which the arguments of the exception can be read.
- A note is what a worker tells of an attempt in the message of its progress: a custom state, its meta, children.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from kombu.exceptions import EncodeError
from kombu.utils.json import JSONEncoder, object_hook

from taskledger_sdk.registry import TYPE_NAME

ARGS, KWARGS, OPTIONS = "args", "kwargs", "celery"
MAX_OPTIONS_BYTES = 4 * 1024
"""Of headers: what a call says beside its arguments is kept with each task."""
MAX_NOTE_CHARACTERS = 2_000
MAX_MESSAGE_CHARACTERS = 10_000
ARGUMENTS = "\narguments: "
_default = JSONEncoder().default


class NotJson(EncodeError, TypeError):
    """An argument or a result cannot be written as JSON; the text says which one, and of which type it is."""


class CallOptions(TypedDict, total=False):
    """What a call says beside its arguments, as the worker gives it to `self.request`; what is not said is left out."""

    id: str
    """The id that the caller chose, where it is none that the ledger takes."""
    root_id: str
    parent_id: str
    group: str
    group_index: int
    shadow: str
    headers: dict[str, Any]
    stamped_headers: list[str]
    errbacks: list[dict[str, Any]]
    """Signatures that are called when the task has failed."""
    ignore_result: bool
    passes_on: bool
    """A later task of the canvas takes the result: it is kept, even of a task that ignores its results."""
    timelimit: list[float | None]
    """Hard and soft, in seconds."""
    priority: int
    queue: str
    eta: str
    expires: str
    """Of a step of a run, whose task has no expiry of its own: its worker looks at it."""
    expires_in: float
    """The same in seconds after its turn has come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalledWith:
    """A payload as it was read."""

    args: list[Any]
    kwargs: dict[str, Any]
    options: CallOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """An exception as the ledger keeps it: `type` has at most 200 characters, `message` at most 10,000."""

    type: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What an attempt told last; None: nothing of that kind."""

    state: str | None = None
    meta: Any = None
    children: list[Any] = field(default_factory=list)
    """As Celery writes results: `as_tuple()`."""


def type_name(task: str, queue: str | None = None, *, app: str | None = None) -> str:
    """The name of the task type that stands for a Celery task: its own, wherever the ledger takes it.

    The ledger takes up to 200 letters, digits, underscores and hyphens, with dots or colons between parts. Any other
    name is written with small ones, and gets eight digits of its digest, so that no two tasks become one type. With
    `queue`, of the type that stands for calls of the task that go to another queue than its own. Tasks that Celery
    brings along are each application's own: `celery.map` runs a task of that application, `app`.
    """
    if task.startswith("celery.") and app:
        task = f"{app}:{task}"
    task = task if queue is None else f"{task}@{queue}"
    if TYPE_NAME.fullmatch(task):
        return task
    digest = hashlib.sha256(task.encode()).hexdigest()[:8]
    parts = [re.sub(r"[^a-z0-9_]", "_", part).lstrip("_0123456789") for part in task.lower().split(".")]
    readable = ".".join(part for part in parts if part) or "task"
    return f"{readable[:54].rstrip('.')}_{digest}"


def encode_call(
    args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, options: CallOptions | None = None
) -> dict[str, Any]:
    """The payload of a call. Raises NotJson, naming the argument."""
    payload: dict[str, Any] = {
        ARGS: [encode(each, f"argument {place}") for place, each in enumerate(args or (), start=1)],
        KWARGS: {name: encode(each, f"argument {name!r}") for name, each in (kwargs or {}).items()},
    }
    if options:
        payload[OPTIONS] = encode(options, "an option of the call")
    return payload


def decode_call(payload: Mapping[str, Any]) -> CalledWith:
    """A call as it was encoded."""
    options: CallOptions = decode(payload.get(OPTIONS) or {})
    return CalledWith(args=decode(payload.get(ARGS) or []), kwargs=decode(payload.get(KWARGS) or {}), options=options)


def payload_schema(signature: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON Schema of a payload; `signature` replaces what is said of `args` and `kwargs`."""
    properties = {ARGS: {"type": "array"}, KWARGS: {"type": "object"}, **(signature or {}), OPTIONS: {"type": "object"}}
    return {"type": "object", "required": [ARGS, KWARGS], "properties": properties, "additionalProperties": False}


def encode(value: Any, what: str) -> Any:
    """The value as kombu's JSON has it, tuples as lists. Raises NotJson with `what`, and the path below it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, what)
    if isinstance(value, int | float):
        return _number(value, what)
    if isinstance(value, Mapping):
        return {_key(key, what): encode(each, f"{what}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [encode(each, f"{what}[{place}]") for place, each in enumerate(value)]
    if isinstance(value, set | frozenset):
        raise NotJson(f"{what} is a {type(value).__name__}, which JSON does not have: give a list, such as sorted(…)")
    try:
        plain = _default(value)
    except (TypeError, ValueError):
        raise NotJson(
            f"{what} is of the type {_name_of(type(value))}, which cannot be written as JSON: give what it is made "
            "of, such as an id. Tasks in the ledger are not pickled."
        ) from None
    return encode(plain, what)


def decode(value: Any) -> Any:
    """The value as it was before `encode`; a tuple stays a list. Raises ValueError for a `__type__` not known here."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    if isinstance(value, dict):
        return object_hook({key: decode(each) for key, each in value.items()})
    return value


def failure_of(error: BaseException, message: str | None = None) -> Failure:
    """An exception as the ledger keeps it; its arguments follow the message where that does not say them all.

    `message` is what people read in place of its text. One without any text is called by its name: the ledger keeps no
    empty message.
    """
    kind = type(error)
    text = _printable(message or _str_of(error)) or kind.__name__
    if error.args != (text,):
        text += ARGUMENTS + json.dumps([_argument(each) for each in error.args], ensure_ascii=False)
    if len(text) > MAX_MESSAGE_CHARACTERS:
        text = text[: MAX_MESSAGE_CHARACTERS - 1] + "…"
    return Failure(type=_name_of(kind)[:200], message=text)


def exception_parts(failure: Failure) -> dict[str, Any]:
    """A failure as Celery's own backends keep it, for `Backend.exception_to_python`."""
    module, _, name = failure.type.rpartition(".")
    if module and module not in sys.modules:
        module, name = _split(failure.type)
    said, found, arguments = failure.message.rpartition(ARGUMENTS)
    args = [failure.message] if failure.message else []
    if found:
        try:
            args = json.loads(arguments)
        except ValueError:  # a message that was cut
            args = [said]
    return {"exc_type": name, "exc_module": module or "builtins", "exc_message": args}


def message_of(failure: Failure) -> str:
    """The message for people, without the arguments."""
    return failure.message.partition(ARGUMENTS)[0]


def write_note(note: Note) -> str:
    """A note as the message of an attempt's progress; what is too long for it is left out, the meta first."""
    for said in (note, Note(state=note.state, children=note.children), Note(state=note.state)):
        parts = {"state": said.state, "meta": encode(said.meta, "meta"), "children": encode(said.children, "children")}
        text = json.dumps({name: part for name, part in parts.items() if part not in (None, [])}, ensure_ascii=False)
        if len(text) <= MAX_NOTE_CHARACTERS:
            return text
    return "{}"


def read_note(message: Any) -> Note:
    """A note of an attempt; an empty one for a message that is none."""
    try:
        said = json.loads(message) if isinstance(message, str) and message.startswith("{") else {}
        meta = decode(said.get("meta"))
    except ValueError:
        return Note()
    return Note(state=said.get("state"), meta=meta, children=said.get("children") or [])


def fraction_of(meta: Any) -> float:
    """How far a task is, 0 to 1, where its meta says `current` and `total`, as Celery's own examples do; else 0."""
    if not isinstance(meta, Mapping):
        return 0.0
    current, total = meta.get("current"), meta.get("total")
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return 0.0
    return min(1.0, max(0.0, current / total))


def _text(value: str, what: str) -> str:
    if "\x00" in value:
        raise NotJson(f"{what} holds a NUL character, which the database cannot keep: give bytes, or leave it out")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NotJson(f"{what} holds half of a surrogate pair, which is no text: was it decoded wrongly?") from None
    return value


def _number(value: float, what: str) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotJson(f"{what} is {value}, which JSON does not have: give None, or a text")
    return value


def _key(key: Any, what: str) -> str:
    """A key as Python's JSON writes it."""
    if isinstance(key, str):
        return _text(key, f"a key of {what}")
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise NotJson(f"{what} has a key of the type {_name_of(type(key))}: keys in JSON are texts")


def _argument(value: Any) -> Any:
    """An argument of an exception; the text of what JSON does not have, as Celery has it."""
    try:
        return encode(value, "an argument")
    except NotJson:
        return _printable(repr(value))


def _str_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (an exception's __str__ is anybody's code; its failure must not hide the exception)
        return f"<{type(error).__name__} without a text>"


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _split(full: str) -> tuple[str, str]:
    """Module and name of a class that may be inside another one."""
    parts = full.split(".")
    for place in range(len(parts) - 1, 0, -1):
        if ".".join(parts[:place]) in sys.modules:
            return ".".join(parts[:place]), ".".join(parts[place:])
    return ".".join(parts[:-1]), parts[-1]


def _printable(text: str) -> str:
    """Without what PostgreSQL cannot keep."""
    return text.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()
