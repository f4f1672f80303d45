"""What a handler says of a task that it submits: checked at the call, by the rules of a submission over HTTP."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from marshmallow.validate import Length, Range, Regexp

from app.database import to_json
from app.errors import Refused, flatten
from app.services.submission import MAX_RETRIES, Submission
from taskledger_sdk.errors import PayloadRefused, PermanentError, UnknownTaskType
from taskledger_sdk.json_values import depth_exceeds
from taskledger_sdk.payload import PayloadSpec, rule
from taskledger_sdk.registry import TaskType, get_type
from tasks.http_rules import HTTP_URL

MAX_KEY = 200
MAX_LEVELS = 63  # a body has 64, and the payload stands in one

_Name = rule(Length(1, 200))
_Label = Annotated[str, rule(Regexp(r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,62}$"))]


@dataclass(frozen=True, kw_only=True)
class ChildOptions:
    """The options of task.submit(); those of POST /tasks but for `unique`, in whose place there is `key`."""

    name: Annotated[str, _Name] | None = None
    priority: Literal["high", "normal", "low"] = "normal"
    scheduled_at: datetime | None = None
    max_retries: Annotated[int, rule(Range(0, MAX_RETRIES))] | None = None
    timeout: Annotated[int, rule(Range(min=1))] | None = None
    labels: dict[_Label, Annotated[str, rule(Length(max=256))]] = rule(Length(max=32), default_factory=dict)
    expires_at: datetime | None = None
    callback_url: Annotated[str, rule(Regexp(HTTP_URL), Length(max=2_048))] | None = None
    concurrency_key: Annotated[str, _Name] | None = None
    ordering_key: Annotated[str, _Name] | None = None
    after_failure: Literal["block", "release"] | None = None


_OPTIONS = PayloadSpec.of(ChildOptions, where="task.submit")
_KEY = PayloadSpec.of(Annotated[str, rule(Length(1, MAX_KEY))] | None, where="task.submit(key=…)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A task that a handler wants submitted; `text` is its payload as JSON, to compare and to measure."""

    type: TaskType
    submission: Submission
    text: str


def wish(type_name: str, payload: Any, key: str | None, options: Mapping[str, Any], *, is_ours: bool = False) -> Wish:
    """Check a call of task.submit(). Raises PermanentError, naming what was wrong and where.

    `is_ours`: a handler of the service's own asks, which may submit what nobody else may.

    The payload is copied: what the handler does with its own afterwards changes nothing.
    """
    where = f"task.submit({type_name!r})"
    if not isinstance(type_name, str):
        raise PermanentError(f"{where}: no task type is called so; give the name of one, such as 'reverse_string'")
    try:
        kind = get_type(type_name)
    except UnknownTaskType as error:
        raise PermanentError(f"{where}: {error}") from None
    if kind.internal and not is_ours:
        raise PermanentError(f"{where}: is submitted by the service itself only")
    _checked(_KEY, key, where, "key")
    checked = _checked(_OPTIONS, {name: _as_json(value) for name, value in options.items()}, where, "")
    text, copied = _copied(payload, where)
    try:
        kind.check(copied)
    except PayloadRefused as error:
        raise PermanentError(_refusal(where, flatten(error.errors), is_secret=kind.sensitive)) from None
    fields = {name: getattr(checked, name) for name in ChildOptions.__dataclass_fields__}
    return Wish(type=kind, submission=Submission(type=kind.name, payload=copied, **fields), text=text)


def refused(type_name: str, error: Refused) -> PermanentError:
    """The same refusal, as a handler is told of it."""
    return PermanentError(_refusal(f"task.submit({type_name!r})", flatten(error.errors), is_secret=False))


def _checked(spec: PayloadSpec, value: Any, where: str, path: str) -> Any:
    try:
        return spec.load(value)
    except PayloadRefused as error:
        inside = [(at.removeprefix("payload").lstrip(".") or path, said) for at, said in flatten(error.errors)]
        raise PermanentError(_refusal(where, inside, is_secret=False)) from None


def _refusal(where: str, faults: Iterable[tuple[str, str]], *, is_secret: bool) -> str:
    """One sentence with the path of each fault; of a sensitive payload nothing but the paths."""
    told = [path if is_secret else f"{path}: {said}" for path, said in faults]
    return f"{where}: {'; '.join(told)}{' (refused; its values are not repeated here)' if is_secret else ''}"


def _as_json(value: Any) -> Any:
    """Options are given as Python has them: a moment as a datetime, labels as any mapping."""
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else value


def _copied(payload: Any, where: str) -> tuple[str, Any]:
    if depth_exceeds(payload, MAX_LEVELS):
        raise PermanentError(f"{where}: payload: is nested too deeply: {MAX_LEVELS} levels are allowed")
    try:
        text = to_json(payload)
    except (TypeError, ValueError) as error:
        raise PermanentError(f"{where}: payload: is not JSON: {error}") from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PermanentError(f"{where}: payload: must not contain lone surrogates (\\ud800 to \\udfff)") from None
    copied = json.loads(text)
    _check_nul(copied, where)
    return text, copied


def _check_nul(value: Any, where: str) -> None:
    if isinstance(value, str) and "\x00" in value:
        raise PermanentError(f"{where}: payload: must not contain NUL characters (\\u0000)")
    if isinstance(value, dict):
        for pair in value.items():
            for part in pair:
                _check_nul(part, where)
    elif isinstance(value, list):
        for part in value:
            _check_nul(part, where)
