"""The task types: what each one is, how a handler becomes one, and how they are found."""

from __future__ import annotations

import inspect
import re
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypedDict, TypeVar, Unpack

from taskledger_sdk import packages
from taskledger_sdk.defaults import Defaults, Rate, defaults_of, rate_of, simple_faults
from taskledger_sdk.errors import BadDeclaration, PayloadRefused, UnknownTaskType, UpgradeFailed
from taskledger_sdk.payload import PayloadCheck, PayloadSpec
from taskledger_sdk.retry import RetryPolicy
from taskledger_sdk.upgrades import Upgrade, schema_hash_of, upgrade_faults, upgraded

NAME = re.compile(r"(?=.{1,63}$)[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
TYPE_NAME = re.compile(r"(?=.{1,200}$)[A-Za-z_][A-Za-z0-9_-]*([.:][A-Za-z0-9_-]+)*")
"""Names of all task types: remote ones may be called as programs elsewhere call them, as Celery's tasks are."""
QUEUE = re.compile(r"[a-z][a-z0-9_.-]{0,62}")
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600
MAX_GRACE_SECONDS = 3600
MAX_HARD_LIMIT_SECONDS = MAX_TIMEOUT_SECONDS + MAX_GRACE_SECONDS
MIN_LEASE_SECONDS = 5
UNDO_PARAMETERS = 3
STOP, COMPENSATE = "stop", "compensate"

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
    A `remote` type has no handler here: its tasks are worked off over HTTP, and its payload is checked by the JSON
    Schema that it was declared with.
    Tasks of an `internal` type are submitted by the service itself only. A type that `reaches_outside` sends to
    addresses that its payload names: accounts use it only when they may reach outside.

    What holds for its submissions unless they say otherwise (taskledger_sdk/defaults.py): `ordering_key` and
    `concurrency_key` are paths of the payload, or texts with paths in braces, `labels` are such texts by name, and
    `search` names fields of the payload that become labels of that name. `after_failure` goes with an ordering key.
    `rate` (such as "100/min") and `concurrency` are an admission limit of the type.

    `upgrade` says what becomes of payloads that an earlier release accepted: by the hash of the schema that they were
    accepted under, a function from such a payload to one of the schema as it is now. It is applied in memory, at each
    attempt.

    The handler of a `durable` type gets a DurableTask, or an AsyncDurableTask if it is a coroutine function: it is run
    again from its top after each wait, `timeout_seconds` is for each stretch in between, and it never travels in a
    chunk. `on_failure` says what becomes of steps that have an undo when its task fails or is cancelled: "compensate"
    takes them back in reverse order, "stop" leaves them as they are.
    """

    name: str
    handler: Handler
    payload: PayloadCheck
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
    upgrade: Mapping[str, Upgrade] = field(default_factory=dict)
    durable: bool = False
    on_failure: str = COMPENSATE
    summary: str = ""
    description: str = ""
    remote: bool = False

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

    def load(self, payload: Any, accepted_under: str | None = None) -> Any:
        """What the handler is given of a stored payload, which is upgraded before where it has to be.

        `accepted_under` is the schema hash of the release that accepted it; None is not known. Raises PayloadRefused,
        or UpgradeFailed.
        """
        if accepted_under is None or accepted_under not in self.upgrade:
            return self.payload.load(payload)
        try:
            return self.payload.load(upgraded(self.upgrade, payload, accepted_under))
        except PayloadRefused as error:
            said = f"the upgrade from schema {accepted_under} made a payload that the type refuses: {error}"
            raise UpgradeFailed(said) from error

    @cached_property
    def schema_hash(self) -> str:
        """Twelve hex digits that change when the payload's JSON Schema does."""
        return schema_hash_of(self.payload.json_schema())

    @cached_property
    def understood(self) -> tuple[str, ...]:
        """The schema hashes whose payloads it takes, whatever they are: its own, and those that it upgrades."""
        return (self.schema_hash, *self.upgrade)


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
    upgrade: Mapping[str, Upgrade]
    durable: bool
    on_failure: Literal["stop", "compensate"]


class Elsewhere(Protocol):
    """Task types that are declared outside of the code of this process."""

    def find(self, name: str) -> TaskType | None:
        """The type of this name; None where none is declared."""

    def all(self) -> Mapping[str, TaskType]:
        """All of them by name, sorted; they may be some seconds old."""


_types: dict[str, TaskType] = {}
_found: Mapping[str, TaskType] | None = None
_elsewhere: Elsewhere | None = None
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
    """All task types of the code by name, sorted; the first call imports every module of the packages that are used.

    Raises BrokenFiles where one of them cannot be imported.
    """
    global _found
    packages.load()
    found = _found
    if found is None:
        with _registering:
            found = _found = MappingProxyType(dict(sorted(_types.items())))
    return found


def look_elsewhere(source: Elsewhere | None) -> None:
    """Ask this source, too, for the types that the code of this process does not have."""
    global _elsewhere
    _elsewhere = source


def known_types() -> Mapping[str, TaskType]:
    """All task types by name, sorted: those of the code, and those that were declared elsewhere."""
    types = load_types()
    others = {} if _elsewhere is None else _elsewhere.all()
    return types if not others else MappingProxyType(dict(sorted({**others, **types}.items())))


def offered_types() -> Mapping[str, TaskType]:
    """Those that may be submitted: all but the internal ones, which the service itself submits."""
    return {name: each for name, each in known_types().items() if not each.internal}


def get_type(name: str) -> TaskType:
    """The task type of this name. Raises UnknownTaskType, which knows the nearest name."""
    found = find_type(name)
    if found is None:
        raise UnknownTaskType(name, tuple(offered_types()))
    return found


def find_type(name: str) -> TaskType | None:
    """The task type of this name; None where there is none (any more): tasks outlive their types."""
    found = load_types().get(name)
    return _elsewhere.find(name) if found is None and _elsewhere is not None else found


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
    if not 1 <= made.timeout_seconds <= MAX_TIMEOUT_SECONDS:
        yield (
            f"timeout_seconds={made.timeout_seconds}; give at least 1 and at most {MAX_TIMEOUT_SECONDS} (7 days); "
            "split longer work into several tasks"
        )
    if not 1 <= made.grace_seconds <= MAX_GRACE_SECONDS:
        yield f"grace_seconds={made.grace_seconds}; give at least 1 and at most {MAX_GRACE_SECONDS}, to clean up in"
    if made.chunk < 1 or (made.chunk > 1) != (made.max_seconds_each is not None):
        yield f"chunk={made.chunk} and max_seconds_each={made.max_seconds_each}; give both (chunk from 2) or neither"
    if made.max_seconds_each is not None and not 0 < made.max_seconds_each <= 1:
        yield f"max_seconds_each={made.max_seconds_each}; give at most 1, as a chunk starts nothing after a second"
    if made.lease_seconds is not None and made.lease_seconds < MIN_LEASE_SECONDS:
        yield f"lease_seconds={made.lease_seconds}; give at least {MIN_LEASE_SECONDS}, or a short pause loses it"
    if not made.remote and not QUEUE.fullmatch(made.queue):
        yield f"queue={made.queue!r}; give up to 63 of a-z, 0-9, _, - and ., a letter first"
    yield from simple_faults(after_failure=made.after_failure, concurrency=made.concurrency, labels=made.labels)
    for option, value in (("settings", made.settings), ("search", made.search), ("examples", made.examples)):
        if not isinstance(value, tuple):
            yield f"{option}={value!r}; give a tuple: {option}=({value!r},)"
    yield from _generators(made)
    yield from upgrade_faults(made.upgrade, lambda: made.schema_hash)
    yield from _durable_faults(made)
    if made.undo is not None and len(inspect.signature(made.undo).parameters) != UNDO_PARAMETERS:
        yield "its undo takes other than 3 parameters; write def undo(task, payload, result) -> …"


def _generators(made: TaskType) -> Iterator[str]:
    for what, function in (("handler", made.handler), ("undo", made.undo)):
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            yield (
                f"its {what} {_place(function)} has a yield, and nobody would run what is behind it; return the result "
                "at the end, and tell what comes before by task.progress() or task.log()"
            )


def _durable_faults(made: TaskType) -> Iterator[str]:
    if made.durable and made.chunk > 1:
        yield f"durable=True and chunk={made.chunk}; a durable handler never travels in a chunk: leave chunk out"
    if made.durable and made.undo is not None:
        yield "durable=True and undo=…; give each step its own undo: task.once(…, undo=(type, payload))"
    if made.on_failure not in (STOP, COMPENSATE):
        yield f"on_failure={made.on_failure!r}; give 'stop' or 'compensate'"
