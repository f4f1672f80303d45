"""The task types: what each one is, how a handler becomes one, and how they are found."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypedDict, TypeVar, Unpack

from taskledger_sdk import packages
from taskledger_sdk.defaults import Defaults, Rate, defaults_of, rate_of, simple_faults
from taskledger_sdk.errors import BadDeclaration, UnknownTaskType
from taskledger_sdk.payload import PayloadSpec
from taskledger_sdk.retry import RetryPolicy

NAME = re.compile(r"(?=.{1,63}$)[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
QUEUE = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
# RabbitMQ closes the channel of a consumer that has not acknowledged for 30 minutes; this leaves it four to spare.
MAX_HARD_LIMIT_SECONDS = 1560
MIN_LEASE_SECONDS = 5
UNDO_PARAMETERS = 3

Handler = Callable[..., Any]
Undo = Callable[..., Any]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True, kw_only=True)
class TaskType:
    """One task type: its handler and everything that the API, the worker and the dashboard need to know of it.

    The soft limit raises TimeLimitReached in the handler after `timeout_seconds`; `grace_seconds` later, or that long
    after a cancel, the child is killed. `lease_seconds` replaces the service's own lease where a handler holds the GIL
    for long. Up to `chunk` tasks may share one hint, when each takes at most `max_seconds_each`. `undo` takes back a
    completed task, as part of a compensation: undo(task: TaskContext, payload, result), where `payload` is what the
    handler was given, `result` what it returned, and `task` the attempt of the compensation. Both may be coroutine
    functions.
    Tasks of an `internal` type are submitted by the service itself only. A type that `reaches_outside` sends to
    addresses that its payload names: accounts use it only when they may reach outside.

    What holds for its submissions unless they say otherwise (taskledger_sdk/defaults.py): `ordering_key` and
    `concurrency_key` are paths of the payload, or texts with paths in braces, `labels` are such texts by name, and
    `search` names fields of the payload that become labels of that name. `after_failure` goes with an ordering key.
    `rate` (such as "100/min") and `concurrency` are an admission limit of the type.
    """

    name: str
    handler: Handler
    payload: PayloadSpec
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_seconds: int = 300
    grace_seconds: int = 10
    lease_seconds: int | None = None
    queue: str = "tasks"
    chunk: int = 1
    max_seconds_each: float | None = None
    sensitive: bool = False
    internal: bool = False
    reaches_outside: bool = False
    settings: tuple[str, ...] = ()
    undo: Undo | None = None
    ordering_key: str | None = None
    after_failure: str | None = None
    concurrency_key: str | None = None
    rate: str | None = None
    concurrency: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    search: tuple[str, ...] = ()
    examples: tuple[Any, ...] = ()
    summary: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        for fault in _faults(self):
            raise BadDeclaration(f"{self.name}: {fault}")
        try:
            _ = self.defaults, self.starts
        except BadDeclaration as error:
            raise BadDeclaration(f"{self.name}: {error}") from None

    @property
    def compensable(self) -> bool:
        """Whether a completed task of this type can be undone."""
        return self.undo is not None

    @cached_property
    def defaults(self) -> Defaults | None:
        """What its submissions have unless they say otherwise; None: nothing."""
        if self.ordering_key is None and self.concurrency_key is None and not self.labels and not self.search:
            return None  # the schema is not needed
        return defaults_of(
            self.payload.json_schema(),
            ordering_key=self.ordering_key,
            concurrency_key=self.concurrency_key,
            labels=self.labels,
            search=self.search,
            sensitive=self.sensitive,
        )

    @cached_property
    def starts(self) -> Rate | None:
        """How many may start in which time; None: any number."""
        return None if self.rate is None else rate_of(self.rate)

    def check(self, payload: Any) -> None:
        """Raises PayloadRefused for a payload that no task of this type can have: not its shape, or a key too long."""
        self.payload.load(payload)
        if self.defaults is not None:
            self.defaults.of(payload)

    @cached_property
    def schema_hash(self) -> str:
        """Twelve hex digits that change when the payload's JSON Schema does."""
        text = json.dumps(self.payload.json_schema(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Options(TypedDict, total=False):
    """What task_type() takes beside the name; see TaskType."""

    retry: RetryPolicy
    timeout_seconds: int
    grace_seconds: int
    lease_seconds: int | None
    queue: str
    chunk: int
    max_seconds_each: float | None
    sensitive: bool
    internal: bool
    reaches_outside: bool
    settings: tuple[str, ...]
    undo: Undo | None
    ordering_key: str | None
    after_failure: str | None
    concurrency_key: str | None
    rate: str | None
    concurrency: int | None
    labels: Mapping[str, str]
    search: tuple[str, ...]
    examples: tuple[Any, ...]


_types: dict[str, TaskType] = {}
_found: Mapping[str, TaskType] | None = None
# Not the lock of the imports: a thread may import one handler, and register it, while another imports them all.
_registering = threading.Lock()


def task_type(name: str, **options: Unpack[Options]) -> Callable[[H], H]:
    """Declare the function below as the handler of task type `name`; the function itself stays as it is.

    It is a plain function, or a coroutine function (async def), which runs on the one event loop of its process. It
    takes a TaskContext and the payload, whose annotation says what is accepted; its docstring becomes the type's
    summary and description. Raises BadDeclaration at import for anything that would only show later.
    """
    _check_names(name, options)

    def declare(handler: H) -> H:
        summary, _, description = (inspect.getdoc(handler) or "").partition("\n\n")
        where = f"{name}: payload"
        made = TaskType(
            **options,
            name=name,
            handler=handler,
            payload=PayloadSpec.of(
                _payload_annotation(name, handler), examples=options.get("examples", ()), where=where
            ),
            summary=" ".join(summary.split()),
            description=description.strip(),
        )
        register(made)
        return handler

    return declare


def load_types() -> Mapping[str, TaskType]:
    """All task types by name, sorted; the first call imports every module of the packages that are used.

    Raises BrokenFiles where one of them cannot be imported.
    """
    global _found
    packages.load()
    found = _found
    if found is None:
        with _registering:
            found = _found = MappingProxyType(dict(sorted(_types.items())))
    return found


def get_type(name: str) -> TaskType:
    """The task type of this name. Raises UnknownTaskType, which knows the nearest name."""
    types = load_types()
    try:
        return types[name]
    except KeyError:
        raise UnknownTaskType(name, tuple(types)) from None


def find_type(name: str) -> TaskType | None:
    """The task type of this name; None where there is none (any more): tasks outlive their types."""
    return load_types().get(name)


def register(made: TaskType) -> None:
    """Make a type known, in place of what its handler declared before. Raises BadDeclaration for a name of another."""
    global _found
    with _registering:
        other = _types.get(made.name)
        if other and _place(other.handler) != _place(made.handler):
            raise BadDeclaration(
                f"{made.name}: declared in {_place(other.handler)} and again in {_place(made.handler)}; rename one"
            )
        _types[made.name] = made
        _found = None  # a type declared after the first look (a test, a plugin) is seen by the next


def _place(handler: Handler) -> str:
    return f"{handler.__module__}.{handler.__qualname__}"


def _payload_annotation(name: str, handler: Handler) -> Any:
    parameters = list(inspect.signature(handler).parameters)
    define = "async def" if inspect.iscoroutinefunction(handler) else "def"
    expected = f"write {define} {getattr(handler, '__name__', name)}(task: TaskContext, payload: …) -> …"
    if len(parameters) != 2:
        raise BadDeclaration(f"{name}: its handler takes {len(parameters)} parameters instead of 2; {expected}")
    try:
        hints = typing.get_type_hints(handler, include_extras=True)
    except NameError as fault:
        raise BadDeclaration(
            f"{name}: {fault}; import it outside of TYPE_CHECKING, as annotations are read at import"
        ) from fault
    if parameters[1] not in hints:
        raise BadDeclaration(f"{name}: its parameter {parameters[1]!r} has no annotation; {expected}")
    return hints[parameters[1]]


def _check_names(name: str, options: Mapping[str, Any]) -> None:
    if not NAME.fullmatch(name):
        raise BadDeclaration(
            f"{name!r} is no name of a task type; give up to 63 of a-z, 0-9, _ and dots, each part with a letter first"
        )
    for option in options:
        if option not in Options.__annotations__:
            nearest = get_close_matches(option, Options.__annotations__, n=1)
            guess = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(Options.__annotations__)}"
            raise BadDeclaration(f"{name}: unknown option {option}; {guess}")


def _faults(made: TaskType) -> Iterator[str]:
    """What is wrong with the values of a type, each with what to do."""
    soft, grace = made.timeout_seconds, made.grace_seconds
    if soft < 1 or grace < 1 or soft + grace > MAX_HARD_LIMIT_SECONDS:
        yield (
            f"timeout_seconds={soft} and grace_seconds={grace}; each must be at least 1 and their sum at most "
            f"{MAX_HARD_LIMIT_SECONDS}; split longer work into several tasks"
        )
    if made.chunk < 1 or (made.chunk > 1) != (made.max_seconds_each is not None):
        yield f"chunk={made.chunk} and max_seconds_each={made.max_seconds_each}; give both (chunk from 2) or neither"
    if made.max_seconds_each is not None and not 0 < made.max_seconds_each <= 1:
        yield f"max_seconds_each={made.max_seconds_each}; give at most 1, as a chunk starts nothing after a second"
    if made.lease_seconds is not None and made.lease_seconds < MIN_LEASE_SECONDS:
        yield f"lease_seconds={made.lease_seconds}; give at least {MIN_LEASE_SECONDS}, or a short pause loses it"
    if not QUEUE.fullmatch(made.queue):
        yield f"queue={made.queue!r}; give up to 63 of a-z, 0-9, _, - and ., a letter first"
    yield from simple_faults(after_failure=made.after_failure, concurrency=made.concurrency, labels=made.labels)
    for option, value in (("settings", made.settings), ("search", made.search), ("examples", made.examples)):
        if not isinstance(value, tuple):
            yield f"{option}={value!r}; give a tuple: {option}=({value!r},)"
    yield from _generators(made)
    if made.undo is not None and len(inspect.signature(made.undo).parameters) != UNDO_PARAMETERS:
        yield "its undo takes other than 3 parameters; write def undo(task, payload, result) -> …"


def _generators(made: TaskType) -> Iterator[str]:
    for what, function in (("handler", made.handler), ("undo", made.undo)):
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            yield (
                f"its {what} {_place(function)} has a yield, and nobody would run what is behind it; return the result "
                "at the end, and tell what comes before by task.progress() or task.log()"
            )
